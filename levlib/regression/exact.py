"""Exact kernel ridge regression (Eq. 1): one lambda, a path of them, and the error of leaving each
point out."""

from collections.abc import Sequence

import torch
from torch import Tensor

from levlib.checks import as_labels, as_lambdas, as_square
from levlib.linalg import cholesky, solve_cholesky


def solve_krr(K, Y, lam: float | Sequence[float]) -> Tensor:
    """Return alpha with (K + lam I) alpha = Y, so that f(z) = K(z, X) alpha (Eq. 1).

    K is (n, n); Y is (n,) or (n, k) and alpha has its shape; lam > 0 is absolute, not scaled by n
    or the trace of K. A sequence of l lambdas gives all their solutions, (l, n) or (l, n, k), from
    one eigendecomposition. Raises ValueError for wrong shapes, NaN, or where K + lam I is not
    positive definite. Cost: n^3 / 3 and one n x n copy; for a sequence about 9 n^3 and two copies,
    whatever its length.

    >>> import levlib as lv
    >>> lv.solve_krr(torch.eye(2), [1.0, 2.0], 1.0)
    tensor([0.5000, 1.0000])
    >>> lv.solve_krr(torch.eye(2), [1.0, 2.0], [1.0, 3.0])
    tensor([[0.5000, 1.0000],
            [0.2500, 0.5000]])
    """
    K = as_square(K, "K")
    Y = as_labels(Y, K, "K")
    lams, one = as_lambdas(lam)
    if one:
        return solve_cholesky(cholesky(K, f"K + {lams[0]:g} I", ridge=lams[0]), Y)
    return spectral_path(K, Y, lams, "K")[0]


def leave_one_out(K, Y, lam: float | Sequence[float]) -> Tensor:
    """Return the residuals Y_i - f_{-i}(x_i), where f_{-i} is ridge regression (Eq. 1) without the
    point i.

    In closed form they are alpha_i / [(K + lam I)^{-1}]_ii. The shape is that of Y; a sequence of l
    lambdas puts l before it. The mean of their squares estimates the risk, so that the lam with the
    least one is a good choice. Arguments and errors are those of `solve_krr`. Cost: one
    eigendecomposition, about 9 n^3, then n^2 for each lambda. Source: Allen 1974 (PRESS); Rasmussen
    and Williams 2006, Section 5.4.2.

    >>> import levlib as lv
    >>> lv.leave_one_out(torch.eye(2), [1.0, 2.0], 1.0)  # orthogonal: no help
    tensor([1., 2.])
    """
    K = as_square(K, "K")
    Y = as_labels(Y, K, "K")
    lams, one = as_lambdas(lam)
    alpha, inverse = spectral_path(K, Y, lams, "K")
    residuals = alpha / inverse.reshape(len(lams), -1, *[1] * (Y.ndim - 1))
    return residuals[0] if one else residuals


def spectral_path(K: Tensor, Y: Tensor, lams: Sequence[float], what: str) -> tuple[Tensor, Tensor]:
    """Return (K + lam I)^{-1} Y, shape (l, n[, k]), and the diagonal of (K + lam I)^{-1}, (l, n),
    for l lambdas.

    K is symmetric or Hermitian and not checked. Raises ValueError where K + lam I is not positive
    definite, or only by rounding error. Cost: one eigendecomposition, about 9 n^3, then n^2 k for
    each lambda.
    """
    values, vectors = torch.linalg.eigh(K)
    if values[0] + min(lams) <= torch.finfo(K.dtype).eps * values[-1]:
        raise ValueError(
            f"{what} + {min(lams):g} I is not positive definite in {K.dtype} (smallest eigenvalue "
            f"of {what} {values[0]:.3g}); use float64 or a larger lam"
        )
    shrunk = 1 / (values + torch.tensor(lams, dtype=values.dtype, device=values.device)[:, None])
    coordinates = vectors.mH @ Y.reshape(len(Y), -1)
    paths = vectors @ (shrunk[..., None] * coordinates)
    return paths.reshape(len(lams), *Y.shape), shrunk @ vectors.abs().square_().T
