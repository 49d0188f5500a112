"""Kernels as averages of random features, K(x, z) = E_{w ~ p}[phi(x, w)^T phi(z, w)] (Eq. 3), and
their estimates."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_instance, as_points, as_tensor
from levlib.kernels.gram import as_pair
from levlib.linalg import blocks

BLOCK_BYTES = 2**27


def as_kernel(value) -> "Kernel":
    """Return the kernel, or raise TypeError that names two of them."""
    return as_instance(value, "kernel", Kernel, "levlib Kernel such as NTK() or Gaussian(0.5)")


class Kernel(ABC):
    """A kernel of the form K(x, z) = E_{w ~ p}[phi(x, w)^T phi(z, w)] (Eq. 3).

    phi maps R^d x R^d1 to R^d2 (or C^d2, Remark 3.4); p is a probability density on R^d1. Your own
    kernel is a subclass with `features` and `sample`. It may add `gram`, a closed form, and
    `log_prob`, which samplers on a grid need; where they are missing, calling them raises
    TypeError. `estimated` gives the Gram matrix by Monte Carlo instead.

    >>> import levlib as lv
    >>> class Sign(lv.Kernel):                        # E[sign(w.x) sign(w.z)] = 1 - 2 theta / pi
    ...     def features(self, X, W):
    ...         return torch.sign(X @ W.T)[:, :, None]
    ...     def sample(self, m, d, *, generator, dtype=torch.float64):
    ...         return torch.randn(m, d, generator=generator, dtype=dtype)
    >>> X = [[1.0, 0.0], [1.0, 1.0]]
    >>> kernel = Sign().estimated(10_000, 2, generator=torch.Generator().manual_seed(0))
    >>> kernel, bool((kernel.gram(X)[0, 1] - 0.5).abs() < 4 * kernel.standard_error(X)[0, 1])
    (Sign() estimated from 10000 weights, True)
    """

    @abstractmethod
    def features(self, X, W) -> Tensor:
        """Return phi(x_i, w_r) of Eq. 3, shape (n, m, d2), for points X (n, d) and weights W (m,
        d1)."""

    @abstractmethod
    def sample(self, m: int, d: int, *, generator: torch.Generator, dtype=torch.float64) -> Tensor:
        """Draw m weights from p for data in R^d, shape (m, d1), on the generator's device."""

    def log_prob(self, W) -> Tensor:
        """Return log p(w_r), shape (m,), for weights W (m, d1)."""
        raise TypeError(
            f"{self!r} has no density: define log_prob(W) in its class, or use a method that "
            "needs none"
        )

    def gram(self, X, Z=None) -> Tensor:
        """Return K(x_i, z_j), shape (n, k), for points X (n, d) and Z (k, d); Z = X if not
        given."""
        raise TypeError(
            f"{self!r} has no closed-form Gram matrix: define gram(X, Z) in its class, or use "
            "kernel.estimated(m, d, generator=g), whose gram is the average over m weights"
        )

    def estimated(self, m: int, d: int, *, generator: torch.Generator) -> "EstimatedKernel":
        """Return this kernel with its Gram matrix replaced by the average over m fixed weights for
        data in R^d (Eq. 2).

        The result is a kernel of its own right: `gram(X)` is positive semidefinite and agrees with
        `gram(X, Z)`, since the weights are drawn here, once. `standard_error(X, Z)` is that of each
        entry, and `repr` says how many weights there are. `gram` itself takes no generator, and
        levlib has no default one, so nothing is estimated unasked. Raises ValueError where m < 2 or
        d < 1, TypeError without a generator. Cost of `gram`: n k m d2.
        """
        m = as_count(m, "m", least=2)
        generator = as_generator(generator)
        W = as_points(self.sample(m, as_count(d, "d"), generator=generator), "W")
        if len(W) != m:
            raise ValueError(f"{self!r}.sample must return {m} weights, got shape {tuple(W.shape)}")
        return EstimatedKernel(self, W)

    def __repr__(self):
        return f"{type(self).__name__}()"


class EstimatedKernel(Kernel):
    """A kernel whose Gram matrix is the mean over fixed weights W (m, d1); made by
    `Kernel.estimated`.

    `RidgeLeverage` takes it as any kernel: the leverage is then that of the estimated matrix, so
    that its mean over w ~ p differs from `s_lam` by the error of the estimate.
    """

    def __init__(self, kernel: Kernel, W: Tensor):
        self.kernel, self.W = kernel, W

    def features(self, X, W) -> Tensor:
        return self.kernel.features(X, W)

    def sample(self, m, d, *, generator, dtype=torch.float64) -> Tensor:
        return self.kernel.sample(m, d, generator=generator, dtype=dtype)

    def log_prob(self, W) -> Tensor:
        return self.kernel.log_prob(W)

    def gram(self, X, Z=None) -> Tensor:
        X, Z = as_pair(X, Z)
        pairs = self._blocks(X, Z, len(X) + len(Z))
        products = ((F.flatten(1) @ G.flatten(1).mH).real for F, G in pairs)
        return sum(products, start=X.new_zeros(())) / len(self.W)

    def standard_error(self, X, Z=None) -> Tensor:
        """Return the standard error of each entry of `gram(X, Z)`, shape (n, k).

        Cost: n k m d2, and one n x k matrix for each weight of a block.
        """
        X, Z = as_pair(X, Z)
        shift = None
        total = X.new_zeros(())
        square = X.new_zeros(())
        for F, G in self._blocks(X, Z, len(X) * len(Z)):
            product = torch.einsum("irc,jrc->rij", F, G.conj()).real
            # deviations from one sample, not from zero: products that hardly vary would cancel
            shift = product[0] if shift is None else shift
            total = total + (product - shift).sum(0)
            square = square + (product - shift).square().sum(0)
        m = len(self.W)
        return ((square - total.square() / m).clamp(min=0) / (m * (m - 1))).sqrt()

    def _blocks(self, X: Tensor, Z: Tensor, numbers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the features of X and of Z for blocks of weights, each weight taking `numbers`
        times d2 numbers."""
        W = self.W.to(X)
        width = self._checked(X[:1], W[:1]).shape[2]
        for block in blocks(len(W), 2 * numbers * width * X.element_size(), BLOCK_BYTES):
            F = self._checked(X, W[block])
            yield F, F if Z is X else self._checked(Z, W[block])

    def _checked(self, X: Tensor, W: Tensor) -> Tensor:
        features = as_tensor(self.kernel.features(X, W), "features", 3)
        if features.shape[:2] != (len(X), len(W)):
            raise ValueError(
                f"{self.kernel!r}.features must return shape (n, m, d2) = ({len(X)}, {len(W)}, "
                "d2), "
                f"got {tuple(features.shape)}"
            )
        return features

    def __repr__(self):
        return f"{self.kernel!r} estimated from {len(self.W)} weights"


def normal(m: int, d: int, generator: torch.Generator, dtype) -> Tensor:
    """Draw N(0, I_d), shape (m, d), with the arguments of `Kernel.sample` checked."""
    generator = as_generator(generator)
    shape = (as_count(m, "m"), as_count(d, "d"))
    return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)


def normal_log_prob(W: Tensor) -> Tensor:
    """Return the log density of N(0, I_d) at each row of W, shape (m,)."""
    return -W.square().sum(1) / 2 - W.shape[1] * math.log(2 * math.pi) / 2
