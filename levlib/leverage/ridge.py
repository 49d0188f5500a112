"""The ridge leverage function of a kernel on data (Definition 3.1), its density (Eq. 9) and the
statistical dimension (Eq. 4)."""

import math
from functools import cached_property

import torch
from torch import Tensor

from levlib.checks import (
    as_instance,
    as_number,
    as_points,
    as_square,
    as_tensor,
)
from levlib.draw import Draw
from levlib.kernels import Kernel, as_kernel
from levlib.leverage.forms import HalfSpaces, Triangular, Woodbury, half_space_order, pilot_gram
from levlib.linalg import cholesky


def statistical_dimension(K, lam: float) -> float:
    """Return s_lambda(K) = tr[(K + lam I)^{-1} K], the effective number of directions that the
    ridge leaves (Eq. 4).

    K is a kernel matrix (n, n), lam > 0 is absolute. Raises ValueError for a K that is not square
    and symmetric, or lam <= 0. Cost: the eigenvalues of K, about (4/3) n^3.

    >>> import levlib as lv
    >>> lv.statistical_dimension(torch.eye(4), 1.0)
    2.0
    """
    K = as_square(K, "K")
    return _dimension(K, as_number(lam, "lam", above=0))


def _dimension(K: Tensor, lam: float) -> float:
    values = torch.linalg.eigvalsh(K.detach().double()).clamp(min=0)
    return float((values / (values + lam)).sum())


class RidgeLeverage:
    """The ridge leverage of a weight over its prior density, q_lambda(w) / p(w) (Definition 3.1).

    `lev = RidgeLeverage(kernel, X, lam)` factors K + lam I once; `lev(W)` is tr[Phi(w)^T (K + lam
    I)^{-1} Phi(w)] for each row of W, shape (m,), with Phi(w) of shape (n, d2). Its mean over w ~ p
    is `lev.s_lam`, the statistical dimension, and `lev.log_density(W)` is the density of leverage
    draws, for the NTK that of Eq. 9. It is zero where no feature is active (a half space without
    data), and never more than |Phi(w)|^2 / lam. It carries no gradient.

    - `kernel`: a Kernel.
    - `X`: the data, (n, d).
    - `lam`: the ridge, > 0. The NTK problem with a multiplier kappa < 1 has the kernel kappa^2 H,
      whose leverage at the ridge lam is that of H at lam / kappa^2: give lam / kappa^2.
    - `pilot`: for large n, a `Draw` or plain weights (s0, d1) whose modified features (Definition
      3.2) Z, (n, s) with s = s0 d2, put Z Z^T in place of K.
    - `margin`: epsilon >= 0 multiplies the pilot's leverage by 1 + epsilon.

    Raises ValueError for bad data or where K + lam I is not positive definite. Cost: n^3 / 3 once;
    then n^2 d2 / 2 for each w by one triangular solve a block. For the NTK n^2 / 2 for each w by
    matrix products: r = s^T A s, with A = (H + lam I)^{-1} o (X X^T) and s the 0/1 pattern of the
    units; ArcCosine has a form like it.

    With a pilot nothing n x n is formed where n > s: the cost is n s^2 + s^3 / 3 once by the
    Woodbury identity, then n s d2 for each w, in O(s^2) memory. `lev.K` raises, and `lev.s_lam` is
    the pilot's estimate tr[(Z Z^T + lam I)^{-1} Z Z^T], which is low where the pilot is small.

    Where the pilot obeys Eq. 5 with epsilon = `margin`, lev(W) is an over-estimate of q_lambda / p
    (Theorem 3.3's q~), by at most (1 + epsilon) / (1 - epsilon); that is so with probability 1 -
    delta for m >= required_features(epsilon, delta, s_q, s_lam) plain weights, where s_q is a bound
    of the leverage: n / lam for Fourier features, sum |x_i|^2 / lam for the NTK.

    A subsample of k points is the other way to large n: RidgeLeverage(kernel, X[chosen], lam * k /
    n) estimates the leverage as an average over points, with no bound at a given w, and it is sound
    where k is several times s_lam.

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5)
    >>> lev([[1.0, 1.0], [-1.0, -1.0]])               # two units active, none active
    tensor([2., 0.], dtype=torch.float64)
    """

    def __init__(self, kernel: Kernel, X, lam: float, *, pilot=None, margin: float = 0.0):
        self.kernel = as_kernel(kernel)
        self.X = as_points(X, "X")
        self.lam = as_number(lam, "lam", above=0)
        self.pilot = _as_pilot(pilot, self.X)
        self.margin = _as_margin(margin, pilot)
        if self.pilot is None:
            self._gram = kernel.gram(self.X)
        else:
            self._gram = pilot_gram(kernel, self.X, self.pilot)
        ridge = self.lam * torch.eye(len(self._gram), dtype=torch.float64, device=self.X.device)
        name = f"K (in {self._gram.dtype})" if self.pilot is None else "Z Z^T"
        self._factor = cholesky(self._gram.detach().double() + ridge, f"{name} + {self.lam:g} I")

    def __call__(self, W) -> Tensor:
        W = as_points(W, "W", self.X.shape[1], like=self.X)
        with torch.no_grad():
            return (1 + self.margin) * self.form.leverage(W)

    @cached_property
    def form(self) -> Triangular | HalfSpaces | Woodbury:
        """How the leverage is computed; `levlib.leverage.forms` says what each form costs."""
        X = self.X.detach()
        if self.pilot is not None and len(self._factor) < len(X):
            return Woodbury(self.kernel, X, self._factor, self.pilot, self.lam)
        form = Triangular if half_space_order(self.kernel) is None else HalfSpaces
        return form(self.kernel, X, self._factor)

    @property
    def K(self) -> Tensor:
        """The kernel matrix of X, shape (n, n); AttributeError with a pilot, which forms none."""
        if self.pilot is not None:
            raise AttributeError(
                "a leverage with a pilot forms no K; call kernel.gram(X) if n is small enough"
            )
        return self._gram

    @cached_property
    def s_lam(self) -> float:
        """The statistical dimension s_lambda(K), the mean of the leverage over w ~ p (Eq. 4); a
        pilot's estimate."""
        return (1 + self.margin) * _dimension(self._gram, self.lam)

    def log_density(self, W) -> Tensor:
        """Return log of q_lambda(w) / s_lambda(K), the density that leverage sampling draws from,
        shape (m,); for the NTK it is Eq. 9, for kappa < 1 at the ridge lam / kappa^2 on H."""
        return self.kernel.log_prob(W) + self(W).log() - math.log(self.s_lam)


def as_leverage(value) -> RidgeLeverage:
    """Return the leverage, or raise TypeError that says how to make one."""
    return as_instance(
        value, "lev", RidgeLeverage, "RidgeLeverage, from RidgeLeverage(kernel, X, lam)"
    )


def _as_pilot(pilot, X: Tensor) -> Draw | None:
    if pilot is None:
        return None
    drawn = isinstance(pilot, Draw)
    W = as_points(pilot.W if drawn else pilot, "pilot", X.shape[1], like=X)
    ratio = as_tensor(pilot.ratio, "pilot.ratio", 1, like=X) if drawn else torch.ones_like(W[:, 0])
    if len(ratio) != len(W) or not (ratio > 0).all():
        raise ValueError(
            f"pilot.ratio must hold a positive p/q for each of the {len(W)} weights of the pilot"
        )
    return Draw(W, ratio)


def _as_margin(margin, pilot) -> float:
    margin = as_number(margin, "margin", least=0)
    if margin and pilot is None:
        raise ValueError("margin goes with a pilot: the exact leverage needs no over-estimate")
    return margin
