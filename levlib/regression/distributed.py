"""Normal equations (Eq. 2) over many workers: each sums its chunks, and the sums are merged in a
tree (Dask)."""

from collections.abc import Callable, Sequence

from torch import Tensor

from levlib.linalg import blocks
from levlib.regression.normal_equations import NormalEquations

FAN_IN = 8  # sums that one task merges
ROWS = 1024  # rows whose features are held at once


def dask_normal_equations(features: Callable[..., Tensor], X, Y) -> NormalEquations:
    """Return the NormalEquations of features(X) and Y, summed where the chunks are and merged in a
    tree.

    X is a dask.array (n, d) and Y one (n,) or (n, k), which is cut along the rows as X is; or both
    are lists of as many chunks, dask.delayed or in memory. `features` maps a chunk of X to Psi,
    such as functools.partial(lv.modified_features, kernel, draw=draw): draw the weights once, so
    that all workers share them. It gets 1024 rows at a time, so that a chunk can be large: each
    makes one sum of s^2 numbers. It runs on the current dask.distributed Client if there is one.
    Tasks only make new sums and change none, so that a chunk that is lost with its worker is done
    again and counted once.

    Raises ImportError without Dask (the extra `dask`); TypeError or ValueError where X and Y do not
    go together; what the chunks raise comes through. Cost: that of `NormalEquations.update` for
    each chunk, and s^2 numbers over the network for each chunk but those that are merged where they
    are.

    >>> import torch, levlib as lv
    >>> X, Y = [[[1.0], [2.0]], [[3.0]]], [[1.0, 1.0], [1.0]]
    >>> lv.dask_normal_equations(torch.as_tensor, X, Y).gram
    tensor([[14.]], dtype=torch.float64)
    """
    try:
        import dask
    except ImportError as error:
        raise ImportError("dask_normal_equations needs Dask: pip install 'levlib[dask]'") from error
    if not callable(features):
        raise TypeError(
            f"features must be a function from a chunk of X to Psi, got {type(features).__name__}"
        )
    chunk = dask.delayed(_chunk)
    merge = dask.delayed(_merge)
    features = dask.delayed(features)
    parts = [chunk(features, rows, labels) for rows, labels in zip(*_chunks(X, Y), strict=True)]
    while len(parts) > 1:
        parts = [merge(parts[start : start + FAN_IN]) for start in range(0, len(parts), FAN_IN)]
    return parts[0].compute()


def _chunk(features, X, Y) -> NormalEquations:
    if len(X) != len(Y):
        raise ValueError(f"X and Y must have as many rows in each chunk, got {len(X)} and {len(Y)}")
    total = NormalEquations()
    for rows in blocks(len(X), 1, ROWS):
        total.update(features(X[rows]), Y[rows])
    return total


def _merge(parts: Sequence[NormalEquations]) -> NormalEquations:
    # into a new one: a worker may run this task twice, so its arguments must stay as they are
    total = NormalEquations()
    for part in parts:
        total.merge(part)
    return total


def _chunks(X, Y) -> tuple[list, list]:
    """Return the chunks of X and those of Y, delayed or in memory."""
    kinds = f"got {type(X).__name__} and {type(Y).__name__}"
    if hasattr(X, "to_delayed") and hasattr(Y, "to_delayed"):
        # unknown sizes are NaN: also unequal
        if X.ndim != 2 or Y.ndim not in (1, 2) or X.shape[0] != Y.shape[0]:
            raise ValueError(
                "X must be (n, d) and Y (n,) or (n, k), of known sizes (see "
                f"compute_chunk_sizes), got {X.shape} and {Y.shape}"
            )
        X = X.rechunk({1: -1})
        Y = Y.rechunk({0: X.chunks[0]} | {axis: -1 for axis in range(1, Y.ndim)})
        return list(X.to_delayed().ravel()), list(Y.to_delayed().ravel())
    if not isinstance(X, list | tuple) or not isinstance(Y, list | tuple):
        raise TypeError(f"X and Y must both be dask arrays or both lists of chunks, {kinds}")
    if not X or len(X) != len(Y):
        raise ValueError(
            f"X and Y must have as many chunks, at least one, got {len(X)} and {len(Y)}"
        )
    return list(X), list(Y)
