"""Kernel ridge regression (Eq. 1) by conjugate gradient: the kernel matrix is multiplied, never
factored nor even stored."""

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
REFRESH = 50  # iterations between two residuals that are computed afresh


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
    return _GramProduct(kernel, X, Z)


@dataclass(frozen=True)
class _GramProduct:
    kernel: Kernel
    X: Tensor
    Z: Tensor

    def __call__(self, V) -> Tensor:
        return self.product(as_labels(V, self.X, "X", name="V"))

    def product(self, V: Tensor) -> Tensor:
        each = 4 * len(self.X) * self.X.element_size()  # a row of a block and of three temporaries
        rows = blocks(len(self.Z), each, BLOCK_BYTES)
        return torch.cat([self.kernel.gram(self.Z[block], self.X) @ V for block in rows])


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
        """The number of steps: of products with K, but for those that compute a residual afresh."""
        return len(self.residuals) - 1


def solve_krr_cg(
    K, Y, lam: float, *, Psi=None, tol: float = 1e-6, max_iter: int = 1000
) -> ConjugateGradient:
    """Solve (K + lam I) alpha = Y (Eq. 1) by conjugate gradient, preconditioned by features Psi:
    (Psi Psi^T + lam I)^{-1}.

    - `K`: (n, n), or a function V -> K V on (n, k) such as `gram_matvec(kernel, X)`.
    - `Y`: (n,) or (n, k).
    - `lam`: > 0.
    - `Psi`: (n, s), real or complex, best from leverage draws: where Eq. 5 holds with epsilon the
      condition number is at most (1 + epsilon) / (1 - epsilon), and the iterations grow with its
      square root.
    - `tol`: the relative residual at which a column is done.
    - `max_iter`: the most iterations.

    The residual is updated, and computed afresh every 50 iterations and whenever all columns seem
    done: that one decides, and the search starts anew from it where the two have parted. Where
    max_iter is reached first, or rounding ends the progress (float32), the answer so far comes with
    `converged` False and a RuntimeWarning. Raises ValueError for wrong shapes, or where K + lam I
    proves not to be positive definite. Cost: n s^2 once, then one product with K and 4 n s k for
    each iteration. Source: Avron, Clarkson and Woodruff 2017; Rudi, Carratino and Rosasco 2017.

    >>> import levlib as lv
    >>> lv.solve_krr_cg(torch.eye(2), [1.0, 2.0], 1.0, Psi=torch.eye(2)).alpha
    tensor([0.5000, 1.0000])
    """
    lam = as_number(lam, "lam", above=0)
    tol = as_number(tol, "tol", above=0, most=1)
    max_iter = as_count(max_iter, "max_iter")
    multiply, Y = _as_product(K, Y)
    precondition = _preconditioner(Psi, Y, lam)
    peak = Y.abs().amax(0).clamp(min=torch.finfo(Y.dtype).tiny)
    size = peak * (Y / peak).norm(dim=0)  # |Y|, also where its square would overflow
    B = (Y / torch.where(size > 0, size, 1)).reshape(len(Y), -1)
    alpha, history = _iterate(multiply, precondition, B, lam, tol, max_iter)
    worst = float(history[-1].max())
    if not worst <= tol:
        warnings.warn(
            f"conjugate gradient stopped after {len(history) - 1} iterations at a relative "
            f"residual of {worst:.2g} > tol = {tol:g}; use more features, float64 or a larger "
            "max_iter",
            RuntimeWarning,
            stacklevel=2,
        )
    residuals = torch.stack(history).reshape(len(history), *Y.shape[1:])
    return ConjugateGradient(alpha.reshape(Y.shape) * size, residuals, worst <= tol)


def _iterate(
    multiply, precondition, B: Tensor, lam: float, tol: float, max_iter: int
) -> tuple[Tensor, list[Tensor]]:
    """Return alpha for the columns B of norm 1, and the norms of the residuals, the last of them
    computed afresh."""
    alpha = torch.zeros_like(B)
    residual = B
    history = [residual.norm(dim=0)]
    P = direction = precondition(residual)
    slope = (residual * direction).sum(0)
    start = math.inf
    while (active := history[-1] > tol).any() and len(history) <= max_iter:
        image = multiply(P) + lam * P
        curvature = (P * image).sum(0)
        _expect_positive(curvature[active], lam)
        step = torch.where(active, slope / curvature, 0)
        alpha = alpha + step * P
        residual = residual - step * image
        history.append(residual.norm(dim=0))
        ended = not (history[-1] > tol).any() or len(history) > max_iter
        if ended or len(history) % REFRESH == 0:
            fresh = B - multiply(alpha) - lam * alpha
            norm = fresh.norm(dim=0)
            if ended or (norm > (2 * history[-1]).clamp(min=tol)).any():
                residual = fresh
                history[-1] = norm
                active = torch.zeros_like(active)  # the search starts anew
                if norm.max() > start / 2:
                    break  # the updated residual alone still falls: that is rounding
                start = float(norm.max())
        direction = precondition(residual)
        last = slope
        slope = (residual * direction).sum(0)
        P = direction + torch.where(active, slope / last, 0) * P
    return alpha, history


def _expect_positive(curvature: Tensor, lam: float) -> None:
    if not (torch.isfinite(curvature) & (curvature > 0)).all():
        raise ValueError(
            f"K + {lam:g} I is not positive definite along a direction of the search; check K or "
            "lam"
        )


def _as_product(K, Y) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    if not callable(K):
        K = as_square(K, "K")
        return K.__matmul__, as_labels(Y, K, "K")
    if isinstance(K, _GramProduct) and K.Z is K.X:
        return K.product, as_labels(Y, K.X, "X")
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
