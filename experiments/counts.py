"""Counts of features: from which m on Eq. 5 holds for the first m weights of a draw, and medians of
such counts over seeds."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

import levlib as lv
from experiments.feature_cases import seeded

EPSILON = 0.5
CONFIDENCE = 0.95
IN_A_ROW = 7
BLOCK = 8192
RESAMPLES = 2000


def counts_to(most: int, least: int = 8) -> list[int]:
    """Return the powers of sqrt 2 from `least` to `most`, rounded.

    >>> counts_to(32)
    [8, 11, 16, 23, 32]
    """
    steps = range(math.floor(2 * math.log2(most / least) + 1e-4) + 1)
    return [round(least * 2 ** (k / 2)) for k in steps]


def holds(lev: lv.RidgeLeverage, draw: lv.Draw, counts: list[int]) -> Iterator[bool]:
    """Yield whether Eq. 5 holds for the first m weights of a draw, for each m in ascending counts.

    It holds if and only if (1 + eps)(K + lam I) - (Psi Psi^T + lam I) and (Psi Psi^T + lam I) - (1
    - eps)(K + lam I) are positive semidefinite. m Psi Psi^T is summed block by block: no more than
    BLOCK weights are held as features.
    """
    ridge = lev.lam * torch.eye(len(lev.K), dtype=lev.K.dtype)
    target = lev.K + ridge
    total = torch.zeros_like(lev.K)
    at = 0
    for m in counts:
        while at < m:
            block = slice(at, min(m, at + BLOCK))
            features = lev.kernel.features(lev.X, draw.W[block]) * draw.ratio[block].sqrt()[:, None]
            flat = features.flatten(1)
            total = total.addmm_(flat, flat.T)
            at = block.stop
        ours = total / m + ridge
        gaps = torch.stack([(1 + EPSILON) * target - ours, ours - (1 - EPSILON) * target])
        yield not torch.linalg.cholesky_ex(gaps).info.any()


def needed(held: Iterator[bool], counts: list[int]) -> int | None:
    """Return the first count from which all tried hold; None where the last one fails.

    >>> needed(iter([False, True, False, True, True]), [8, 11, 16, 23, 32])
    23
    """
    first, row = None, 0
    for m, good in zip(counts, held, strict=False):
        first, row = (first or m, row + 1) if good else (None, 0)
        if row == IN_A_ROW:
            break
    return first


def median_interval(found: list[int | None], most: int) -> dict:
    """Return the median of the counts with its exact interval, between two order statistics; null
    counts are >= most.

    A null count takes part as `most`: order statistics do not ask how much larger it is.
    """
    interval = lv.median_interval([most if m is None else m for m in found], CONFIDENCE)
    ends = {"median": interval.estimate, "low": interval.low, "high": interval.high}
    last = most if None in found else math.inf
    return ends | {
        "at_least": [name for name, value in ends.items() if value >= last],
        "needed": found,
        "most": most,
    }


def ratio_interval(plain: dict, leverage: dict) -> dict:
    """Return the ratio of the two medians with a percentile bootstrap interval over the seeds of
    both."""
    random = np.random.default_rng(0)
    medians = []
    for part in (plain, leverage):
        values = np.array([part["most"] if m is None else m for m in part["needed"]])
        medians.append(np.median(random.choice(values, (RESAMPLES, len(values))), axis=1))
    low, high = np.quantile(medians[0] / medians[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    ratio = plain["median"] / leverage["median"]
    return {"ratio": ratio, "low": float(low), "high": float(high), "at_least": plain["at_least"]}


def counts_needed(
    lev: lv.RidgeLeverage, seeds: range, draw: Callable[..., lv.Draw], most: int
) -> dict:
    """Return what draws need, over the seeds."""
    counts = counts_to(most)
    draws = (draw(counts[-1], generator=seeded(seed)) for seed in seeds)
    return median_interval(
        [needed(holds(lev, drawn, counts), counts) for drawn in draws], counts[-1]
    )
