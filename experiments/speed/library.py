"""levlib against its peers and against the machine's own limit: one table, medians of interleaved
runs.

python -m experiments.speed.library [--only TASK ...] [--large]. Each task runs in a process of its
own, so that its peak memory is its own; what has run is written at once, and --only replaces the
rows of the tasks that it names. scikit-ntk, the one peer outside requirements.txt, runs in
`.venv-peers` (make peers) and is skipped where that is absent. --large adds the stream of ten
million rows.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import levlib as lv
from experiments.record import RESULTS, kept_rows, write_result
from experiments.speed.harness import medians

HERE = Path(__file__).parent
PEERS = HERE.parents[1] / ".venv-peers" / "bin" / "python"
LIMIT = 3600  # seconds that one task may take in a process of its own
TASKS: dict[str, Callable[..., list[dict]]] = {}


def task(function):
    TASKS[function.__name__] = function
    return function


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(
    what: str, ours: float, peer: float | None = None, limit: float | None = None, **more
) -> dict:
    """Return a row: seconds of ours, of the peer and of the limit, and the two ratios that matter.

    `against` names the peer.
    """
    ratios = {"speedup": peer / ours if peer else None, "of_limit": limit / ours if limit else None}
    return {"what": what, "ours_s": ours, "peer_s": peer, "limit_s": limit, **ratios, **more}


@task
def leverage_ratios() -> list[dict]:
    """q/p at M weights by one matrix product a block, against a triangular solve for each
    weight."""
    n, d, M = 2000, 20, 20_000
    X = lv.data.sphere(n, d, generator=seeded())
    W = lv.NTK().sample(M, d, generator=seeded(1))
    rows, exact = [], None
    for dtype in (torch.float64, torch.float32):
        lev, w = lv.RidgeLeverage(lv.NTK(), X.to(dtype), 0.1), W.to(dtype)
        S, A = (
            (w @ X.T.to(dtype) >= 0).to(dtype),
            torch.randn(n, n, dtype=dtype, generator=seeded(2)),
        )
        out = torch.empty(M, n, dtype=dtype)
        ridged = lev.K + 0.1 * torch.eye(n, dtype=dtype)
        L = torch.linalg.cholesky(ridged)

        def for_each_weight(L=L, w=w, lev=lev):
            for one in w[:10]:
                Phi = lv.NTK().features(lev.X, one[None])[:, 0]
                torch.linalg.solve_triangular(L, Phi, upper=False).square().sum()

        def as_defined(ridged=ridged, w=w, lev=lev):
            Phi = lv.NTK().features(lev.X, w[:1])[:, 0]
            return (Phi * torch.linalg.solve(ridged, Phi)).sum()

        seconds = medians(
            {
                "ours": lambda lev=lev, w=w: lev(w),
                "gemm": lambda S=S, A=A, out=out: torch.mm(S, A, out=out),
            }
        )
        slow = medians({"factored": for_each_weight, "defined": as_defined}, runs=3)
        values = lev(w).double()
        exact = values if exact is None else exact
        error = float(((values - exact) / exact).abs().max())
        what = f"leverage ratios, n = {n}, M = {M}, {str(dtype)[6:]}"
        ours, gemm = seconds["ours"], seconds["gemm"]
        for said, taken in [
            ("solve per weight", M * slow["defined"]),
            ("one factor", M / 10 * slow["factored"]),
        ]:
            rows.append(row(what, ours, taken, gemm, against=said, relative_error=error))
    return rows


@task
def ntk_gram() -> list[dict]:
    """The NTK matrix of 5000 points against scikit-ntk, which computes this kernel plus arc-cosine
    order 1."""
    n, d = 5000, 20
    X = lv.data.sphere(n, d, generator=seeded())
    A = torch.empty(n, n, dtype=X.dtype)
    seconds = medians({"ours": lambda: lv.NTK().gram(X), "gemm": lambda: torch.mm(X, X.T, out=A)})
    equal = medians({"ours": lambda: lv.deep_ntk(X, depth=2)})["ours"]
    peer = None
    if PEERS.exists():
        ran = subprocess.run(
            [PEERS, HERE / "peer_ntk.py", str(n), str(d)],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT,
        )
        peer = float(ran.stdout)
    said = "scikit-ntk" if peer else "scikit-ntk: skipped, no .venv-peers (make peers)"
    return [
        row(
            f"NTK Gram, n = {n}, d = {d} (first layer)",
            seconds["ours"],
            peer,
            seconds["gemm"],
            against=said,
        ),
        row(
            f"NTK Gram, n = {n}, d = {d} (both layers, the peer's kernel)",
            equal,
            peer,
            against=said,
        ),
    ]


@task
def exact_ridge() -> list[dict]:
    """Gram matrix and solve at n = 5000, against scikit-learn's KernelRidge; peak memory of each in
    a process."""
    ours, peer = (alone(f"ridge_{who}") for who in ("ours", "peer"))
    seconds = medians({"ours": ridge_ours(), "peer": ridge_peer()}, runs=3)
    return [
        row(
            "exact ridge, n = 5000, d = 20",
            seconds["ours"],
            seconds["peer"],
            against="KernelRidge",
            peak_mb=ours,
            peer_peak_mb=peer,
        )
    ]


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


COLUMNS, WIDTH, CHUNK = 1000, 10, 4096


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
    return lambda: make_pipeline(
        RBFSampler(gamma=1 / 18, n_components=COLUMNS, random_state=0), Ridge(1.0)
    ).fit(X, Y)


@task
def feature_ridge() -> list[dict]:
    """Ridge regression on 1000 random features of 10^5 rows, streamed, against RBFSampler +
    Ridge."""
    n = 10**5
    tasks = {
        "float64": stream(n, torch.float64),
        "float32": stream(n, torch.float32),
        "peer": stream_peer(n),
    }
    seconds = medians(tasks, runs=3)
    peak = {who: alone(f"stream_{who}") for who in tasks}
    return [
        row(
            f"random-feature ridge, n = 1e5, 1000 columns, {dtype}",
            seconds[dtype],
            seconds["peer"],
            against="RBFSampler + Ridge",
            peak_mb=peak[dtype],
            peer_peak_mb=peak["peer"],
        )
        for dtype in ("float64", "float32")
    ]


@task
def million_rows(powers=(5, 6)) -> list[dict]:
    """The same stream at n = 10^6 (and 10^7 with --large): time linear in n, peak memory flat."""
    rows = []
    for power in powers:
        seconds, peak = alone(f"stream_float32_{power}", timed=True)
        rows.append(
            row(
                f"random-feature ridge, n = 1e{power}, 1000 columns, float32", seconds, peak_mb=peak
            )
        )
        rows[-1]["microseconds_a_row"] = 1e6 * seconds / 10**power
    return rows


@task
def great_circle_gibbs() -> list[dict]:
    """1024 leverage draws in d = 10 by ten sweeps of great-circle Gibbs, against a pool large
    enough for the data."""
    m, delta = 1024, 1e-4
    spread = lv.data.sphere(200, 10, generator=seeded())
    side = lv.data.sphere(100, 10, generator=seeded(1))
    twins = torch.nn.functional.normalize(spread[:100] + delta * side, dim=1)
    pairs = torch.cat([spread[:100], twins])
    rows = []
    for name, X, lam in [("200 spread points", spread, 1e-2), ("100 pairs at 1e-4", pairs, 1e-6)]:
        lev = lv.RidgeLeverage(lv.NTK(), X, lam)
        # each pair has a wedge of measure about delta / pi: the pool is to meet it ten times for
        # each draw in it
        pool = 100 * m if X is spread else round(10 * m / lev.s_lam * math.pi / delta)
        seconds = medians(
            {
                "ours": lambda lev=lev: lv.sample(lev, m, method="gibbs", generator=seeded()),
                "peer": lambda lev=lev, pool=pool: lv.sample(
                    lev, m, method="pool", pool=pool, generator=seeded()
                ),
            },
            runs=3,
        )
        what = f"great-circle Gibbs, n = 200, d = 10, m = {m}, {name}"
        rows.append(row(what, seconds["ours"], seconds["peer"], against=f"pool of {pool}"))
    return rows


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
    count = 96

    def run():
        X, Y = [chunk(0) for _ in range(count)], [chunk(1) for _ in range(count)]
        return lv.dask_normal_equations(lambda X: lv.modified_features(kernel, X, draw), X, Y)

    seconds = {}
    for workers in (1, 2):
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster),
        ):
            seconds[workers] = medians({"run": run}, runs=3)["run"]
    return [row("Dask, two workers of one thread", seconds[2], seconds[1], against="one worker")]


@task
def training_step() -> list[dict]:
    """One gradient step of a net of 16384 units: the two matrix products alone, autograd,
    torch.compile (float32)."""
    n, d, m = 256, 32, 2**14
    rows = []
    for dtype in (torch.float64, torch.float32):
        X = lv.data.sphere(n, d, generator=seeded()).to(dtype)
        Y = torch.sin(3 * X[:, 0])
        draw = lv.sample_prior(lv.NTK(), m, d, generator=seeded(1), dtype=dtype)
        net = lv.TwoLayerNet.from_draw(draw, generator=seeded(2))
        W, output, S, residual_X = (
            net.W.clone().requires_grad_(),
            net.output,
            net._mask_buffer(n).clone(),
            X.clone(),
        )
        Z, G = torch.empty_like(S), torch.empty_like(net.W)

        def step(net=net, X=X, Y=Y):
            _, (gradient,) = net.gradient(X, Y)
            net.W.mul_(1 - 1e-4).add_(gradient, alpha=-1e-4)

        def loss(W, X=X, Y=Y, output=output):
            return (Y - torch.relu(X @ W.T) @ output).square().sum() / 2 + 1e-2 * W.square().sum()

        def by_autograd(loss=loss, W=W):
            (gradient,) = torch.autograd.grad(loss(W), W)
            with torch.no_grad():
                W.sub_(gradient, alpha=1e-4)

        def products(net=net, X=X, Z=Z, S=S, residual_X=residual_X, G=G):
            torch.mm(net.W, X.T, out=Z)
            torch.mm(S, residual_X, out=G)

        tasks = {"ours": step, "products": products, "autograd": by_autograd}
        if dtype == torch.float32:
            compiled = torch.compile(loss)
            tasks["compiled"] = lambda compiled=compiled, by=by_autograd: by(compiled)
        seconds = medians(tasks, runs=9)
        what = f"training step, m = {m}, n = {n}, d = {d}, {str(dtype)[6:]}"
        rows.append(
            row(what, seconds["ours"], seconds["autograd"], seconds["products"], against="autograd")
        )
        if "compiled" in seconds:
            rows.append(row(what, seconds["ours"], seconds["compiled"], against="torch.compile"))
    return rows


@task
def training_memory() -> list[dict]:
    """The peak memory of a run of 20 and of 200 steps."""
    rows = []
    for steps in (20, 200):
        seconds, peak = alone(f"train_{steps}", timed=True)
        rows.append(
            row(f"training run, m = 16384, n = 256, d = 32, {steps} steps", seconds, peak_mb=peak)
        )
    return rows


def training(steps: int) -> Callable:
    X = lv.data.sphere(256, 32, generator=seeded())
    draw = lv.sample_prior(lv.NTK(), 2**14, 32, generator=seeded(1))
    net = lv.TwoLayerNet.from_draw(draw, generator=seeded(2))
    return lambda: lv.train(net, X, torch.sin(3 * X[:, 0]), 0.1, steps=steps, progress=False)


def alone(name: str, timed: bool = False):
    """Return the peak memory in MB (and the seconds) of one task that runs once in a process of its
    own."""
    command = [sys.executable, "-m", "experiments.speed.library", "--alone", name]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    if ran.returncode:
        raise SystemExit(f"{name} failed:\n{ran.stderr}")
    said = json.loads(ran.stdout)
    return (said["seconds"], said["peak_mb"]) if timed else said["peak_mb"]


def peak_kb() -> int:
    """Return the peak memory of this process (Linux); getrusage would count what the process that
    started it held."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def run_alone(name: str) -> None:
    """Run one task once; print its seconds, and what it added to the peak memory of a process that
    has loaded all."""
    import sklearn.kernel_approximation
    import sklearn.kernel_ridge
    import sklearn.pipeline  # noqa: F401

    powers = {
        f"stream_float32_{power}": (lambda power=power: stream(10**power, torch.float32))
        for power in range(4, 8)
    }
    make = {
        "ridge_ours": ridge_ours,
        "ridge_peer": ridge_peer,
        "stream_peer": lambda: stream_peer(10**5),
        "stream_float64": lambda: stream(10**5, torch.float64),
        "stream_float32": lambda: stream(10**5, torch.float32),
        "train_20": lambda: training(20),
        "train_200": lambda: training(200),
        **powers,
    }[name]
    torch.linalg.cholesky(torch.eye(64, dtype=torch.float64))
    before = peak_kb()
    run = make()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    peak = (peak_kb() - before) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": round(peak, 1)}))


def table(rows: list[dict]) -> str:
    """Return the rows as text: task, ours, peer, ratio, fraction of the limit, peak memory of
    both."""

    def cell(value, form: str) -> str:
        return "-" if value is None else format(value, form)

    lines = [
        f"{'task':68} {'ours s':>9} {'peer s':>9} {'ratio':>7} {'of limit':>8} {'MB':>7} "
        f"{'peer MB':>8}  peer"
    ]
    for r in rows:
        if "ours_s" not in r:
            lines.append(r["what"])
            continue
        figures = [
            (r["ours_s"], "9.3f"),
            (r["peer_s"], "9.3f"),
            (r["speedup"], "7.2f"),
            (r["of_limit"], "8.0%"),
        ]
        memory = [(r.get("peak_mb"), "7.0f"), (r.get("peer_peak_mb"), "8.0f")]
        cells = [f"{cell(value, form):>{form.split('.')[0]}}" for value, form in figures + memory]
        lines.append(f"{r['what']:68} {' '.join(cells)}  {r.get('against') or ''}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument(
        "--large", action="store_true", help="stream ten million rows, too (minutes)"
    )
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return run_alone(options.alone)
    path = RESULTS / "speed_library.json"
    kept = {}
    for r in kept_rows(path):
        kept.setdefault(r["task"], []).append(r)
    for name in options.only:
        print(f"   {name}: {TASKS[name].__doc__.splitlines()[0]}", flush=True)
        extra = {"powers": (5, 6, 7)} if options.large and name == "million_rows" else {}
        kept[name] = [{"task": name, **r} for r in TASKS[name](**extra)]
        rows = [r for known in TASKS for r in kept.get(known, [])]
        write_result("speed_library", rows)
    print(table(rows))
    return None


if __name__ == "__main__":
    main()
