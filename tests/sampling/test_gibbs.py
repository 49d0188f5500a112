"""Great-circle Gibbs against exact truth, one weight a chain: a right sampler fails a test on one
seed in 1,000."""

import re

import pytest
import torch
from scipy.stats import chi2, kstest

import levlib as lv
from tests.oracles import (
    CIRCLES,
    SPHERES,
    arc_p_value,
    generator,
    longitude_p_value,
    random_points,
    same_draw,
)

FALSE_ALARM = 1e-3
N = 20_000


def gibbs(lev, m=N, seed=1, **options):
    return lv.sample(lev, m, method="gibbs", generator=generator(seed), **options)


def independence_metropolis(lev, steps, seed=1):
    """A sampler that leaves the density invariant and is too slow: propose from the prior, accept
    by the ratio."""
    g = generator(seed)
    W = lev.kernel.sample(N, lev.X.shape[1], generator=g)
    W = torch.where(lev(W)[:, None] > 0, W, -W)
    for _ in range(steps):
        proposal = lev.kernel.sample(N, W.shape[1], generator=g)
        accept = torch.rand(N, generator=g, dtype=W.dtype) * lev(W) < lev(proposal)
        W = torch.where(accept[:, None], proposal, W)
    return W


@pytest.mark.parametrize("lam", [1e-1, 1e-4])
@pytest.mark.parametrize("kernel", [lv.NTK(), lv.ArcCosine(0)], ids=repr)
@pytest.mark.parametrize("name", CIRCLES)
def test_ten_sweeps_draw_the_leverage_density_in_the_plane(name, kernel, lam):
    lev = lv.RidgeLeverage(kernel, CIRCLES[name], lam)
    draw = gibbs(lev)
    assert arc_p_value(lev, draw.W) > FALSE_ALARM
    assert kstest((draw.W**2).sum(1), chi2(2).cdf).pvalue > FALSE_ALARM
    assert torch.allclose(draw.ratio, lev.s_lam / lev(draw.W), rtol=1e-10)


def test_wedges_of_a_tenth_of_a_micro_radian_are_hit_to_rounding_error():
    lev = lv.RidgeLeverage(
        lv.NTK(), lv.data.clustered_circle(10, 10, 1e-6, generator=generator(3)), 1e-9
    )
    W = gibbs(lev).W
    assert arc_p_value(lev, W) > FALSE_ALARM
    assert arc_p_value(lev, W + 1e-7 * W[:, [1, 0]]) < 1e-12


@pytest.mark.parametrize("lam", [1e-1, 1e-4])
@pytest.mark.parametrize("name", SPHERES)
def test_ten_sweeps_draw_the_leverage_density_in_space(name, lam):
    lev = lv.RidgeLeverage(lv.NTK(), SPHERES[name], lam)
    W = gibbs(lev).W
    assert longitude_p_value(lev, W) > FALSE_ALARM
    assert kstest((W**2).sum(1), chi2(3).cdf).pvalue > FALSE_ALARM


def test_two_sweeps_and_independence_metropolis_fail_on_clusters():
    plane, space = (lv.RidgeLeverage(lv.NTK(), X["clustered"], 1e-4) for X in (CIRCLES, SPHERES))
    assert arc_p_value(plane, gibbs(plane, sweeps=2).W) < 1e-12
    assert longitude_p_value(space, gibbs(space, sweeps=1).W) < 1e-12
    assert arc_p_value(plane, independence_metropolis(plane, 10)) < 1e-12
    assert longitude_p_value(space, independence_metropolis(space, 10)) < 1e-12


@pytest.mark.parametrize("order", [1, 2])
def test_units_that_are_no_steps_are_refused_and_pointed_to_a_pool(order):
    lev = lv.RidgeLeverage(lv.ArcCosine(order), CIRCLES["random"], 1e-2)
    words = f'ArcCosine(0), got that of ArcCosine({order}); use method="pool"'
    with pytest.raises(ValueError, match=re.escape(words)):
        gibbs(lev, 5)


def test_a_mean_over_ten_dimensions_is_that_of_the_weighted_prior():
    """E_q[r] = E_p[r^2] / s by a z-test of two samples (4 errors: one seed in 15,000); the prior's
    own mean fails."""
    lev = lv.RidgeLeverage(lv.NTK(), lv.data.close_pair(50, 10, 1e-2, generator=generator()), 1e-3)
    plain = lev(lv.NTK().sample(200_000, 10, generator=generator(1)))
    drawn = lev(gibbs(lev, 5000).W)
    truth = plain.square() / lev.s_lam
    error = (truth.var() / len(truth) + drawn.var() / len(drawn)).sqrt()
    assert (drawn.mean() - truth.mean()).abs() < 4 * error
    assert (plain.mean() - truth.mean()).abs() > 4 * error


def test_half_space_zero_and_repeated_points():
    X = torch.tensor([[1.0, 0.1], [1.0, 0.1], [0.0, 0.0], [1.0, -0.1]], dtype=torch.float64)
    for kernel in (lv.NTK(), lv.ArcCosine(0)):
        lev = lv.RidgeLeverage(kernel, X, 0.1)
        draw = gibbs(lev, 2000)
        assert (lev(draw.W) > 0).all() and torch.isfinite(draw.ratio).all()
    line = gibbs(lv.RidgeLeverage(lv.NTK(), [[2.0], [1.0]], 0.1), 500)
    assert (line.W > 0).all()


def test_blocks_of_chains_change_the_order_of_draws_and_not_their_law(monkeypatch):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["random"], 1e-2)
    monkeypatch.setattr("levlib.sampling.gibbs.BLOCK_BYTES", 100_000)
    assert arc_p_value(lev, gibbs(lev, 2000).W) > FALSE_ALARM


def test_float32_is_honoured_on_narrow_wedges():
    lev = lv.RidgeLeverage(
        lv.NTK(), lv.data.clustered_circle(5, 5, 1e-5, generator=generator()).float(), 1e-4
    )
    draw = gibbs(lev, 2000)
    assert draw.W.dtype == draw.ratio.dtype == torch.float32
    assert torch.isfinite(draw.ratio).all() and (lev(draw.W) > 0).all()


def test_the_same_seed_gives_the_same_chains():
    lev = lv.RidgeLeverage(lv.ArcCosine(0), random_points(10, 3), 1e-2)
    one, two, other = (gibbs(lev, 5, seed, mix=0.3) for seed in (1, 1, 2))
    assert same_draw(one, two) and not same_draw(one, other)


def test_a_weight_that_rounding_has_put_where_nothing_is_active_moves_on(monkeypatch):
    lev = lv.RidgeLeverage(lv.NTK(), CIRCLES["random"], 1e-2)
    leverage = lev.form.leverage
    calls = []

    def dead_at_first(W):
        calls.append(len(W))
        return leverage(W).index_fill(0, torch.arange(3), 0.0) if len(calls) == 1 else leverage(W)

    before = gibbs(lev, 10).W
    monkeypatch.setattr(lev.form, "leverage", dead_at_first)
    moved = (gibbs(lev, 10).W - before).norm(dim=1)
    assert (moved[:3] > 1e-3).all() and (moved[3:] < 1e-8).all()
