"""The ridge leverage function of a kernel on data (Def. 3.1) and the statistical dimension (Eq. 4)."""

import math
from functools import cached_property

import torch
from torch import Tensor

from levlib.door import as_points, as_positive, as_square, blocks, cholesky
from levlib.kernels import NTK, Gaussian, Kernel

BLOCK_BYTES = 2**27


def statistical_dimension(K, lam: float) -> float:
    """Return s_lambda(K) = tr[(K + lam I)^{-1} K], the effective number of directions that the ridge leaves (Eq. 4).

    K is a kernel matrix (n, n), lam > 0 is absolute. Raises ValueError for a K that is not square and symmetric, or
    lam <= 0. Cost: the eigenvalues of K, about (4/3) n^3.

    >>> import levlib as lv
    >>> lv.statistical_dimension(torch.eye(4), 1.0)
    2.0
    """
    K, lam = as_square(K, "K"), as_positive(lam, "lam")
    values = torch.linalg.eigvalsh(K.double()).clamp(min=0)
    return float((values / (values + lam)).sum())


class RidgeLeverage:
    """The ridge leverage of a weight over its prior density, q_lambda(w) / p(w) (Def. 3.1).

    `lev = RidgeLeverage(kernel, X, lam)` factors K + lam I once; `lev(W)` is tr[Phi(w)^T (K + lam I)^{-1} Phi(w)] for
    each row of W, shape (m,), with Phi(w) of shape (n, d2). Its mean over w ~ p is `lev.s_lam`, the statistical
    dimension. It is zero where no feature is active (a half space without data), and never more than |Phi(w)|^2 / lam.

    X is (n, d), lam > 0. Raises ValueError for bad data or where K + lam I is not positive definite in X's dtype.
    Cost: n^3 / 3 once; then n^2 d2 for each w by one triangular solve a block, or for the NTK n^2 for each w by one
    matrix product a block: r = diag(S A S^T), with A = (H + lam I)^{-1} o (X X^T) and S the 0/1 pattern of the units.

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5)
    >>> lev([[1.0, 1.0], [-1.0, -1.0]])               # two units active, none active
    tensor([2., 0.], dtype=torch.float64)
    """

    def __init__(self, kernel: Kernel, X, lam: float):
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel must be a levlib Kernel such as NTK() or Gaussian(0.5), got {kernel!r}")
        self.kernel, self.X, self.lam = kernel, as_points(X, "X"), as_positive(lam, "lam")
        self.K = kernel.gram(self.X)
        self._factor = cholesky(
            self.K + self.lam * torch.eye(len(self.X), dtype=self.K.dtype, device=self.K.device), f"K + {self.lam:g} I"
        )

    def __call__(self, W) -> Tensor:
        W = as_points(W, "W", self.X.shape[1], like=self.X)
        ratio = self._hadamard if isinstance(self.kernel, NTK) else self._triangular
        return torch.cat([ratio(W[block]) for block in blocks(len(W), self._bytes_each, BLOCK_BYTES)])

    @cached_property
    def s_lam(self) -> float:
        """The statistical dimension s_lambda(K), the mean of the ratio over w ~ p (Eq. 4)."""
        return statistical_dimension(self.K, self.lam)

    def log_density(self, W) -> Tensor:
        """Return log of q_lambda(w) / s_lambda(K), the density that leverage sampling draws from, shape (m,)."""
        return self.kernel.log_prob(W) + self(W).log() - math.log(self.s_lam)

    @property
    def _bytes_each(self) -> int:
        n, d = self.X.shape
        return 4 * n * self.X.element_size() * (1 if isinstance(self.kernel, NTK) else max(2, d))

    @cached_property
    def _hadamard_matrix(self) -> Tensor:
        return torch.cholesky_inverse(self._factor) * (self.X @ self.X.T)

    def _hadamard(self, W: Tensor) -> Tensor:
        S = (W @ self.X.T >= 0).to(self.X.dtype)
        return (S @ self._hadamard_matrix).mul_(S).sum(1).clamp_(min=0)

    def _triangular(self, W: Tensor) -> Tensor:
        features = self.kernel.features(self.X, W)
        if features.is_complex():
            features = torch.view_as_real(features).flatten(2)
        n, m, width = features.shape
        solved = torch.linalg.solve_triangular(self._factor, features.reshape(n, m * width), upper=False)
        return solved.square_().sum(0).view(m, width).sum(1)


def leverage_arcs(lev: RidgeLeverage) -> tuple[Tensor, Tensor]:
    """Return the arcs on which the NTK's ratio q_lambda/p is constant (d = 2): edges (k + 1,), values (k,), k <= 2n.

    Edges are angles of w in radians, ascending over one turn; the ratio depends on the direction of w alone and jumps
    only where w.x_i = 0. The Gaussian gives an arc the probability length / (2 pi), so sum(values * lengths) / (2 pi)
    is s_lambda(K) exactly. Raises ValueError for another kernel or d. Cost: n^2 for each arc, 2 n^3 in all.

    >>> import levlib as lv
    >>> edges, values = lv.leverage_arcs(lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5))
    >>> values
    tensor([2., 1., 0., 1.], dtype=torch.float64)
    """
    if not isinstance(lev.kernel, NTK) or lev.X.shape[1] != 2:
        raise ValueError(
            f"arcs need the NTK on data in the plane (d = 2), got {lev.kernel!r} with d = {lev.X.shape[1]}"
        )
    X = lev.X[lev.X.norm(dim=1) > 0]
    if not len(X):
        raise ValueError("every row of X is zero: there is no leverage to sample from")
    normal = torch.atan2(X[:, 1], X[:, 0]) + math.pi / 2
    edges = torch.remainder(torch.cat([normal, normal + math.pi]), 2 * math.pi).sort().values
    edges = torch.cat([edges, edges[:1] + 2 * math.pi])
    middle = (edges[1:] + edges[:-1]) / 2
    return edges, lev(torch.stack([middle.cos(), middle.sin()], dim=1))


def leverage_grid(lev: RidgeLeverage, cells: int | None = None) -> tuple[Tensor, Tensor]:
    """Return a grid of frequencies (Gaussian kernel, d = 1): edges (k + 1,), and q_lambda/p at the midpoints (k,).

    The grid spans ten standard deviations of p on each side. The midpoint sum of p times ratio times width converges
    faster than any power: p is Gaussian and the ratio is band-limited by the spread of the data. `cells` defaults to
    sixteen for each period 1 / (max x - min x) and for each standard deviation. Raises ValueError for another kernel
    or d. Cost: 2 n^2 for each cell.

    >>> import levlib as lv
    >>> edges, values = lv.leverage_grid(lv.RidgeLeverage(lv.Gaussian(1.0), [[0.0], [1.0]], lam=0.1))
    >>> len(edges) - len(values)
    1
    """
    if not isinstance(lev.kernel, Gaussian) or lev.X.shape[1] != 1:
        raise ValueError(
            f"the grid needs a Gaussian kernel on a line (d = 1), got {lev.kernel!r}, d = {lev.X.shape[1]}"
        )
    reach = 10 * lev.kernel.frequency_scale
    if cells is None:
        periods = 2 * reach * float(lev.X.max() - lev.X.min())
        cells = math.ceil(16 * max(periods, 20.0))
    edges = torch.linspace(-reach, reach, cells + 1).to(lev.X)
    return edges, lev(((edges[1:] + edges[:-1]) / 2)[:, None])
