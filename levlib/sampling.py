"""Weights drawn from the prior p or the leverage density q, with the ratio p/q that reweighs them (Def. 3.2, 3.8)."""

from collections.abc import Callable

import torch
from torch import Tensor

from levlib.door import as_count, as_generator
from levlib.draw import Draw, sample_prior
from levlib.leverage import RidgeLeverage, leverage_arcs, leverage_grid


def sample(lev: RidgeLeverage, m: int, *, method: str, mix: float = 0.0, pool: int | None = None, generator) -> Draw:
    """Draw m weights from the leverage density q = q_lambda / s_lambda (Def. 3.1, Theorem 3.3), with ratio = p/q.

    `method` is "arcs" (NTK, d = 2, exact), "grid" (Gaussian, d = 1; exact for a density constant on the cells of a fine
    grid, which the ratio uses) or "pool" (any kernel: resample `pool` = 100 m prior weights in proportion to their
    leverage; approximate, and sound only where plain sampling with `pool` weights would do). `mix` = a in [0, 1) draws
    from the defensive mixture (1 - a) q + a p, which bounds p/q by 1/a and costs at most 1/(1 - a) in m.

    Raises ValueError for an unknown method, a method that does not fit the kernel, or mix outside [0, 1). Cost: n^2 for
    each of 2n arcs, of the grid's cells or of the pool's weights; then O(m).

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5)
    >>> draw = lv.sample(lev, 100, method="arcs", generator=torch.Generator().manual_seed(0))
    >>> bool((lev(draw.W) > 0).all())                 # nothing is drawn where no unit is active
    True
    """
    m, generator = as_count(m, "m"), as_generator(generator)
    if method not in _METHODS:
        raise ValueError(f"method must be one of {sorted(_METHODS)}, got {method!r}")
    if isinstance(mix, bool) or not isinstance(mix, int | float) or not 0 <= mix < 1:
        raise ValueError(f"mix must be a number in [0, 1), got {mix!r}")
    if pool is not None and method != "pool":
        raise ValueError(f'pool goes with method="pool", got method={method!r}')
    W, density, density_at = _METHODS[method](lev, m, generator, pool)
    if mix:
        plain = _uniform(m, generator, W) < mix
        W = torch.where(plain[:, None], lev.kernel.sample(m, W.shape[1], generator=generator).to(W), W)
        density = (1 - mix) * density_at(W) + mix
    return Draw(W, 1 / density)


# Each method returns weights W, the density q/p at them, and a function that gives q/p at any other weights.
_Drawn = tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]


def _uniform(m: int, generator: torch.Generator, like: Tensor) -> Tensor:
    # float64 whatever the data: in float32 the cumulative sums would lose a narrow arc
    return torch.rand(m, generator=generator, device=generator.device, dtype=torch.float64).to(like.device)


def _choose(mass: Tensor, m: int, generator) -> Tensor:
    heap = mass.double().cumsum(0)
    return torch.searchsorted(heap, _uniform(m, generator, heap) * heap[-1], right=True).clamp(max=len(mass) - 1)


def _inside(edges: Tensor, cell: Tensor, generator) -> Tensor:
    edges = edges.double()
    return edges[cell] + (edges[cell + 1] - edges[cell]) * _uniform(len(cell), generator, edges)


def _arcs(lev: RidgeLeverage, m: int, generator, pool) -> _Drawn:
    edges, values = leverage_arcs(lev)
    arc = _choose(values * edges.diff(), m, generator)
    angle = _inside(edges, arc, generator)
    radius = (-2 * torch.log1p(-_uniform(m, generator, angle))).sqrt()
    W = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return W.to(lev.X), values[arc] / lev.s_lam, lambda W: lev(W) / lev.s_lam


def _grid(lev: RidgeLeverage, m: int, generator, pool) -> _Drawn:
    edges, values = leverage_grid(lev)
    mass = values * lev.kernel.log_prob(((edges[1:] + edges[:-1]) / 2)[:, None]).exp() * edges.diff()
    log_height = (mass / mass.sum() / edges.diff()).log()
    W = _inside(edges, _choose(mass, m, generator), generator)[:, None].to(lev.X)

    def density_at(W: Tensor) -> Tensor:
        cell = torch.searchsorted(edges, W[:, 0].contiguous(), right=True).sub(1).clamp(0, len(mass) - 1)
        return (log_height[cell] - lev.kernel.log_prob(W)).exp()

    return W, density_at(W), density_at


def _pool(lev: RidgeLeverage, m: int, generator, pool) -> _Drawn:
    size = as_count(100 * m if pool is None else pool, "pool", least=m)
    W = lev.kernel.sample(size, lev.X.shape[1], generator=generator).to(lev.X)
    values = lev(W)
    if not values.any():
        raise ValueError(f"none of {size} prior weights has any leverage on X; use a larger pool or another method")
    chosen = _choose(values, m, generator)
    return W[chosen], values[chosen] / lev.s_lam, lambda W: lev(W) / lev.s_lam


_METHODS = {"arcs": _arcs, "grid": _grid, "pool": _pool}
