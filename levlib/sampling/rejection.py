"""Rejection sampling of the leverage density: bounds of the leverage q_lambda/p, the true maximum
in two and three dimensions."""

import torch
from torch import Tensor

from levlib.draw import uniform
from levlib.kernels import Fourier
from levlib.leverage.exact import leverage_arcs
from levlib.leverage.forms import BLOCK_BYTES, HalfSpaces, Triangular
from levlib.leverage.ridge import RidgeLeverage, as_leverage
from levlib.linalg import blocks
from levlib.sampling.circle import circle_bytes, leverage_on_circles

SHORT = 1e-12


def rejection_bound(lev: RidgeLeverage) -> tuple[float, float]:
    """Return a bound of q_lambda/p over all weights, and s_lambda / bound: the acceptance rate of
    rejection sampling.

    For the NTK and ArcCosine(0) the bound is the true maximum in d = 2 (over the arcs) and d = 3
    (over the cells that the planes w.x_i = 0 cut from the sphere). In other dimensions it is the
    smaller of sum_ij max(A_ij, 0) and n times the largest eigenvalue of A, as r = z^T A z with z in
    {0, 1}^n. For Fourier features it is the smaller of sum_ij |(K + lam I)^{-1}_ij| and n over the
    least eigenvalue of K + lam I, at most n / lam. Those are valid, and loose: a small acceptance
    rate may be due to the bound alone.

    Raises ValueError for ArcCosine(1) and (2), whose leverage grows without bound with |w|, for a
    kernel without a known bound, and for a leverage with a pilot. Cost: n^2 for each of 2n arcs (d
    = 2) or 2n circles (d = 3), else n^3.

    >>> import levlib as lv
    >>> lv.rejection_bound(lv.RidgeLeverage(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], lam=0.5))
    (2.0, 0.5)
    """
    lev = as_leverage(lev)
    if lev.pilot is not None:
        raise ValueError(
            'a bound needs the exact leverage, got one with a pilot; use method="pool"'
        )
    if isinstance(lev.kernel, Fourier) and isinstance(lev.form, Triangular):
        bound = _fourier_bound(lev.form.inverse)
    elif isinstance(lev.form, HalfSpaces) and lev.form.order == 0:
        bound = _half_space_bound(lev, lev.form)
    else:
        grows = isinstance(lev.form, HalfSpaces)
        raise ValueError(
            f"the leverage of {lev.kernel!r} has no {'finite' if grows else 'known'} bound; "
            'use method="pool"'
        )
    if not bound > 0:
        raise ValueError(
            f"the leverage underflows in {lev.X.dtype}; use float64, or rescale X and lam"
        )
    return bound, lev.s_lam / bound


def accepted(
    lev: RidgeLeverage, m: int, budget: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return m weights drawn from p and kept with probability r(w) / bound, and r at them;
    ValueError over budget."""
    bound, acceptance = rejection_bound(lev)
    if m > acceptance * budget:
        instead = "gibbs" if isinstance(lev.form, HalfSpaces) else "pool"
        raise ValueError(
            f"the acceptance rate is {acceptance:.2g} (s_lambda / bound): {m} weights need about "
            f"{m / acceptance:.2g} "
            f'draws from the prior, over budget={budget}; raise it or use method="{instead}"'
        )
    kept = []
    have = 0
    drawn = 0
    while have < m:
        size = min(int(1.1 * (m - have) / acceptance) + 16, BLOCK_BYTES // 64)
        W = lev.kernel.sample(size, lev.X.shape[1], generator=generator).to(lev.X)
        leverage = lev(W)
        chosen = uniform(size, generator, W) * bound < leverage
        kept.append((W[chosen], leverage[chosen]))
        have += int(chosen.sum())
        drawn += size
        if have < m and acceptance * drawn > 10 * m + 1000:  # under 1e-100 for a right leverage
            raise ValueError(
                f"the leverage underflows in {W.dtype}; use float64, or rescale X and lam"
            )
    W, leverage = (torch.cat(part)[:m] for part in zip(*kept, strict=True))
    return W, leverage


def _fourier_bound(inverse: Tensor) -> float:
    return float(min(inverse.abs().sum(), len(inverse) * torch.linalg.eigvalsh(inverse)[-1]))


def _half_space_bound(lev: RidgeLeverage, form: HalfSpaces) -> float:
    d = lev.X.shape[1]
    if not len(form.X):
        raise ValueError("every row of X is zero: there is no leverage to sample from")
    if d == 2:
        return float(leverage_arcs(lev)[1].max())
    if d == 3:
        return _largest_cell(form)
    largest = torch.linalg.eigvalsh(form.A)[-1]
    return float(min(form.A.clamp(min=0).sum(), len(form.A) * largest))


def _largest_cell(form: HalfSpaces) -> float:
    """The largest leverage over the cells of the sphere: each has an edge on some circle w.x_i = 0,
    and is met there.

    Along that circle all points but x_i and its multiples switch as on any circle. They are held on
    one side over half a turn and on the other over the rest, then the other way round.
    """
    X = torch.nn.functional.normalize(form.X.double(), dim=1)
    largest = 0.0
    for block in blocks(len(X), circle_bytes(len(X)), BLOCK_BYTES):
        plane = torch.linalg.qr(X[block, :, None], mode="complete").Q
        a = plane[:, :, 1] @ X.T
        b = plane[:, :, 2] @ X.T
        multiple = torch.hypot(a, b) < 1e-14
        for side in (1.0, -1.0):
            held = side * (X[block] @ X.T).sign()
            edges, values = leverage_on_circles(
                form.A, a.where(~multiple, held), b.where(~multiple, 0.0)
            )
            # arcs between switches that only rounding sets apart are no cells
            real = edges.diff(dim=1)[:, None] > SHORT
            largest = max(largest, float(values.where(real, 0.0).max()))
    return largest
