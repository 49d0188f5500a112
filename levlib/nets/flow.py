"""NTK ridge predictors (Eq. 7) and the gradient flows of a kernel that rests or moves (Eq. 15,
16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from levlib.checks import (
    as_count,
    as_number,
    as_penalty,
    as_points,
    as_square,
    as_tensor,
    as_vector,
)
from levlib.regression.exact import solve_krr


def ntk_ridge(K, Y, lam: float, kappa: float = 1.0, K_test=None) -> Tensor:
    """Return u* = kappa^2 K (kappa^2 K + lam I)^{-1} Y, or u*_test if K_test is given: the
    predictors of Eq. 7.

    K is (n, n), Y is (n,), K_test is (k, n) with the kernel of test and training points; the result
    is (n,) or (k,). Raises ValueError for shapes that disagree, lam <= 0 or kappa <= 0. Cost: n^3 /
    3.

    >>> import levlib as lv
    >>> lv.ntk_ridge(torch.eye(2), [1.0, 2.0], 1.0)
    tensor([0.5000, 1.0000])
    """
    K, kappa = as_square(K, "K"), as_number(kappa, "kappa", above=0)
    rows = K if K_test is None else as_points(K_test, "K_test", len(K), like=K)
    return kappa**2 * (rows @ solve_krr(kappa**2 * K, Y, lam))


class Flow(NamedTuple):
    """Predictions along a flow: times (k,), u (k, n) on the data, u_test (k, n_test) or None."""

    times: Tensor
    u: Tensor
    u_test: Tensor | None


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
    """Return the flow of NTK ridge regression in closed form, on the data and on test points (Eq.
    15).

    du/dt = kappa^2 K (Y - u) - lam u from u(0) = u0, and du_test/dt = kappa^2 K_test (Y - u) - lam
    u_test from u0_test; a start not given is 0. With penalty "init" (lam |W - W(0)|^2) the last
    terms are lam (u - u0) and lam (u_test - u0_test). K is (n, n), K_test (k, n), times (t,) >= 0.
    Raises ValueError for shapes that disagree, lam <= 0 or a negative time. Cost: the eigenvectors
    of K, about 9 n^3, then n^2 for each time.

    >>> import levlib as lv
    >>> lv.frozen_flow(torch.eye(2), [1.0, 2.0], 1.0, [0.0, 50.0]).u
    tensor([[0.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    K, Y, lam, times, kappa, u0, u0_test, K_test = _problem(
        K, Y, lam, times, kappa, u0, u0_test, K_test
    )
    if as_penalty(penalty) == "init":
        flow = frozen_flow(K, Y - u0, lam, times, kappa=kappa, K_test=K_test)
        return Flow(times, u0 + flow.u, None if K_test is None else u0_test + flow.u_test)
    values, V = torch.linalg.eigh(K)
    speed, t = kappa**2 * values.clamp(min=0), times[:, None]
    u_star, start, y = (V.T @ v for v in (ntk_ridge(K, Y, lam, kappa), u0, Y))
    u = (u_star + torch.exp(-(speed + lam) * t) * (start - u_star)) @ V.T
    if K_test is None:
        return Flow(times, u, None)
    # int_0^t exp(-lam (t - s)) (Y - u(s)) ds, one number for each eigenvector and time
    decay = torch.exp(-lam * t)
    growth = torch.where(
        speed * t > 0, -torch.expm1(-speed * t) / torch.where(speed > 0, speed, 1.0), t
    )
    integral = -torch.expm1(-lam * t) * y / (speed + lam) - decay * growth * (start - u_star)
    return Flow(times, u, decay * u0_test + kappa**2 * (integral @ V.T) @ K_test.T)


def moving_flow(
    kernel_at: Callable,
    Y,
    lam: float,
    times,
    *,
    kappa: float = 1.0,
    u0=None,
    u0_test=None,
    tolerance: float = 1e-9,
) -> Flow:
    """Return the flow of a net whose kernel moves, by integration (Eq. 16).

    du/dt = kappa^2 H(t) (Y - u) - lam u, where `kernel_at(t)` returns H(t) (n, n), or the pair of
    H(t) and K_t (k, n) of test and training points; then also du_test/dt = kappa^2 K_t (Y - u) -
    lam u_test. A start not given is 0; times is (t,) >= 0, ascending. A net with penalty "origin"
    follows it, but for units that slide along a kink w_r.x_i = 0: there its mask flips at every few
    steps, however small, and the chain rule fails. Raises ValueError for shapes that disagree, a
    kernel that is not finite, or where the integration fails. Cost: n^2 for each evaluation of the
    right-hand side, on the CPU in float64. Source: SciPy's LSODA.

    >>> import levlib as lv
    >>> lv.moving_flow(lambda t: torch.eye(2), [1.0, 2.0], 1.0, [0.0, 50.0]).u
    tensor([[0.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    if not callable(kernel_at):
        raise TypeError(f"kernel_at must be a function of t, got {type(kernel_at).__name__}")
    H, K_test = _kernels(kernel_at, 0.0)
    H, Y, lam, times, kappa, u0, u0_test, K_test = _problem(
        H, Y, lam, times, kappa, u0, u0_test, K_test
    )
    if (times.diff() <= 0).any() or times[-1] <= 0:
        raise ValueError("times must ascend and end after 0")
    tolerance, n, y = as_number(tolerance, "tolerance", above=0), len(Y), Y.double().cpu().numpy()
    start = u0 if K_test is None else torch.cat([u0, u0_test])

    def velocity(t, state):
        kernels = [k for k in _kernels(kernel_at, t) if k is not None]
        rows = np.concatenate([k.double().cpu().numpy() for k in kernels])
        if not np.isfinite(rows).all():
            raise ValueError(f"kernel_at(t) is not finite at t = {t:g}")
        return kappa**2 * (rows @ (y - state[:n])) - lam * state

    end, at = float(times[-1]), times.double().cpu().numpy()
    solved = solve_ivp(
        velocity,
        (0.0, end),
        start.double().cpu().numpy(),
        "LSODA",
        at,
        rtol=tolerance,
        atol=tolerance * 1e-3,
    )
    if not solved.success:
        raise ValueError(f"the flow could not be integrated to t = {end:g}: {solved.message}")
    states = torch.as_tensor(solved.y.T).to(Y)
    return Flow(times, states[:, :n], None if K_test is None else states[:, n:])


def shrinking_kernel(K, lam: float, depth: int) -> Callable[[float], Tensor]:
    """Return the function t -> exp(-2 (L - 1) lam t / L) K, the kernel of a wide net of depth L
    whose weights decay.

    With penalty lam / L on |W|^2 the weights shrink as exp(-lam t / L), and H(t) is homogeneous of
    degree 2 (L - 1) in them: what Remark 4.2 leaves out. Pass it to `moving_flow`. Raises
    ValueError for lam <= 0 or depth < 1.

    >>> import levlib as lv
    >>> lv.shrinking_kernel(torch.eye(1), 1.0, 2)(1.0)          # exp(-1)
    tensor([[0.3679]])
    """
    K, lam, depth = as_square(K, "K"), as_number(lam, "lam", above=0), as_count(depth, "depth")
    return lambda t: np.exp(-2 * (depth - 1) * lam * t / depth) * K


def _kernels(kernel_at: Callable, t: float) -> tuple[Tensor, Tensor | None]:
    at = kernel_at(t)
    return at if isinstance(at, tuple) else (at, None)


def _start(value, name: str, length: int, like: Tensor) -> Tensor:
    if value is None:
        return torch.zeros(length, dtype=like.dtype, device=like.device)
    return as_vector(value, name, length, like)


def _problem(K, Y, lam, times, kappa, u0, u0_test, K_test):
    K, lam, kappa = (
        as_square(K, "K"),
        as_number(lam, "lam", above=0),
        as_number(kappa, "kappa", above=0),
    )
    Y, u0, times = (
        as_vector(Y, "Y", len(K), K),
        _start(u0, "u0", len(K), K),
        as_tensor(times, "times", 1, like=K),
    )
    if (times < 0).any():
        raise ValueError("times must not be negative")
    if K_test is not None:
        K_test = as_points(K_test, "K_test", len(K), like=K)
        u0_test = _start(u0_test, "u0_test", len(K_test), K)
    elif u0_test is not None:
        raise ValueError("u0_test needs the kernel of test and training points: pass K_test")
    return K, Y, lam, times, kappa, u0, u0_test, K_test
