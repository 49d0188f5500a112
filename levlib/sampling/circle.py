"""The leverage ratio along a great circle of weights, w cos t + v sin t, where it has a closed form
on every arc."""

import math

import numpy as np
import torch
from torch import Tensor

GROUPS = 8


def ratio_on_circles(A: Tensor, a: Tensor, b: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return the arcs of c circles and the ratio z^T A z on each: edges (c, n + 2) over half a
    turn, and coefficients.

    z_i = max(a_i cos t + b_i sin t, 0)^k with k = order, a = w.x_i and b = v.x_i of shape (c, n), A
    (n, n) symmetric. `coefficients` is (c, 2, 2k + 1, n + 1): the ratio at t is sum_l
    coefficients[:, 0, l] cos^{2k - l} t sin^l t on arc j, edges[j] <= t <= edges[j + 1], and
    coefficients[:, 1] give it at t + pi, where the other points are active.

    Cost: about 8 n^2 multiply-adds in GEMM and n^2 / 8 look-ups a circle for k = 0, k + 1 times as
    many for k > 0, against 2 n^3 for the ratio at each arc anew.
    """
    angle = torch.remainder(torch.atan2(b, a) + math.pi / 2, math.pi)
    switch = _argsort(angle)
    # the sign just before the switch, which for a switch at 0 is that of -b, whatever rounding has
    # made of a
    sign = torch.where(torch.where(angle > 0, a, -b) >= 0, 1.0, -1.0).to(a)[:, None]
    # y^k = sum_l E_l cos^{k - l} sin^l, and z = y^k (1 + sign) / 2
    E = torch.stack(
        [math.comb(order, p) * a ** (order - p) * b**p for p in range(order + 1)], dim=1
    )
    mixed, s = _product(E, E @ A), _take(sign, switch)
    balance = _running(sign, -2 * s)
    crossed = _running(sign * mixed, -2 * s * _take(mixed, switch))
    whole = _signed(A, E, sign, switch) + mixed.sum(-1, keepdim=True)
    ratio = torch.stack([whole + 2 * crossed, whole - 2 * crossed], dim=1).div_(4)
    nothing = torch.stack([balance == -len(A), balance == len(A)], dim=1)
    edges = torch.nn.functional.pad(angle.gather(1, switch), (1, 1))
    edges[:, -1] = math.pi
    return edges, ratio.masked_fill_(nothing, 0)


def circle_bytes(n: int, order: int) -> int:
    """The memory that `ratio_on_circles` takes for one circle."""
    return 8 * (20 * n * (order + 1) + 2 * (n // GROUPS + 1) ** 2)


def _signed(A: Tensor, E: Tensor, sign: Tensor, switch: Tensor) -> Tensor:
    """(sign E) A (sign E)^T on each arc, as the points of `switch`, one after the other, change
    sign.

    A change of sign i needs row i of A times sign E at that moment. The points are taken in groups:
    one matrix product gives all rows at the start of a group, and within it only the entries of A
    between its own points correct them.
    """
    start, jumps, sign, diagonal = None, [], sign.clone(), A.diagonal()[switch][:, None]
    step = -(-len(A) // GROUPS)
    for group, own in zip(switch.split(step, dim=1), diagonal.split(step, dim=2), strict=True):
        F = E * sign
        rows, f = F @ A, _take(F, group)
        start = _product(F, rows) if start is None else start
        earlier = (
            A.flatten().index_select(0, _pairs(group, len(A))).view(*group.shape, -1).tril_(-1)
        )
        h = _take(rows, group) - 2 * (earlier @ f.mT).mT
        jumps.append(4 * _product(f, own * f - h))
        sign.scatter_(2, group[:, None], -_take(sign, group))
    return _running(start, torch.cat(jumps, dim=-1))


def _argsort(angle: Tensor) -> Tensor:
    # NumPy sorts short rows four times as fast as torch does on a CPU
    on_cpu = angle.device.type == "cpu"
    return torch.from_numpy(np.argsort(angle.numpy(), axis=1)) if on_cpu else angle.argsort(1)


def _running(start: Tensor, jumps: Tensor) -> Tensor:
    return torch.cat([start.sum(-1, keepdim=True), jumps], dim=-1).cumsum(-1)


def _take(values: Tensor, group: Tensor) -> Tensor:
    return values.gather(2, group[:, None].expand(-1, values.shape[1], -1))


def _pairs(group: Tensor, n: int) -> Tensor:
    group = group.int() if n**2 < 2**31 else group  # half the traffic
    return (n * group[:, :, None] + group[:, None, :]).flatten()


def _product(x: Tensor, y: Tensor) -> Tensor:
    """The product of polynomials whose coefficients lie along dim 1."""
    if x.shape[1] == 1:
        return x * y
    out = x.new_zeros(len(x), x.shape[1] + y.shape[1] - 1, x.shape[2])
    for p in range(x.shape[1]):
        out[:, p : p + y.shape[1]] += x[:, p : p + 1] * y
    return out
