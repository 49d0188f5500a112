"""Where the leverage of every weight is known exactly: arcs in the plane, a grid on a line (Eq.
9)."""

import math

import torch
from torch import Tensor

from levlib.checks import as_count
from levlib.kernels import Gaussian
from levlib.leverage.forms import half_space_order
from levlib.leverage.ridge import RidgeLeverage, as_leverage


def leverage_arcs(lev: RidgeLeverage) -> tuple[Tensor, Tensor]:
    """Return the arcs on which q_lambda/p, in the plane the whole of Eq. 9, is constant (NTK,
    ArcCosine(0); d = 2): edges (k + 1,), values (k,), k <= 2n.

    Edges are angles of w in radians, ascending over one turn; the leverage depends on the direction
    of w alone and jumps only where w.x_i = 0. The Gaussian gives an arc the probability length / (2
    pi), so that sum(values * lengths) / (2 pi) is s_lambda(K), to rounding. Raises ValueError for
    another kernel or d. Cost: n^2 for each arc, 2 n^3 in all.

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.NTK(), [[1.0, 1.0], [-1.0, 1.0]], lam=3.0)
    >>> edges, values = lv.leverage_arcs(lev)         # edges at 45, 135, 225, 315, 405 degrees
    >>> values                                        # 2 / (1 + lam) for each unit that is active
    tensor([1.0000, 0.5000, 0.0000, 0.5000], dtype=torch.float64)
    """
    lev = as_leverage(lev)
    if half_space_order(lev.kernel) != 0 or lev.X.shape[1] != 2:
        raise ValueError(
            f"arcs need the NTK or ArcCosine(0) on data in the plane, got {lev.kernel!r} with d = "
            f"{lev.X.shape[1]}"
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
    """Return a grid of frequencies (Gaussian kernel, d = 1): edges (k + 1,), and q_lambda/p at the
    midpoints (k,).

    The grid spans ten standard deviations of p on each side. The midpoint sum of p times leverage
    times width converges faster than any power: p is Gaussian and the leverage is band-limited by
    the spread of the data. `cells` defaults to sixteen for each period 1 / (max x - min x) and for
    each standard deviation. Raises ValueError for another kernel or d. Cost: 2 n^2 for each cell.

    >>> import levlib as lv
    >>> lev = lv.RidgeLeverage(lv.Gaussian(1.0), [[0.0], [1.0]], lam=0.1)
    >>> edges, values = lv.leverage_grid(lev)
    >>> len(edges) - len(values)
    1
    """
    lev = as_leverage(lev)
    cells = None if cells is None else as_count(cells, "cells")
    if not isinstance(lev.kernel, Gaussian) or lev.X.shape[1] != 1:
        raise ValueError(
            f"the grid needs a Gaussian kernel on a line (d = 1), got {lev.kernel!r}, d = "
            f"{lev.X.shape[1]}"
        )
    reach = 10 * lev.kernel.frequency_scale
    if cells is None:
        periods = 2 * reach * float(lev.X.max() - lev.X.min())
        cells = math.ceil(16 * max(periods, 20.0))
    edges = torch.linspace(-reach, reach, cells + 1).to(lev.X)
    return edges, lev(((edges[1:] + edges[:-1]) / 2)[:, None])
