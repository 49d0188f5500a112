"""Ridge regression on features that are streamed, in chunks (Eq. 2 and the Woodbury identity)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from levlib.checks import as_labels, as_lambdas, as_tensor
from levlib.linalg import blocks, cholesky, solve_cholesky
from levlib.regression.exact import spectral_path

# The block of one product: rows that a float32 product sums before it is added in float64, and
# columns of a panel. Narrow panels save half of the products, and are too small for a GPU.
ROWS = 4096
PANEL = {"cpu": 192, "cuda": 4096}


class NormalEquations:
    """Ridge regression on features that arrive in chunks: Psi^T Psi, Psi^T Y, Y^T Y and n are all
    it keeps (Eq. 2).

    `update` takes a chunk, `merge` another accumulator, in any order; `solve(lam)` gives beta with
    (Psi^T Psi + lam I) beta = Psi^T Y, and predictions are Psi(z) beta. They are those of Eq. 1
    with K = Psi Psi^T, by the Woodbury identity.

    Sums over chunks are float64 (complex128 for complex features), since cond(Psi^T Psi) is
    cond(Psi)^2. A float32 chunk is multiplied in float32, 4096 rows at a time, and each product is
    added in float64: Psi^T Psi is then off by at most about 3e-7 of its norm, the size of the
    rounding of the features themselves; use a lam well above that, or convert the chunk. Raises
    ValueError where a chunk does not fit the ones before it. Cost: half of the k s^2 multiply-adds
    of Psi^T Psi for a chunk of k rows and s columns; s^3 / 3 for a solve; s^2 numbers of memory.

    >>> import levlib as lv
    >>> ne = lv.NormalEquations()
    >>> ne.update(torch.eye(2), [1.0, 2.0]).solve(1.0)
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self):
        self.n = 0
        self.gram = torch.zeros(0, 0)
        self.moment = torch.zeros(0)
        self.square = torch.zeros(())

    def update(self, Psi, Y) -> NormalEquations:
        """Add a chunk of features Psi (k, s) with labels Y (k,) or (k, t); return self.

        An update that is interrupted leaves the sums half done: merge chunks of their own where
        one may fail.
        """
        Psi = as_tensor(Psi, "Psi", 2).detach()
        Psi = Psi.to(torch.promote_types(Psi.dtype, torch.float32))
        Y = as_labels(Y, Psi, "Psi").detach()
        self._expect(
            (Psi.shape[1], *Y.shape[1:]), torch.promote_types(Psi.dtype, torch.float64), Psi.device
        )
        # on and above the diagonal, then mirrored: half of the products
        for columns in blocks(Psi.shape[1], 1, PANEL[Psi.device.type]):
            for rows in blocks(len(Psi), 1, ROWS):
                self.gram[columns, columns.start :] += (
                    Psi[rows, columns].mH @ Psi[rows, columns.start :]
                )
            self.gram[columns.stop :, columns] = self.gram[columns, columns.stop :].mH
        for rows in blocks(len(Psi), 1, ROWS):
            self.moment += Psi[rows].mH @ Y[rows]
        self.square += (Y.abs().double() ** 2).sum(0)
        self.n += len(Psi)
        return self

    def merge(self, other: NormalEquations) -> NormalEquations:
        """Add what another accumulator has seen; return self."""
        if not isinstance(other, NormalEquations):
            raise TypeError(f"other must be NormalEquations, got {type(other).__name__}")
        if other.n:
            self._expect(other.moment.shape, other.moment.dtype, other.moment.device)
            self.gram += other.gram
            self.moment += other.moment
            self.square += other.square
            self.n += other.n
        return self

    def solve(self, lam: float | Sequence[float]) -> Tensor:
        """Return beta of the rows seen so far, shape (s,) or (s, t); ValueError before the first of
        them.

        A sequence of l lambdas gives all their solutions, with l before the shape, from one
        eigendecomposition of Psi^T Psi: about 9 s^3, then s^2 for each lambda.
        """
        lams, one = as_lambdas(lam)
        if not self.n:
            raise ValueError("nothing to solve: call update with at least one chunk first")
        if not (torch.isfinite(self.gram.diagonal()).all() and torch.isfinite(self.moment).all()):
            raise ValueError(
                "Psi^T Psi or Psi^T Y overflowed; scale the features or the labels down"
            )
        if one:
            factor = cholesky(self.gram, f"Psi^T Psi + {lams[0]:g} I", ridge=lams[0])
            return solve_cholesky(factor, self.moment)
        return spectral_path(self.gram, self.moment, lams, "Psi^T Psi")[0]

    def _expect(self, shape, dtype, device) -> None:
        """Start the sums at zero for the first chunk; ValueError where a later one has another
        Psi^T Y."""
        if not self.n:
            self.gram = torch.zeros(shape[0], shape[0], dtype=dtype, device=device)
            self.moment = torch.zeros(shape, dtype=dtype, device=device)
            self.square = torch.zeros(shape[1:], dtype=torch.float64, device=device)
        elif (shape, dtype, device) != (self.moment.shape, self.moment.dtype, self.moment.device):
            raise ValueError(
                f"chunk does not fit: expected Psi^T Y of shape {tuple(self.moment.shape)}, "
                f"{self.moment.dtype} on {self.moment.device}, got {tuple(shape)}, {dtype} on "
                f"{device}"
            )
