"""Leverage of rows and of points, exact and estimated, and the Nystrom sample."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest

import levlib as lv
from levlib.leverage import rows as of_rows
from tests.oracles import generator, random_points


def by_pseudoinverse(A):
    A = A.numpy()
    return torch.as_tensor(
        np.einsum("ij,jk,ik->i", A, np.linalg.pinv(A.T @ A, rcond=1e-10, hermitian=True), A)
    )


@pytest.mark.parametrize(
    "A",
    [
        random_points(30, 4),
        random_points(3, 8),
        random_points(20, 3) @ random_points(3, 6, seed=1),
        torch.cat([random_points(9, 2), torch.zeros(3, 2, dtype=torch.float64)]),
        random_points(1, 1),
    ],
    ids=["tall", "wide", "rank 3", "zero rows", "one number"],
)
def test_exact_scores_are_the_definition(A):
    scores = lv.leverage_scores(A)
    assert torch.allclose(scores, by_pseudoinverse(A), atol=1e-10)
    assert float(scores.sum()) == pytest.approx(np.linalg.matrix_rank(A.numpy()), abs=1e-10)
    assert lv.coherence(A) == pytest.approx(float(scores.max()), abs=1e-10)


def test_a_zero_matrix_has_no_leverage_and_an_orthogonal_row_has_coherence_one():
    assert (lv.leverage_scores(torch.zeros(5, 2)) == 0).all()
    A = random_points(50, 3)
    assert lv.coherence(A) < 0.5
    A[:, 2] = 0
    A[7] = torch.tensor([0.0, 0.0, 1e-3])
    assert lv.coherence(A) == pytest.approx(1, abs=1e-12)


def test_scores_do_not_change_with_the_basis():
    A = random_points(40, 5)
    assert torch.allclose(
        lv.leverage_scores(A @ random_points(5, 5, seed=1)), lv.leverage_scores(A), atol=1e-12
    )


def spiked(n=2000, d=4):
    A = random_points(n, d)
    A[:5] *= 100
    return A


def test_sketched_scores_are_within_a_half_and_double_with_the_stated_probability():
    """k = (d^2 + d) / (epsilon^2 delta), epsilon = 1/2, delta = 0.1: at least 90 % of sketches, by
    Clopper-Pearson."""
    A = spiked()
    k = round((16 + 4) / (0.25 * 0.1))
    exact = lv.leverage_scores(A)
    good = {k: 0, 5: 0}
    for rows in good:
        for seed in range(100):
            ratio = lv.leverage_scores(A, sketch=rows, generator=generator(seed)) / exact
            good[rows] += bool(ratio.min() >= 1 / 1.5 and ratio.max() <= 2)
    assert lv.success_rate(good[k], 100).low > 0.9
    assert (
        lv.success_rate(good[5], 100).high < 0.9
    )  # a sketch of five sums is too small, and the test sees it


def test_a_projection_is_chi_square_around_the_sketch():
    """c score' / score of one row over 500 seeds of the projection, given the sketch; one false
    alarm in 1,000."""
    A = spiked(50, 4)
    ratios = []
    for seed in range(500):
        g = generator(seed)
        sketched = lv.leverage_scores(A, sketch=40, generator=g)
        both = lv.leverage_scores(A, sketch=40, project=6, generator=generator(seed))
        ratios.append(float(both[20] / sketched[20]))
    assert kstest(6 * np.array(ratios), chi2(6).cdf).pvalue > 1e-3
    assert kstest(4 * np.array(ratios), chi2(6).cdf).pvalue < 1e-12


def test_a_sketch_of_a_matrix_that_lacks_rank_and_float32():
    A = random_points(300, 2) @ random_points(2, 4, seed=1)
    estimate = lv.leverage_scores(A, sketch=200, generator=generator())
    assert (estimate / lv.leverage_scores(A)).min() > 0.5 and (
        estimate / lv.leverage_scores(A)
    ).max() < 2
    single = lv.leverage_scores(A.float(), sketch=200, project=3, generator=generator())
    assert single.dtype == torch.float32 and lv.leverage_scores(A.float()).dtype == torch.float32


@pytest.mark.parametrize("lam", [1e-8, 1e-2, 10.0])
def test_ridge_leverage_of_points_is_the_definition_and_adds_up_to_s_lambda(lam):
    K = lv.Gaussian(0.5).gram(random_points(40, 2))
    scores = lv.ridge_leverage_scores(K, lam)
    values, vectors = torch.linalg.eigh(K)
    exact = (vectors.square() * (values / (values + lam))).sum(1)
    assert torch.allclose(scores, exact, atol=1e-7 if lam < 1e-6 else 1e-12)
    assert float(scores.sum()) == pytest.approx(lv.statistical_dimension(K, lam), rel=1e-6)


def test_points_and_weights_share_the_statistical_dimension():
    """The two kinds of ridge leverage add up to the same number: over points exactly, over arcs of
    weights exactly."""
    X = lv.data.clustered_circle(10, 10, 0.03, generator=generator(3))
    lev = lv.RidgeLeverage(lv.NTK(), X, 1e-3)
    edges, values = lv.leverage_arcs(lev)
    assert float(lv.ridge_leverage_scores(lev.K, 1e-3).sum()) == pytest.approx(
        float((values * edges.diff()).sum()) / (2 * torch.pi), rel=1e-10
    )


def islands(n=1000):
    """One crowded place and ten points far out, which uniform sampling misses."""
    return torch.cat([0.3 * random_points(n - 10, 2), 30 * random_points(10, 2, seed=1)])


def nystrom_error(K, chosen):
    low = (
        K[:, chosen]
        @ torch.linalg.pinv(K[chosen][:, chosen], rcond=1e-10, hermitian=True)
        @ K[chosen]
    )
    return float(torch.linalg.eigvalsh(K - low)[-1])


def test_nystrom_error_is_near_the_best_and_that_of_uniform_points_is_not():
    """|K - K~| is at most what the best rank 40 leaves, on 20 of 20 draws of 120 points; over twice
    that if uniform."""
    X = islands()
    kernel = lv.Gaussian(0.3)
    s = 120
    K = kernel.gram(X)
    best = float(torch.linalg.eigvalsh(K)[-41])
    for seed in range(20):
        chosen, weights = lv.recursive_nystrom(kernel, X, best, s, generator=generator(seed))
        assert len(chosen.unique()) == s and (weights >= 1 - 1e-12).all()
        assert nystrom_error(K, chosen) <= best
        assert nystrom_error(K, torch.randperm(1000, generator=generator(seed))[:s]) > 2 * best


def test_inclusion_weights_are_unbiased():
    """sum over the chosen of weight^2 estimates n: z-test over 200 draws, 4 errors (one seed in
    15,000)."""
    X = islands(300)
    kernel = lv.Gaussian(0.3)
    draws = [
        lv.recursive_nystrom(kernel, X, 0.1, 30, generator=generator(seed)) for seed in range(200)
    ]
    totals = torch.stack([weights.square().sum() for _, weights in draws])
    error = totals.std() / 200**0.5
    assert (totals.mean() - 300).abs() < 4 * error
    assert (torch.tensor(30.0) - 300).abs() > 4 * error  # weights of one would fail


def test_the_estimated_scores_follow_the_exact_ones_and_all_points_may_be_chosen():
    X = islands(200)
    kernel = lv.Gaussian(0.3)
    exact = lv.ridge_leverage_scores(kernel.gram(X), 0.1)
    chosen = torch.cat(
        [lv.recursive_nystrom(kernel, X, 0.1, 60, generator=generator(s))[0] for s in range(100)]
    )
    counts = torch.bincount(chosen, minlength=200).double()
    assert float(counts[exact > 0.9].min()) >= 80 and np.corrcoef(counts, exact)[0, 1] > 0.9
    everything, weights = lv.recursive_nystrom(kernel, X.float(), 0.1, 200, generator=generator())
    assert torch.equal(everything, torch.arange(200)) and torch.allclose(weights, torch.ones(200))


def test_blocks_of_points_change_their_scores_by_rounding_alone(monkeypatch):
    """The scores are differences of entries of K over lam = 0.1, so that is their scale."""
    X = islands(200)
    kernel = lv.NTK()
    ones = torch.ones(20, dtype=torch.float64)
    whole = of_rows._point_scores(kernel, X, X[:20], ones, 0.1)
    monkeypatch.setattr(of_rows, "BLOCK_BYTES", 1)
    change = (of_rows._point_scores(kernel, X, X[:20], ones, 0.1) - whole).abs().max()
    assert change <= 1e-12 * float(X.square().sum(1).max()) / 0.1
