"""levlib against its peers and against the machine's own limit: one table, medians of interleaved runs.

python bench/bench_library.py [--only TASK ...] [--large]. Each task runs in a process of its own, so that its peak
memory is its own; what has run is written at once, and --only replaces the rows of the tasks that it names.
scikit-ntk, the one peer outside requirements.txt, runs in `.venv-peers` (make peers) and is skipped where that is
absent. --large adds the stream of ten million rows.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from harness import RESULTS, medians, write_result

import levlib as lv

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
TASKS: dict[str, Callable[..., list[dict]]] = {}


def task(function):
    TASKS[function.__name__] = function
    return function


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(what: str, ours: float, peer: float | None = None, limit: float | None = None, **more) -> dict:
    """Return a row: seconds of ours, of the peer and of the limit, and the two ratios that matter."""
    ratios = {"speedup": peer / ours if peer else None, "of_limit": limit / ours if limit else None}
    return {"what": what, "ours_s": ours, "peer_s": peer, "limit_s": limit, **ratios, **more}


@task
def leverage_ratios() -> list[dict]:
    """q/p at M weights by one matrix product a block, against a triangular solve for each weight."""
    n, d, M = 2000, 20, 20_000
    X = lv.data.sphere(n, d, generator=seeded())
    W = lv.NTK().sample(M, d, generator=seeded(1))
    rows, exact = [], None
    for dtype in (torch.float64, torch.float32):
        lev, w = lv.RidgeLeverage(lv.NTK(), X.to(dtype), 0.1), W.to(dtype)
        S, A = (w @ X.T.to(dtype) >= 0).to(dtype), torch.randn(n, n, dtype=dtype, generator=seeded(2))
        out = torch.empty(M, n, dtype=dtype)
        L = torch.linalg.cholesky(lev.K + 0.1 * torch.eye(n, dtype=dtype))

        def for_each_weight(L=L, w=w, lev=lev):
            for one in w[:10]:
                Phi = lv.NTK().features(lev.X, one[None])[:, 0]
                torch.linalg.solve_triangular(L, Phi, upper=False).square().sum()

        seconds = medians(
            {"ours": lambda lev=lev, w=w: lev(w), "gemm": lambda S=S, A=A, out=out: torch.mm(S, A, out=out)}
        )
        slow = medians({"peer": for_each_weight}, runs=3)["peer"] * M / 10
        values = lev(w).double()
        exact = values if exact is None else exact
        error = float(((values - exact) / exact).abs().max())
        what = f"leverage ratios, n = {n}, M = {M}, {str(dtype)[6:]}"
        rows.append(row(what, seconds["ours"], slow, seconds["gemm"], peer="solve per weight", relative_error=error))
    return rows


@task
def ntk_gram() -> list[dict]:
    """The NTK matrix of 5000 points against scikit-ntk, which computes this kernel plus arc-cosine order 1."""
    n, d = 5000, 20
    X = lv.data.sphere(n, d, generator=seeded())
    A = torch.empty(n, n, dtype=X.dtype)
    seconds = medians({"ours": lambda: lv.NTK().gram(X), "gemm": lambda: torch.mm(X, X.T, out=A)})
    equal = medians({"ours": lambda: lv.deep_ntk(X, depth=2)})["ours"]
    peer = None
    if PEERS.exists():
        ran = subprocess.run([PEERS, HERE / "peer_ntk.py", str(n), str(d)], capture_output=True, text=True, check=True)
        peer = float(ran.stdout)
    said = "scikit-ntk" if peer else "scikit-ntk: skipped, no .venv-peers (make peers)"
    return [
        row(f"NTK Gram, n = {n}, d = {d} (first layer)", seconds["ours"], peer, seconds["gemm"], peer=said),
        row(f"NTK Gram, n = {n}, d = {d} (both layers, the peer's kernel)", equal, peer, peer=said),
    ]


@task
def exact_ridge() -> list[dict]:
    """Gram matrix and solve at n = 5000, against scikit-learn's KernelRidge; peak memory of each in a process."""
    ours, peer = (alone(f"ridge_{who}") for who in ("ours", "peer"))
    seconds = medians({"ours": ridge_ours(), "peer": ridge_peer()}, runs=3)
    return [
        row("exact ridge, n = 5000, d = 20", seconds["ours"], seconds["peer"], peer="KernelRidge",
            peak_mb=ours, peer_peak_mb=peer)
    ]  # fmt: skip


def ridge_data() -> tuple[torch.Tensor, torch.Tensor]:
    X = torch.randn(5000, 20, dtype=torch.float64, generator=seeded())
    return X, torch.sin(X.sum(1))


def ridge_ours() -> Callable:
    X, Y = ridge_data()
    return lambda: lv.solve_krr(lv.Gaussian(3.0).gram(X), Y, 0.1)


def ridge_peer() -> Callable:
    from sklearn.kernel_ridge import KernelRidge

    X, Y = (part.numpy() for part in ridge_data())
    return lambda: KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / 18).fit(X, Y)


COLUMNS, WIDTH, CHUNK = 1000, 10, 8192


def rows_of(n: int, dtype=torch.float64):
    """Yield n rows of data in chunks, made as they are needed."""
    for start in range(0, n, CHUNK):
        X = torch.randn(min(CHUNK, n - start), WIDTH, dtype=dtype, generator=seeded(start))
        yield X, torch.sin(X.sum(1))


def stream(n: int, dtype) -> Callable:
    kernel = lv.Gaussian(3.0)
    draw = lv.sample_prior(kernel, COLUMNS // 2, WIDTH, generator=seeded())
    draw = lv.Draw(draw.W.to(dtype), draw.ratio.to(dtype))

    def run():
        ne = lv.NormalEquations()
        for X, Y in rows_of(n, dtype):
            ne.update(lv.modified_features(kernel, X, draw), Y)
        return ne.solve(1.0)

    return run


def stream_peer(n: int) -> Callable:
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    X, Y = (torch.cat(parts).numpy() for parts in zip(*rows_of(n), strict=True))
    return lambda: make_pipeline(RBFSampler(gamma=1 / 18, n_components=COLUMNS, random_state=0), Ridge(1.0)).fit(X, Y)


@task
def feature_ridge() -> list[dict]:
    """Ridge regression on 1000 random features of 10^5 rows, streamed, against RBFSampler + Ridge."""
    n = 10**5
    tasks = {"float64": stream(n, torch.float64), "float32": stream(n, torch.float32), "peer": stream_peer(n)}
    seconds = medians(tasks, runs=3)
    peak = {who: alone(f"stream_{who}") for who in tasks}
    return [
        row(f"random-feature ridge, n = 1e5, 1000 columns, {dtype}", seconds[dtype], seconds["peer"],
            peer="RBFSampler + Ridge", peak_mb=peak[dtype], peer_peak_mb=peak["peer"])
        for dtype in ("float64", "float32")
    ]  # fmt: skip


@task
def million_rows(powers=(5, 6)) -> list[dict]:
    """The same stream at n = 10^6 (and 10^7 with --large): time linear in n, peak memory flat."""
    rows = []
    for power in powers:
        seconds, peak = alone(f"stream_float32_{power}", timed=True)
        rows.append(row(f"random-feature ridge, n = 1e{power}, 1000 columns, float32", seconds, peak_mb=peak))
        rows[-1]["microseconds_a_row"] = 1e6 * seconds / 10**power
    return rows


@task
def great_circle_gibbs() -> list[dict]:
    """1024 leverage draws in d = 10 by ten sweeps of great-circle Gibbs, against the pool of 100 m prior weights."""
    lev = lv.RidgeLeverage(lv.NTK(), lv.data.sphere(200, 10, generator=seeded()), 0.01)
    seconds = medians(
        {
            "ours": lambda: lv.sample(lev, 1024, method="gibbs", generator=seeded()),
            "peer": lambda: lv.sample(lev, 1024, method="pool", generator=seeded()),
        }
    )
    return [
        row("great-circle Gibbs, n = 200, d = 10, m = 1024", seconds["ours"], seconds["peer"], peer="pool of 100 m")
    ]


@task
def dask_workers() -> list[dict]:
    """Normal equations by two Dask workers of one thread against one."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        return [{"what": "Dask: skipped, not installed (pip install dask distributed)"}]
    kernel = lv.Gaussian(3.0)
    draw = lv.sample_prior(kernel, COLUMNS // 2, WIDTH, generator=seeded())
    chunk = dask.delayed(lambda k: next(rows_of(CHUNK))[k % 2].numpy())
    count = 24

    def run():
        X, Y = [chunk(0) for _ in range(count)], [chunk(1) for _ in range(count)]
        return lv.dask_normal_equations(lambda X: lv.modified_features(kernel, X, draw), X, Y)

    seconds = {}
    for workers in (1, 2):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            seconds[workers] = medians({"run": run}, runs=3)["run"]
    return [row("Dask, two workers of one thread", seconds[2], seconds[1], peer="one worker")]


def alone(name: str, timed: bool = False):
    """Return the peak memory in MB (and the seconds) of one task that runs once in a process of its own."""
    command = [sys.executable, __file__, "--alone", name]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{name} failed:\n{ran.stderr}")
    said = json.loads(ran.stdout)
    return (said["seconds"], said["peak_mb"]) if timed else said["peak_mb"]


def run_alone(name: str) -> None:
    """Run one task once; print its seconds, and what it added to the peak memory of a process that has loaded all."""
    import sklearn.kernel_approximation
    import sklearn.kernel_ridge
    import sklearn.pipeline  # noqa: F401

    powers = {
        f"stream_float32_{power}": (lambda power=power: stream(10**power, torch.float32)) for power in range(4, 8)
    }
    make = {
        "ridge_ours": ridge_ours, "ridge_peer": ridge_peer, "stream_peer": lambda: stream_peer(10**5),
        "stream_float64": lambda: stream(10**5, torch.float64), "stream_float32": lambda: stream(10**5, torch.float32),
        **powers,
    }[name]  # fmt: skip
    torch.linalg.cholesky(torch.eye(64, dtype=torch.float64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = make()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": round(peak, 1)}))


def table(rows: list[dict]) -> str:
    """Return the rows as text: task, ours, peer, ratio, fraction of the limit, peak memory of both."""

    def cell(value, form: str) -> str:
        return "-" if value is None else format(value, form)

    lines = [f"{'task':68} {'ours s':>9} {'peer s':>9} {'ratio':>7} {'of limit':>8} {'MB':>7} {'peer MB':>8}  peer"]
    for r in rows:
        if "ours_s" not in r:
            lines.append(r["what"])
            continue
        figures = [(r["ours_s"], "9.3f"), (r["peer_s"], "9.3f"), (r["speedup"], "7.2f"), (r["of_limit"], "8.0%")]
        memory = [(r.get("peak_mb"), "7.0f"), (r.get("peer_peak_mb"), "8.0f")]
        cells = [f"{cell(value, form):>{form.split('.')[0]}}" for value, form in figures + memory]
        lines.append(f"{r['what']:68} {' '.join(cells)}  {r.get('peer') or ''}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--large", action="store_true", help="stream ten million rows, too (minutes)")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return run_alone(options.alone)
    path = RESULTS / "bench_library.json"
    kept = {}
    if path.exists():
        kept = {r["task"]: [] for r in json.loads(path.read_text())["rows"]}
        for r in json.loads(path.read_text())["rows"]:
            kept[r["task"]].append(r)
    for name in options.only:
        print(f"   {name}: {TASKS[name].__doc__.splitlines()[0]}", flush=True)
        extra = {"powers": (5, 6, 7)} if options.large and name == "million_rows" else {}
        kept[name] = [{"task": name, **r} for r in TASKS[name](**extra)]
        rows = [r for known in TASKS for r in kept.get(known, [])]
        write_result("bench_library", rows)
    print(table(rows))
    return None


if __name__ == "__main__":
    main()
