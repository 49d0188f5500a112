"""What a training run leaves behind: predictions, loss and movement at chosen times, and whether it
converged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from levlib.checks import as_number


@dataclass(frozen=True)
class Run:
    """A training run, recorded at `times` (k,) of the flow (Eq. 16), the start and the end among
    them.

    `predictions` (k, n) is u_nn(t), `loss` (k,) the regularized loss; `movement` (k,) is max_r
    |w_r(t) - w_r(0)| over the rows of all weights, `distance` |W(t) - W(0)|_F, `norm` |W(t)|_F.
    `kernels` (k, n, n) holds H(t), or the kernel of averaged masks, and `test_predictions`
    (k, n_test) what the net says on X_test, or None where they were not asked for. `lr` is the
    step. `Lambda_0` is the smallest eigenvalue of H(0) that is not zero (up to n eps lmax), since
    a null direction of the NTK is never excited: v'Hv = 0 implies v'f(W) = 0 for all W. A net with
    fewer weights than points has other null directions; if a recorded prediction lies in one,
    `Lambda_0` is 0. `stopped` says at which step and why a run ended early, else None.
    """

    times: Tensor
    predictions: Tensor
    loss: Tensor
    movement: Tensor
    distance: Tensor
    norm: Tensor
    kernels: Tensor | None
    test_predictions: Tensor | None
    lr: float
    lam: float
    kappa: float
    penalty: str
    Lambda_0: float
    stopped: str | None

    @property
    def convergence(self) -> float:
        """(kappa^2 Lambda_0 + lam) T, the exponent by which the slowest part of the error has
        decayed: 5 is enough."""
        return (self.kappa**2 * self.Lambda_0 + self.lam) * float(self.times[-1])

    @property
    def converged(self) -> bool:
        """Whether the run went to its end, and `convergence` is at least 5."""
        return self.stopped is None and self.convergence >= 5

    def kernel_at(self, t: float) -> Tensor:
        """Return H(t), linear between the recorded ones, for `moving_flow`; ValueError where there
        are none."""
        if self.kernels is None:
            raise ValueError("the run holds no dynamic kernels: train with kernels=True")
        t = as_number(t, "t")
        after = min(max(1, int(torch.searchsorted(self.times, t))), len(self.times) - 1)
        share = (t - float(self.times[after - 1])) / float(
            self.times[after] - self.times[after - 1]
        )
        return torch.lerp(self.kernels[after - 1], self.kernels[after], min(max(share, 0.0), 1.0))

    def __str__(self) -> str:
        state = self.stopped or ("converged" if self.converged else "not converged")
        exponent = f"(kappa^2 Lambda_0 + lam) T = {self.convergence:.3g}"
        T = self.times[-1].item()
        loss = self.loss[-1].item()
        return f"Run(T = {T:.4g}, loss = {loss:.4g}, {exponent}: {state})"
