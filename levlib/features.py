"""Modified random features (Definition 3.2), and how well they approximate a kernel (Eq. 2, Eq. 5,
Eq. 11, Theorem 3.3)."""

import math

import torch
from torch import Tensor

from levlib.checks import as_number, as_points, as_square, as_tensor
from levlib.draw import Draw, as_draw
from levlib.kernels import Kernel, as_kernel
from levlib.linalg import cholesky


def modified_features(kernel: Kernel, X, draw: Draw) -> Tensor:
    """Return Psi of Definition 3.2, whose row i is m^{-1/2} [sqrt(p/q)(w_1) phi(x_i, w_1)^T, ...,
    sqrt(p/q)(w_m) phi(x_i, w_m)^T].

    Shape (n, m d2) for X (n, d); E[Psi Psi^T] = K, and Psi Psi^T is the average of m independent
    matrices of Eq. 12, before it is whitened. Raises ValueError where X and draw.W disagree in
    d or device, or where a ratio is not finite. Cost: that of kernel.features, n m d for the
    kernels here.

    >>> import levlib as lv
    >>> draw = lv.sample_prior(lv.NTK(), 5, 2, generator=torch.Generator().manual_seed(0))
    >>> lv.modified_features(lv.NTK(), [[1.0, 0.0], [0.0, 1.0]], draw).shape
    torch.Size([2, 10])
    """
    kernel = as_kernel(kernel)
    X = as_points(X, "X")
    draw = as_draw(draw)
    scale = (as_tensor(draw.ratio, "draw.ratio", 1, like=X) / draw.m).sqrt()
    features = kernel.features(X, draw.W)
    return features.flatten(1) * scale.repeat_interleave(features.shape[2])


def sandwich_spectrum(Psi, K, lam: float) -> Tensor:
    """Return the eigenvalues of (K + lam I)^{-1/2} (Psi Psi^T + lam I) (K + lam I)^{-1/2},
    ascending, shape (n,) (Eq. 11).

    Eq. 5 holds with epsilon if and only if all of them lie in [1 - epsilon, 1 + epsilon]. Psi is
    (n, s), real or complex; K is (n, n); lam > 0. Raises ValueError where shapes disagree. Cost:
    n^2 s + about 3 n^3.

    >>> import levlib as lv
    >>> lv.sandwich_spectrum(torch.zeros(2, 1), torch.eye(2), 1.0)        # lam / (1 + lam)
    tensor([0.5000, 0.5000])
    """
    K = as_square(K, "K")
    lam = as_number(lam, "lam", above=0)
    Psi = as_tensor(Psi, "Psi", 2, like=K)
    if len(Psi) != len(K):
        raise ValueError(f"Psi and K must have one row for each point, got {len(Psi)} and {len(K)}")
    L = cholesky(K, f"K + {lam:g} I", ridge=lam).to(Psi.dtype)
    approximate = Psi @ Psi.mH
    approximate.diagonal().add_(lam)
    half = torch.linalg.solve_triangular(L, approximate, upper=False)
    whitened = torch.linalg.solve_triangular(L, half.mH, upper=False)
    return torch.linalg.eigvalsh((whitened + whitened.mH) / 2)


def sandwich_epsilon(Psi, K, lam: float) -> float:
    """Return the smallest epsilon for which Eq. 5 holds: (1 - epsilon)(K + lam I) <= Psi Psi^T +
    lam I <= (1 + epsilon)(K + lam I), by the spectral norm of Eq. 11.

    For plain features Phi in place of Psi it is the sandwich of Eq. 2.

    Arguments, errors and cost are those of `sandwich_spectrum`.

    >>> import levlib as lv
    >>> round(lv.sandwich_epsilon(2**0.5 * torch.eye(2), torch.eye(2), 1.0), 6)  # 3 / 2 - 1
    0.5
    """
    return float((sandwich_spectrum(Psi, K, lam) - 1).abs().max())


def required_features(epsilon: float, delta: float, s_q: float, s_lam: float) -> int:
    """Return the m that suffices by Theorem 3.3: the ceiling of 3 epsilon^{-2} s_q ln(16 s_q s_lam
    / delta).

    epsilon in (0, 1/2], delta in (0, 1) the allowed probability of failure, s_q the integral of the
    over-estimate q~ >= q_lambda (s_lam if exact), s_lam the statistical dimension, more than 1/2
    since the theorem takes lam < |K|. Where s_q < 1, near rank one, the printed count can fall
    short of the one that the proof gives by Bernstein's inequality, (8/3) epsilon^{-2} s_q ln(16
    s_lam / delta); the larger of them is returned. Raises ValueError outside those ranges.

    >>> import levlib as lv
    >>> lv.required_features(0.5, 0.1, 14.6, 14.6)
    1829
    """
    epsilon = as_number(epsilon, "epsilon", above=0, most=0.5)
    delta = as_number(delta, "delta", above=0, most=1)
    s_q = as_number(s_q, "s_q", above=0)
    s_lam = as_number(s_lam, "s_lam", above=0)
    if s_lam <= 0.5:
        raise ValueError(
            f"s_lam must be more than 1/2, got {s_lam:g}: Theorem 3.3 needs a lam below the norm "
            "of K"
        )
    if s_q < s_lam:
        raise ValueError(
            f"s_q must be at least s_lam, since q~ >= q_lambda: got {s_q:g} < {s_lam:g}"
        )
    logs = 3 * math.log(16 * s_q * s_lam / delta), 8 / 3 * math.log(16 * s_lam / delta)
    return math.ceil(max(logs) * s_q / epsilon**2)
