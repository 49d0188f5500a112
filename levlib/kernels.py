"""Kernels as averages of random features, K(x, z) = E_{w ~ p}[phi(x, w)^T phi(z, w)] (Eq. 3)."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from levlib.door import as_count, as_generator, as_points, as_positive


class Kernel(ABC):
    """A kernel of the form K(x, z) = E_{w ~ p}[phi(x, w)^T phi(z, w)] (Eq. 3).

    phi maps R^d x R^d1 to R^d2 (or C^d2, Remark 3.4); p is a probability density on R^d1.
    """

    @abstractmethod
    def features(self, X, W) -> Tensor:
        """Return phi(x_i, w_r) of Eq. 3, shape (n, m, d2), for points X (n, d) and weights W (m, d1)."""

    @abstractmethod
    def sample(self, m: int, d: int, *, generator: torch.Generator, dtype=torch.float64) -> Tensor:
        """Draw m weights from p for data in R^d, shape (m, d1), on the generator's device."""

    @abstractmethod
    def log_prob(self, W) -> Tensor:
        """Return log p(w_r), shape (m,), for weights W (m, d1)."""

    @abstractmethod
    def gram(self, X, Z=None) -> Tensor:
        """Return K(x_i, z_j), shape (n, k), for points X (n, d) and Z (k, d); Z = X if not given."""


def _pair(X, Z) -> tuple[Tensor, Tensor]:
    X = as_points(X, "X")
    return (X, X) if Z is None else (X, as_points(Z, "Z", X.shape[1], like=X))


def _normal(m, d, generator, dtype) -> Tensor:
    generator = as_generator(generator)
    shape = (as_count(m, "m"), as_count(d, "d"))
    return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)


def _normal_log_prob(W: Tensor, scale) -> Tensor:
    return -((W / scale) ** 2).sum(1) / 2 - W.shape[1] * math.log(scale * math.sqrt(2 * math.pi))


class Gaussian(Kernel):
    """The Gaussian kernel exp(-|x - z|^2 / (2 l^2)), whose weights are frequencies w ~ N(0, I / (2 pi l)^2) (Remark
    3.4).

    `lengthscale` is l > 0, in the units of the data. `form` is "pair" for the real features (cos 2 pi w.x, sin 2 pi
    w.x), d2 = 2, or "complex" for exp(-2 pi i w.x), d2 = 1; both have the same ridge leverage. Raises ValueError for
    another form or a length scale that is not positive. Cost of `gram`: n k d; of `features`: n m d. Source: Rahimi
    and Recht 2008; Avron et al. 2017 for the 2 pi in the exponent.

    >>> import levlib as lv
    >>> lv.Gaussian(0.5).gram([[0.0], [0.5]])[0, 1]      # exp(-1/2)
    tensor(0.6065, dtype=torch.float64)
    """

    def __init__(self, lengthscale: float, form: str = "pair"):
        if form not in ("pair", "complex"):
            raise ValueError(f'form must be "pair" or "complex", got {form!r}')
        self.lengthscale, self.form = as_positive(lengthscale, "lengthscale"), form

    @property
    def frequency_scale(self) -> float:
        """Standard deviation of a frequency, 1 / (2 pi l)."""
        return 1 / (2 * math.pi * self.lengthscale)

    def features(self, X, W) -> Tensor:
        X = as_points(X, "X")
        W = as_points(W, "W", X.shape[1], like=X)
        phase = 2 * math.pi * (X @ W.T)
        if self.form == "complex":
            return torch.polar(torch.ones_like(phase), -phase)[..., None]
        return torch.stack([phase.cos(), phase.sin()], dim=-1)

    def sample(self, m, d, *, generator, dtype=torch.float64) -> Tensor:
        return self.frequency_scale * _normal(m, d, generator, dtype)

    def log_prob(self, W) -> Tensor:
        return _normal_log_prob(as_points(W, "W"), self.frequency_scale)

    def gram(self, X, Z=None) -> Tensor:
        X, Z = _pair(X, Z)
        distance = torch.cdist(X, Z, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-((distance / self.lengthscale) ** 2) / 2)

    def __repr__(self):
        return f"Gaussian({self.lengthscale:g}, form={self.form!r})"


class NTK(Kernel):
    """The first-layer tangent kernel of the two-layer ReLU net, H_ij = x_i.x_j (pi - theta_ij) / (2 pi) (Eq. 8).

    The features are phi(x, w) = x 1[w.x >= 0], d2 = d, and w ~ N(0, I_d). Angles come from atan2 of |x^ - z^| and
    |x^ + z^|, which keeps those under 1e-7 that arccos loses. A zero row of X makes a zero row of H; d + 1 antipodal
    pairs, or repeated points, make H singular. Cost of `gram`: 3 n k d; of `features`: n m d.
    Source: Du et al. 2019; Arora et al. 2019.

    >>> import levlib as lv
    >>> lv.NTK().gram([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    tensor([[0.5000, 0.0000, 1.0000],
            [0.0000, 0.5000, 0.0000],
            [1.0000, 0.0000, 2.0000]], dtype=torch.float64)
    """

    def active(self, X, W) -> Tensor:
        """Return the 0/1 pattern 1[w_r.x_i >= 0] as booleans, shape (n, m)."""
        X = as_points(X, "X")
        return X @ as_points(W, "W", X.shape[1], like=X).T >= 0

    def features(self, X, W) -> Tensor:
        X = as_points(X, "X")
        return X[:, None, :] * self.active(X, W)[:, :, None]

    def sample(self, m, d, *, generator, dtype=torch.float64) -> Tensor:
        return _normal(m, d, generator, dtype)

    def log_prob(self, W) -> Tensor:
        return _normal_log_prob(as_points(W, "W"), 1.0)

    def gram(self, X, Z=None) -> Tensor:
        X, Z = _pair(X, Z)
        return X @ Z.T * (math.pi - _angles(X, Z)) / (2 * math.pi)

    def __repr__(self):
        return "NTK()"


def _angles(X: Tensor, Z: Tensor) -> Tensor:
    x, z = (torch.nn.functional.normalize(points, dim=1) for points in (X, Z))
    apart, together = (torch.cdist(x, s * z, compute_mode="donot_use_mm_for_euclid_dist") for s in (1, -1))
    return 2 * torch.atan2(apart, together)
