"""Claims over many seeds, with an interval: how a theorem is checked in this book."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import binomtest

from levlib.checks import as_count, as_generator, as_number, as_points, as_tensor


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval.

    >>> import levlib as lv
    >>> print(lv.Interval(0.5, 0.25, 0.75))
    0.5 [0.25, 0.75]
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def success_rate(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the rate successes / trials with its exact (Clopper-Pearson) interval.

    The interval covers the true rate with probability at least `confidence`, for any rate and any
    number of trials. Raises ValueError where successes is not in 0..trials. Source: Clopper and
    Pearson 1934, by scipy.stats.binomtest.

    >>> import levlib as lv
    >>> print(lv.success_rate(200, 200))
    1 [0.982, 1]
    """
    successes, trials = as_count(successes, "successes", least=0), as_count(trials, "trials")
    if successes > trials:
        raise ValueError(f"successes must be at most trials, got {successes} of {trials}")
    ends = binomtest(successes, trials).proportion_ci(
        as_number(confidence, "confidence", above=0, most=1), "exact"
    )
    return Interval(successes / trials, float(ends.low), float(ends.high))


def slope(
    m, errors, *, generator: torch.Generator, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Return the slope of log median error against log m, with a bootstrap interval over the seeds.

    `m` is (k,) with k >= 2, `errors` (seeds, k), all positive; each resample draws seeds with
    replacement, whole rows. Raises ValueError for other shapes or for errors that are not positive.
    Cost: resamples x seeds x k.

    >>> import levlib as lv
    >>> m = torch.tensor([16.0, 64.0, 256.0])
    >>> print(lv.slope(m, m.repeat(5, 1) ** -0.5, generator=torch.Generator().manual_seed(0)))
    -0.5 [-0.5, -0.5]
    """
    m, errors, generator = (
        as_tensor(m, "m", 1),
        as_points(errors, "errors", len(m)),
        as_generator(generator),
    )
    if len(m) < 2 or not (m > 0).all() or not (errors > 0).all():
        raise ValueError("m needs at least two positive values, and errors must be positive")
    resamples, confidence = (
        as_count(resamples, "resamples"),
        as_number(confidence, "confidence", above=0, most=1),
    )
    x = m.double().log().cpu().numpy()
    log_errors = errors.double().log().cpu().numpy()
    fit = lambda rows: np.polyfit(x, np.median(rows, axis=-2).T, 1)[0]  # noqa: E731
    chosen = torch.randint(
        len(errors), (resamples, len(errors)), generator=generator, device=generator.device
    )
    low, high = np.quantile(
        fit(log_errors[chosen.cpu().numpy()]), [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return Interval(float(fit(log_errors)), float(low), float(high))
