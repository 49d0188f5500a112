"""Exact ridge regression against scikit-learn, a path of lambdas against single ones, and
leave-one-out by force."""

import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

import levlib as lv
from tests.oracles import generator, random_points

LAMS = [0.003, 0.03, 3.0]
EPS = torch.finfo(torch.float64).eps


def condition(K, lam: float) -> float:
    """That of K + lam I: two ways to solve with it differ by some EPS times it."""
    return float(torch.linalg.matrix_norm(K, 2)) / lam + 1


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_solve_krr_is_scikit_learns_kernel_ridge(outputs):
    X = random_points(60, 3)
    Y = torch.randn(60, *outputs, generator=generator(1), dtype=torch.float64)
    K = lv.Gaussian(0.8).gram(X)
    peer = KernelRidge(alpha=0.03, kernel="precomputed").fit(K, Y)
    assert (lv.solve_krr(K, Y, 0.03) - torch.as_tensor(peer.dual_coef_)).abs().max() < 1e-9


@pytest.mark.parametrize("outputs", [(), (3,)])
def test_several_lambdas_are_the_single_ones_stacked(outputs):
    K = lv.NTK().gram(random_points(40, 4))
    Y = torch.randn(40, *outputs, generator=generator(1), dtype=torch.float64)
    path = lv.solve_krr(K, Y, LAMS)
    assert path.shape == (3, 40, *outputs)
    for solution, lam in zip(path, LAMS, strict=True):
        single = lv.solve_krr(K, Y, lam)
        assert (solution - single).norm() <= 100 * EPS * condition(K, lam) * single.norm()
    for given in (
        tuple(LAMS),
        torch.tensor(LAMS, dtype=torch.float64),
        torch.tensor(LAMS).double().numpy(),
    ):
        again = lv.solve_krr(K, Y, given)
        assert (again - path).norm() <= 1e-6 * path.norm()  # a lam of float32 is off by 6e-8


@pytest.mark.parametrize("outputs", [(), (2,)])
def test_leave_one_out_is_what_leaving_each_point_out_gives(outputs):
    X = random_points(25, 2)
    Y = torch.randn(25, *outputs, generator=generator(1), dtype=torch.float64)
    K = lv.Gaussian(0.7).gram(X)
    residuals = lv.leave_one_out(K, Y, LAMS)
    for j, lam in enumerate(LAMS):
        atol = 100 * EPS * condition(K, lam) * float(Y.norm())
        for i in range(25):
            rest = torch.arange(25) != i
            forced = Y[i] - K[i, rest] @ lv.solve_krr(K[rest][:, rest], Y[rest], lam)
            assert torch.allclose(residuals[j, i], forced, rtol=0, atol=atol)
        assert torch.allclose(lv.leave_one_out(K, Y, lam), residuals[j], rtol=0, atol=atol)


def test_leave_one_out_finds_a_lambda_that_predicts_well():
    """Its best lambda, of five, has a risk within 5 % of the least risk; the ends of the path are
    far from that."""
    X, Y, f = lv.data.bumpy(generator=generator())
    K, lams = lv.Gaussian(0.028).gram(X), [1e-8, 1e-3, 0.1, 1.0, 100.0]
    score = (lv.leave_one_out(K, Y, lams) ** 2).mean(1)
    risk = ((lv.solve_krr(K, Y, lams) @ K - f) ** 2).mean(1)
    assert risk[score.argmin()] < 1.05 * risk.min() and min(risk[0], risk[-1]) > 1.5 * risk.min()


def test_one_row_and_single_precision():
    assert lv.solve_krr([[3.0]], [1.0], 1.0).item() == pytest.approx(0.25)
    assert lv.leave_one_out([[3.0]], [5.0], 1.0).item() == pytest.approx(5.0)
    for lam in (1.0, [1.0, 2.0]):
        assert lv.solve_krr(torch.eye(3), [1.0, 2.0, 3.0], lam).dtype == torch.float32
        assert lv.leave_one_out(torch.eye(3), [1.0, 2.0, 3.0], lam).dtype == torch.float32


def test_k_is_left_as_it_was():
    K = lv.NTK().gram(random_points(10, 3))
    before = K.clone()
    lv.solve_krr(K, torch.ones(10), 0.1), lv.leave_one_out(K, torch.ones(10), 0.1)
    assert torch.equal(K, before)


def test_gradients_flow_through_the_solution():
    Y = random_points(5, 1)[:, 0]
    K = lv.NTK().gram(random_points(5, 3)).requires_grad_()
    for lam in (0.1, [0.1, 0.2]):
        assert torch.autograd.gradcheck(lambda K, lam=lam: lv.solve_krr((K + K.T) / 2, Y, lam), K)


@pytest.mark.parametrize("solve", [lv.solve_krr, lv.leave_one_out])
@pytest.mark.parametrize("lam", [0.5, [2.0, 0.5]])
def test_a_matrix_that_is_not_positive_definite_is_refused(solve, lam):
    with pytest.raises(ValueError, match=r"K \+ 0.5 I is not positive definite"):
        solve(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), [1.0, 1.0], lam)
