"""What a training run leaves behind: predictions, loss and movement at chosen times, and whether it converged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from levlib.door import blocks

MOVEMENT_BYTES = 2**26


@dataclass(frozen=True)
class Run:
    """A training run, recorded at `times` (k,) of the flow, the start and the end among them.

    `predictions` (k, n) is u_nn(t), `loss` (k,) the regularized loss; `movement` (k,) is max_r |w_r(t) - w_r(0)| over
    the rows of all weights, `distance` |W(t) - W(0)|_F, `norm` |W(t)|_F. `kernels` (k, n, n) holds H(t), and
    `test_predictions` (k, n_test) what the net says on X_test, or None where they were not asked for. `lr` is the step,
    `Lambda_0` the smallest eigenvalue of H(0), and `stopped` says at which step and why a run ended early, else None.
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
        """(kappa^2 Lambda_0 + lam) T, the exponent by which the slowest part of the error has decayed: 5 is enough."""
        return (self.kappa**2 * self.Lambda_0 + self.lam) * float(self.times[-1])

    @property
    def converged(self) -> bool:
        """Whether the run went to its end, and `convergence` is at least 5."""
        return self.stopped is None and self.convergence >= 5

    def kernel_at(self, t: float) -> Tensor:
        """Return H(t), linear between the recorded ones, for `moving_flow`; ValueError where there are none."""
        if self.kernels is None:
            raise ValueError("the run holds no dynamic kernels: train with kernels=True")
        t = as_time(t)
        after = min(max(1, int(torch.searchsorted(self.times, t))), len(self.times) - 1)
        share = (t - float(self.times[after - 1])) / float(self.times[after] - self.times[after - 1])
        return torch.lerp(self.kernels[after - 1], self.kernels[after], min(max(share, 0.0), 1.0))

    def __str__(self) -> str:
        state = self.stopped or ("converged" if self.converged else "not converged")
        exponent = f"(kappa^2 Lambda_0 + lam) T = {self.convergence:.3g}"
        return f"Run(T = {float(self.times[-1]):.4g}, loss = {float(self.loss[-1]):.4g}, {exponent}: {state})"


def as_time(t) -> float:
    """Return a time as a float; TypeError or ValueError where it is no finite number."""
    if isinstance(t, bool) or not isinstance(t, int | float | np.number):
        raise TypeError(f"t must be a number, got {type(t).__name__}")
    if not math.isfinite(t):
        raise ValueError(f"t must be finite, got {t}")
    return float(t)


class Log:
    """The records of a run as it goes, and the weights that it started from."""

    def __init__(self, net, X: Tensor, X_test: Tensor | None, kernels: bool):
        self.net, self.X, self.X_test, self.kernels = net, X, X_test, kernels
        self.start = [W.clone() for W in net.weights]
        self.records: dict[str, list[Tensor]] = {}

    def add(self, step: int, u: Tensor, data_loss: Tensor, plan) -> None:
        """Record the net as it is after `step` steps, where it predicts u."""
        movement, distance, norm = (u.new_tensor(value) for value in self._moved())
        weight = norm if plan.penalty == "origin" else distance
        record = {
            "times": u.new_tensor(step * plan.lr),
            "predictions": u,
            "loss": data_loss + plan.ridge / 2 * weight**2,
        }
        record |= {"movement": movement, "distance": distance, "norm": norm}
        if self.kernels:
            record["kernels"] = self.net.dynamic_kernel(self.X)
        if self.X_test is not None:
            record["test_predictions"] = self.net(self.X_test)
        for name, value in record.items():
            self.records.setdefault(name, []).append(value)

    def arrays(self) -> dict[str, Tensor]:
        """Return all that a checkpoint needs beside the plan: the weights and the records, stacked."""
        weights = {f"weights_{layer}": W for layer, W in enumerate(self.net.weights)}
        return weights | {name: torch.stack(values) for name, values in self.records.items()}

    def restore(self, arrays: dict[str, Tensor]) -> None:
        """Put the net and the records back as `arrays` held them."""
        for layer, W in enumerate(self.net.weights):
            W.copy_(arrays.pop(f"weights_{layer}"))
        self.records = {name: list(values.to(self.X.device)) for name, values in arrays.items()}

    def run(self, plan, stopped: str | None) -> Run:
        """Return the run, with None for what was not asked for."""
        stacked = {name: torch.stack(self.records[name]) if name in self.records else None for name in _RECORDED}
        rest = {"lr": plan.lr, "lam": plan.lam, "penalty": plan.penalty, "Lambda_0": plan.Lambda_0}
        return Run(**stacked, **rest, kappa=self.net.kappa, stopped=stopped)

    def _moved(self) -> tuple[float, float, float]:
        largest, moved, norm = 0.0, 0.0, 0.0
        for W, W_0 in zip(self.net.weights, self.start, strict=True):
            for rows in blocks(len(W), W.shape[1] * W.element_size(), MOVEMENT_BYTES):
                squares = (W[rows] - W_0[rows]).square_().sum(1)
                largest, moved = max(largest, float(squares.max())), moved + float(squares.sum())
                norm += float(W[rows].square().sum())
        return largest**0.5, moved**0.5, norm**0.5


_RECORDED = ("times", "predictions", "loss", "movement", "distance", "norm", "kernels", "test_predictions")
