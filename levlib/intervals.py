"""Claims over many seeds, with an interval: how a theorem is checked in this book."""

import math
from dataclasses import dataclass

import numpy as np
import torch

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
    successes = as_count(successes, "successes", least=0)
    trials = as_count(trials, "trials")
    confidence = as_number(confidence, "confidence", above=0, most=1)
    if successes > trials:
        raise ValueError(f"successes must be at most trials, got {successes} of {trials}")
    from scipy.stats import binomtest  # a second to import: on first use

    ends = binomtest(successes, trials).proportion_ci(confidence, "exact")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def median_interval(values, confidence: float = 0.95) -> Interval:
    """Return the median of values (n,) with its exact interval, between two of the values.

    The ends are order statistics: of 21 values in ascending order, the 6th and the 16th. They
    enclose the true median with probability at least `confidence`, whatever distribution the values
    have, as long as they are independent draws from it. Raises ValueError where there are too few
    values for that confidence: 95 % needs six. Cost: n log n. Source: scipy.stats.quantile_test.

    >>> import levlib as lv
    >>> print(lv.median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]))
    3.5 [1, 6]
    """
    values = as_tensor(values, "values", 1)
    if values.is_complex():
        raise TypeError(f"values must be real, got {values.dtype}")
    confidence = as_number(confidence, "confidence", above=0, below=1)
    values = values.detach().double().cpu().numpy()
    from scipy.stats import quantile_test

    ends = quantile_test(values, p=0.5).confidence_interval(confidence)
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        # all n values lie on one side of the median with probability 2^(1 - n)
        least = math.floor(1 - math.log2(1 - confidence)) + 1
        raise ValueError(
            f"values must be at least {least} for a confidence of {confidence:g}, got {len(values)}"
        )
    return Interval(float(np.median(values)), float(ends.low), float(ends.high))


def slope(
    m, errors, *, generator: torch.Generator, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Return the slope of log median error against log m, with a bootstrap interval over the seeds:
    the rate of Theorem 3.6 in the width, and others.

    - `m`: (k,) with k >= 2, all positive.
    - `errors`: (seeds, k), all positive.
    - `generator`: draws seeds with replacement, whole rows.
    - `confidence`: the share of the resamples between the two ends.
    - `resamples`: how many there are.

    Raises ValueError for other shapes or for errors that are not positive. Cost: resamples x seeds
    x k.

    >>> import levlib as lv
    >>> m = torch.tensor([16.0, 64.0, 256.0])
    >>> print(lv.slope(m, m.repeat(5, 1) ** -0.5, generator=torch.Generator().manual_seed(0)))
    -0.5 [-0.5, -0.5]
    """
    m = as_tensor(m, "m", 1)
    errors = as_points(errors, "errors", len(m))
    generator = as_generator(generator)
    confidence = as_number(confidence, "confidence", above=0, most=1)
    resamples = as_count(resamples, "resamples")
    if len(m) < 2 or not (m > 0).all() or not (errors > 0).all():
        raise ValueError("m needs at least two positive values, and errors must be positive")
    x = m.double().log().cpu().numpy()
    log_errors = errors.double().log().cpu().numpy()

    def fit(rows):
        return np.polyfit(x, np.median(rows, axis=-2).T, 1)[0]

    chosen = torch.randint(
        len(errors), (resamples, len(errors)), generator=generator, device=generator.device
    )
    slopes = fit(log_errors[chosen.cpu().numpy()])
    low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(fit(log_errors)), float(low), float(high))
