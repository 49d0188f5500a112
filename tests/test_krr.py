"""Ridge regression: exact, by features, in chunks; against scikit-learn and against itself in dual form."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

import levlib as lv
from tests.oracles import generator, random_points


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_solve_krr_is_scikit_learns_kernel_ridge(outputs):
    X, Y = random_points(60, 3), torch.randn(60, *outputs, generator=generator(1), dtype=torch.float64)
    K = lv.Gaussian(0.8).gram(X)
    peer = KernelRidge(alpha=0.03, kernel="precomputed").fit(K, Y)
    assert (lv.solve_krr(K, Y, 0.03) - torch.as_tensor(peer.dual_coef_)).abs().max() < 1e-9


def test_primal_is_dual():
    Psi, Y = random_points(50, 20), random_points(50, 1, seed=1)[:, 0]
    beta = lv.NormalEquations().update(Psi, Y).solve(0.1)
    assert torch.allclose(Psi @ beta, Psi @ (Psi.T @ lv.solve_krr(Psi @ Psi.T, Y, 0.1)), atol=1e-9)
    assert torch.allclose(beta, torch.as_tensor(Ridge(alpha=0.1, fit_intercept=False).fit(Psi, Y).coef_), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), max_size=6, unique=True), order=st.randoms(use_true_random=False))
def test_any_chunking_and_merge_order_is_the_same(cuts, order):
    Psi, Y = random_points(60, 8), random_points(60, 2, seed=1)
    whole = lv.NormalEquations().update(Psi, Y)
    edges = [0, *sorted(cuts), 60]
    parts = [lv.NormalEquations().update(Psi[a:b], Y[a:b]) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    total = lv.NormalEquations()
    for part in parts:
        total.merge(part)
    assert total.n == whole.n == 60
    assert torch.allclose(total.solve(0.01), whole.solve(0.01), atol=1e-9)
    assert torch.allclose(total.square, (Y**2).sum(0), rtol=1e-12)


def test_merging_leaves_the_other_alone():
    a, b = (lv.NormalEquations().update(random_points(5, 2, seed=s), torch.ones(5)) for s in (0, 1))
    before = b.gram.clone()
    total = lv.NormalEquations().merge(b).merge(a)
    assert torch.equal(b.gram, before) and total.n == 10 and b.n == 5


def test_complex_features_predict_what_real_pairs_do():
    X, _, f = lv.data.bumpy(100, generator=generator())
    W = lv.Gaussian(0.1).sample(30, 1, generator=generator(1))
    draw, fits = lv.Draw(W, torch.ones(30, dtype=torch.float64)), []
    for form in ("pair", "complex"):
        Psi = lv.modified_features(lv.Gaussian(0.1, form), X, draw)
        K = (Psi @ Psi.mH).real
        fits.append(K @ lv.solve_krr(K, f, 0.1))
    assert torch.allclose(*fits, atol=1e-10)
    complex_features = lv.modified_features(lv.Gaussian(0.1, "complex"), X, draw)
    beta = lv.NormalEquations().update(complex_features, f).solve(0.1)
    assert beta.is_complex() and beta.shape == (30,)


def test_float32_chunks_are_summed_in_float64():
    Psi, Y = random_points(200, 5).float(), random_points(200, 1, seed=1)[:, 0].float()
    ne = lv.NormalEquations().update(Psi, Y)
    assert ne.solve(0.1).dtype == torch.float64
    assert torch.equal(ne.gram, Psi.double().T @ Psi.double())
    assert lv.solve_krr(torch.eye(3), [1.0, 2.0, 3.0], 1.0).dtype == torch.float32


def test_one_row_one_column():
    assert lv.NormalEquations().update([[2.0]], [1.0]).solve(1.0).item() == pytest.approx(0.4)
    assert lv.solve_krr([[3.0]], [1.0], 1.0).item() == pytest.approx(0.25)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(ValueError, match="not positive definite"):
        lv.solve_krr(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), [1.0, 1.0], 0.5)


@pytest.mark.parametrize("chunk", [(torch.ones(2, 3), torch.ones(2)), (torch.ones(2, 2), torch.ones(2, 2)),
                                   (torch.ones(2, 2, dtype=torch.complex128), torch.ones(2))])  # fmt: skip
def test_a_chunk_that_does_not_fit_is_refused_and_changes_nothing(chunk):
    ne = lv.NormalEquations().update(torch.eye(2), [1.0, 2.0])
    before = ne.solve(1.0)
    with pytest.raises(ValueError, match="chunk does not fit"):
        ne.update(*chunk)
    assert torch.equal(ne.solve(1.0), before) and ne.n == 2
