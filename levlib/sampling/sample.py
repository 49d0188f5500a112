"""Weights drawn from the leverage density q, by five methods, with the ratio p/q that reweighs them
(Definition 3.2, Definition 3.8)."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_number
from levlib.draw import Draw, choose, uniform
from levlib.leverage.exact import leverage_arcs, leverage_grid
from levlib.leverage.forms import HalfSpaces
from levlib.leverage.ridge import RidgeLeverage, as_leverage
from levlib.sampling.gibbs import great_circles
from levlib.sampling.rejection import accepted


def sample(
    lev: RidgeLeverage,
    m: int,
    *,
    method: str,
    mix: float = 0.0,
    pool: int | None = None,
    sweeps: int | None = None,
    budget: int | None = None,
    generator: torch.Generator,
) -> Draw:
    """Draw m weights from the leverage density q = q_lambda / s_lambda (Definition 3.1, Theorem
    3.3), for the NTK that of Eq. 9, with ratio = p/q.

    The draws are those of the average of Eq. 12, the features of Definition 3.2, and the units of
    the net of Definition 3.8, whose training is the subject of Theorem 3.9.

    - `lev`: a RidgeLeverage.
    - `m`: how many weights.
    - `method`: one of the five below.
    - `mix`: a in [0, 1) draws from the defensive mixture (1 - a) q + a p, which bounds p/q by 1/a
      and costs at most 1/(1 - a) in m.
    - `pool`, `sweeps`, `budget`: options of the methods "pool", "gibbs" and "rejection".
    - `generator`: a torch.Generator.

    The methods are

    - "arcs": NTK or ArcCosine(0), d = 2. Exact. Cost: 2 n^3 once, then O(m).
    - "grid": Gaussian, d = 1. Exact for a density constant on the cells of a fine grid, which the
      ratio uses. Cost: n^2 a cell once, then O(m).
    - "gibbs": NTK or ArcCosine(0), any d. The ends of m independent chains of `sweeps` = 10 great
      circles, each step exact. Cost: about 10 n^2 for each chain and sweep.
    - "rejection": NTK, ArcCosine(0) or Fourier features. Exact. Cost: n^2 / 2 for each of m /
      acceptance prior weights.
    - "pool": any kernel, also with a pilot. Resamples `pool` = 100 m prior weights by their
      leverage. Cost: n^2 / 2 each.

    "rejection" refuses before it starts where it would need over `budget` = 10^7 prior weights, and
    names the acceptance rate (`rejection_bound` gives it). "pool" is approximate: a cell where the
    leverage is r gets 1 + (m / pool) (r / s_lambda) times the variance of m exact draws. It warns
    where pool < 10 m max r / s_lambda, ten times what plain sampling needs by Theorem 3.3 to match
    m leverage draws, and where the mean of r in the pool is 10 % from the s_lambda that it
    estimates, as where the pool has missed a narrow wedge. `draw.ess` is (sum r)^2 / sum r^2 of the
    pool; more draws than that repeat weights. With a pilot, the mean of r in the pool stands for
    s_lambda in p/q.

    Raises ValueError for an unknown method, a method that does not fit the kernel, an option of
    another method, or mix outside [0, 1).

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5)
    >>> draw = lv.sample(lev, 100, method="gibbs", generator=torch.Generator().manual_seed(0))
    >>> bool((lev(draw.W) > 0).all())                 # nothing is drawn where no unit is active
    True
    """
    lev = as_leverage(lev)
    m = as_count(m, "m")
    generator = as_generator(generator)
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(f"method must be one of {sorted(_METHODS)}, got {method!r}")
    mix = as_number(mix, "mix", least=0, below=1)
    draw, options = _METHODS[method]
    given = {"pool": pool, "sweeps": sweeps, "budget": budget}
    for name, value in given.items():
        if value is not None and name not in options:
            raise ValueError(f'{name} goes with method="{_OWNER[name]}", got method={method!r}')
    weights = draw(lev, m, generator, *(given[name] for name in options))
    W, density = weights.W, weights.density
    if mix:
        plain = uniform(m, generator, W) < mix
        W = torch.where(
            plain[:, None], lev.kernel.sample(m, W.shape[1], generator=generator).to(W), W
        )
        density = (1 - mix) * weights.density_at(W) + mix
    if not torch.isfinite(1 / density).all():
        raise ValueError(
            f"the leverage of some weights underflows in {W.dtype}; use float64, or rescale X and "
            "lam"
        )
    return Draw(W.detach(), 1 / density.detach(), weights.ess)


@dataclass(frozen=True)
class _Sample:
    """Weights W, the density q/p at them, and the function that gives q/p at any other weights."""

    W: Tensor
    density: Tensor
    density_at: Callable[[Tensor], Tensor]
    ess: float | None = None


def _proportional(
    lev: RidgeLeverage, W: Tensor, leverage: Tensor, total: float, ess: float | None = None
) -> _Sample:
    return _Sample(W, leverage / total, lambda W: lev(W) / total, ess)


def _inside(edges: Tensor, cell: Tensor, generator) -> Tensor:
    edges = edges.double()
    return edges[cell] + (edges[cell + 1] - edges[cell]) * uniform(len(cell), generator, edges)


def _arcs(lev: RidgeLeverage, m: int, generator) -> _Sample:
    edges, values = leverage_arcs(lev)
    arc = choose(values * edges.diff(), m, generator)
    angle = _inside(edges, arc, generator)
    radius = (-2 * torch.log1p(-uniform(m, generator, angle))).sqrt()
    W = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    total = float((values * edges.diff()).sum()) / (2 * math.pi)
    return _proportional(lev, W.to(lev.X), values[arc], total)


def _grid(lev: RidgeLeverage, m: int, generator) -> _Sample:
    edges, values = leverage_grid(lev)
    mass = (
        values * lev.kernel.log_prob(((edges[1:] + edges[:-1]) / 2)[:, None]).exp() * edges.diff()
    )
    log_height = (mass / mass.sum() / edges.diff()).log()
    W = _inside(edges, choose(mass, m, generator), generator)[:, None].to(lev.X)

    def density_at(W: Tensor) -> Tensor:
        cell = (
            torch.searchsorted(edges, W[:, 0].contiguous(), right=True)
            .sub(1)
            .clamp(0, len(mass) - 1)
        )
        return (log_height[cell] - lev.kernel.log_prob(W)).exp()

    return _Sample(W, density_at(W), density_at)


def _gibbs(lev: RidgeLeverage, m: int, generator, sweeps) -> _Sample:
    sweeps = as_count(10 if sweeps is None else sweeps, "sweeps")
    form = lev.form
    if lev.pilot is not None or not isinstance(form, HalfSpaces) or form.order != 0:
        got = f"{lev.kernel!r}{' with a pilot' if lev.pilot is not None else ''}"
        raise ValueError(
            f'method="gibbs" needs the exact leverage of NTK or ArcCosine(0), got that of {got}; '
            'use method="pool"'
        )
    if not len(form.X):
        raise ValueError("every row of X is zero: there is no leverage to sample from")
    W = great_circles(
        form, lev.kernel.sample(m, lev.X.shape[1], generator=generator), sweeps, generator
    )
    return _proportional(lev, W, lev(W), lev.s_lam)


def _rejection(lev: RidgeLeverage, m: int, generator, budget) -> _Sample:
    W, leverage = accepted(
        lev, m, as_count(10**7 if budget is None else budget, "budget"), generator
    )
    return _proportional(lev, W, leverage, lev.s_lam)


def _pool(lev: RidgeLeverage, m: int, generator, pool) -> _Sample:
    size = as_count(100 * m if pool is None else pool, "pool", least=m)
    W = lev.kernel.sample(size, lev.X.shape[1], generator=generator).to(lev.X)
    values = lev(W)
    mean = float(values.double().mean())
    largest = float(values.max())
    if not mean:
        raise ValueError(
            f"none of {size} prior weights has any leverage on X; use a larger pool or another "
            "method"
        )
    total = mean if lev.pilot is not None else lev.s_lam
    needed = math.ceil(10 * m * largest / total)
    if size < needed or abs(mean / total - 1) > 0.1:
        warnings.warn(
            f"pool={size} is too small: use pool={needed if size < needed else 10 * size} or "
            f"another method (the largest leverage is {largest:.3g}, the mean {mean:.3g} where "
            f"s_lambda is {total:.3g})",
            stacklevel=3,
        )
    chosen = choose(values, m, generator)
    ess = float(values.double().sum() ** 2 / values.double().square().sum())
    return _proportional(lev, W[chosen], values[chosen], total, ess)


_METHODS: dict[str, tuple[Callable[..., _Sample], tuple[str, ...]]] = {
    "arcs": (_arcs, ()),
    "gibbs": (_gibbs, ("sweeps",)),
    "grid": (_grid, ()),
    "pool": (_pool, ("pool",)),
    "rejection": (_rejection, ("budget",)),
}
_OWNER = {option: method for method, (_, options) in _METHODS.items() for option in options}
