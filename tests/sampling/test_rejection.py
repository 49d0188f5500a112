"""Rejection sampling: the bound against brute force, the draws against exact truth (one false alarm
in 1,000)."""

import re

import pytest
import torch
from scipy.stats import binomtest, kstest

import levlib as lv
from tests.oracles import (
    CIRCLES,
    SPHERES,
    arc_p_value,
    frequency_cdf,
    generator,
    longitude_p_value,
    random_points,
    rounding,
)

FALSE_ALARM = 1e-3
AXES = torch.eye(3, dtype=torch.float64)
SETS = {
    "random": random_points(8, 3, seed=2),
    "clustered": SPHERES["clustered"],
    "in a plane": torch.cat([AXES[:2], -AXES[:2]]),
    "on one ray": AXES[:1] * torch.tensor([[1.0], [2.0]]),
    "repeated": random_points(4, 3).repeat(2, 1),
    "antipodal": torch.cat([random_points(5, 3), -random_points(5, 3)]),
    "many planes through one line": torch.cartesian_prod(
        *3 * [torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)]
    ),
}


@pytest.mark.parametrize("kernel", [lv.NTK(), lv.ArcCosine(0)], ids=repr)
@pytest.mark.parametrize("name", SETS)
def test_the_bound_in_space_is_the_largest_ratio_of_many_weights(name, kernel):
    lev = lv.RidgeLeverage(kernel, SETS[name], 1e-2)
    largest = lev(torch.randn(200_000, 3, generator=generator(1), dtype=torch.float64)).max()
    bound, acceptance = lv.rejection_bound(lev)
    assert bound == pytest.approx(float(largest), rel=1e-10)
    assert acceptance == pytest.approx(lev.s_lam / bound) and acceptance <= 1 + 1e-12


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize(
    "kernel", [lv.NTK(), lv.ArcCosine(0), lv.Gaussian(1.0), lv.Laplacian(1.0, "complex")], ids=repr
)
def test_the_bound_elsewhere_holds_and_is_at_most_the_features_norm_over_lam(kernel, d):
    X = torch.nn.functional.normalize(random_points(30, d), dim=1)
    lev = lv.RidgeLeverage(kernel, X, 0.05)
    bound, _ = lv.rejection_bound(lev)
    assert lev(kernel.sample(50_000, d, generator=generator(1))).max() <= bound * (
        1 + rounding(lev)
    )
    norm = 2 * 30 if isinstance(kernel, lv.ArcCosine) else 30  # |Phi(w)|^2 for unit rows
    assert bound <= norm / lev.lam * (1 + 1e-9)


def test_the_acceptance_rate_is_s_lambda_over_the_bound():
    """Exact binomial test of how many of 20,000 prior weights pass; a bound 20 % too large would
    fail it."""
    lev = lv.RidgeLeverage(lv.NTK(), SETS["random"], 1e-2)
    bound, acceptance = lv.rejection_bound(lev)
    u = torch.rand(20_000, generator=generator(1), dtype=torch.float64)
    passed = int((u * bound < lev(lv.NTK().sample(20_000, 3, generator=generator(2)))).sum())
    assert binomtest(passed, 20_000, acceptance).pvalue > FALSE_ALARM
    assert binomtest(passed, 20_000, acceptance / 1.2).pvalue < 1e-12


@pytest.mark.parametrize("name", CIRCLES)
def test_rejection_draws_the_leverage_density_in_the_plane(name):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES[name], 1e-3)
    draw = lv.sample(lev, 20_000, method="rejection", generator=generator(1))
    assert arc_p_value(lev, draw.W) > FALSE_ALARM
    assert torch.allclose(draw.ratio, lev.s_lam / lev(draw.W), rtol=1e-10)


@pytest.mark.parametrize("name", SPHERES)
def test_rejection_draws_the_leverage_density_in_space(name):
    lev = lv.RidgeLeverage(lv.NTK(), SPHERES[name], 1e-3)
    assert (
        longitude_p_value(lev, lv.sample(lev, 5000, method="rejection", generator=generator(1)).W)
        > FALSE_ALARM
    )
    plain = lv.sample_prior(lv.NTK(), 5000, 3, generator=generator(1))
    assert longitude_p_value(lev, plain.W) < (1e-12 if name == "clustered" else FALSE_ALARM)


def test_a_bound_below_the_maximum_is_a_wrong_sampler_and_is_caught(monkeypatch):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["clustered"], 1e-3)
    bound, acceptance = lv.rejection_bound(lev)
    monkeypatch.setattr(
        "levlib.sampling.rejection.rejection_bound", lambda lev: (bound / 2, 2 * acceptance)
    )
    assert (
        arc_p_value(lev, lv.sample(lev, 20_000, method="rejection", generator=generator(1)).W)
        < 1e-12
    )


def test_rejection_draws_frequencies():
    lev = lv.RidgeLeverage(
        lv.Gaussian(0.3), torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None], 0.05
    )
    draw = lv.sample(lev, 5000, method="rejection", generator=generator(1))
    assert kstest(draw.W[:, 0], frequency_cdf(lev)).pvalue > FALSE_ALARM
    assert (
        kstest(lev.kernel.sample(5000, 1, generator=generator(1))[:, 0], frequency_cdf(lev)).pvalue
        < 1e-12
    )


def test_the_acceptance_rate_is_named_before_the_work_starts():
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["clustered"], 1e-4)
    _, acceptance = lv.rejection_bound(lev)
    words = f"the acceptance rate is {acceptance:.2g}"
    with pytest.raises(ValueError, match=re.escape(words)):
        lv.sample(lev, 100, method="rejection", budget=1000, generator=generator())
    smooth = lv.RidgeLeverage(lv.Gaussian(3.0), random_points(50, 5), 1e-6)
    with pytest.raises(ValueError, match='over budget=10000000; raise it or use method="pool"'):
        lv.sample(smooth, 10**4, method="rejection", generator=generator())


@pytest.mark.parametrize("order", [1, 2])
def test_an_unbounded_ratio_has_no_bound(order):
    with pytest.raises(
        ValueError, match=re.escape(f'ArcCosine({order}) has no finite bound; use method="pool"')
    ):
        lv.rejection_bound(lv.RidgeLeverage(lv.ArcCosine(order), random_points(5, 2), 0.1))
