"""The gradient flow of a kernel that moves (Eq. 16), and a kernel that moves as its weights
decay."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from levlib.checks import as_count, as_number, as_square
from levlib.nets.flow import Flow, Problem, as_problem


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
    """Return the flow of a net whose kernel moves, by integration (Eq. 16): du/dt = kappa^2 H(t)
    (Y - u) - lam u, and du_test/dt = kappa^2 K_t (Y - u) - lam u_test.

    - `kernel_at`: a function of t that returns H(t), (n, n), or the pair of H(t) and K_t, (k, n),
      of test and training points.
    - `Y`: (n,), the labels.
    - `lam`, `kappa`: > 0.
    - `times`: (t,) >= 0, ascending.
    - `u0`, `u0_test`: (n,) and (k,), the starts; 0 if not given.
    - `tolerance`: the relative error of a step.

    A net with penalty "origin" follows it, but for units that slide along a kink w_r.x_i = 0: there
    its mask flips at every few steps, however small, and the chain rule fails. Raises ValueError
    for shapes that disagree, a kernel that is not finite, or where the integration fails. Cost: n^2
    for each evaluation of the right-hand side, on the CPU in float64. Source: SciPy's LSODA.

    >>> import levlib as lv
    >>> lv.moving_flow(lambda t: torch.eye(2), [1.0, 2.0], 1.0, [0.0, 50.0]).u
    tensor([[0.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    if not callable(kernel_at):
        raise TypeError(f"kernel_at must be a function of t, got {type(kernel_at).__name__}")
    H, K_test = _kernels(kernel_at, 0.0)
    given = as_problem(H, Y, lam, times, kappa, u0, K_test, u0_test)
    times = given.times
    if (times.diff() <= 0).any() or times[-1] <= 0:
        raise ValueError("times must ascend and end after 0")
    tolerance = as_number(tolerance, "tolerance", above=0)
    states = torch.as_tensor(_integrated(kernel_at, given, tolerance)).to(given.Y)
    n = len(given.Y)
    return Flow(times, states[:, :n], None if K_test is None else states[:, n:])


def _integrated(kernel_at: Callable, given: Problem, tolerance: float) -> np.ndarray:
    """Return u and u_test, beside each other, at the times."""
    n = len(given.Y)
    y = given.Y.double().cpu().numpy()
    start = given.u0 if given.u0_test is None else torch.cat([given.u0, given.u0_test])
    at = given.times.double().cpu().numpy()

    def velocity(t, state):
        kernels = [k for k in _kernels(kernel_at, t) if k is not None]
        rows = np.concatenate([k.double().cpu().numpy() for k in kernels])
        if not np.isfinite(rows).all():
            raise ValueError(f"kernel_at(t) is not finite at t = {t:g}")
        return given.kappa**2 * (rows @ (y - state[:n])) - given.lam * state

    from scipy.integrate import solve_ivp  # a second to import: on first use

    solved = solve_ivp(
        velocity,
        (0.0, at[-1]),
        start.double().cpu().numpy(),
        method="LSODA",
        t_eval=at,
        rtol=tolerance,
        atol=tolerance * 1e-3,
    )
    if not solved.success:
        raise ValueError(f"the flow could not be integrated to t = {at[-1]:g}: {solved.message}")
    return solved.y.T


def _kernels(kernel_at: Callable, t: float) -> tuple[Tensor, Tensor | None]:
    at = kernel_at(t)
    return at if isinstance(at, tuple) else (at, None)


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
    K = as_square(K, "K")
    lam = as_number(lam, "lam", above=0)
    depth = as_count(depth, "depth")
    return lambda t: math.exp(-2 * (depth - 1) * lam * t / depth) * K
