"""Full-batch gradient descent on the regularized loss of a net (Eq. 6, 10), recorded along the flow
time."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from levlib.checks import (
    as_count,
    as_number,
    as_penalty,
    as_points,
    as_tensor,
    as_vector,
)
from levlib.linalg import blocks
from levlib.nets.checkpoint import Checkpoint
from levlib.nets.deep import DeepNet
from levlib.nets.run import Run
from levlib.nets.two_layer import TwoLayerNet

PROGRESS_DELAY = 2  # seconds: a run that is over before then shows no bar
MOVEMENT_BYTES = 2**26
_RECORDED = (
    "times",
    "predictions",
    "loss",
    "movement",
    "distance",
    "norm",
    "kernels",
    "test_predictions",
)


@dataclass(frozen=True)
class Plan:
    """How a run goes: the steps and their size, the penalty on the weights, and the smallest
    eigenvalue of H(0)."""

    lr: float
    steps: int
    lam: float
    ridge: float
    penalty: str
    Lambda_0: float


class Log:
    """The records of a run as it goes, and the weights that it started from."""

    def __init__(self, net, X: Tensor, X_test: Tensor | None, kernels: bool):
        self.net, self.X, self.X_test, self.kernels = net, X, X_test, kernels
        self.start = [W.clone() for W in net.weights]
        self.records: dict[str, list[Tensor]] = {}

    def add(self, step: int, u: Tensor, data_loss: Tensor, plan: Plan) -> None:
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
        """Return all that a checkpoint needs beside the plan: the weights and the records,
        stacked."""
        weights = {f"weights_{layer}": W for layer, W in enumerate(self.net.weights)}
        return weights | {name: torch.stack(values) for name, values in self.records.items()}

    def restore(self, arrays: dict[str, Tensor]) -> None:
        """Put the net and the records back as `arrays` held them."""
        for layer, W in enumerate(self.net.weights):
            W.copy_(arrays.pop(f"weights_{layer}"))
        self.records = {name: list(values.to(self.X.device)) for name, values in arrays.items()}

    def result(self, plan: Plan, stopped: str | None) -> Run:
        """Return the run, with None for what was not asked for."""
        stacked = {
            name: torch.stack(self.records[name]) if name in self.records else None
            for name in _RECORDED
        }
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


@torch.no_grad()
def train(
    net,
    X,
    Y,
    lam: float,
    *,
    time: float | None = None,
    steps: int | None = None,
    lr: float | None = None,
    penalty: str = "origin",
    record=None,
    kernels: bool = False,
    X_test=None,
    checkpoint=None,
    checkpoint_every: float = 60.0,
    progress: bool = True,
) -> Run:
    """Train a net in place on |Y - u|^2 / 2 + lam |W|^2 / 2 by full-batch gradient descent (Eq. 6,
    10); return its run.

    X is (n, d), Y is (n,), lam > 0. Give the flow time T (`time`) or the number of `steps`; T =
    steps x lr. The step `lr` defaults to 1 / (1.1 kappa^2 lmax + lam), with lmax the largest
    eigenvalue of H(0); for a given time it is shortened so that whole steps end there. `penalty`
    "init" puts |W - W(0)|^2 in place of |W|^2; with "origin" a net of L trained layers gets lam / L
    (Remark 4.2).

    The run is recorded at the start and the end, and at `record`: a number of intervals, or flow
    times. `kernels` adds H(t), and `X_test` (k, d) test predictions, to each record. With
    `checkpoint`, a path, the state is written there every `checkpoint_every` seconds and at the
    end; the same call on the same start goes on from it, to the same bits.

    Raises ValueError before work starts for bad data or for a step that is not stable, lr (kappa^2
    lmax + lam) >= 2. A loss that is not finite ends the run with a warning that names the step;
    what was recorded is kept. Cost: n^2 m + n^3 once, one gradient a step; memory does not grow
    with the number of steps. Source: Du et al. 2019.

    >>> import levlib as lv
    >>> g, X = torch.Generator().manual_seed(0), torch.eye(2, dtype=torch.float64)
    >>> net = lv.TwoLayerNet.from_draw(lv.sample_prior(lv.NTK(), 4096, 2, generator=g), generator=g)
    >>> run = lv.train(net, X, [1.0, 2.0], 0.01, time=12)
    >>> run.converged, run.times
    (True, tensor([ 0., 12.], dtype=torch.float64))
    """
    if not isinstance(net, TwoLayerNet | DeepNet):
        raise TypeError(f"net must be a TwoLayerNet or a DeepNet, got {type(net).__name__}")
    X = as_points(X, "X", net.d, like=net.weights[0])
    Y, lam, penalty = (
        as_vector(Y, "Y", len(X), like=X),
        as_number(lam, "lam", above=0),
        as_penalty(penalty),
    )
    X_test = None if X_test is None else as_points(X_test, "X_test", net.d, like=X)
    goal = _as_goal(time, steps, lr)
    if record is not None:
        record = (
            as_count(record, "record")
            if isinstance(record, int)
            else as_tensor(record, "record", 1).tolist()
        )
    every = as_number(checkpoint_every, "checkpoint_every", least=0)
    log = Log(net, X, X_test, bool(kernels))
    file, first, found = None, 0, None
    if checkpoint is not None:
        data = [*net.weights, *net.constants, X, Y, *([] if X_test is None else [X_test])]
        settings = [lam, penalty, goal, record, bool(kernels), net.kappa, net.layers]
        file = Checkpoint(checkpoint, every, data, settings)
        found = file.load()
    # A run that goes on takes its plan from the file: eigenvalues differ in the last bits under
    # more threads.
    plan = Plan(**found[1]["plan"]) if found else _plan(net, X, lam, penalty, **goal)
    marks = _marks(record, plan)
    if found:
        log.restore(found[0])
        first = found[1]["next"]
    return log.result(plan, _descend(net, X, Y, plan, log, marks, first, file, progress))


def _descend(
    net, X: Tensor, Y: Tensor, plan: Plan, log: Log, marks: set[int], first: int, file, progress
) -> str | None:
    """Take the steps from `first` on; return why the run stopped before its end, or None."""
    silent = {} if progress else {"disable": True}  # a given False would overrule TQDM_DISABLE
    with tqdm(total=plan.steps, initial=first, delay=PROGRESS_DELAY, unit="step", **silent) as bar:
        for step in range(first, plan.steps + 1):
            u, gradients = net.gradient(X, Y)
            loss = (Y - u).square().sum() / 2
            if not torch.isfinite(loss):
                t = step * plan.lr
                stopped = f"the loss is not finite at step {step} of {plan.steps} (t = {t:g})"
                warnings.warn(
                    f"{stopped}: the run ends there; take a smaller lr, or float64", stacklevel=3
                )
                return stopped
            if step in marks:
                log.add(step, u, loss, plan)
            if step < plan.steps:
                for W, W_0, G in zip(net.weights, log.start, gradients, strict=True):
                    W.mul_(1 - plan.lr * plan.ridge).add_(G, alpha=-plan.lr)
                    if plan.penalty == "init":
                        W.add_(W_0, alpha=plan.lr * plan.ridge)
                bar.update()
            if file and (file.due or step == plan.steps):
                file.save(log.arrays(), {"next": step + 1, "plan": asdict(plan)})
    return None


def _as_goal(time, steps, lr) -> dict:
    if (time is None) == (steps is None):
        raise ValueError(
            "give either the flow time (time=) or the number of steps (steps=), not both"
        )
    return {
        "time": None if time is None else as_number(time, "time", above=0),
        "steps": None if steps is None else as_count(steps, "steps"),
        "lr": None if lr is None else as_number(lr, "lr", above=0),
    }


def _plan(
    net,
    X: Tensor,
    lam: float,
    penalty: str,
    time: float | None,
    steps: int | None,
    lr: float | None,
) -> Plan:
    ridge = lam / net.layers if penalty == "origin" else lam
    values = torch.linalg.eigvalsh(net.dynamic_kernel(X).double())
    lowest, highest = max(float(values[0]), 0.0), net.kappa**2 * float(values[-1])
    if lr is not None and lr * (highest + ridge) >= 2:
        raise ValueError(
            f"lr = {lr:g} is not stable: it must be under 2 / (kappa^2 lmax(H) + lam) = "
            f"{2 / (highest + ridge):g}"
        )
    lr = lr or 1 / (1.1 * highest + ridge)
    if time is not None:
        steps = max(1, math.ceil(time / lr * (1 - 1e-12)))
        lr = time / steps
    return Plan(lr, steps, lam, ridge, penalty, lowest)


def _marks(record: int | list[float] | None, plan: Plan) -> set[int]:
    """Return the steps to record: the nearest to each time asked for, the first and the last."""
    end = plan.lr * plan.steps
    if record is None or isinstance(record, int):
        times = torch.linspace(0, end, (record or 1) + 1, dtype=torch.float64).tolist()
    elif 0 <= min(record) and max(record) <= end * (1 + 1e-9):
        times = record
    else:
        raise ValueError(
            f"record must hold times from 0 to T = {end:g}, got {min(record):g} to {max(record):g}"
        )
    return {0, plan.steps, *(min(round(t / plan.lr), plan.steps) for t in times)}
