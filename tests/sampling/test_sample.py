"""Samplers against exact truth: a right one fails a test here on one seed in 1,000; seeds are
fixed."""

import math

import pytest
import torch
from scipy.stats import kstest

import levlib as lv
from tests.oracles import CIRCLES, arc_p_value, frequency_cdf, generator, same_draw

pytestmark = pytest.mark.filterwarnings("error:pool")
FALSE_ALARM = 1e-3
N = 20_000


@pytest.mark.parametrize("lam", [1e-1, 1e-3])
@pytest.mark.parametrize("name", CIRCLES)
def test_arcs_draws_the_leverage_density(name, lam):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES[name], lam)
    draw = lv.sample(lev, N, method="arcs", generator=generator(1))
    assert arc_p_value(lev, draw.W) > FALSE_ALARM
    assert kstest((draw.W**2).sum(1) / 2, "expon").pvalue > FALSE_ALARM
    assert torch.allclose(draw.ratio, lev.s_lam / lev(draw.W), rtol=1e-10)


@pytest.mark.parametrize("lam", [1e-1, 1e-3])
@pytest.mark.parametrize("name", CIRCLES)
def test_the_prior_is_a_wrong_sampler_and_is_caught(name, lam):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES[name], lam)
    draw = lv.sample_prior(lv.NTK(), N, 2, generator=generator(1))
    assert arc_p_value(lev, draw.W) < 1e-12
    assert torch.equal(draw.ratio, torch.ones(N, dtype=torch.float64))


@pytest.mark.parametrize("name", CIRCLES)
@pytest.mark.parametrize("lam", [1e-2, 1e-4])
def test_a_pool_of_the_size_that_the_warning_asks_for_passes_and_ten_a_weight_fails_on_clusters(
    name, lam
):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES[name], lam)
    needed = round(11 * 2000 * lv.rejection_bound(lev)[0] / lev.s_lam)
    draw = lv.sample(
        lev, 2000, method="pool", pool=needed, generator=generator(1)
    )  # a warning would be an error
    assert arc_p_value(lev, draw.W) > FALSE_ALARM
    if name == "clustered" and lam < 1e-3:
        with pytest.warns(UserWarning, match="pool=20000 is too small: use pool="):
            small = lv.sample(lev, 2000, method="pool", pool=20_000, generator=generator(1))
        assert arc_p_value(lev, small.W) < 1e-6
        assert draw.ess == pytest.approx(needed / second_moment(lev), rel=0.05)


def second_moment(lev) -> float:
    """E_p[r^2] / s^2, exactly: a pool of M prior weights has an effective size of M over it."""
    edges, values = lv.leverage_arcs(lev)
    return float((values.square() * edges.diff()).sum()) / (2 * math.pi) / lev.s_lam**2


def test_a_pool_that_missed_a_wedge_is_told_by_its_mean():
    """lam is so small that the clusters' wedges hold half of s_lambda; 100 prior weights see hardly
    any of them."""
    lev = lv.RidgeLeverage(
        lv.NTK(), lv.data.clustered_circle(10, 10, 1e-5, generator=generator()), 1e-8
    )
    with pytest.warns(UserWarning, match=r"pool=100 is too small: use pool=1000 .* the mean"):
        lv.sample(lev, 1, method="pool", pool=100, generator=generator(1))


def test_grid_draws_the_leverage_density_and_the_prior_does_not():
    X = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    lev = lv.RidgeLeverage(lv.Gaussian(0.2), X, 1e-3)
    cdf = frequency_cdf(lev)
    draw = lv.sample(lev, N, method="grid", generator=generator(1))
    assert kstest(draw.W[:, 0], cdf).pvalue > FALSE_ALARM
    assert kstest(lev.kernel.sample(N, 1, generator=generator(1))[:, 0], cdf).pvalue < 1e-12
    # p/q is that of the cells' density, so it differs from s/r by the grid's resolution alone
    assert (draw.ratio * lev(draw.W) / lev.s_lam - 1).abs().max() < 0.1


@pytest.mark.parametrize(
    "method, kernel, X",
    [
        ("arcs", lv.NTK(), CIRCLES["clustered"]),
        ("gibbs", lv.NTK(), CIRCLES["clustered"]),
        ("gibbs", lv.ArcCosine(0), CIRCLES["random"]),
        ("rejection", lv.NTK(), CIRCLES["clustered"]),
        ("pool", lv.NTK(), CIRCLES["random"]),
        ("grid", lv.Gaussian(0.3), torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]),
    ],
)
@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_reweighted_features_average_to_the_kernel(method, kernel, X, mix):
    """E[Psi Psi^T] = K by a z-test on every entry (5 errors: about one seed in 8,000); unweighted
    features fail."""
    lev = lv.RidgeLeverage(kernel, X, 1e-2)
    draw = lv.sample(lev, 4000, method=method, mix=mix, generator=generator(2))
    products = torch.einsum("imk,jmk->ijm", *(2 * [kernel.features(X, draw.W)]))
    for ratio, right in ((draw.ratio, True), (torch.ones(4000, dtype=torch.float64), False)):
        terms = products * ratio
        z = (terms.mean(2) - lev.K) / (terms.std(2) / math.sqrt(4000) + 1e-9)
        assert (z.abs().max() < 5) == right


def test_the_defensive_mixture_bounds_the_weights():
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["clustered"], 1e-4)
    bare = lv.sample(lev, 5000, method="arcs", generator=generator(1))
    mixed = lv.sample(lev, 5000, method="arcs", mix=0.25, generator=generator(1))
    assert mixed.ratio.max() <= 4
    assert bare.ratio.max() <= lev.s_lam * (torch.linalg.eigvalsh(lev.K)[-1] + lev.lam)
    share = lev(mixed.W) / lev.s_lam
    assert torch.allclose(mixed.ratio, 1 / (0.75 * share + 0.25), rtol=1e-10)


def test_nothing_is_drawn_where_no_unit_is_active_unless_mixed():
    lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.1], [1.0, -0.1]], 0.1)
    draw = lv.sample(lev, 2000, method="arcs", generator=generator())
    assert (lev(draw.W) > 0).all() and torch.isfinite(draw.ratio).all()
    mixed = lv.sample(lev, 2000, method="arcs", mix=0.5, generator=generator())
    assert (lev(mixed.W) == 0).any() and (mixed.ratio <= 2).all()


def test_the_same_seed_gives_the_same_draw():
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["random"], 1e-2)
    for method in ("arcs", "gibbs", "pool", "rejection"):
        one, two, other = (
            lv.sample(lev, 10, method=method, mix=0.2, generator=generator(s)) for s in (1, 1, 2)
        )
        assert same_draw(one, two) and not same_draw(one, other)


@pytest.mark.parametrize("method", ["arcs", "gibbs", "pool", "rejection"])
def test_float32_and_a_single_weight(method):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["random"].float(), 1e-2)
    draw = lv.sample(lev, 1, method=method, generator=generator())
    assert (
        draw.W.dtype == draw.ratio.dtype == torch.float32 and draw.W.shape == (1, 2) and draw.m == 1
    )
    assert (draw.ess is None) == (method != "pool")


def test_one_point():
    lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0]], 0.5)
    draw = lv.sample(lev, 500, method="arcs", generator=generator())
    assert (draw.W[:, 0] >= 0).all() and torch.allclose(
        draw.ratio, torch.full_like(draw.ratio, 0.5)
    )


@pytest.mark.parametrize("method", ["arcs", "gibbs", "pool", "rejection", "grid"])
def test_leverage_that_underflows_says_so_and_does_not_hang(method):
    grid = method == "grid"
    X = torch.linspace(-1, 1, 5)[:, None] if grid else CIRCLES["random"].float()
    lev = lv.RidgeLeverage(lv.Gaussian(0.5) if grid else lv.NTK(), X, 1e60)
    with pytest.raises(
        ValueError, match=r"underflows in torch.float32|none of 500 prior weights has any leverage"
    ):
        lv.sample(lev, 5, method=method, generator=generator())
