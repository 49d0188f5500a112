"""Where leverage draws help, for features and for trained nets: a map over the closest pair of
points and the ridge.

python -m experiments.leverage_map [--fresh]. Writes experiments/results/leverage_map.json after
each cell of the map; a second start computes only what is missing, --fresh starts anew. Some
minutes on one quiet core.

The kernel is the NTK. Twenty unit points, the last two at the angle delta: on the "circle" (d = 2)
the others stand evenly, on the "sphere" (d = 5) they stand at random. Leverage weights are exact
draws ("arcs", and ten sweeps "gibbs").

`features` holds what Eq. 5 needs at eps = 1/2 by plain and by leverage draws, counted as
experiments/feature_counts.py does, and the ratio of the two medians with its interval over the
seeds.

`nets` holds the same for trained nets at kappa = 1, of m drawn units with the antisymmetric start
and the penalty lam |W - W(0)|^2 / 2, whose predictions do not collapse. They train to T = 5 /
(Lambda_0 + lam), at most LONGEST. An error is |u - u*(T)| / |Y|, u*(T) being the flow of NTK ridge
regression at the same time: `trained` is the net's, `start` that of the flow with the kernel H(0)
of the net in place of the NTK, as if the kernel rested. `moved` is how far a unit of the net from
plain draws has moved: root mean square, median over the seeds. The labels are "smooth", x_1 + 2 x_1
x_2, or "opposed": the same, but +1 and -1 at the pair.
"""

import argparse
import math
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

import levlib as lv
from experiments.counts import EPSILON, counts_needed, median_interval, ratio_interval
from experiments.feature_cases import seeded
from experiments.feature_counts import same
from experiments.record import RESULTS, kept_rows, write_result

DELTAS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
RIDGES = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001)
LONGEST = 200.0
NTK = lv.NTK()


@dataclass(frozen=True)
class Effort:
    """How much is drawn: seeds for the counts and the most plain weights of one, seeds and units of
    the nets."""

    seeds: int = 15
    most: int = 2**20
    net_seeds: int = 11
    units: tuple[int, ...] = (256,)


def circle(delta: float) -> Tensor:
    angle = 2 * math.pi * torch.arange(1, 20, dtype=torch.float64) / 19
    angle = torch.cat([angle, angle[-1:] + delta])
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def sphere(delta: float) -> Tensor:
    return lv.data.close_pair(20, 5, delta, generator=seeded(0))


DATA = {"circle": (circle, "arcs"), "sphere": (sphere, "gibbs")}


def features(lev: lv.RidgeLeverage, method: str, effort: Effort) -> dict:
    """Return the counts that plain and leverage draws need, and their ratio."""
    d = lev.X.shape[1]
    theorem = lv.required_features(EPSILON, 0.1, lev.s_lam, lev.s_lam)
    plain = partial(lv.sample_prior, NTK, d=d)
    leverage = partial(lv.sample, lev, method=method)
    counts = {
        "plain": counts_needed(lev, range(1000, 1000 + effort.seeds), plain, effort.most),
        "leverage": counts_needed(lev, range(2000, 2000 + effort.seeds), leverage, theorem),
    }
    return counts | {"ratio": ratio_interval(**counts)}


def labels(X: Tensor) -> dict[str, Tensor]:
    smooth = X[:, 0] + 2 * X[:, 0] * X[:, 1]
    return {"smooth": smooth, "opposed": torch.cat([smooth[:-2], smooth.new_tensor([1.0, -1.0])])}


def errors(
    lev: lv.RidgeLeverage, draw: lv.Draw, Y: Tensor, T: float, seed: int
) -> tuple[float, float, float]:
    """Return the error of a trained net, that of the flow with its kernel at the start, and how far
    a unit moved."""
    net = lv.TwoLayerNet.from_draw(draw, antisymmetric=True, generator=seeded(seed))
    flow = partial(lv.frozen_flow, Y=Y, lam=lev.lam, times=[T], penalty="init")
    goal, start = flow(lev.K).u[0], flow(net.dynamic_kernel(lev.X)).u[0]
    run = lv.train(net, lev.X, Y, lev.lam, time=T, penalty="init", progress=False)
    trained, rested = (float((u - goal).norm() / Y.norm()) for u in (run.predictions[-1], start))
    return trained, rested, float(run.distance[-1]) / net.m**0.5


def compared(**starts: list[float]) -> dict:
    """Return the median error of each start, and plain over leverage, with their intervals."""
    parts = {start: median_interval(found, math.inf) for start, found in starts.items()}
    ratio = ratio_interval(**parts)
    parts = {
        start: {key: part[key] for key in ("median", "low", "high")}
        for start, part in parts.items()
    }
    return parts | {"ratio": {key: ratio[key] for key in ("ratio", "low", "high")}}


def nets(lev: lv.RidgeLeverage, method: str, effort: Effort, T: float) -> list[dict]:
    """Return what training makes of plain and leverage draws, for each number of units and each
    kind of labels."""
    seeds = range(4000, 4000 + effort.net_seeds)
    rows = []
    draw = {
        "plain": partial(lv.sample_prior, NTK, d=lev.X.shape[1]),
        "leverage": partial(lv.sample, lev, method=method),
    }
    for m, (name, Y) in product(effort.units, labels(lev.X).items()):
        found = {
            start: [errors(lev, drawn(m=m, generator=seeded(seed)), Y, T, seed) for seed in seeds]
            for start, drawn in draw.items()
        }
        trained, rested = ({start: [e[k] for e in found[start]] for start in draw} for k in (0, 1))
        moved = median(e[2] for e in found["plain"])
        rows.append(
            {
                "m": m,
                "labels": name,
                "trained": compared(**trained),
                "start": compared(**rested),
                "moved": moved,
            }
        )
    return rows


def fresh_cell(data: str, delta: float, lam: float, effort: Effort) -> dict:
    """Return a cell of the map before it has run."""
    return {
        "data": data,
        "delta": delta,
        "lam": lam,
        "method": DATA[data][1],
        "epsilon": EPSILON,
        "longest": LONGEST,
        **asdict(effort),
        "units": list(effort.units),
    }


def run_cell(cell: dict, effort: Effort) -> dict:
    made, method = DATA[cell["data"]]
    lev = lv.RidgeLeverage(NTK, made(cell["delta"]), cell["lam"])
    Lambda_0 = float(torch.linalg.eigvalsh(lev.K)[0])
    T = min(5 / (Lambda_0 + lev.lam), LONGEST)
    about = {"n": len(lev.X), "d": lev.X.shape[1], "s_lam": lev.s_lam, "Lambda_0": Lambda_0, "T": T}
    return about | {"features": features(lev, method, effort), "nets": nets(lev, method, effort, T)}


def the_map() -> list[tuple[str, float, float]]:
    return list(product(DATA, DELTAS, RIDGES))


def measure(
    table: list[tuple[str, float, float]],
    effort: Effort,
    folder: Path = RESULTS,
    fresh: bool = False,
) -> int:
    """Run the cells that the result file lacks, and write it after each; return how many ran."""
    kept = [] if fresh else kept_rows(folder / "leverage_map.json")
    cells = [fresh_cell(*place, effort) for place in table]
    cells = [next((cell for cell in kept if same(cell, new)), new) for new in cells]
    todo = [cell for cell in cells if "nets" not in cell]
    for cell in (bar := tqdm(todo, unit="cell")):
        bar.set_description(f"{cell['data']}, delta = {cell['delta']:g}, lam = {cell['lam']:g}")
        cell |= run_cell(cell, effort)
        write_result("leverage_map", cells, folder)
    return len(todo)


def table_line(cell: dict) -> str:
    ratios = [cell["features"]["ratio"], *(net["trained"]["ratio"] for net in cell["nets"])]
    shown = "".join(
        f"{ratio['ratio']:8.3g} [{ratio['low']:.3g}, {ratio['high']:.3g}]".ljust(26)
        for ratio in ratios
    )
    return f"{cell['data']:8}{cell['delta']:8g}{cell['lam']:8g}{cell['s_lam']:7.1f}  {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="forget what has run")
    options = parser.parse_args()
    measure(the_map(), Effort(), fresh=options.fresh)
    for cell in kept_rows(RESULTS / "leverage_map.json"):
        print(table_line(cell))


if __name__ == "__main__":
    main()
