"""Kernel ridge regression by conjugate gradient: the kernel matrix is multiplied, never factored
nor even stored."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from levlib.checks import as_count, as_labels, as_number, as_points, as_square, as_tensor
from levlib.kernels import Kernel, as_kernel
from levlib.linalg import blocks, cholesky, solve_cholesky

BLOCK_BYTES = 2**26


def gram_matvec(kernel: Kernel, X, Z=None) -> Callable[[Tensor], Tensor]:
    """Return the function V -> K(Z, X) V, with K made block by block and never stored; Z = X if not
    given.

    X is (n, d), Z is (l, d), V is (n,) or (n, k). Raises TypeError where kernel is no levlib
    Kernel. Cost of a call: that of `kernel.gram`, l n d for the kernels here, and l n k; blocks of
    rows keep its memory under `BLOCK_BYTES`.

    >>> import levlib as lv
    >>> multiply = lv.gram_matvec(lv.Gaussian(1.0), [[0.0], [1.0]])
    >>> multiply(torch.eye(2, dtype=torch.float64))[0]
    tensor([1.0000, 0.6065], dtype=torch.float64)
    """
    kernel = as_kernel(kernel)
    X = as_points(X, "X")
    Z = X if Z is None else as_points(Z, "Z", X.shape[1], like=X)

    def multiply(V) -> Tensor:
        V = as_labels(V, X, "X", name="V")
        rows = blocks(
            len(Z), 4 * len(X) * X.element_size(), BLOCK_BYTES
        )  # a Gram block and three temporaries
        return torch.cat([kernel.gram(Z[block], X) @ V for block in rows])

    return multiply


@dataclass(frozen=True)
class ConjugateGradient:
    """What `solve_krr_cg` found: alpha, in the shape of Y; the relative residuals |Y - (K + lam I)
    alpha| / |Y| before each iteration and after the last one, (iterations + 1,) or (iterations + 1,
    k); and whether all of the last ones are at most tol.

    >>> import levlib as lv
    >>> lv.solve_krr_cg(torch.eye(2), [1.0, 2.0], 1.0).iterations  # one eigenvalue
    1
    """

    alpha: Tensor
    residuals: Tensor
    converged: bool

    @property
    def iterations(self) -> int:
        """The number of products with K, but for those that confirm the answer."""
        return len(self.residuals) - 1


def solve_krr_cg(
    K, Y, lam: float, *, Psi=None, tol: float = 1e-6, max_iter: int = 1000
) -> ConjugateGradient:
    """Solve (K + lam I) alpha = Y by conjugate gradient, preconditioned by features Psi: (Psi Psi^T
    + lam I)^{-1}.

    K is (n, n), or a function V -> K V on (n, k) such as `gram_matvec(kernel, X)`. Y is (n,) or (n,
    k). Psi is (n, s), real or complex, best from leverage draws: where Eq. 5 holds with epsilon the
    condition number is at most (1 + epsilon) / (1 - epsilon), and the iterations grow with its
    square root. The residual that decides is computed afresh, not only updated. Where max_iter is
    reached first, or rounding ends the progress (float32), the answer so far comes with `converged`
    False and a RuntimeWarning.

    Raises ValueError for wrong shapes, or where K + lam I proves not to be positive definite. Cost:
    n s^2 once, then one product with K and 4 n s k for each iteration. Source: Avron, Clarkson and
    Woodruff 2017; Rudi, Carratino and Rosasco 2017.

    >>> import levlib as lv
    >>> lv.solve_krr_cg(torch.eye(2), [1.0, 2.0], 1.0, Psi=torch.eye(2)).alpha
    tensor([0.5000, 1.0000])
    """
    tol, max_iter, lam = (
        as_number(tol, "tol", above=0, most=1),
        as_count(max_iter, "max_iter"),
        as_number(lam, "lam", above=0),
    )
    multiply, Y = _as_product(K, Y)
    precondition = _preconditioner(Psi, Y, lam)
    peak = Y.abs().amax(0).clamp(min=torch.finfo(Y.dtype).tiny)
    size = peak * (Y / peak).norm(dim=0)  # |Y|, also where its square would overflow
    B = (Y / torch.where(size > 0, size, 1)).reshape(len(Y), -1)
    alpha, residual, history, before = torch.zeros_like(B), B, [B.norm(dim=0)], math.inf
    while (
        (worst := float(history[-1].max())) > tol
        and len(history) <= max_iter
        and worst <= before / 2
    ):
        before = worst
        alpha = alpha + _descend(multiply, precondition, residual, lam, tol, max_iter, history)
        residual = B - multiply(alpha) - lam * alpha
        history[-1] = residual.norm(dim=0)
    if not worst <= tol:
        warnings.warn(
            f"conjugate gradient stopped after {len(history) - 1} iterations at a relative "
            f"residual of {worst:.2g} > "
            f"tol = {tol:g}; use more features, float64 or a larger max_iter",
            RuntimeWarning,
            stacklevel=2,
        )
    residuals = torch.stack(history).reshape(len(history), *Y.shape[1:])
    return ConjugateGradient(alpha.reshape(Y.shape) * size, residuals, worst <= tol)


def _descend(
    multiply, precondition, residual: Tensor, lam: float, tol: float, max_iter: int, history: list
) -> Tensor:
    """Return the correction that conjugate gradient finds for `residual`, column by column, until
    the updated residual is at most tol or `history`, to which each iteration adds one entry, is
    full."""
    found, direction = torch.zeros_like(residual), precondition(residual)
    slope = (residual * direction).sum(0)
    P = direction
    while (active := history[-1] > tol).any() and len(history) <= max_iter:
        image = multiply(P) + lam * P
        curvature = (P * image).sum(0)
        if not (torch.isfinite(curvature) & (curvature > 0))[active].all():
            raise ValueError(
                f"K + {lam:g} I is not positive definite along a direction of the search; check K "
                "or lam"
            )
        step = torch.where(active, slope / curvature, 0)
        found, residual = found + step * P, residual - step * image
        history.append(residual.norm(dim=0))
        direction, before = precondition(residual), slope
        slope = (residual * direction).sum(0)
        P = direction + torch.where(active, slope / before, 0) * P
    return found


def _as_product(K, Y) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    if not callable(K):
        K = as_square(K, "K")
        return K.__matmul__, as_labels(Y, K, "K")
    Y = as_tensor(Y, "Y", (1, 2))
    if Y.is_complex():
        raise TypeError(f"Y must be real, got {Y.dtype}")

    def multiply(V: Tensor) -> Tensor:
        image = as_tensor(K(V), "K(V)", 2, like=V)
        if image.shape != V.shape or image.is_complex():
            raise ValueError(
                f"K(V) must be real and have the shape of V, {tuple(V.shape)}, got "
                f"{tuple(image.shape)}"
            )
        return image

    return multiply, Y


def _preconditioner(Psi, Y: Tensor, lam: float) -> Callable[[Tensor], Tensor]:
    """Return R -> (Psi Psi^T + lam I)^{-1} R by the Woodbury identity, or the identity without
    Psi."""
    if Psi is None:
        return lambda R: R
    Psi = as_tensor(Psi, "Psi", 2, like=Y)
    if len(Psi) != len(Y):
        raise ValueError(
            f"Psi must have one row for each of the {len(Y)} points of Y, got {len(Psi)}"
        )
    if Psi.is_complex():  # the real part of Psi Psi^H, as pairs of real columns
        Psi = torch.view_as_real(Psi.resolve_conj()).flatten(1).to(Y.dtype)
    L = cholesky(Psi.T @ Psi, f"Psi^T Psi + {lam:g} I", ridge=lam)
    return lambda R: (R - Psi @ solve_cholesky(L, Psi.T @ R)) / lam
