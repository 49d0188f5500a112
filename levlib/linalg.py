"""Linear algebra that says what went wrong: Cholesky factors, solves with them, and blocks that fit
a budget."""

from collections.abc import Iterator

import torch
from torch import Tensor


def cholesky(matrix: Tensor, what: str, ridge: float = 0.0) -> Tensor:
    """Return the lower Cholesky factor of a symmetric (n, n) matrix plus `ridge` I, or raise
    ValueError: nothing is jittered.

    Cost: n^3 / 3 multiply-adds, and the factor is the only n x n array that it makes.
    """
    # the matrix itself, stored by columns
    factor = matrix.conj().clone(memory_format=torch.contiguous_format).mT
    factor.diagonal().add_(ridge)
    if factor.requires_grad:
        factor, info = torch.linalg.cholesky_ex(factor)
    else:  # in place
        info = torch.empty(0, dtype=torch.int32, device=factor.device)
        torch.linalg.cholesky_ex(factor, out=(factor, info))
    if int(info):
        raise ValueError(
            f"{what} is not positive definite in {matrix.dtype} (leading minor {int(info)}); "
            "use float64 or a larger lam"
        )
    return factor


def solve_cholesky(factor: Tensor, Y: Tensor) -> Tensor:
    """Return (L L^H)^{-1} Y for a lower factor L (n, n) and Y (n,) or (n, k); unlike torch's, it
    makes no copy of L."""
    half = torch.linalg.solve_triangular(factor, Y.reshape(len(Y), -1), upper=False)
    return torch.linalg.solve_triangular(factor.mH, half, upper=True).reshape(Y.shape)


def blocks(count: int, bytes_each: int, budget: int) -> Iterator[slice]:
    """Cut range(count) into slices that need at most `budget` bytes each, and at least one item.

    >>> list(blocks(5, 8, 16))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, budget // max(1, bytes_each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
