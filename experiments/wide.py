"""Nets from width 64 to four million, from Gaussian and from leverage draws: eps of Eq. 5, H(0),
and the trained error.

python -m experiments.wide [--device cuda] [--most WIDTH] [--fresh]. Writes
experiments/results/wide.json after each run (wide_gpu.json on a GPU); a second start computes only
what is missing, --fresh starts anew. Widths are powers of 4, to 2^22 on a GPU and to 2^16 on a CPU:
a quarter of an hour on one core.

The data of a case is fixed, n = 256 unit rows in d = 32, and a seed draws the weights and the
signs. Leverage weights are drawn by rejection, which is exact and holds no n x m array. "sphere"
has random points and random labels. In "pairs" two of the points have a twin at the angle delta =
0.001, and the labels are a smooth function of the point.

A net is trained on |W|^2 (Eq. 6, 10) with kappa = 1 to the flow time T = 5 / (Lambda + lam). Lambda
is the smallest eigenvalue of H that does not belong to a pair; lam T stays under 1, and
`convergence` is (Lambda_0 + lam) T, which is 5 for "sphere" and 0.01 for "pairs": there the
difference of two twins moves too slowly to be trained. A run holds

- epsilon: the smallest epsilon of Eq. 5 for H(0) at the ridge lam; kernel: |H(0) - H| / |H|, in
  spectral norms;
- linear: |u - u*| for ridge regression with H(0) in place of H; error: |u_nn(T) - u*|;
- initialization: how far the flows of H(0) and of H lie apart at T, both from the net's own start;
  training: how far the net lies from the flow of H(0). The two add up, as vectors, to what
  separates the net from the flow of the NTK;
- step_s: the seconds of a training run over the number of its steps.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import levlib as lv
from experiments.record import RESULTS, device_name, kept_rows, write_result

KINDS = ("plain", "leverage")
NAMES = {"cpu": "wide", "cuda": "wide_gpu"}
MOST = {"cpu": 2**16, "cuda": 2**22}
DECAY = 5.0


@dataclass(frozen=True)
class Case:
    """A data set with labels, made on the CPU so that every device has the same: the last `twins`
    points make pairs."""

    name: str
    lam: float
    delta: float = 0.0
    twins: int = 0
    n: int = 256
    d: int = 32

    def data(self, device: str) -> tuple[Tensor, Tensor]:
        """Return X (n, d) and Y (n,): random labels without twins, else labels that twins nearly
        share."""
        generator = torch.Generator().manual_seed(0)
        X = lv.data.sphere(self.n, self.d, generator=generator)
        if not self.twins:
            return X.to(device), torch.randn(self.n, generator=generator, dtype=X.dtype).to(device)
        first, side = X[: self.twins], X[-self.twins :]
        side = torch.nn.functional.normalize(
            side - (side * first).sum(1, keepdim=True) * first, dim=1
        )
        X[-self.twins :] = math.cos(self.delta) * first + math.sin(self.delta) * side
        direction = lv.data.sphere(1, self.d, generator=generator)[0]
        return X.to(device), torch.sin(3 * self.d**0.5 * X @ direction).to(device)


def cases() -> list[Case]:
    return [Case("sphere", 0.02), Case("pairs", 5e-5, delta=1e-3, twins=2)]


@dataclass(frozen=True)
class Problem:
    """What all runs of a case share: the leverage with H, u*, the whitener (H + lam I)^{-1/2}, and
    the flow time."""

    lev: lv.RidgeLeverage
    Y: Tensor
    u_star: Tensor
    whitener: Tensor
    norm: float
    Lambda_0: float
    T: float

    @classmethod
    def of(cls, case: Case, device: str) -> "Problem":
        X, Y = case.data(device)
        lev = lv.RidgeLeverage(lv.NTK(), X, case.lam)
        values, V = torch.linalg.eigh(lev.K)
        whitener = V / (values + case.lam).sqrt() @ V.T
        T = DECAY / (float(values[case.twins]) + case.lam)
        u_star = lv.ntk_ridge(lev.K, Y, case.lam)
        return cls(lev, Y, u_star, whitener, float(values[-1]), float(values[0]), T)


def draw(problem: Problem, kind: str, m: int, generator: torch.Generator) -> lv.Draw:
    lev = problem.lev
    if kind == "plain":
        return lv.sample_prior(lev.kernel, m, lev.X.shape[1], generator=generator)
    return lv.sample(lev, m, method="rejection", budget=10**12, generator=generator)


def run(problem: Problem, kind: str, m: int, seed: int) -> dict:
    """Draw, measure H(0), train, and return what the run holds; any run can be repeated alone."""
    lev = problem.lev
    Y = problem.Y
    lam = problem.lev.lam
    generator = torch.Generator(lev.X.device).manual_seed(1000 * seed + m.bit_length())
    net = lv.TwoLayerNet.from_draw(draw(problem, kind, m, generator), generator=generator)
    H_0 = net.dynamic_kernel(lev.X)
    u_0 = net(lev.X)
    away = H_0 - lev.K
    started = time.perf_counter()
    trained = lv.train(net, lev.X, Y, lam, time=problem.T, progress=False)
    u = trained.predictions[-1]
    seconds = time.perf_counter() - started
    ntk, still = (lv.frozen_flow(H, Y, lam, trained.times[-1:], u0=u_0).u[0] for H in (lev.K, H_0))
    whitened = problem.whitener @ away @ problem.whitener
    return {
        "kind": kind,
        "m": m,
        "seed": seed,
        "epsilon": float(torch.linalg.matrix_norm(whitened, 2)),
        "kernel": float(torch.linalg.matrix_norm(away, 2)) / problem.norm,
        "linear": float((lv.ntk_ridge(H_0, Y, lam) - problem.u_star).norm()),
        "error": float((u - problem.u_star).norm()),
        "initialization": float((still - ntk).norm()),
        "training": float((u - still).norm()),
        "step_s": seconds / round(problem.T / trained.lr),
    }


def fresh_row(case: Case, problem: Problem, device: str) -> dict:
    """Return the row of a case before any run: what it is, and what its runs share."""
    lev = problem.lev
    return {
        "name": case.name,
        "n": case.n,
        "d": case.d,
        "lam": case.lam,
        "delta": case.delta,
        "twins": case.twins,
        "device": device_name(device),
        "dtype": str(lev.X.dtype)[6:],
        "s_lam": lev.s_lam,
        "Lambda_0": problem.Lambda_0,
        "T": problem.T,
        "convergence": (problem.Lambda_0 + case.lam) * problem.T,
        "u_star": float(problem.u_star.norm()),
        "residual": float((problem.Y - problem.u_star).norm()),
        "runs": [],
    }


def same(row: dict, new: dict) -> bool:
    return all(
        row.get(key) == value
        for key, value in new.items()
        if isinstance(value, str | int) or key == "lam"
    )


def measure(
    table: list[Case],
    widths: list[int],
    seeds: int,
    device: str,
    folder: Path = RESULTS,
    fresh: bool = False,
) -> int:
    """Do the runs that the result file lacks, narrow nets first, and write it after each; return
    how many were done."""
    name = NAMES[device.split(":")[0]]
    kept = [] if fresh else kept_rows(folder / f"{name}.json")
    problems = [Problem.of(case, device) for case in table]
    rows = [fresh_row(case, problem, device) for case, problem in zip(table, problems, strict=True)]
    rows = [next((row for row in kept if same(row, new)), new) for new in rows]
    done = {
        (at, run["kind"], run["m"], run["seed"])
        for at, row in enumerate(rows)
        for run in row["runs"]
    }
    wanted = [
        (at, kind, m, seed)
        for m in widths
        for at in range(len(rows))
        for seed in range(seeds)
        for kind in KINDS
    ]
    todo = [one for one in wanted if one not in done]
    cost = sum(m for _, _, m, _ in todo)
    with tqdm(total=cost, unit="unit", unit_scale=True) as bar:
        for at, kind, m, seed in todo:
            bar.set_description(f"{table[at].name}, m = {m}, seed {seed}, {kind}")
            rows[at]["runs"].append(run(problems[at], kind, m, seed))
            write_result(name, rows, folder, device)
            bar.update(m)
    return len(todo)


def table_line(row: dict, m: int) -> str:
    runs = {
        kind: [run for run in row["runs"] if run["m"] == m and run["kind"] == kind]
        for kind in KINDS
    }
    parts = [f"{row['name']:7} m = {m:7}"]
    for what in ("epsilon", "kernel", "linear", "error", "initialization", "training", "step_s"):
        middle = (torch.tensor([run[what] for run in runs[kind]]).median().item() for kind in KINDS)
        parts.append(f"{what} " + " ".join(f"{value:.3g}" for value in middle))
    return "   ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument(
        "--most", type=int, help="the widest net (default: 2^22 on a GPU, 2^16 on a CPU)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="draws for each width (default: 5)")
    parser.add_argument("--fresh", action="store_true", help="forget what has run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    most = options.most or MOST[options.device.split(":")[0]]
    widths = [4**k for k in range(3, 64) if 4**k <= most]
    measure(cases(), widths, options.seeds, options.device, options.results, options.fresh)
    print("medians over the seeds, plain and leverage")
    name = NAMES[options.device.split(":")[0]]
    for row in kept_rows(options.results / f"{name}.json"):
        for m in sorted({run["m"] for run in row["runs"]}):
            print(table_line(row, m))


if __name__ == "__main__":
    main()
