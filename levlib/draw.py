"""Draws: weights with the ratio p/q that reweighs them (Definition 3.2), the plain draw, and how a
cell is chosen."""

from dataclasses import dataclass

import torch
from torch import Tensor

from levlib.checks import as_instance
from levlib.kernels import Kernel, as_kernel


@dataclass(frozen=True)
class Draw:
    """Weights W (m, d1) drawn from some density q, and ratio (m,) = p(w_r) / q(w_r), as Definition
    3.2 needs them.

    `ess` is the effective sample size (sum r)^2 / sum r^2 of the prior weights that a "pool" draw
    chose from, and None for a draw that used no pool.

    >>> import levlib as lv
    >>> lv.Draw(torch.zeros(3, 2), torch.ones(3)).m
    3
    """

    W: Tensor
    ratio: Tensor
    ess: float | None = None

    @property
    def m(self) -> int:
        """The number of weights."""
        return len(self.W)


def sample_prior(
    kernel: Kernel, m: int, d: int, *, generator: torch.Generator, dtype=torch.float64
) -> Draw:
    """Draw m weights from p itself: plain random features, ratio p/q = 1 (Definition 3.2 with
    q = p).

    - `kernel`: a Kernel.
    - `m`: how many weights.
    - `d`: the dimension of the data; `draw.W` is (m, d1).
    - `generator`: a torch.Generator.
    - `dtype`: that of the weights.

    Raises TypeError or ValueError where m or d is no positive integer or no
    generator is given. Cost: m d.

    >>> import levlib as lv
    >>> lv.sample_prior(lv.NTK(), 3, 2, generator=torch.Generator().manual_seed(0)).ratio
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    W = as_kernel(kernel).sample(m, d, generator=generator, dtype=dtype)
    return Draw(W, torch.ones(len(W), dtype=W.dtype, device=W.device))


def as_draw(value) -> Draw:
    """Return the draw, or raise TypeError that says where draws come from."""
    return as_instance(value, "draw", Draw, "levlib Draw, from sample or sample_prior")


def uniform(m: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return m uniform numbers in [0, 1), float64 whatever the data: float32 sums would lose a
    narrow arc."""
    return torch.rand(m, generator=generator, device=generator.device, dtype=torch.float64).to(
        like.device
    )


def choose(mass: Tensor, m: int, generator: torch.Generator) -> Tensor:
    """Return m indices of cells, drawn in proportion to their mass (k,)."""
    heap = mass.double().cumsum(0)
    return torch.searchsorted(heap, uniform(m, generator, heap) * heap[-1], right=True).clamp(
        max=len(mass) - 1
    )
