"""NTK ridge regression, the gradient flow towards it, and how far a net is from both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from levlib.checks import (
    as_labels,
    as_number,
    as_penalty,
    as_points,
    as_square,
    as_tensor,
    as_vector,
)
from levlib.linalg import cholesky, solve_cholesky
from levlib.nets.run import Run


def ntk_ridge(K, Y, lam: float, kappa: float = 1.0, K_test=None) -> Tensor:
    """Return u* = kappa^2 K (kappa^2 K + lam I)^{-1} Y, or u*_test if K_test is given: the
    predictors of Eq. 7, to which Theorem 3.6, Theorem 3.7 and Theorem 3.9 compare a net.

    - `K`: (n, n), the kernel of the training points.
    - `Y`: (n,), their labels.
    - `lam`, `kappa`: > 0.
    - `K_test`: (k, n), the kernel of test and training points.

    The result is (n,) or (k,). Raises ValueError for shapes that disagree, lam <= 0 or kappa <= 0.
    Cost: n^3 / 3.

    >>> import levlib as lv
    >>> lv.ntk_ridge(torch.eye(2), [1.0, 2.0], 1.0)
    tensor([0.5000, 1.0000])
    """
    K = as_square(K, "K")
    Y = as_labels(Y, K, "K")
    lam = as_number(lam, "lam", above=0)
    kappa = as_number(kappa, "kappa", above=0)
    rows = K if K_test is None else as_points(K_test, "K_test", len(K), like=K)
    return _ridge(K, Y, lam, kappa, rows)


def _ridge(K: Tensor, Y: Tensor, lam: float, kappa: float, rows: Tensor) -> Tensor:
    scaled = kappa**2 * K
    factor = cholesky(scaled, f"kappa^2 K + {lam:g} I", ridge=lam)
    return kappa**2 * (rows @ solve_cholesky(factor, Y))


class Flow(NamedTuple):
    """Predictions along a flow: times (k,), u (k, n) on the data, u_test (k, n_test) or None."""

    times: Tensor
    u: Tensor
    u_test: Tensor | None


class Problem(NamedTuple):
    """What a flow solves, checked: the arguments of `frozen_flow`."""

    K: Tensor
    Y: Tensor
    lam: float
    times: Tensor
    kappa: float
    u0: Tensor
    K_test: Tensor | None
    u0_test: Tensor | None


def frozen_flow(
    K,
    Y,
    lam: float,
    times,
    *,
    kappa: float = 1.0,
    u0=None,
    K_test=None,
    u0_test=None,
    penalty: str = "origin",
) -> Flow:
    """Return the flow of NTK ridge regression (Eq. 7) in closed form, on the data and on test
    points (Eq. 15): what the nets of Theorem 3.7 and Theorem 3.9 follow.

    du/dt = kappa^2 K (Y - u) - lam u, and du_test/dt = kappa^2 K_test (Y - u) - lam u_test.

    - `K`: (n, n), the kernel of the training points.
    - `Y`: (n,), their labels.
    - `lam`, `kappa`: > 0.
    - `times`: (t,) >= 0.
    - `u0`: (n,), the start u(0); 0 if not given.
    - `K_test`: (k, n), the kernel of test and training points.
    - `u0_test`: (k,), the start of u_test; 0 if not given.
    - `penalty`: "init" (lam |W - W(0)|^2) puts lam (u - u0) for lam u, and likewise for u_test.

    Raises ValueError for shapes that disagree, lam <= 0 or a negative time. Cost: the eigenvectors
    of K, about 9 n^3, then n^2 for each time.

    >>> import levlib as lv
    >>> lv.frozen_flow(torch.eye(2), [1.0, 2.0], 1.0, [0.0, 50.0]).u
    tensor([[0.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    given = as_problem(K, Y, lam, times, kappa, u0, K_test, u0_test)
    if as_penalty(penalty) == "origin":
        return _closed_form(*given)
    # u - u0 is the flow of the labels Y - u0 from 0
    rest = None if given.u0_test is None else torch.zeros_like(given.u0_test)
    moved = given._replace(Y=given.Y - given.u0, u0=torch.zeros_like(given.u0), u0_test=rest)
    flow = _closed_form(*moved)
    if given.u0_test is None or flow.u_test is None:
        return Flow(given.times, given.u0 + flow.u, None)
    return Flow(given.times, given.u0 + flow.u, given.u0_test + flow.u_test)


def _closed_form(K, Y, lam, times, kappa, u0, K_test, u0_test) -> Flow:
    values, V = torch.linalg.eigh(K)
    speed = kappa**2 * values.clamp(min=0)
    t = times[:, None]
    u_star, start, y = (V.T @ v for v in (_ridge(K, Y, lam, kappa, K), u0, Y))
    u = (u_star + torch.exp(-(speed + lam) * t) * (start - u_star)) @ V.T
    if K_test is None:
        return Flow(times, u, None)
    # int_0^t exp(-lam (t - s)) (Y - u(s)) ds, one number for each eigenvector and time; growth is
    # (1 - exp(-speed t)) / speed, which is t where the speed is 0
    decay = torch.exp(-lam * t)
    growth = -torch.expm1(-speed * t) / torch.where(speed > 0, speed, 1.0)
    growth = torch.where(speed * t > 0, growth, t)
    integral = -torch.expm1(-lam * t) * y / (speed + lam) - decay * growth * (start - u_star)
    return Flow(times, u, decay * u0_test + kappa**2 * (integral @ V.T) @ K_test.T)


def _start(value, name: str, length: int, like: Tensor) -> Tensor:
    if value is None:
        return torch.zeros(length, dtype=like.dtype, device=like.device)
    return as_vector(value, name, length, like)


def as_problem(K, Y, lam, times, kappa, u0, K_test, u0_test) -> Problem:
    """Return what a flow needs, checked; a start not given is 0."""
    K = as_square(K, "K")
    Y = as_vector(Y, "Y", len(K), K)
    lam = as_number(lam, "lam", above=0)
    times = as_tensor(times, "times", 1, like=K)
    if (times < 0).any():
        raise ValueError("times must not be negative")
    kappa = as_number(kappa, "kappa", above=0)
    u0 = _start(u0, "u0", len(K), K)
    if K_test is not None:
        K_test = as_points(K_test, "K_test", len(K), like=K)
        u0_test = _start(u0_test, "u0_test", len(K_test), K)
    elif u0_test is not None:
        raise ValueError("u0_test needs the kernel of test and training points: pass K_test")
    return Problem(K, Y, lam, times, kappa, u0, K_test, u0_test)


def error_rate(H_t, K, Y, u, lam: float, kappa: float = 1.0) -> tuple[float, float]:
    """Return the two terms of d|u - u*|^2 / dt, which Eq. 13 and Eq. 14 print without kappa^2.

    The first, -2 (u* - u)^T (kappa^2 H_t + lam I) (u* - u), drives the net to u* (Eq. 13); the
    second, 2 kappa^2 (u - u*)^T (H_t - K) (Y - u*), is the cost of H_t not being K (Eq. 14).

    - `H_t`: (n, n), the dynamic kernel.
    - `K`: (n, n), the kernel of u*.
    - `Y`: (n,), the labels.
    - `u`: (n,), the predictions.
    - `lam`, `kappa`: > 0.

    Raises ValueError for shapes that disagree. Cost: n^3 / 3.

    >>> import levlib as lv
    >>> lv.error_rate(torch.eye(1), torch.eye(1), [1.0], [0.0], 1.0)       # u* = 1/2
    (-1.0, 0.0)
    """
    K = as_square(K, "K")
    H_t = as_square(H_t, "H_t", like=K)
    Y = as_vector(Y, "Y", len(K), K)
    u = as_vector(u, "u", len(K), K)
    lam = as_number(lam, "lam", above=0)
    kappa = as_number(kappa, "kappa", above=0)
    if H_t.shape != K.shape:
        raise ValueError(f"H_t must have the shape of K, {tuple(K.shape)}, got {tuple(H_t.shape)}")
    u_star = _ridge(K, Y, lam, kappa, K)
    error = u - u_star
    drive = -2 * (kappa**2 * error @ H_t @ error + lam * error @ error)
    return float(drive), float(2 * kappa**2 * error @ (H_t - K) @ (Y - u_star))


class Perturbation(NamedTuple):
    """The three quantities of Lemma 4.1 at the recorded times of a run, each (k,), and the bound on
    the third."""

    movement: Tensor
    kernel_change: Tensor
    error: Tensor
    bound: Tensor


def lemma_4_1(run: Run, K, Y, epsilon: float = 0.0) -> Perturbation:
    """Return what Lemma 4.1 bounds, along a run recorded with `kernels=True`.

    `movement` is max_r |w_r(t) - w_r(0)|, `kernel_change` the spectral norm |H(t) - H(0)|, `error`
    |u(t) - u*|^2, and `bound` max(epsilon^2, exp(-(kappa^2 Lambda_0 + lam) t / 2) |u(0) - u*|^2),
    with Lambda_0 the smallest eigenvalue of K; the third claim is error <= bound. K is (n, n), Y is
    (n,), epsilon >= 0. Raises ValueError where the run holds no kernels. Cost: eigenvalues for each
    record.

    >>> import levlib as lv
    >>> g, X = torch.Generator().manual_seed(0), torch.eye(2, dtype=torch.float64)
    >>> net = lv.TwoLayerNet.from_draw(lv.sample_prior(lv.NTK(), 64, 2, generator=g), generator=g)
    >>> run = lv.train(net, X, [1.0, 2.0], 0.1, time=10, record=4, kernels=True)
    >>> lv.lemma_4_1(run, lv.NTK().gram(X), [1.0, 2.0]).movement[0]
    tensor(0., dtype=torch.float64)
    """
    if not isinstance(run, Run):
        raise TypeError(f"run must be what train returns, got {type(run).__name__}")
    if run.kernels is None:
        raise ValueError("the run holds no dynamic kernels: train with kernels=True")
    K = as_square(K, "K", like=run.kernels)
    Y = as_vector(Y, "Y", len(K), K)
    epsilon = as_number(epsilon, "epsilon", least=0)
    error = (run.predictions - _ridge(K, Y, run.lam, run.kappa, K)).square().sum(1)
    rate = run.kappa**2 * float(torch.linalg.eigvalsh(K)[0]) + run.lam
    bound = (torch.exp(-rate * run.times / 2) * error[0]).clamp(min=epsilon**2)
    change = torch.linalg.matrix_norm(run.kernels - run.kernels[0], 2)
    return Perturbation(run.movement, change, error, bound)
