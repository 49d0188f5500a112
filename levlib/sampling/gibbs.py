"""Great-circle Gibbs: exact draws along great circles of weights, for the NTK and ArcCosine(0)
(Definition 3.8)."""

import math

import torch
from torch import Tensor

from levlib.draw import uniform
from levlib.leverage.forms import HalfSpaces
from levlib.linalg import blocks
from levlib.sampling.circle import circle_bytes, leverage_on_circles

BLOCK_BYTES = 2**24
RETURNS = 20


def great_circles(form: HalfSpaces, W: Tensor, sweeps: int, generator: torch.Generator) -> Tensor:
    """Move chains W (m, d) `sweeps` times, each time leaving the density p r invariant, r the
    leverage of `form`, whose units are steps.

    A sweep draws v ~ N(0, I) and moves w along w cos t + v sin t. A turn of the pair (w, v) leaves
    its joint density p(w) p(v) as it is, so that t has a density in proportion to r alone, which is
    constant on every arc: t is drawn from it exactly, without rejection or tuning. Then |w| is
    drawn anew, since r depends on the direction of w alone: |w|^2 is chi-square of d degrees.
    Chains start where some point is active: a chain at -w has the same prior. Cost: that of
    `leverage_on_circles` for each chain and sweep.
    """
    X = form.X.double()
    W = W.to(X)
    W = torch.where((W @ X.T >= 0).any(1, keepdim=True), W, -W)
    for _ in range(sweeps):
        for block in blocks(len(W), circle_bytes(len(X)), BLOCK_BYTES):
            W[block] = _turn(form, X, W[block], generator)
    for _ in range(RETURNS):
        lost = form.leverage(W.to(form.X)) == 0
        if not lost.any():
            break
        # it was beside an edge, and has been rounded across it
        W[lost] = _turn(form, X, W[lost], generator)
    return W.to(form.X)


def _turn(form: HalfSpaces, X: Tensor, W: Tensor, generator: torch.Generator) -> Tensor:
    V = _normal(W, generator)
    t = _angle(form.A, W @ X.T, V @ X.T, generator)
    W = torch.nn.functional.normalize(t.cos() * W + t.sin() * V, dim=1)
    return W * _normal(W, generator).norm(dim=1, keepdim=True)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    V = torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    return V.to(like.device)


def _angle(A: Tensor, a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """Draw t (c, 1) over a whole turn from the density in proportion to the leverage where unit i
    is at a_i cos t + b_i sin t, for a and b (c, n)."""
    edges, values = leverage_on_circles(A, a, b)
    mass = (values * edges.diff(dim=1)[:, None]).clamp_(min=0).flatten(1)
    heap = mass.cumsum(1)
    level = uniform(len(a), generator, a)[:, None] * heap[:, -1:]
    arc = torch.searchsorted(heap, level, right=True).clamp_(max=heap.shape[1] - 1)
    share = 1 - (heap.gather(1, arc) - level) / mass.gather(1, arc)
    side = arc // values.shape[2]
    piece = arc % values.shape[2]
    low = edges.gather(1, piece)
    high = edges.gather(1, piece + 1)
    # an integer times a float would be float32
    return low + share * (high - low) + math.pi * side.to(a)
