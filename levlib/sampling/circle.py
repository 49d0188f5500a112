"""The leverage of step units along a great circle of weights, w cos t + v sin t, where it is
constant on every arc."""

import math

import numpy as np
import torch
from torch import Tensor

GROUPS = 8


def leverage_on_circles(A: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the arcs of c circles and the leverage z^T A z on each: edges (c, n + 2) over half a
    turn, and values (c, 2, n + 1).

    z_i = 1[a_i cos t + b_i sin t >= 0], a = w.x_i and b = v.x_i of shape (c, n), A (n, n)
    symmetric. values[:, 0, j] is the leverage for edges[j] <= t <= edges[j + 1], and
    values[:, 1, j] is that at t + pi, where the other points are active.

    Cost: about 8 n^2 multiply-adds in GEMM and n^2 / 8 look-ups a circle, against 2 n^3 for the
    leverage at each arc anew.
    """
    angle = torch.remainder(torch.atan2(b, a) + math.pi / 2, math.pi)
    switch = _argsort(angle)
    # the sign just before the switch, which for a switch at 0 is that of -b, whatever rounding has
    # made of a
    sign = torch.where(torch.where(angle > 0, a, -b) >= 0, 1.0, -1.0).to(a)
    crossed = sign.gather(1, switch)
    row_sums = A.sum(0)
    balance = _running(sign, -2 * crossed)
    # with z = (1 + sign) / 2, 4 z^T A z is 1^T A 1 + 2 sign^T A 1 + sign^T A sign
    linear = _running(sign * row_sums, -2 * crossed * row_sums[switch])
    even = _quadratic(A, sign, switch) + row_sums.sum()
    values = torch.stack([even + 2 * linear, even - 2 * linear], dim=1).div_(4)
    nothing = torch.stack([balance == -len(A), balance == len(A)], dim=1)
    edges = torch.nn.functional.pad(angle.gather(1, switch), (1, 1))
    edges[:, -1] = math.pi
    return edges, values.masked_fill_(nothing, 0)


def circle_bytes(n: int) -> int:
    """The memory that `leverage_on_circles` takes for one circle."""
    return 8 * (20 * n + 2 * (n // GROUPS + 1) ** 2)


def _quadratic(A: Tensor, sign: Tensor, switch: Tensor) -> Tensor:
    """sign^T A sign on each arc, as the points of `switch`, one after the other, change sign.

    A change of sign i adds 4 (A_ii - sign_i (A sign)_i), with the signs of that moment. The points
    are taken in groups: one matrix product gives A sign at the start of a group, and within it only
    the entries of A between its own points correct it.
    """
    sign = sign.clone()
    diagonal = A.diagonal()
    steps: list[Tensor] = []
    for group in switch.split(-(-len(A) // GROUPS), dim=1):
        rows = sign @ A
        if not steps:
            steps.append((sign * rows).sum(1, keepdim=True))
        own = sign.gather(1, group)
        earlier = A.flatten().index_select(0, _pairs(group, len(A))).view(*group.shape, -1)
        turned = (earlier.tril_(-1) @ own[:, :, None])[:, :, 0]
        steps.append(4 * (diagonal[group] - own * (rows.gather(1, group) - 2 * turned)))
        sign.scatter_(1, group, -own)
    return torch.cat(steps, dim=1).cumsum(1)


def _argsort(angle: Tensor) -> Tensor:
    # NumPy sorts short rows four times as fast as torch does on a CPU
    on_cpu = angle.device.type == "cpu"
    return torch.from_numpy(np.argsort(angle.numpy(), axis=1)) if on_cpu else angle.argsort(1)


def _running(start: Tensor, jumps: Tensor) -> Tensor:
    return torch.cat([start.sum(1, keepdim=True), jumps], dim=1).cumsum(1)


def _pairs(group: Tensor, n: int) -> Tensor:
    group = group.int() if n**2 < 2**31 else group  # half the traffic
    return (n * group[:, :, None] + group[:, None, :]).flatten()
