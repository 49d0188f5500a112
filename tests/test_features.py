"""Modified features and the sandwich of Eq. 5."""

import math

import pytest
import torch

import levlib as lv
from tests.oracles import generator, random_points


def test_definition_3_2_entry_by_entry():
    X = random_points(4, 3)
    kernel = lv.NTK()
    draw = lv.Draw(
        kernel.sample(5, 3, generator=generator()), torch.rand(5, generator=generator(1)).double()
    )
    Psi = lv.modified_features(kernel, X, draw)
    for i in range(4):
        for r in range(5):
            phi = X[i] * float(draw.W[r] @ X[i] >= 0)
            assert torch.allclose(
                Psi[i, 3 * r : 3 * r + 3], math.sqrt(draw.ratio[r] / 5) * phi, rtol=1e-14, atol=0
            )


@pytest.mark.parametrize("form", ["pair", "complex"])
def test_sandwich_epsilon_is_the_smallest(form):
    """Eq. 5 holds at epsilon + 1e-9 and fails at epsilon - 1e-9, decided by the eigenvalues of the
    differences."""
    X = random_points(20, 1)
    kernel = lv.Gaussian(0.5, form)
    lam = 0.05
    K = kernel.gram(X)
    draw = lv.sample_prior(kernel, 300, 1, generator=generator(1))
    Psi = lv.modified_features(kernel, X, draw)
    epsilon = lv.sandwich_epsilon(Psi, K, lam)
    ridge = K + lam * torch.eye(20, dtype=K.dtype)
    approximate = Psi @ Psi.mH + lam * torch.eye(20, dtype=K.dtype)

    def holds(e):
        gaps = (approximate - (1 - e) * ridge, (1 + e) * ridge - approximate)
        return min(torch.linalg.eigvalsh(gap)[0].item() for gap in gaps) >= 0

    assert holds(epsilon + 1e-9) and not holds(epsilon - 1e-9)


def test_spectrum_is_one_where_the_features_are_exact():
    K = lv.NTK().gram(random_points(6, 4))
    Psi = torch.linalg.cholesky(K)
    assert torch.allclose(
        lv.sandwich_spectrum(Psi, K, 0.1), torch.ones(6, dtype=K.dtype), atol=1e-12
    )
    assert lv.sandwich_epsilon(Psi, K, 0.1) < 1e-12


def test_complex_and_pair_features_have_the_same_mean():
    X = random_points(5, 2)
    W = lv.Gaussian(0.5).sample(7, 2, generator=generator())
    draw = lv.Draw(W, torch.ones(7, dtype=torch.float64))
    pair, complex_ = (
        lv.modified_features(lv.Gaussian(0.5, form), X, draw) for form in ("pair", "complex")
    )
    assert torch.allclose(pair @ pair.T, (complex_ @ complex_.mH).real, atol=1e-14)


@pytest.mark.parametrize("epsilon, m", [(0.5, 1828), (0.25, 7310), (0.1, 45684)])
def test_required_features_reference_counts(epsilon, m):
    """MATH's count for s = 14.6 to three digits: within the rounding of s to one decimal."""
    assert lv.required_features(epsilon, 0.1, 14.6, 14.6) == pytest.approx(m, rel=2e-3)


def test_required_features_is_the_formula():
    assert lv.required_features(0.5, 0.1, 20.0, 10.0) == math.ceil(
        12 * 20 * math.log(16 * 200 / 0.1)
    )


def test_required_features_near_rank_one_is_the_count_of_the_proof():
    """Where s_q < 1 the printed logarithm can be smaller than Bernstein's, or even negative."""
    assert lv.required_features(0.5, 0.5, 0.51, 0.51) == math.ceil(
        4 * 8 / 3 * 0.51 * math.log(16 * 0.51 / 0.5)
    )
    assert lv.required_features(0.5, 0.5, 0.51, 0.51) > 12 * 0.51 * math.log(16 * 0.51**2 / 0.5)


def test_theorem_3_3_holds_and_plain_features_fail():
    """At the stated m and delta = 0.1, 60 of 60 leverage draws satisfy Eq. 5; at equal m no plain
    draw does."""
    X = lv.data.clustered_circle(10, 10, 0.03, generator=generator(3))
    lev = lv.RidgeLeverage(lv.NTK(), X, 1e-4)
    m = lv.required_features(0.5, 0.1, lev.s_lam, lev.s_lam)
    good = {"leverage": 0, "plain": 0}
    for seed in range(60):
        draws = {
            "leverage": lv.sample(lev, m, method="arcs", generator=generator(seed)),
            "plain": lv.sample_prior(lev.kernel, m, 2, generator=generator(seed)),
        }
        for name, draw in draws.items():
            good[name] += (
                lv.sandwich_epsilon(lv.modified_features(lev.kernel, X, draw), lev.K, lev.lam)
                <= 0.5
            )
    assert lv.success_rate(good["leverage"], 60).low > 0.9
    assert lv.success_rate(good["plain"], 60).high < 0.5
