"""The cut-off density: leverage-like weights for Gaussian kernels in low dimensions, without linear
algebra."""

import math

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import chi2

from levlib.checks import as_count, as_generator, as_number, as_points
from levlib.draw import Draw, uniform
from levlib.kernels import Gaussian, Kernel


def sample_cutoff(kernel: Kernel, X, lam: float, m: int, *, generator: torch.Generator) -> Draw:
    """Draw m frequencies from q in proportion to q~(w) = min(c, p(w) n / lam), c = prod_k (R_k +
    sqrt(2 pi) l) (Theorem 3.3's q~, up to a constant).

    R_k is the extent of X along axis k. The leverage density is at most p n / lam, since |phi|^2 =
    1; and where that is no bound it is about the volume of the data, as a band-limited function has
    one degree of freedom for each unit of frequency and length (c is p(0) for R = 0). So q is
    uniform on the ball of frequencies where p >= c lam / n, and in proportion to p outside; where c
    lam / n > p(0) it is p. The integral of q~ is known, and so `ratio` = p/q is exact. In d = 1, q~
    times 1.3 was an over-estimate in every case tried (l from a hundredth to twice the extent, lam
    from 10 to 1e-4), and its integral 1.1 to 4 times s_lambda: that is the cost in m. The share of
    the ball grows with d, and by d = 5 plain features may do as well.

    X is (n, d). Raises ValueError for another kernel than the Gaussian, or bad input. Cost: n d + m
    d; no K is formed. Source: Avron et al. 2017, Section 5, for the shape; the constant c is found
    by experiment.

    >>> import levlib as lv
    >>> X = torch.linspace(-1, 1, 50)[:, None]
    >>> draw = lv.sample_cutoff(lv.Gaussian(0.2), X, 1e-3, 100, generator=torch.Generator().manual_seed(0))
    >>> draw.W.shape, bool(draw.ratio.max() < 4)
    (torch.Size([100, 1]), True)
    """
    if not isinstance(kernel, Gaussian):
        raise ValueError(f"the cut-off density is that of a Gaussian kernel, got {kernel!r}")
    X, lam, m, generator = (
        as_points(X, "X"),
        as_number(lam, "lam", above=0),
        as_count(m, "m"),
        as_generator(generator),
    )
    (n, d), scale = X.shape, float(torch.as_tensor(kernel.frequency_scale).detach())
    extents = (X.max(0).values - X.min(0).values).double()
    log_c = float((extents + 1 / (math.sqrt(2 * math.pi) * scale)).log().sum())
    log_top, log_floor = math.log(n / lam), -d * math.log(math.sqrt(2 * math.pi) * scale)
    squared = max(
        0.0, 2 * (log_floor + log_top - log_c)
    )  # of the ball's radius over the scale of p
    log_outside = log_top + float(chi2.logsf(squared, d))
    log_ball = d * math.log(math.pi) / 2 - math.lgamma(d / 2 + 1) + d * math.log(scale)
    log_inside = log_c + log_ball + d / 2 * math.log(squared) if squared else -math.inf
    log_total = float(np.logaddexp(log_inside, log_outside))

    inside = uniform(m, generator, X) < expit(log_inside - log_outside)
    u = uniform(m, generator, X)
    tail = torch.as_tensor(chi2.isf(u.cpu().numpy() * chi2.sf(squared, d), d)).to(u)
    radius = scale * torch.where(inside, squared * u ** (2 / d), tail).sqrt()
    direction = torch.randn(
        m, d, generator=generator, device=generator.device, dtype=torch.float64
    ).to(X.device)
    W = (radius[:, None] * torch.nn.functional.normalize(direction, dim=1)).to(X)
    log_p = kernel.log_prob(W.double()).detach()
    return Draw(W, (log_p + log_total - (log_p + log_top).clamp(max=log_c)).exp().to(X))
