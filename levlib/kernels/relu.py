"""Kernels of ReLU units, whose weights are directions w ~ N(0, I) (Eq. 8): NTK, arc-cosine and deep
NTK."""

import math

import torch
from torch import Tensor

from levlib.checks import as_count, as_points
from levlib.kernels.base import Kernel, normal, normal_log_prob
from levlib.kernels.gram import angles, as_pair, by_rows


class Units(Kernel):
    """A kernel whose features are those of units w ~ N(0, I_d), each active on one side of a
    hyperplane."""

    def active(self, X, W) -> Tensor:
        """Return the 0/1 pattern 1[w_r.x_i >= 0] as booleans, shape (n, m); a row of zeros is never
        active."""
        return _active(*_points_and_weights(X, W))

    def sample(self, m, d, *, generator, dtype=torch.float64) -> Tensor:
        return normal(m, d, generator, dtype)

    def log_prob(self, W) -> Tensor:
        return normal_log_prob(as_points(W, "W"))


class NTK(Units):
    """The first-layer tangent kernel of the two-layer ReLU net, H_ij = x_i.x_j (pi - theta_ij) / (2
    pi) (Eq. 8).

    The features are phi(x, w) = x 1[w.x >= 0], d2 = d, and w ~ N(0, I_d). Angles near 0 and pi come
    from atan2 of |x^ - z^| and |x^ + z^|, which keeps those under 1e-7 that arccos loses. A zero
    row of X makes a zero row of H; d + 1 antipodal pairs, or repeated points, make H singular.
    Gradients in X are right except where two points are parallel: H has a kink there, and the part
    of the gradient that is due to theta is returned as 0. Raises ValueError where |x| |z|
    overflows. Cost of `gram`: 2 n k d; of `features`: n m d. Source: Du et al. 2019; Arora et al.
    2019.

    >>> import levlib as lv
    >>> lv.NTK().gram([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    tensor([[0.5000, 0.0000, 1.0000],
            [0.0000, 0.5000, 0.0000],
            [1.0000, 0.0000, 2.0000]], dtype=torch.float64)
    """

    def features(self, X, W) -> Tensor:
        X, W = _points_and_weights(X, W)
        return X[:, None, :] * _active(X, W)[:, :, None]

    def gram(self, X, Z=None) -> Tensor:
        return by_rows(
            lambda x, z: x @ z.T * (math.pi - _angles(x, z)) / (2 * math.pi), *_sized_pair(X, Z, 1)
        )


class ArcCosine(Units):
    """The arc-cosine kernel |x|^n |z|^n J_n(theta) / pi of order n = 0, 1 or 2, theta the angle of
    x and z (Eq. 3).

    J_0 = pi - theta, J_1 = sin theta + (pi - theta) cos theta, J_2 = 3 sin theta cos theta + (pi -
    theta) (1 + 2 cos^2 theta). The features are phi(x, w) = sqrt(2) max(w.x, 0)^n, for n = 0
    sqrt(2) 1[w.x >= 0], d2 = 1, and w ~ N(0, I). K(x, x) is |x|^(2 n) times 1, 1 or 3. A row of
    zeros has zero features, for n = 0 too. Gradients in X are right, except for n = 0 where two
    points are parallel (a kink: 0 is returned) or a row is zero. Raises ValueError for another
    order or where |x|^n |z|^n overflows. Cost of `gram`: n k d; of `features`: n m d. Source: Cho
    and Saul 2009, Eq. 1 to 6.

    >>> import levlib as lv
    >>> lv.ArcCosine(1).gram([[1.0, 0.0], [0.0, 2.0]])  # |x| |z| / pi at a right angle
    tensor([[1.0000, 0.6366],
            [0.6366, 4.0000]], dtype=torch.float64)
    """

    def __init__(self, order: int):
        self.order = as_count(order, "order", least=0)
        if self.order > 2:
            raise ValueError(f"order must be 0, 1 or 2, got {order}")

    def features(self, X, W) -> Tensor:
        X, W = _points_and_weights(X, W)
        unit = (X @ W.T).clamp(min=0) ** self.order if self.order else _active(X, W).to(X.dtype)
        return math.sqrt(2) * unit[:, :, None]

    def gram(self, X, Z=None) -> Tensor:
        return by_rows(self._rule, *_sized_pair(X, Z, self.order))

    def _rule(self, X: Tensor, Z: Tensor) -> Tensor:
        theta = _angles(X, Z)
        # sign makes |x|^0 = 0 for a row of zeros
        x, z = (norm.sign() * norm**self.order for norm in (X.norm(dim=1)[:, None], Z.norm(dim=1)))
        rest = math.pi - theta
        cos = theta.cos()
        if self.order == 0:
            J = rest
        elif self.order == 1:
            J = theta.sin() + rest * cos
        else:
            J = 3 * theta.sin() * cos + rest * (1 + 2 * cos.square())
        return J * x * (z / math.pi)

    def __repr__(self):
        return f"ArcCosine({self.order})"


def deep_ntk(X, Z=None, *, depth: int) -> Tensor:
    """Return the tangent kernel of the infinitely wide ReLU net with `depth` weight matrices, all
    trained (Remark 4.2).

    The net has no bias and the NTK parametrisation: each matrix is N(0, 1), and each hidden layer
    of width m is scaled by sqrt(2 / m). So K(x, x) = depth |x|^2; depth 1 is x.z; depth 2 is 2 NTK
    + ArcCosine(1), the parts of the first and of the last layer. X is (n, d), Z (k, d), the result
    (n, k). Each layer maps theta to arccos(J_1(theta) / pi), in a form that does not cancel at
    small angles. Gradients in X are as for `NTK`. Raises ValueError where depth < 1 or |x| |z|
    overflows. Cost: n k (d + depth). Source: Jacot et al. 2018; Arora et al. 2019, Eq. 7 to 9.

    >>> import levlib as lv
    >>> lv.deep_ntk([[1.0, 0.0], [0.0, 1.0]], depth=2)
    tensor([[2.0000, 0.3183],
            [0.3183, 2.0000]], dtype=torch.float64)
    """
    depth = as_count(depth, "depth")
    return by_rows(lambda x, z: _tangent(x, z, depth), *_sized_pair(X, Z, 1))


def _points_and_weights(X, W) -> tuple[Tensor, Tensor]:
    X = as_points(X, "X")
    return X, as_points(W, "W", X.shape[1], like=X)


def _active(X: Tensor, W: Tensor) -> Tensor:
    return (X @ W.T >= 0) & X.any(dim=1)[:, None]


def _tangent(X: Tensor, Z: Tensor, depth: int) -> Tensor:
    kernel = X @ Z.T
    if depth == 1:
        return kernel
    size = X.norm(dim=1)[:, None] * Z.norm(dim=1)
    theta = _angles(X, Z)
    for layer in range(1, depth):
        if layer > 1:
            theta = _next_angle(theta)
        rest = math.pi - theta
        kernel = (kernel * rest + size * (theta.sin() + rest * theta.cos())) / math.pi
    return kernel


def _next_angle(theta: Tensor) -> Tensor:
    # 1 - J_1 / pi = (2 rest sin^2(theta / 2) + theta - sin theta) / pi is 2 sin^2 of half the next
    # angle; the quotient (theta - sin theta) / sin^2(theta / 2) is 2 theta / 3 to rounding error
    # below the threshold
    s = torch.sin(theta / 2)
    quotient = torch.where(
        theta > 4e-4, (theta - theta.sin()) / s.square().clamp(min=1e-8), theta * (2 / 3)
    )
    return 2 * torch.asin(s * torch.sqrt(1 - theta / math.pi + quotient / (2 * math.pi)))


def _angles(X: Tensor, Z: Tensor) -> Tensor:
    x, z = (
        points / norm.where(norm > 0, 1)
        for points in (X, Z)
        for norm in (points.norm(dim=1, keepdim=True),)
    )
    return angles(x, z)


def _sized_pair(X, Z, order: int) -> tuple[Tensor, Tensor]:
    X, Z = as_pair(X, Z)
    if not torch.isfinite((X.norm(dim=1).max() * Z.norm(dim=1).max()) ** order):
        raise ValueError(
            f"X or Z is too large: (|x| |z|)^{order} overflows in {X.dtype}; rescale the points"
        )
    return X, Z
