"""What a leverage start does for a trained net: one close pair with opposed labels, over the width.

python -m experiments.trained_pair [--device cuda] [--least WIDTH] [--most WIDTH] [--seconds S]
[--only CASE ...] [--fresh]. Writes experiments/results/trained_pair.json after each run
(trained_pair_gpu.json on a GPU); a second start does only what is missing, --fresh starts anew.
Widths are powers of 4, from 256 to 2^18 on a CPU, some hours on one core, and to 2^22 on a GPU.

The nets have kappa = 1 and train by `lv.train` to T = 5 / (Lambda_0 + lam), Lambda_0 the smallest
eigenvalue of H. Units come from the Gaussian ("gaussian"), from the leverage density ("leverage"),
or from half of each ("mixture", a = 1/2). A case fixes points, labels and lam; a setting fixes the
penalty and the start: that of Theorems 3.6 and 3.9 ("origin", plain) or the cured one ("init",
antisymmetric). `step` divides the default step size: no claim may rest on one of them.

A run holds, with u the trained predictions and u* those of ridge regression with the NTK (Eq. 7),

- error: |u - u*|;
- learned: (u_a - u_b) / (u*_a - u*_b) at the pair a, b: the share of its difference;
- near, elsewhere: root mean squares of u - u* at test points beside the pair, and at others;
- wedge, stay: how many units separate the pair at the start, and the share that still does;
- sign: whether both points of the pair are on the side of their label.

A case holds `gain` = max r / s_lambda, the factor between the counts of Theorem 3.3, and the
shares p_w, q_w of the pair's wedge in the Gaussian and in the leverage density. `matched` runs are
Gaussian nets of width m gain, to be laid beside leverage nets of width m; `wedge` runs those of
width m q_w / p_w, by the mean leverage of the wedge in place of the largest, where the two differ.
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
from experiments.feature_cases import seeded
from experiments.pair_cases import ALL, PAPER, Case, cases
from experiments.record import RESULTS, device_name, kept_rows, write_result

NTK = lv.NTK()
NAMES = {"cpu": "trained_pair", "cuda": "trained_pair_gpu"}
MOST = {"cpu": 2**18, "cuda": 2**22}
MATCHES = ("matched", "wedge")  # Gaussian nets of the width that a law names


@dataclass(frozen=True)
class Problem:
    """What all runs of a case share: data, leverage, u* on data and test points, and the time."""

    lev: lv.RidgeLeverage
    Y: Tensor
    u_star: Tensor
    X_test: Tensor
    test_star: Tensor
    near: int
    Lambda_0: float
    T: float
    r_max: float
    p_w: float
    q_w: float

    @classmethod
    def of(cls, case: Case, device: str) -> "Problem":
        X, Y = case.data(device)
        lev = lv.RidgeLeverage(NTK, X, case.lam)
        Lambda_0 = float(torch.linalg.eigvalsh(lev.K)[0])
        near, elsewhere = test_points(X)
        X_test = torch.cat([near, elsewhere])
        K_test = NTK.gram(X_test, X)
        return cls(
            lev,
            Y,
            lv.ntk_ridge(lev.K, Y, case.lam),
            X_test,
            lv.ntk_ridge(lev.K, Y, case.lam, K_test=K_test),
            len(near),
            Lambda_0,
            5 / (Lambda_0 + case.lam),
            *wedge(lev),
        )


def test_points(X: Tensor) -> tuple[Tensor, Tensor]:
    """Return 41 points on the arc through the last pair, to its width beyond each end, and 200 at
    random on the sphere."""
    a, b = X[-2], X[-1]
    middle = torch.nn.functional.normalize(a + b, dim=0)
    side = torch.nn.functional.normalize(a - b, dim=0)
    half = torch.atan2((a - b).norm(), (a + b).norm())
    turn = 3 * half * torch.linspace(-1, 1, 41, dtype=X.dtype, device=X.device)[:, None]
    elsewhere = lv.data.sphere(200, X.shape[1], generator=seeded(2)).to(X)
    return turn.cos() * middle + turn.sin() * side, elsewhere


def separates(W: Tensor, X: Tensor) -> Tensor:
    """Return which units are active at one point of the last pair alone, (m,)."""
    return (W @ X[-2:].T > 0).sum(1) == 1


def wedge(lev: lv.RidgeLeverage) -> tuple[float, float, float]:
    """Return the largest leverage found, and the shares of the pair's wedge in p and in q.

    By a million Gaussian weights; in the plane and in three dimensions the maximum is exact.
    """
    d = lev.X.shape[1]
    W = NTK.sample(10**6, d, generator=seeded(3)).to(lev.X)
    r, inside = lev(W), separates(W, lev.X)
    r_max = lv.rejection_bound(lev)[0] if d <= 3 else float(r.max())
    p_w = float(inside.double().mean())
    return r_max, p_w, float((r * inside).mean()) / lev.s_lam


def drawn(lev: lv.RidgeLeverage, kind: str, m: int, generator: torch.Generator) -> lv.Draw:
    if kind in ("gaussian", *MATCHES):
        return lv.sample_prior(NTK, m, lev.X.shape[1], generator=generator)
    method = "arcs" if lev.X.shape[1] == 2 else "gibbs"
    mix = 0.5 if kind == "mixture" else 0.0
    return lv.sample(lev, m, method=method, mix=mix, generator=generator)


@dataclass(frozen=True)
class Job:
    """One net: who draws it, how wide it is (before it is doubled), and how it is trained."""

    kind: str
    m: int
    seed: int
    penalty: str
    antisymmetric: bool
    step: int = 1

    def key(self) -> tuple:
        return tuple(vars(self).values())


def run(problem: Problem, job: Job) -> dict:
    """Draw, train, and return what the run holds; any run can be repeated alone."""
    lev = problem.lev
    device = lev.X.device
    generator = torch.Generator(device).manual_seed(1000 * job.seed + job.m.bit_length())
    draw = drawn(lev, job.kind, job.m, generator)
    net = lv.TwoLayerNet.from_draw(draw, antisymmetric=job.antisymmetric, generator=generator)
    before = separates(net.W, lev.X)
    lr = None
    if job.step > 1:
        lr = 1 / (1.1 * float(torch.linalg.eigvalsh(lev.K)[-1]) + lev.lam) / job.step
    steps = {"time": problem.T} if lr is None else {"steps": math.ceil(problem.T / lr), "lr": lr}
    trained = lv.train(net, lev.X, problem.Y, lev.lam, penalty=job.penalty, progress=False, **steps)
    u, star = trained.predictions[-1], problem.u_star
    missed = net(problem.X_test) - problem.test_star
    near, elsewhere = missed[: problem.near], missed[problem.near :]
    after = separates(net.W, lev.X)
    return {
        **vars(job),
        "error": float((u - star).norm()),
        "learned": float((u[-2] - u[-1]) / (star[-2] - star[-1])),
        "near": float(near.square().mean().sqrt()),
        "elsewhere": float(elsewhere.square().mean().sqrt()),
        "wedge": int(before.sum()),
        "stay": float((before & after).sum() / before.sum().clamp(min=1)),
        "sign": bool((u[-2:] * problem.Y[-2:] > 0).all()),
    }


def jobs(case: Case, row: dict, most: int, least: int = 256) -> list[Job]:
    """Return the runs of a case, narrow nets first: a stop leaves a figure that is whole as far as
    it goes."""
    factors = dict(zip(MATCHES, (row["gain"], row["q_w"] / row["p_w"]), strict=True))
    if factors["matched"] < 1.1 * factors["wedge"]:
        del factors["wedge"]  # the same widths, but for what a million draws can tell
    found = []
    for m in (4**k for k in range(4, 12) if least <= 4**k <= min(most, case.most)):
        for seed in range(case.seeds):
            for penalty, doubled in case.settings:
                found += [Job(kind, m, seed, penalty, doubled) for kind in case.kinds]
        if m in (4096, 16384):  # a third of the step
            found += [Job(k, m, s, *PAPER, 3) for s in range(5) for k in ("gaussian", "leverage")]
        for kind, factor in factors.items():
            wide = round(m * factor)
            if case.law and 1024 <= m and wide <= min(most, case.most):
                found += [Job(kind, wide, seed, *PAPER) for seed in range(case.seeds)]
    return found


def fresh_row(case: Case, problem: Problem, device: str) -> dict:
    """Return the row of a case before any run: what it is, and what its runs share."""
    lev, u_star = problem.lev, problem.u_star
    return {
        "name": case.name,
        "n": len(lev.X),
        "d": lev.X.shape[1],
        "lam": case.lam,
        "pair": case.pair,
        "law": case.law,
        "device": device_name(device),
        "s_lam": lev.s_lam,
        "Lambda_0": problem.Lambda_0,
        "T": problem.T,
        "lam_T": case.lam * problem.T,
        "delta": float(
            2 * torch.atan2((lev.X[-2] - lev.X[-1]).norm(), (lev.X[-2] + lev.X[-1]).norm())
        ),
        "r_max": problem.r_max,
        "gain": problem.r_max / lev.s_lam,
        "p_w": problem.p_w,
        "q_w": problem.q_w,
        "u_star": float(u_star.norm()),
        "difference": float(u_star[-2] - u_star[-1]),
        "runs": [],
    }


def same(row: dict, new: dict) -> bool:
    return all(row.get(key) == new[key] for key in ("name", "n", "d", "lam", "pair", "device"))


def measure(
    table: list[Case],
    most: int,
    device: str,
    folder=RESULTS,
    fresh: bool = False,
    least: int = 256,
    seconds: float = math.inf,
) -> int:
    """Do the runs that the result file lacks until the seconds are over, write it after each;
    return how many were done."""
    name, start = NAMES[device.split(":")[0]], time.monotonic()
    kept = [] if fresh else kept_rows(folder / f"{name}.json")
    problems = [Problem.of(case, device) for case in table]
    rows = [fresh_row(case, problem, device) for case, problem in zip(table, problems, strict=True)]
    rows = [next((row for row in kept if same(row, new)), new) for new in rows]
    others = [row for row in kept if row["name"] not in {case.name for case in table}]
    fields = list(Job.__dataclass_fields__)
    todo = []
    for at, case in enumerate(table):
        done = {tuple(each[field] for field in fields) for each in rows[at]["runs"]}
        wanted = jobs(case, rows[at], most, least)
        todo += [(at, job) for job in wanted if job.key() not in done]
    todo.sort(key=lambda one: one[1].m)
    with tqdm(total=sum(job.m for _, job in todo), unit="unit", unit_scale=True) as bar:
        for number, (at, job) in enumerate(todo):
            if time.monotonic() - start > seconds:
                return number
            bar.set_description(f"{table[at].name}, {job.kind}, m = {job.m}, seed {job.seed}")
            rows[at]["runs"].append(run(problems[at], job))
            write_result(name, rows + others, folder, device)
            bar.update(job.m)
    return len(todo)


def chosen(row: dict, kind: str, m: int, setting=PAPER, step: int = 1) -> list[dict]:
    """Return the runs of a row of one kind, width, setting and step, by seed."""
    wanted = (kind, m, *setting, step)
    names = ("kind", "m", "penalty", "antisymmetric", "step")
    found = [each for each in row["runs"] if tuple(each[name] for name in names) == wanted]
    return sorted(found, key=lambda each: each["seed"])


def table_line(row: dict, m: int, setting) -> str:
    parts = [f"{row['name']:14} {setting[0]:6} {'doubled' if setting[1] else 'plain':7} m = {m:7}"]
    for what in ("error", "learned", "near", "elsewhere", "stay"):
        middle = []
        for kind in ALL:
            found = [each[what] for each in chosen(row, kind, m, setting)]
            middle += [f"{torch.tensor(found).median():.3g}"] if found else []
        parts.append(f"{what} " + " ".join(middle))
    return "   ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, help="cpu or cuda")
    parser.add_argument("--most", type=int, help="the widest net (default: 2^22 GPU, 2^18 CPU)")
    parser.add_argument("--least", type=int, default=256, help="the narrowest net (default: 256)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no run after these")
    parser.add_argument("--only", nargs="+", choices=[case.name for case in cases()])
    parser.add_argument("--fresh", action="store_true", help="forget what has run")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    most = options.most or MOST[options.device.split(":")[0]]
    table = [case for case in cases() if not options.only or case.name in options.only]
    limits = {"least": options.least, "seconds": options.seconds}
    measure(table, most, options.device, options.results, options.fresh, **limits)
    print("medians over the seeds: Gaussian, leverage, mixture")
    name = NAMES[options.device.split(":")[0]]
    for row in kept_rows(options.results / f"{name}.json"):
        settings = {(each["penalty"], each["antisymmetric"]) for each in row["runs"]}
        for setting in sorted(settings):
            for m in sorted({each["m"] for each in row["runs"] if each["kind"] == "leverage"}):
                print(table_line(row, m, setting))


if __name__ == "__main__":
    main()
