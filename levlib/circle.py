"""The leverage ratio along a great circle of weights, w cos t + v sin t, where it has a closed form on every arc."""

import math

import numpy as np
import torch
from torch import Tensor

GROUPS = 8


def ratio_on_circles(A: Tensor, a: Tensor, b: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return the arcs of c circles and the ratio z^T A z on each: edges (c, n + 2) over half a turn, and coefficients.

    z_i = max(a_i cos t + b_i sin t, 0)^k with k = order, a = w.x_i and b = v.x_i of shape (c, n), A (n, n) symmetric.
    `coefficients` is (c, 2, 2k + 1, n + 1): the ratio at t is sum_l coefficients[:, 0, l] cos^{2k - l} t sin^l t on arc
    j, edges[j] <= t <= edges[j + 1], and coefficients[:, 1] give it at t + pi.

    Each z_i switches once in half a turn, and the switch changes the quadratic form by two rows of A. The rows are
    taken in groups: one matrix product gives A z at the start of a group, and inside it only the group's own entries of
    A correct it. Cost: about 8 n^2 multiply-adds in GEMM and n^2 / 8 look-ups a circle for k = 0, k + 1 times as many
    for k > 0, against 2 n^3 for the ratio at each arc anew.
    """
    angle = torch.remainder(torch.atan2(b, a) + math.pi / 2, math.pi)
    switch = _argsort(angle)
    sign = (a >= 0).to(a.dtype).mul_(2).sub_(1)
    # y^k = sum_l E_l cos^{k - l} sin^l, and z = (1 + sign) / 2 y^k
    E = torch.stack([math.comb(order, p) * a ** (order - p) * b**p for p in range(order + 1)], dim=1)
    linear = _product(E, E @ A)
    signed = [_product(E * sign[:, None], (E * sign[:, None]) @ A).sum(-1, keepdim=True)]
    crossed = [(linear * sign[:, None]).sum(-1, keepdim=True)]
    for group in switch.split(-(-a.shape[1] // GROUPS), dim=1):
        F = E * sign[:, None]
        f, s = _take(F, group), _take(sign[:, None], group)
        inner = A.flatten().index_select(0, _pairs(group, len(A)).flatten()).view(*group.shape, -1)
        h = _take(F @ A, group) - 2 * (inner.tril(-1) @ f.mT).mT
        signed.append(4 * (inner.diagonal(dim1=1, dim2=2)[:, None] * _product(f, f) - _product(f, h)))
        crossed.append(-2 * s * _take(linear, group))
        sign.scatter_(1, group, -s[:, 0])
    signed, crossed = torch.cat(signed, -1).cumsum(-1), torch.cat(crossed, -1).cumsum(-1)
    both = linear.sum(-1, keepdim=True) + signed
    edges = torch.nn.functional.pad(angle.gather(1, switch), (1, 1))
    edges[:, -1] = math.pi
    return edges, torch.stack([both + 2 * crossed, both - 2 * crossed], dim=1).div_(4)


def _argsort(angle: Tensor) -> Tensor:
    # NumPy's sort of short rows is four times as fast as torch's
    return angle.argsort(1) if angle.is_cuda else torch.from_numpy(np.argsort(angle.numpy(), axis=1))


def _take(values: Tensor, group: Tensor) -> Tensor:
    return values.gather(2, group[:, None].expand(-1, values.shape[1], -1))


def _pairs(group: Tensor, n: int) -> Tensor:
    group = group.int()
    return n * group[:, :, None] + group[:, None, :]


def _product(x: Tensor, y: Tensor) -> Tensor:
    """The product of polynomials with coefficients along dim 1."""
    if x.shape[1] == 1:
        return x * y
    out = x.new_zeros(len(x), x.shape[1] + y.shape[1] - 1, x.shape[2])
    for p in range(x.shape[1]):
        out[:, p : p + y.shape[1]] += x[:, p : p + 1] * y
    return out
