"""Conjugate gradient: the right answer, a matrix never stored, and iterations that follow the
condition number."""

import math
import warnings

import pytest
import torch

import levlib as lv
from tests.oracles import generator, random_points

X, Y, F = lv.data.bumpy(generator=generator())
KERNEL, LAM = lv.Gaussian(0.0280443), 0.00618936
K = KERNEL.gram(X)
LEV = lv.RidgeLeverage(KERNEL, X, LAM)
NORM = float(torch.linalg.matrix_norm(K, 2))
CONDITION = (NORM + LAM) / LAM  # |alpha - exact| / |exact| is at most this times the residual


def rounding(alpha, labels, dtype=torch.float64) -> float:
    """What the rounding of one product K alpha can add to the relative residual, about."""
    return float(torch.finfo(dtype).eps * NORM * alpha.norm() / labels.norm())


def features(method: str, m: int, seed: int, kernel=KERNEL) -> torch.Tensor:
    draws = {
        "leverage": lambda g: lv.sample(LEV, m, method="grid", generator=g),
        "plain": lambda g: lv.sample_prior(KERNEL, m, 1, generator=g),
    }
    return lv.modified_features(kernel, X, draws[method](generator(seed)))


@pytest.mark.parametrize(
    "matrix", [K, K.numpy(), lv.gram_matvec(KERNEL, X), lambda V: (K @ V).numpy()]
)
@pytest.mark.parametrize("Psi", [None, features("leverage", 50, 0)])
def test_the_answer_is_the_exact_one(matrix, Psi):
    labels = torch.stack([Y, F, torch.zeros_like(Y)], dim=1)
    found = lv.solve_krr_cg(matrix, labels, LAM, Psi=Psi, tol=1e-10)
    exact = lv.solve_krr(K, labels, LAM)
    assert found.converged and (found.alpha - exact).norm() < 1e-10 * CONDITION * exact.norm()
    assert found.residuals.shape == (found.iterations + 1, 3)
    true = (labels - K @ found.alpha - LAM * found.alpha).norm(dim=0)[:2] / labels.norm(dim=0)[:2]
    allowed = 10 * rounding(found.alpha, labels)
    assert (found.residuals[-1, :2] - true).abs().max() < allowed < 1e-11
    assert not found.residuals[:, 2].any() and not found.alpha[:, 2].any()


def test_one_column_of_labels_is_a_vector():
    found = lv.solve_krr_cg(K, Y, LAM, Psi=features("leverage", 50, 0), tol=1e-9)
    assert found.alpha.shape == (400,) and found.residuals.shape == (found.iterations + 1,)
    assert found.residuals[0] == pytest.approx(1) and found.residuals[-1] <= 1e-9


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_size_of_the_labels_does_not_matter(scale):
    small, large = (lv.solve_krr_cg(K, size * Y, LAM, tol=1e-9) for size in (1, scale))
    assert (large.alpha / scale - small.alpha).norm() < 2e-9 * CONDITION * small.alpha.norm()


def test_complex_features_precondition_like_their_pairs():
    pair, complex_ = (
        lv.solve_krr_cg(
            K,
            Y,
            LAM,
            Psi=features("leverage", 50, 0, lv.Gaussian(KERNEL.lengthscale, form)),
            tol=1e-8,
        )
        for form in ("pair", "complex")
    )
    assert (pair.alpha - complex_.alpha).norm() < 2e-8 * CONDITION * pair.alpha.norm()
    assert torch.allclose(pair.residuals[:8], complex_.residuals[:8])  # later, rounding parts them


def test_iterations_stay_within_the_bound_of_the_condition_number():
    """The textbook bound: the energy norm of the error falls by (sqrt c - 1) / (sqrt c + 1) an
    iteration, times two."""

    def energy(a):
        return math.sqrt(a @ (K @ a + LAM * a))

    exact = lv.solve_krr(K, Y, LAM)
    for m in (50, 100, 200, 400):
        Psi = features("leverage", m, 0)
        spectrum = lv.sandwich_spectrum(Psi, K, LAM)
        root = math.sqrt(spectrum[-1] / spectrum[0])
        for iterations in (5, 10, 20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # stopped early on purpose
                found = lv.solve_krr_cg(K, Y, LAM, Psi=Psi, tol=1e-14, max_iter=iterations)
            assert (
                energy(found.alpha - exact)
                <= 2 * ((root - 1) / (root + 1)) ** iterations * energy(exact) + 1e-9
            )


def test_iterations_grow_with_the_root_of_the_condition_number():
    """Both kinds of features, five sizes: the log-log slope of iterations against cond is near 1/2,
    far from 1."""
    conditions, iterations = [], []
    for method in ("leverage", "plain"):
        for m in (50, 100, 150, 200, 400):
            Psi = features(method, m, 1)
            spectrum = lv.sandwich_spectrum(Psi, K, LAM)
            conditions.append(float(spectrum[-1] / spectrum[0]))
            iterations.append(lv.solve_krr_cg(K, Y, LAM, Psi=Psi).iterations)
    x, y = torch.tensor(conditions).log(), torch.tensor(iterations, dtype=torch.float32).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert 0.2 < slope < 0.6


def test_leverage_features_need_fewer_iterations_than_plain_ones():
    """m = 100, bumpy data: the worst of 20 leverage runs beats the best of 20 plain runs; the
    median is under half."""
    count = {
        method: [
            lv.solve_krr_cg(K, Y, LAM, Psi=features(method, 100, seed)).iterations
            for seed in range(20)
        ]
        for method in ("leverage", "plain")
    }
    assert max(count["leverage"]) < min(count["plain"])
    assert 2 * sorted(count["leverage"])[10] < sorted(count["plain"])[10]
    assert min(count["plain"]) < lv.solve_krr_cg(K, Y, LAM).iterations


def test_stopping_short_is_said_not_hidden():
    with pytest.warns(RuntimeWarning, match="stopped after 3 iterations at a relative residual of"):
        found = lv.solve_krr_cg(K, Y, LAM, max_iter=3)
    assert not found.converged and found.iterations == 3 and torch.isfinite(found.alpha).all()


def test_single_precision_that_runs_out_is_said_not_hidden():
    """Nor is it sought in vain: the answer is as good as single precision allows, before
    max_iter."""
    with pytest.warns(RuntimeWarning, match="float64"):
        found = lv.solve_krr_cg(K.float(), Y.float(), LAM, tol=1e-12)
    alpha = found.alpha.double()
    true = float((Y - K @ alpha - LAM * alpha).norm() / Y.norm())
    one = rounding(alpha, Y, torch.float32)
    assert found.alpha.dtype == torch.float32 and found.iterations < 1000 and not found.converged
    assert float(found.residuals[-1]) == pytest.approx(true, abs=2 * one) and true < 4 * one


def test_gram_matvec_in_blocks_is_the_product(monkeypatch):
    points, V = random_points(50, 3), random_points(50, 2, seed=1)
    for kernel in (lv.NTK(), lv.Gaussian(0.7)):
        whole = lv.gram_matvec(kernel, points)(V)
        allowed = 50 * torch.finfo(V.dtype).eps * kernel.gram(points).abs() @ V.abs()  # 50 terms
        seven = 4 * 50 * 8 * 7
        monkeypatch.setattr("levlib.regression.conjugate_gradient.BLOCK_BYTES", seven)
        sizes, gram = [], kernel.gram
        monkeypatch.setattr(
            kernel, "gram", lambda A, B, gram=gram, sizes=sizes: sizes.append(len(A)) or gram(A, B)
        )
        assert ((lv.gram_matvec(kernel, points)(V) - whole).abs() <= allowed).all()
        assert sizes == [7] * 7 + [1]
        assert ((whole - gram(points) @ V).abs() <= allowed).all()
        assert lv.gram_matvec(kernel, points)(V[:, 0]).shape == (50,)
        monkeypatch.undo()
