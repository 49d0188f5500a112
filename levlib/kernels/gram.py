"""How Gram matrices are filled: pairs checked at the door, blocks of rows, distances and angles
that do not cancel."""

from collections.abc import Callable

import torch
from torch import Tensor

from levlib.checks import as_points
from levlib.linalg import blocks

# On a processor a block and its temporaries stay in cache: larger blocks are slower, as each
# temporary is then paged in anew. On a GPU a block fills the device for longer than its launch.
BLOCK_BYTES = {"cpu": 2**23, "cuda": 2**28}


def as_pair(X, Z) -> tuple[Tensor, Tensor]:
    """Return X (n, d) and Z (k, d), checked; X itself in place of Z where Z is None."""
    X = as_points(X, "X")
    return (X, X) if Z is None else (X, as_points(Z, "Z", X.shape[1], like=X))


def by_rows(rule: Callable[[Tensor, Tensor], Tensor], X: Tensor, Z: Tensor) -> Tensor:
    """Return rule(X, Z), shape (n, k), computed a block of rows at a time, and half of it where Z
    is X.

    The rule must act on each pair of rows alone, and be symmetric where Z is X. Where autograd
    records, the rule is called once on the whole: its temporaries are kept for the backward pass
    anyway.
    """
    if rule(X[:1], Z[:1]).requires_grad:
        return rule(X, Z)
    K = X.new_empty(len(X), len(Z))
    for rows in blocks(len(X), len(Z) * X.element_size(), BLOCK_BYTES[X.device.type]):
        start = rows.start if Z is X else 0
        K[rows, start:] = rule(X[rows], Z[start:])
        if Z is X:
            K[rows.stop :, rows] = K[rows, rows.stop :].T
    return K


def distances(X: Tensor, Z: Tensor) -> Tensor:
    """Return |x_i - z_j|, shape (n, k), each to about 20 roundings however close the points.

    |x|^2 + |z|^2 - 2 x.z costs one matrix product, and cancels for close pairs: those are found
    again from their differences. Where they are many, or where autograd records, all are: n k d
    without a matrix product.
    """
    if not _recorded(X, Z):
        squares = X.square().sum(1)[:, None] + Z.square().sum(1)
        squared = torch.addmm(squares, X, Z.T, alpha=-2)
        # not >, rather than <=, so that an overflow to NaN counts as close
        i, j = (~(squared > 0.05 * squares)).nonzero(as_tuple=True)
        if _few(i, X, squared):
            squared[i, j] = (X[i] - Z[j]).square().sum(1)
            return squared.sqrt_()
    return _differences(X, Z)


def angles(X: Tensor, Z: Tensor) -> Tensor:
    """Return the angles between rows of length one, shape (n, k), radians, relatively accurate at 0
    and at pi.

    One matrix product gives the cosines; arccos would lose every angle under 1e-7, so the pairs
    that are close to parallel go by 2 atan2(|x - z|, |x + z|). Where they are many, or where
    autograd records, all do. A row of zeros is at pi / 2 from any other row.
    """
    if not _recorded(X, Z):
        cosine = X @ Z.T
        i, j = (cosine.abs() > 0.95).nonzero(as_tuple=True)
        if _few(i, X, cosine):
            theta = cosine.acos_()
            theta[i, j] = 2 * torch.atan2((X[i] - Z[j]).norm(dim=1), (X[i] + Z[j]).norm(dim=1))
            return theta
    return 2 * torch.atan2(_differences(X, Z), _differences(X, -Z))


def _differences(X: Tensor, Z: Tensor) -> Tensor:
    return torch.cdist(X, Z, compute_mode="donot_use_mm_for_euclid_dist")


def _recorded(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _few(pairs: Tensor, X: Tensor, block: Tensor) -> bool:
    # gathering a pair of rows costs about eight times what cdist does for it, and must hold no more
    # than a block may
    room = len(pairs) * X[0].nbytes <= BLOCK_BYTES[X.device.type]
    return room and 8 * len(pairs) <= block.numel()
