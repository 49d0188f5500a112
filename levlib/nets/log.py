"""What a training run writes down as it goes, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from levlib.linalg import blocks
from levlib.nets.net import Net
from levlib.nets.run import Run

MOVEMENT_BYTES = 2**26


@dataclass(frozen=True)
class Plan:
    """How a run goes: the steps and their size, the penalty on the weights and its factor, the
    smallest eigenvalue of H(0) that is not zero, and its null directions, (n, k)."""

    lr: float
    steps: int
    lam: float
    ridge: float
    penalty: str
    Lambda_0: float
    null: Tensor

    def slowest(self, predictions: Tensor) -> float:
        """Return the smallest eigenvalue of H(0) along a direction that the predictions (k, n) of a
        run ever have: 0 if one of them lies in a null direction, beyond rounding."""
        u = predictions.double()
        least = torch.finfo(predictions.dtype).eps ** 0.5 * float(u.abs().max())
        excited = bool(((u @ self.null).abs() > least).any())
        return 0.0 if excited else self.Lambda_0


class Log:
    """The records of a run as it goes, and the weights that it started from."""

    def __init__(self, net: Net, X: Tensor, X_test: Tensor | None, kernels: bool | str):
        self.net = net
        self.X = X
        self.X_test = X_test
        self.kernels = kernels
        self.masks: Tensor | None = None  # summed over the steps since the last record
        self.seen = 0
        self.start = [W.clone() for W in net.weights]
        self.records: list[dict[str, Tensor]] = []

    def add(self, step: int, u: Tensor, data_loss: Tensor, plan: Plan) -> None:
        """Record the net as it is after `step` steps, where it predicts u."""
        movement, distance, norm = (u.new_tensor(value) for value in self._moved())
        weight = norm if plan.penalty == "origin" else distance
        record = {
            "times": u.new_tensor(step * plan.lr),
            "predictions": u,
            "loss": data_loss + plan.ridge / 2 * weight**2,
            "movement": movement,
            "distance": distance,
            "norm": norm,
        }
        if self.kernels:
            record["kernels"] = self._kernel()
        if self.X_test is not None:
            record["test_predictions"] = self.net(self.X_test)
        self.records.append(record)

    def see(self) -> None:
        """Add the masks of this step to those since the last record."""
        if self.kernels == "averaged":
            masks = self.net.masks(self.X)  # type: ignore[attr-defined]  # `as_kernels` has seen it
            self.masks = masks if self.masks is None else self.masks.add_(masks)
            self.seen += 1

    def _kernel(self) -> Tensor:
        if self.masks is None:
            return self.net.dynamic_kernel(self.X)
        averaged = self.masks.div_(self.seen)
        self.masks, self.seen = None, 0
        return self.net.kernel_of(averaged, self.X)  # type: ignore[attr-defined]

    def result(self, plan: Plan, stopped: str | None) -> Run:
        """Return the run, with None for what was not asked for."""
        stacked: dict[str, Any] = {"kernels": None, "test_predictions": None}
        for name in self.records[0]:
            stacked[name] = torch.stack([record[name] for record in self.records])
        return Run(
            **stacked,
            lr=plan.lr,
            lam=plan.lam,
            kappa=self.net.kappa,
            penalty=plan.penalty,
            Lambda_0=plan.slowest(stacked["predictions"]),
            stopped=stopped,
        )

    def _moved(self) -> tuple[float, float, float]:
        largest = moved = norm = 0.0
        for W, W_0 in zip(self.net.weights, self.start, strict=True):
            for rows in blocks(len(W), W.shape[1] * W.element_size(), MOVEMENT_BYTES):
                squares = (W[rows] - W_0[rows]).square_().sum(1)
                largest = max(largest, float(squares.max()))
                moved += float(squares.sum())
                norm += float(W[rows].square().sum())
        return largest**0.5, moved**0.5, norm**0.5
