"""How wide a net must be to fit two close points at the promised rate, over their angle and labels.

python -m experiments.close_pair_width [--least ANGLE] [--seeds N] [--fresh]. Writes
experiments/results/close_pair_width.json after each angle; a second start does only what is
missing, --fresh starts anew. Half an hour on one core, nearly all of it for the smallest angle.

Two unit vectors in the plane have the angle delta, and equal labels (1, 1) or opposite ones
(1, -1). A net from a Gaussian start trains its first layer by `lv.train`, without a ridge to speak
of, to T = 5 / Lambda_0. It keeps the promise of Du et al. 2019 if |u(t) - Y|^2 stays below
exp(-Lambda_0 t) |u(0) - Y|^2 at 40 times. A narrow net may keep it by luck, so the width that
suffices is the smallest power of two from which on all powers up to `top` keep it; where it is 64
or more, two bisections between it and the failing half find it to a factor of 2^(1/4). A row holds
delta, the second label, the estimate 4 pi^2 / delta^4 of chapter 2.3, and `widths`, one a seed.
"""

import argparse
import math
from pathlib import Path

import torch
from tqdm import tqdm

import levlib as lv
from experiments.record import RESULTS, kept_rows, write_result

NAME = "close_pair_width"
NTK = lv.NTK()
FINE = 64
WIDE, FEW = 2**20, 5  # beyond this width so many seeds at most
CASES = [(1.0, delta) for delta in (0.7, 0.5, 0.35, 0.25, 0.18, 0.13, 0.1, 0.03, 0.01)]
CASES += [(-1.0, delta) for delta in (0.7, 0.5, 0.35, 0.25, 0.18, 0.13, 0.09)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def keeps_promise(X: torch.Tensor, Y: torch.Tensor, m: int, seed: int) -> bool:
    """Return whether a net of width m fits the labels at the rate of the theorem."""
    generator = seeded(seed)
    draw = lv.sample_prior(NTK, m, X.shape[1], generator=generator)
    net = lv.TwoLayerNet.from_draw(draw, generator=generator)
    low = float(torch.linalg.eigvalsh(NTK.gram(X))[0])
    run = lv.train(net, X, Y, 1e-12, time=5 / low, record=40, progress=False)
    loss = (run.predictions - Y).square().sum(1)
    return bool((loss <= (-low * run.times).exp() * loss[0] * (1 + 1e-9)).all())


def top_width(label: float, delta: float) -> int:
    """Return the widest net tried: two to four times the estimate, or 1024 for equal labels."""
    if label > 0:
        return 2**10
    return 2 ** (math.ceil(math.log2(4 * math.pi**2 / delta**4)) + 1)


def seeds_of(label: float, delta: float, seeds: int) -> int:
    return min(seeds, FEW) if top_width(label, delta) > WIDE else seeds


def sufficient(delta: float, label: float, seed: int) -> int:
    """Return the smallest width from which on all powers of two keep the promise, refined."""
    X = lv.data.close_pair(2, 2, delta, generator=seeded(seed))
    Y, m = torch.tensor([1.0, label], dtype=torch.float64), top_width(label, delta)
    while m >= 2 and keeps_promise(X, Y, m, 300 + seed):
        m //= 2
    fails, keeps = m, 2 * m
    for _ in range(2 if keeps >= FINE else 0):
        middle = round(math.sqrt(fails * keeps))
        if keeps_promise(X, Y, middle, 300 + seed):
            keeps = middle
        else:
            fails = middle
    return keeps


def measure(cases: list, seeds: int, folder: Path = RESULTS, fresh: bool = False) -> int:
    """Do the cases that the result file lacks, write it after each; return how many were done."""
    rows = [] if fresh else kept_rows(folder / f"{NAME}.json")
    done = {(row["label"], row["delta"], len(row["widths"])) for row in rows}
    wanted = [(label, delta, seeds_of(label, delta, seeds)) for label, delta in cases]
    todo = [case for case in wanted if case not in done]
    for label, delta, count in todo:
        widths = [sufficient(delta, label, seed) for seed in tqdm(range(count), desc=f"{delta}")]
        row = {"label": label, "delta": delta, "estimate": 4 * math.pi**2 / delta**4}
        rows = [old for old in rows if (old["label"], old["delta"]) != (label, delta)]
        rows.append(row | {"top": top_width(label, delta), "widths": widths})
        write_result(NAME, rows, folder)
    return len(todo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--least", type=float, default=0.0, help="the smallest angle")
    parser.add_argument("--seeds", type=int, default=9, help="pairs and nets for each angle")
    parser.add_argument("--fresh", action="store_true", help="forget what has run")
    options = parser.parse_args()
    cases = [(label, delta) for label, delta in CASES if delta >= options.least]
    measure(cases, options.seeds, fresh=options.fresh)
    for row in kept_rows(RESULTS / f"{NAME}.json"):
        middle = float(torch.tensor(row["widths"]).double().median())
        share = f", {middle / row['estimate']:.2f} of the estimate" if row["label"] < 0 else ""
        print(
            f"labels 1, {row['label']:+.0f}, angle {row['delta']}: median width {middle:.0f}{share}"
        )


if __name__ == "__main__":
    main()
