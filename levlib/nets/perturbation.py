"""How fast a run approaches NTK ridge regression, and how far its kernel moves (Eq. 13, 14, Lemma
4.1)."""

from typing import NamedTuple

import torch
from torch import Tensor

from levlib.checks import as_number, as_square, as_vector
from levlib.nets.flow import ntk_ridge
from levlib.nets.run import Run


def error_rate(H_t, K, Y, u, lam: float, kappa: float = 1.0) -> tuple[float, float]:
    """Return the two terms of d|u - u*|^2 / dt at predictions u and dynamic kernel H_t, with
    kappa^2 (Eq. 13, 14).

    The first, -2 (u* - u)^T (kappa^2 H_t + lam I) (u* - u), drives the net to u*; the second, 2
    kappa^2 (u - u*)^T (H_t
    - K) (Y - u*), is the cost of H_t not being K. The paper prints both without kappa^2. H_t and K
      are (n, n), Y and u (n,). Raises ValueError for shapes that disagree. Cost: n^3 / 3.

    >>> import levlib as lv
    >>> lv.error_rate(torch.eye(1), torch.eye(1), [1.0], [0.0], 1.0)       # u* = 1/2
    (-1.0, 0.0)
    """
    K, lam, kappa = (
        as_square(K, "K"),
        as_number(lam, "lam", above=0),
        as_number(kappa, "kappa", above=0),
    )
    H_t, Y, u = (
        as_square(H_t, "H_t", like=K),
        as_vector(Y, "Y", len(K), K),
        as_vector(u, "u", len(K), K),
    )
    if H_t.shape != K.shape:
        raise ValueError(f"H_t must have the shape of K, {tuple(K.shape)}, got {tuple(H_t.shape)}")
    u_star = ntk_ridge(K, Y, lam, kappa)
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
    with Lambda_0 the smallest eigenvalue of K. K is (n, n), Y is (n,). Raises ValueError where the
    run holds no kernels. Cost: eigenvalues for each record.

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
    error = (run.predictions - ntk_ridge(K, Y, run.lam, run.kappa)).square().sum(1)
    rate = run.kappa**2 * float(torch.linalg.eigvalsh(K)[0]) + run.lam
    bound = (torch.exp(-rate * run.times / 2) * error[0]).clamp(min=epsilon**2)
    change = torch.linalg.matrix_norm(run.kernels - run.kernels[0], 2)
    return Perturbation(run.movement, change, error, bound)
