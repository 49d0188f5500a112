"""Three ways to compute tr[Phi(w)^T (K + lam I)^{-1} Phi(w)] (Definition 3.1): by triangles, by
half spaces, by Woodbury."""

from functools import cached_property

import torch
from torch import Tensor

from levlib.draw import Draw
from levlib.kernels import NTK, ArcCosine, Kernel
from levlib.linalg import blocks, cholesky

BLOCK_BYTES = 2**26


def real_features(kernel: Kernel, X: Tensor, W: Tensor) -> Tensor:
    """Return the features as real numbers, (n, m, width): a complex one is its real and its
    imaginary part."""
    features = kernel.features(X, W)
    return torch.view_as_real(features).flatten(2) if features.is_complex() else features


def half_space_order(kernel: Kernel) -> int | None:
    """Return k where phi depends on w through max(w.x, 0)^k, the step for k = 0; None for another
    kernel."""
    return 0 if isinstance(kernel, NTK) else kernel.order if isinstance(kernel, ArcCosine) else None


class Triangular:
    """The leverage of any kernel, |L^{-1} Phi(w)|^2 with L L^T = K + lam I: n^2 d2 / 2
    multiply-adds for each w."""

    def __init__(self, kernel: Kernel, X: Tensor, factor: Tensor):
        self.kernel = kernel
        self.X = X
        self.factor = factor.to(X.dtype)

    @cached_property
    def inverse(self) -> Tensor:
        """(K + lam I)^{-1}, shape (n, n)."""
        return torch.cholesky_inverse(self.factor)

    def leverage(self, W: Tensor) -> Tensor:
        each = 3 * len(self.X) * self.X.element_size() * max(2, self.X.shape[1])
        return torch.cat([self._block(W[block]) for block in blocks(len(W), each, BLOCK_BYTES)])

    def _block(self, W: Tensor) -> Tensor:
        features = real_features(self.kernel, self.X, W)
        n, m, width = features.shape
        solved = torch.linalg.solve_triangular(
            self.factor, features.reshape(n, m * width), upper=False
        )
        return solved.square_().sum(0).view(m, width).sum(1)


class HalfSpaces:
    """The leverage z^T A z, z_i = max(w.x_i, 0)^order, of the NTK (A = (H + lam I)^{-1} o X X^T)
    and of ArcCosine (A = 2 (K + lam I)^{-1}), as |R^T z|^2 with R R^T = A lower triangular: n^2 / 2
    multiply-adds for each w, all in GEMM.

    A is float64 whatever the data, and R follows the data: the large entries of A cancel in z^T A
    z.
    """

    def __init__(self, kernel: Kernel, X: Tensor, factor: Tensor):
        order = half_space_order(kernel)
        assert order is not None  # other kernels have other forms
        self.order = order
        inverse = torch.cholesky_inverse(factor)
        kept = X.norm(dim=1) > 0  # a zero row has no feature, and would make A singular
        self.X, inverse = X[kept], inverse[kept][:, kept]
        inner = self.X.double() @ self.X.double().T if isinstance(kernel, NTK) else 2.0
        self.A = inverse * inner
        self.root = cholesky(self.A, "the matrix of the quadratic form z^T A z").to(X.dtype)

    def leverage(self, W: Tensor) -> Tensor:
        n = len(self.X)
        each = 2 * n * self.X.element_size() + 1
        return torch.cat([self._block(W[block]) for block in blocks(len(W), each, BLOCK_BYTES)])

    def _block(self, W: Tensor) -> Tensor:
        # narrower blocks save work above the diagonal, but run slower
        step = max(64, len(self.X) // 8)
        z = W @ self.X.T
        z = z.ge_(0) if self.order == 0 else z.clamp_(min=0).pow_(self.order)
        leverage = torch.zeros_like(W[:, 0])
        for start in range(0, len(self.X), step):
            leverage += (z[:, start:] @ self.root[start:, start : start + step]).square_().sum(1)
        return leverage


class Woodbury:
    """The leverage for (Z Z^T + lam I)^{-1} = (I - Z (Z^T Z + lam I)^{-1} Z^T) / lam, Z (n, s) the
    features of a pilot.

    Z is made anew a block of rows at a time, so that memory is O(s^2), not O(n s). Sums are float64
    whatever the data: the leverage is a small difference of large ones.
    """

    def __init__(self, kernel: Kernel, X: Tensor, factor: Tensor, pilot: Draw, lam: float):
        self.kernel = kernel
        self.X = X
        self.factor = factor
        self.pilot = pilot
        self.lam = lam
        self.width = len(factor) // pilot.m

    def leverage(self, W: Tensor) -> Tensor:
        each = 16 * len(self.factor) * self.width
        return torch.cat([self._block(W[block]) for block in blocks(len(W), each, BLOCK_BYTES)])

    def _block(self, W: Tensor) -> Tensor:
        cross = self.factor.new_zeros(len(self.factor), len(W) * self.width)
        square = self.factor.new_zeros(len(W) * self.width)
        for rows in blocks(len(self.X), 24 * sum(cross.shape), BLOCK_BYTES):
            Phi = real_features(self.kernel, self.X[rows], W).flatten(1).double()
            cross.addmm_(pilot_columns(self.kernel, self.X[rows], self.pilot).T, Phi)
            square += Phi.square().sum(0)
        kept = torch.linalg.solve_triangular(self.factor, cross, upper=False).square_().sum(0)
        return (
            ((square - kept) / self.lam)
            .view(len(W), self.width)
            .sum(1)
            .clamp_(min=0)
            .to(self.X.dtype)
        )


def pilot_columns(kernel: Kernel, X: Tensor, pilot: Draw, chosen: slice = slice(None)) -> Tensor:
    """Return Z, the modified features of the pilot's chosen weights (Definition 3.2), real and
    float64: (n, s)."""
    scale = (pilot.ratio[chosen] / pilot.m).sqrt()
    return (real_features(kernel, X, pilot.W[chosen]) * scale[:, None]).flatten(1).double()


def pilot_gram(kernel: Kernel, X: Tensor, pilot: Draw) -> Tensor:
    """Return the smaller of Z Z^T (n, n) and Z^T Z (s, s), a block at a time; their nonzero
    eigenvalues are equal."""
    n = len(X)
    width = real_features(kernel, X[:1], pilot.W[:1]).shape[2]
    s = pilot.m * width
    gram = torch.zeros(min(n, s), min(n, s), dtype=torch.float64, device=X.device)
    if n <= s:
        for chosen in blocks(pilot.m, 24 * n * width, BLOCK_BYTES):
            Z = pilot_columns(kernel, X, pilot, chosen)
            gram.addmm_(Z, Z.T)
    else:
        for rows in blocks(n, 24 * s, BLOCK_BYTES):
            Z = pilot_columns(kernel, X[rows], pilot)
            gram.addmm_(Z.T, Z)
    return gram
