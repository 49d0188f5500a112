"""Great-circle Gibbs: exact draws along great circles of weights, for the kernels of ReLU units
(Def. 3.8)."""

import math

import torch
from torch import Tensor

from levlib.draw import uniform
from levlib.leverage.forms import HalfSpaces
from levlib.linalg import blocks
from levlib.sampling.circle import circle_bytes, ratio_on_circles

BLOCK_BYTES = 2**24
RETURNS = 20


def great_circles(form: HalfSpaces, W: Tensor, sweeps: int, generator: torch.Generator) -> Tensor:
    """Move chains W (m, d) `sweeps` times, each time leaving the density p r invariant, r the ratio
    of `form`.

    A sweep draws v ~ N(0, I) and moves w along w cos t + v sin t. A turn of the pair (w, v) leaves
    its joint density p(w) p(v) as it is, so that t has a density in proportion to r alone, which is
    known on every arc: t is drawn from it exactly, without rejection or tuning. Then |w| is drawn
    anew: r is homogeneous of degree 2k in w, k = form.order, and so |w|^2 is chi-square of d + 2k
    degrees, whatever the direction. Chains start where some point is active: a chain at -w has the
    same prior. Cost: that of `ratio_on_circles` for each chain and sweep.
    """
    X = form.X.double()
    W = W.to(X)
    W = torch.where((W @ X.T >= 0).any(1, keepdim=True), W, -W)
    for _ in range(sweeps):
        for block in blocks(len(W), circle_bytes(len(X), form.order), BLOCK_BYTES):
            W[block] = _turn(form, X, W[block], generator)
    for _ in range(RETURNS):
        lost = form.ratio(W.to(form.X)) == 0
        if not lost.any():
            break
        W[lost] = _turn(
            form, X, W[lost], generator
        )  # it was beside an edge, and has been rounded across it
    return W.to(form.X)


def _turn(form: HalfSpaces, X: Tensor, W: Tensor, generator: torch.Generator) -> Tensor:
    V = _normal(*W.shape, generator, X)
    t = _angle(form, W @ X.T, V @ X.T, generator)
    W = torch.nn.functional.normalize(t.cos() * W + t.sin() * V, dim=1)
    return W * _normal(len(W), X.shape[1] + 2 * form.order, generator, X).norm(dim=1, keepdim=True)


def _normal(m: int, d: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(m, d, generator=generator, device=generator.device, dtype=like.dtype).to(
        like.device
    )


def _angle(form: HalfSpaces, a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """Draw t (c, 1) from the density in proportion to the ratio at y_i = a_i cos t + b_i sin t, for
    a and b (c, n)."""
    edges, ratio = ratio_on_circles(form.A, a, b, form.order)
    waves = _to_waves(form.order).to(a) @ ratio if form.order else ratio
    mass = (waves * _integral(edges, form.order).diff(dim=-1)[:, None]).sum(2).clamp_(min=0)
    heap = mass.flatten(1).cumsum(1)
    level = uniform(len(a), generator, a)[:, None] * heap[:, -1:]
    arc = torch.searchsorted(heap, level, right=True).clamp_(max=heap.shape[1] - 1)
    share = 1 - (heap.gather(1, arc) - level) / mass.flatten(1).gather(1, arc)
    side, piece = arc // mass.shape[2], arc % mass.shape[2]
    low, high = edges.gather(1, piece), edges.gather(1, piece + 1)
    if form.order:
        chosen = waves[torch.arange(len(a)), side[:, 0], :, piece[:, 0]]
        low, high = _bisect(chosen, share, low, high, form.order)
    return (
        low + share * (high - low) + math.pi * side.to(a)
    )  # an integer times a float would be float32


def _bisect(
    waves: Tensor, share: Tensor, low: Tensor, high: Tensor, order: int
) -> tuple[Tensor, Tensor]:
    """Enclose the t that has `share` of the integral of a wave over [low, high] below it, to
    rounding error."""
    start, end = ((waves * _integral(t, order)[..., 0]).sum(1, keepdim=True) for t in (low, high))
    for _ in range(54):
        middle = (low + high) / 2
        below = (waves * _integral(middle, order)[..., 0]).sum(1, keepdim=True) < start + share * (
            end - start
        )
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low, high


def _integral(t: Tensor, order: int) -> Tensor:
    """Antiderivatives of 1, cos 2t, sin 2t, ..., cos 2kt, sin 2kt, for t (c, j): shape (c, 2k + 1,
    j)."""
    waves = [
        wave for f in range(2, 2 * order + 1, 2) for wave in ((f * t).sin() / f, -(f * t).cos() / f)
    ]
    return torch.stack([t, *waves], dim=1)


def _to_waves(order: int) -> Tensor:
    """The matrix from coefficients of cos^{2k - l} t sin^l t to those of 1, cos 2t, sin 2t, ...,
    found at 2k + 1 t."""
    t = math.pi * torch.arange(2 * order + 1, dtype=torch.float64) / (2 * order + 1)
    waves = [wave for f in range(2, 2 * order + 1, 2) for wave in ((f * t).cos(), (f * t).sin())]
    powers = [t.cos() ** (2 * order - p) * t.sin() ** p for p in range(2 * order + 1)]
    return torch.linalg.solve(torch.stack([torch.ones_like(t), *waves], 1), torch.stack(powers, 1))
