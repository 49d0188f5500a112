"""How many random features Eq. 5 needs at eps = 1/2: plain draws, leverage draws, and the count of
Theorem 3.3.

python -m experiments.feature_counts [--fresh]. Writes experiments/results/feature_counts.json after
each part of each case; a second start computes only what is missing, --fresh starts anew. A quarter
of an hour on one core.

The data of a case is fixed, and a seed draws weights. Counts m are powers of sqrt 2, and the first
m weights of a draw are a draw of m. `needed` of a seed is the first m from which Eq. 5 holds at
every count tried: counts are tried until it has held at seven in a row (m to 8 m), or the draw
ends. The first m at which it holds at all would be too small: one lucky draw in a narrow wedge
gives it the right weight for a moment. A draw ends at 2^18.5 = 370,728 plain weights, or at the
theorem's count of leverage weights (at the last power of sqrt 2 before it); a seed that fails there
is censored, and its count is null.

`failures` draws the theorem's count by leverage anew, 200 times, and says how often Eq. 5 fails at
it and at its fractions 2^(-k/2), with Clopper-Pearson intervals. `sufficient` is the smallest of
those m from which on the rate is at most delta; its low end says so of the intervals' low ends, its
high end of their high ends (null: of none).

`method` says how leverage weights are drawn. All are exact but "pool" (Gaussian, d = 2, where
rejection accepts three weights in a thousand): it resamples four million plain weights, which by
themselves obey Eq. 5 with eps = 0.014. "gibbs" takes ten sweeps, each exact.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import levlib as lv
from experiments.feature_cases import Case, cases, seeded
from experiments.record import RESULTS, kept_rows, write_result

EPSILON, DELTA, CONFIDENCE = 0.5, 0.1, 0.95
IN_A_ROW, BLOCK, RESAMPLES, POOL = 7, 8192, 2000, 4_000_000


@dataclass(frozen=True)
class Effort:
    """How much is drawn: seeds for the counts, trials for the failure rates, the most plain weights
    of a seed."""

    seeds: int = 21
    trials: int = 200
    most: int = 370_728


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
    target, total, at = lev.K + ridge, torch.zeros_like(lev.K), 0
    for m in counts:
        while at < m:
            block = slice(at, min(m, at + BLOCK))
            features = lev.kernel.features(lev.X, draw.W[block]) * draw.ratio[block].sqrt()[:, None]
            flat = features.flatten(1)
            total, at = total.addmm_(flat, flat.T), block.stop
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


def failures(
    lev: lv.RidgeLeverage, seeds: range, draw: Callable[..., lv.Draw], theorem: int
) -> dict:
    """Return how often draws fail Eq. 5 at fractions of the theorem's count, and the count that
    suffices."""
    fractions = [2 ** (-k / 2) for k in range(12, -1, -1)]
    counts, failed = (
        [max(1, math.ceil(theorem * f)) for f in fractions],
        np.zeros(len(fractions), dtype=int),
    )
    for seed in seeds:
        failed += ~np.array(list(holds(lev, draw(theorem, generator=seeded(seed)), counts)))
    rates = [lv.success_rate(int(k), len(seeds), CONFIDENCE) for k in failed]
    rows = [
        {
            "fraction": f,
            "m": m,
            "failures": int(k),
            "rate": rate.estimate,
            "low": rate.low,
            "high": rate.high,
        }
        for f, m, k, rate in zip(fractions, counts, failed, rates, strict=True)
    ]
    ends = {"m": "rate", "low": "low", "high": "high"}
    return {
        "rates": rows,
        "sufficient": {end: smallest_within(rows, key) for end, key in ends.items()},
    }


def smallest_within(rows: list[dict], key: str) -> int | None:
    """Return the smallest m from which on the rate (or that end of its interval) is at most delta,
    None for no m."""
    good = None
    for row in reversed(rows):
        if row[key] > DELTA:
            break
        good = row["m"]
    return good


def leverage_draws(case: Case, lev: lv.RidgeLeverage) -> Callable[..., lv.Draw]:
    """Return what draws m weights by the method of the case; a pool is made once, and all draws
    resample it."""
    if case.method != "pool":
        return partial(lv.sample, lev, method=case.method)
    W = case.kernel.sample(POOL, lev.X.shape[1], generator=seeded(0))
    ratio = lev(W)

    def draw(m: int, generator: torch.Generator) -> lv.Draw:
        chosen = torch.multinomial(ratio, m, replacement=True, generator=generator)
        return lv.Draw(W[chosen], lev.s_lam / ratio[chosen])

    return draw


PARTS = ("plain", "leverage", "failures")


def run_part(part: str, case: Case, lev: lv.RidgeLeverage, effort: Effort, theorem: int) -> dict:
    if part == "plain":
        prior = partial(lv.sample_prior, case.kernel, d=lev.X.shape[1])
        return counts_needed(lev, range(1000, 1000 + effort.seeds), prior, effort.most)
    draw = leverage_draws(case, lev)
    if part == "leverage":
        return counts_needed(lev, range(2000, 2000 + effort.seeds), draw, theorem)
    return failures(lev, range(3000, 3000 + effort.trials), draw, theorem)


def fresh_row(case: Case, lev: lv.RidgeLeverage, effort: Effort) -> dict:
    """Return the row of a case before any part has run: what it is, and what the theorem asks
    for."""
    return {
        "name": case.name,
        "data": case.data,
        "kernel": repr(case.kernel),
        "n": len(lev.X),
        "d": lev.X.shape[1],
        "lam": case.lam,
        "method": case.method,
        "epsilon": EPSILON,
        "delta": DELTA,
        **asdict(effort),
        "s_lam": lev.s_lam,
        "theorem": lv.required_features(EPSILON, DELTA, lev.s_lam, lev.s_lam),
    }


def same(row: dict, fresh: dict) -> bool:
    return all(
        row.get(key) == value for key, value in fresh.items() if key != "s_lam"
    )  # a sum may round elsewhere


def measure(table: list[Case], effort: Effort, folder: Path = RESULTS, fresh: bool = False) -> int:
    """Run the parts that the result file lacks, and write it after each; return how many ran."""
    kept = [] if fresh else kept_rows(folder / "feature_counts.json")
    levs = [case.leverage() for case in table]
    rows = [fresh_row(case, lev, effort) for case, lev in zip(table, levs, strict=True)]
    rows = [next((row for row in kept if same(row, new)), new) for new in rows]
    todo = [(at, part) for at, row in enumerate(rows) for part in PARTS if part not in row]
    for at, part in (bar := tqdm(todo, unit="part")):
        bar.set_description(f"{table[at].name}, lam = {table[at].lam:g}: {part}")
        row = rows[at]
        row[part] = run_part(part, table[at], levs[at], effort, row["theorem"])
        if "plain" in row and "leverage" in row:
            row["ratio"] = ratio_interval(row["plain"], row["leverage"])
        write_result("feature_counts", rows, folder)
    return len(todo)


def table_line(row: dict) -> str:
    shown = "".join(
        f"{'>= ' if 'median' in row[part]['at_least'] else ''}{row[part]['median']:.0f}".rjust(11)
        for part in ("leverage", "plain")
    )
    ratio, sufficient = row["ratio"], row["failures"]["sufficient"]["m"]
    interval = f"{ratio['ratio']:7.1f} [{ratio['low']:.3g}, {ratio['high']:.3g}]"
    case = f"{row['name']:28}{row['lam']:8g}{row['s_lam']:8.1f}"
    return f"{case}{row['theorem']:9}{sufficient!s:>11}{shown}{interval}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="forget what has run")
    options = parser.parse_args()
    measure(cases(), Effort(), fresh=options.fresh)
    case = f"{'case':28}{'lam':>8}{'s_lam':>8}"
    print(f"{case}{'theorem':>9}{'sufficient':>11}{'leverage':>11}{'plain':>11}   ratio")
    for row in kept_rows(RESULTS / "feature_counts.json"):
        print(table_line(row))


if __name__ == "__main__":
    main()
