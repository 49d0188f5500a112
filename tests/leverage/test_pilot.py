"""Leverage from a pilot: Woodbury against the matrix it inverts, over-estimates, and points in
place of features."""

import math

import numpy as np
import pytest
import torch

import levlib as lv
from tests.oracles import CIRCLES, generator, random_points

KERNELS = [
    lv.NTK(),
    lv.ArcCosine(1),
    lv.Gaussian(1.0),
    lv.Gaussian(1.0, "complex"),
    lv.Laplacian(1.0),
]


def by_definition(kernel, X, lam, pilot, W):
    """tr[Phi^H (Re Z Z^H + lam I)^{-1} Phi], one weight at a time."""
    Z = lv.modified_features(kernel, X, pilot)
    matrix = (Z @ Z.mH).real + lam * torch.eye(len(X), dtype=torch.float64)
    features = kernel.features(X, W).unbind(1)
    return torch.stack(
        [torch.trace(F.mH @ torch.linalg.solve(matrix.to(F.dtype), F)).real for F in features]
    )


@pytest.mark.parametrize("pilots", [5, 100])
@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_the_pilot_ratio_is_the_solve_for_each_weight(kernel, pilots, monkeypatch):
    """Fewer columns than points goes by Woodbury, more by the n x n matrix; small blocks change
    nothing."""
    X = random_points(40, 3)
    W = kernel.sample(30, 3, generator=generator(1))
    ratio = torch.rand(pilots, generator=generator(2), dtype=torch.float64) + 0.5
    pilot = lv.Draw(kernel.sample(pilots, 3, generator=generator(3)), ratio)
    exact = by_definition(kernel, X, 0.05, pilot, W)
    lev = lv.RidgeLeverage(kernel, X, 0.05, pilot=pilot)
    assert torch.allclose(lev(W), exact, rtol=1e-9)
    monkeypatch.setattr("levlib.leverage.forms.BLOCK_BYTES", 2000)
    assert torch.allclose(lv.RidgeLeverage(kernel, X, 0.05, pilot=pilot)(W), exact, rtol=1e-9)


def test_plain_weights_are_a_pilot_with_ratio_one():
    X, W0 = random_points(40, 3), random_points(6, 3, seed=1)
    drawn = lv.Draw(W0, torch.ones(6, dtype=torch.float64))
    one, other = (lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=pilot) for pilot in (W0.numpy(), drawn))
    # n features as large as |x| are summed, and divided by lam
    scale = float(X.square().sum()) / 0.1
    eps = torch.finfo(torch.float64).eps
    assert (one(X) - other(X)).abs().max() <= 10 * len(X) * eps * scale


@pytest.mark.parametrize("pilots", [4, 200])
def test_s_lam_of_a_pilot_is_that_of_its_features(pilots):
    X = random_points(30, 2)
    kernel = lv.Gaussian(0.5)
    lev = lv.RidgeLeverage(kernel, X, 0.1, pilot=kernel.sample(pilots, 2, generator=generator()))
    Z = lv.modified_features(kernel, X, lev.pilot)
    assert lev.s_lam == pytest.approx(lv.statistical_dimension(Z @ Z.T, 0.1), rel=1e-9)
    double = lv.RidgeLeverage(kernel, X, 0.1, pilot=lev.pilot, margin=1.0)
    assert double.s_lam == pytest.approx(2 * lev.s_lam) and torch.allclose(double(X), 2 * lev(X))


def test_a_large_pilot_tends_to_the_exact_leverage():
    X = random_points(30, 2)
    kernel = lv.Gaussian(1.0)
    W = kernel.sample(200, 2, generator=generator(1))
    exact = lv.RidgeLeverage(kernel, X, 0.5)
    errors = []
    for size in (100, 10_000):
        pilot = lv.sample_prior(kernel, size, 2, generator=generator(2))
        lev = lv.RidgeLeverage(kernel, X, 0.5, pilot=pilot)
        errors.append(float((lev(W) / exact(W) - 1).abs().max()))
    assert errors[1] < 0.1 and errors[0] > 3 * errors[1]


def test_margin_keeps_an_over_estimate_with_the_stated_probability():
    """Theorem 3.3's premise on all arcs holds for 60 of 60 plain pilots of its count; with no
    margin it hardly does."""
    X = CIRCLES["clustered"]
    lam = 0.5
    epsilon = 0.5
    delta = 0.1
    exact = lv.RidgeLeverage(lv.NTK(), X, lam)
    edges, values = lv.leverage_arcs(exact)
    angle = (edges[1:] + edges[:-1]) / 2
    every_cell = torch.stack([angle.cos(), angle.sin()], dim=1)
    m = lv.required_features(epsilon, delta, float(X.square().sum()) / lam, exact.s_lam)
    holds = {epsilon: 0, 0.0: 0}
    for seed in range(60):
        pilot = lv.sample_prior(lv.NTK(), m, 2, generator=generator(seed))
        for margin in holds:
            over = lv.RidgeLeverage(lv.NTK(), X, lam, pilot=pilot, margin=margin)(every_cell)
            assert (over <= (1 + margin) / (1 - epsilon) * values * (1 + 1e-9)).all()
            holds[margin] += bool((over >= values * (1 - 1e-9)).all())
    assert lv.success_rate(holds[epsilon], 60).low > 1 - delta
    assert lv.success_rate(holds[0.0], 60).high < 0.5


def test_the_pool_of_a_pilot_is_reweighed_by_what_it_drew_from():
    """E[Psi Psi^T] = K by a z-test on every entry, 5 errors: about one seed in 5,000; unweighted
    features fail."""
    X = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    kernel = lv.Gaussian(0.3)
    lev = lv.RidgeLeverage(kernel, X, 0.05, pilot=kernel.sample(10, 1, generator=generator()))
    draw = lv.sample(lev, 2000, method="pool", pool=1_200_000, generator=generator(1))
    products = torch.einsum("imk,jmk->ijm", *(2 * [kernel.features(X, draw.W)]))
    for ratio, right in ((draw.ratio, True), (torch.ones_like(draw.ratio), False)):
        terms = products * ratio
        z = (terms.mean(2) - kernel.gram(X)) / (terms.std(2) / math.sqrt(2000) + 1e-9)
        assert (z.abs().max() < 5) == right


def test_a_pilot_forms_no_kernel_matrix_and_says_so():
    lev = lv.RidgeLeverage(lv.NTK(), random_points(50, 3), 0.1, pilot=random_points(4, 3))
    with pytest.raises(AttributeError, match="a leverage with a pilot forms no K"):
        lev.K  # noqa: B018
    assert len(lev.form.factor) == 12


def test_float32_points_keep_float32_ratios_close_to_float64():
    X = random_points(500, 3)
    kernel = lv.Gaussian(2.0)
    W, W0 = (kernel.sample(size, 3, generator=generator(size)) for size in (40, 20))
    single = lv.RidgeLeverage(kernel, X.float(), 1.0, pilot=W0.float())(W.float())
    assert single.dtype == torch.float32
    assert (single / lv.RidgeLeverage(kernel, X, 1.0, pilot=W0)(W) - 1).abs().max() < 1e-4


def test_a_subsample_of_points_estimates_the_ratio():
    """RidgeLeverage(kernel, X[chosen], lam k / n): rank correlation and mean against all points."""
    X = random_points(1000, 1)
    kernel = lv.Gaussian(0.5)
    lam = 1.0
    exact = lv.RidgeLeverage(kernel, X, lam)
    chosen = torch.randperm(1000, generator=generator())[:200]
    part = lv.RidgeLeverage(kernel, X[chosen], lam * 200 / 1000)
    W = kernel.sample(500, 1, generator=generator(1))
    assert np.corrcoef(part(W).log(), exact(W).log())[0, 1] > 0.95
    assert part.s_lam == pytest.approx(exact.s_lam, rel=0.15)
    wrong = lv.RidgeLeverage(
        kernel, X[chosen], lam
    )  # the ridge of all points is too large for a part of them
    assert wrong.s_lam < 0.85 * exact.s_lam
