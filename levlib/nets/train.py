"""Full-batch gradient descent on the regularized loss of a net, recorded along the flow time."""

from __future__ import annotations

import math
import warnings
from functools import partial

import numpy as np
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
from levlib.nets.log import Log, Plan
from levlib.nets.net import Net, as_net
from levlib.nets.run import Run

PROGRESS_DELAY = 2  # seconds: a run that is over before then shows no bar


@torch.no_grad()
def train(
    net: Net,
    X,
    Y,
    lam: float,
    *,
    time: float | None = None,
    steps: int | None = None,
    lr: float | None = None,
    penalty: str = "origin",
    record=None,
    kernels: bool | str = False,
    X_test=None,
    progress: bool = True,
) -> Run:
    """Train a net in place on |Y - u|^2 / 2 + lam |W|^2 / 2 by full-batch gradient descent; return
    its run. The loss is Eq. 6 for the net of Definition 3.5, and Eq. 10 for that of Definition 3.8;
    Theorem 3.6, Theorem 3.7 and Theorem 3.9 say where the run ends, Lemma 4.1 how far it moves.

    - `net`: a TwoLayerNet, a DeepNet or your own, with the members of `levlib.nets.net.Net`.
    - `X`: (n, d), the points.
    - `Y`: (n,), their labels.
    - `lam`: > 0; with penalty "origin" a net of L trained layers gets lam / L (Remark 4.2).
    - `time`: the flow time T = steps x lr; give it or `steps`.
    - `steps`: the number of steps; give it or `time`.
    - `lr`: the step, 1 / (1.1 kappa^2 lmax + lam) if not given, with lmax the largest eigenvalue of
      H(0); for a given time it is shortened so that whole steps end there.
    - `penalty`: "origin" for |W|^2, "init" for |W - W(0)|^2 in its place.
    - `record`: a number of intervals, or flow times, at which the run is recorded beside its start
      and its end.
    - `kernels`: True where each record shall hold H(t); "averaged" (a TwoLayerNet) for the kernel
      with each mask averaged over the steps since the last record, with which Eq. 13, 14 and 16
      hold also where units slide along kinks.
    - `X_test`: (k, d), points whose predictions each record holds.
    - `progress`: whether a run of more than two seconds shows a bar.

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
    net = as_net(net)
    X = as_points(X, "X", net.d, like=net.weights[0])
    Y = as_vector(Y, "Y", len(X), like=X)
    lam = as_number(lam, "lam", above=0)
    penalty = as_penalty(penalty)
    X_test = None if X_test is None else as_points(X_test, "X_test", net.d, like=X)
    goal = _as_goal(time, steps, lr)
    record = _as_record(record)
    plan = _plan(net, X, lam, penalty, **goal)
    marks = _marks(record, plan)
    log = Log(net, X, X_test, _as_kernels(kernels, net))
    return log.result(plan, _descend(log, Y, plan, marks, progress))


def _descend(log: Log, Y: Tensor, plan: Plan, marks: set[int], progress) -> str | None:
    """Take the steps; return why the run stopped before its end, or None."""
    net = log.net
    trusting = getattr(net.gradient, "trusting", None)
    gradient = partial(trusting, net) if trusting else net.gradient
    silent = {} if progress else {"disable": True}  # a given False would overrule TQDM_DISABLE
    with tqdm(total=plan.steps, delay=PROGRESS_DELAY, unit="step", **silent) as bar:
        for step in range(plan.steps + 1):
            u, gradients = gradient(log.X, Y)
            loss = (Y - u).square().sum() / 2
            if not torch.isfinite(loss):
                t = step * plan.lr
                stopped = f"the loss is not finite at step {step} of {plan.steps} (t = {t:g})"
                warnings.warn(
                    f"{stopped}: the run ends there; take a smaller lr, or float64", stacklevel=3
                )
                return stopped
            log.see()
            if step in marks:
                log.add(step, u, loss, plan)
            if step < plan.steps:
                _step(net.weights, log.start, gradients, plan)
                bar.update()
    return None


def _step(weights, start, gradients, plan: Plan) -> None:
    for W, W_0, G in zip(weights, start, gradients, strict=True):
        W.mul_(1 - plan.lr * plan.ridge).add_(G, alpha=-plan.lr)
        if plan.penalty == "init":
            W.add_(W_0, alpha=plan.lr * plan.ridge)


def _as_kernels(kernels, net: Net) -> bool | str:
    if isinstance(kernels, str) and kernels != "averaged":
        raise ValueError(f'kernels must be True, False or "averaged", got {kernels!r}')
    if kernels == "averaged" and not (hasattr(net, "masks") and hasattr(net, "kernel_of")):
        raise ValueError('kernels="averaged" needs a net with the methods masks and kernel_of')
    return kernels if isinstance(kernels, str) else bool(kernels)


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


def _as_record(record) -> int | list[float]:
    """Return the number of intervals, 1 if not given, or the flow times."""
    if record is None:
        return 1
    if isinstance(record, int | np.integer):
        return as_count(record, "record")
    return as_tensor(record, "record", 1).tolist()


def _plan(
    net: Net,
    X: Tensor,
    lam: float,
    penalty: str,
    time: float | None,
    steps: int | None,
    lr: float | None,
) -> Plan:
    # Remark 4.2: <grad f, W> = L f, so that |W|^2 pulls f back L times as fast
    ridge = lam / net.layers if penalty == "origin" else lam
    values, vectors = torch.linalg.eigh(net.dynamic_kernel(X).double())
    # for the NTK v'Hv = 0 means v'f = 0 at every W, so that v sets no pace; for the H(0) of a
    # narrow net it does not, and `Plan.slowest` looks after the run whether v was excited
    null = values <= len(X) * torch.finfo(X.dtype).eps * float(values[-1])
    lowest = 0.0 if bool(null.all()) else float(values[~null][0])
    highest = net.kappa**2 * float(values[-1])
    if lr is not None and lr * (highest + ridge) >= 2:
        raise ValueError(
            f"lr = {lr:g} is not stable: it must be under 2 / (kappa^2 lmax(H) + lam) = "
            f"{2 / (highest + ridge):g}"
        )
    lr = lr or 1 / (1.1 * highest + ridge)
    if time is not None:
        steps = max(1, math.ceil(time / lr * (1 - 1e-12)))
        lr = time / steps
    assert steps is not None  # as `_as_goal` has seen: one of the two is given
    return Plan(lr, steps, lam, ridge, penalty, lowest, vectors[:, null])


def _marks(record: int | list[float], plan: Plan) -> set[int]:
    """Return the steps to record: the nearest to each time asked for, the first and the last."""
    end = plan.lr * plan.steps
    if isinstance(record, int):
        return {round(plan.steps * k / record) for k in range(record + 1)}
    if min(record) < 0 or max(record) > end * (1 + 1e-9):
        raise ValueError(
            f"record must hold times from 0 to T = {end:g}, got {min(record):g} to {max(record):g}"
        )
    return {0, plan.steps, *(min(round(t / plan.lr), plan.steps) for t in record)}
