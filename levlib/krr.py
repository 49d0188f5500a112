"""Kernel ridge regression, exact (Eq. 1) and by features that are streamed (Eq. 2 and the Woodbury identity)."""

from __future__ import annotations

import torch
from torch import Tensor

from levlib.door import as_positive, as_square, as_tensor, cholesky


def solve_krr(K, Y, lam: float) -> Tensor:
    """Return alpha with (K + lam I) alpha = Y, so that f(z) = K(z, X) alpha (Eq. 1).

    K is (n, n); Y is (n,) or (n, k) and alpha has its shape; lam > 0 is absolute, not scaled by n or the trace of K.
    Raises ValueError for wrong shapes, NaN, or where K + lam I is not positive definite. Cost: n^3 / 3.

    >>> import levlib as lv
    >>> lv.solve_krr(torch.eye(2), [1.0, 2.0], 1.0)
    tensor([0.5000, 1.0000])
    """
    K, lam = as_square(K, "K"), as_positive(lam, "lam")
    Y = as_tensor(Y, "Y", (1, 2), like=K)
    if len(Y) != len(K):
        raise ValueError(f"Y must have one row for each of the {len(K)} points of K, got {len(Y)}")
    L = cholesky(K + lam * torch.eye(len(K), dtype=K.dtype, device=K.device), f"K + {lam:g} I")
    return torch.cholesky_solve(Y.reshape(len(Y), -1), L).reshape(Y.shape)


class NormalEquations:
    """Ridge regression on features that arrive in chunks: Psi^T Psi, Psi^T Y, Y^T Y and n are all it keeps (Eq. 2).

    `update` takes a chunk, `merge` another accumulator, in any order; `solve(lam)` gives beta with
    (Psi^T Psi + lam I) beta = Psi^T Y, and predictions are Psi(z) beta. Sums are float64 (complex128 for complex
    features) even for float32 chunks, since cond(Psi^T Psi) is cond(Psi)^2. Raises ValueError where a chunk does not
    fit the ones before it. Cost: k s^2 for a chunk of k rows and s columns, s^3 / 3 for a solve, s^2 numbers of memory.

    >>> import levlib as lv
    >>> ne = lv.NormalEquations()
    >>> ne.update(torch.eye(2), [1.0, 2.0]).solve(1.0)
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self):
        self.n, self.gram, self.moment, self.square = 0, None, None, None

    def update(self, Psi, Y) -> NormalEquations:
        """Add a chunk of features Psi (k, s) with labels Y (k,) or (k, t); return self."""
        Psi = as_tensor(Psi, "Psi", 2)
        Y = as_tensor(Y, "Y", (1, 2), like=Psi)
        if len(Psi) != len(Y):
            raise ValueError(f"Psi and Y must have as many rows, got {len(Psi)} and {len(Y)}")
        Psi = Psi.to(torch.complex128 if Psi.is_complex() else torch.float64)
        Y = Y.to(Psi.dtype)
        return self._add(len(Y), Psi.mH @ Psi, Psi.mH @ Y, (Y.abs() ** 2).sum(0))

    def merge(self, other: NormalEquations) -> NormalEquations:
        """Add what another accumulator has seen; return self."""
        if not isinstance(other, NormalEquations):
            raise TypeError(f"other must be NormalEquations, got {type(other).__name__}")
        return self if other.n == 0 else self._add(other.n, other.gram, other.moment, other.square)

    def solve(self, lam: float) -> Tensor:
        """Return beta, shape (s,) or (s, t), of the rows seen so far; ValueError before the first of them."""
        lam = as_positive(lam, "lam")
        if self.n == 0:
            raise ValueError("nothing to solve: call update with at least one chunk first")
        L = cholesky(
            self.gram + lam * torch.eye(len(self.gram), dtype=self.gram.dtype, device=self.gram.device),
            f"Psi^T Psi + {lam:g} I",
        )
        return torch.cholesky_solve(self.moment.reshape(len(L), -1), L).reshape(self.moment.shape)

    def _add(self, n, gram, moment, square) -> NormalEquations:
        if self.n == 0:
            self.n, self.gram, self.moment, self.square = n, gram.clone(), moment.clone(), square.clone()
            return self
        if moment.shape != self.moment.shape or gram.dtype != self.gram.dtype or gram.device != self.gram.device:
            raise ValueError(
                f"chunk does not fit: expected Psi^T Y of shape {tuple(self.moment.shape)}, {self.gram.dtype} on "
                f"{self.gram.device}, got {tuple(moment.shape)}, {gram.dtype} on {gram.device}"
            )
        self.n += n
        self.gram += gram
        self.moment += moment
        self.square += square
        return self
