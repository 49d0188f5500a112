"""levlib on a GPU as a share of its own matrix products: float64 and float32, TF32 off.

python -m experiments.speed.gpu [--device cuda] [--results FOLDER]. Writes
experiments/results/speed_gpu.json. A row holds the seconds of ours and of the limit, which is
measured beside it: the matrix products (and the Cholesky factor) that the task cannot do without,
into memory that is already there. `of_rate` is what the task does a second, in the operations of
those products, over the rate of one large square product on the same device. On a CPU the sizes
are small, so that the script can be tried anywhere.
"""

import argparse
from pathlib import Path

import torch

import levlib as lv
from experiments.record import RESULTS, write_result
from experiments.speed.harness import medians

LARGE = {"square": 8192, "n": 4096, "M": 2**17, "gram": 16384, "m": 2**20, "rows": 2**16}
SMALL = {"square": 256, "n": 128, "M": 512, "gram": 256, "m": 1024, "rows": 1024}
RUNS = 7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(what: str, tasks: dict, operations: float, rate: float, dtype: torch.dtype) -> dict:
    """Return the row of a task: `tasks` holds "ours" and "limit", `operations` are those of the
    products."""
    seconds = medians(tasks, RUNS)
    return {
        "what": what,
        "dtype": str(dtype)[6:],
        "ours_s": seconds["ours"],
        "limit_s": seconds["limit"],
        "of_limit": seconds["limit"] / seconds["ours"],
        "of_rate": operations / seconds["ours"] / rate,
    }


def square_product(size: dict, at: dict) -> tuple[dict, float]:
    """Return the row of one large product and the operations a second that it reaches."""
    n = size["square"]
    A, B = torch.randn(n, n, **at), torch.randn(n, n, **at)
    out = torch.empty(n, n, **at)
    seconds = medians({"product": lambda: torch.mm(A, B, out=out)}, RUNS)["product"]
    rate = 2 * n**3 / seconds
    what = f"one product of two {n} x {n} matrices"
    row = {"what": what, "dtype": str(at["dtype"])[6:], "ours_s": seconds, "per_second": rate}
    return row, rate


def leverage_ratios(size: dict, at: dict, rate: float) -> dict:
    """q/p at M weights: half a product of (M, n) by (n, n), since the factor is triangular."""
    n, d, M = size["n"], 20, size["M"]
    X = lv.data.sphere(n, d, generator=seeded()).to(**at)
    W = lv.NTK().sample(M, d, generator=seeded(1)).to(**at)
    leverage = lv.RidgeLeverage(lv.NTK(), X, 0.1)
    block = W[: max(1, M // 16)]
    S, A = (block @ X.T >= 0).to(at["dtype"]), torch.randn(n, n, **at)
    out = torch.empty(len(block), n, **at)

    def limit():
        for _ in range(16):
            torch.mm(S, A, out=out)

    what = f"leverage ratios, n = {n}, M = {M}, against the full product"
    return measured(
        what, {"ours": lambda: leverage(W), "limit": limit}, 2.0 * M * n * n, rate, at["dtype"]
    )


def ntk_gram(size: dict, at: dict, rate: float) -> dict:
    """The NTK of n points: one thin product, then an arc cosine an entry, bound by memory."""
    n, d = size["gram"], 20
    X = lv.data.sphere(n, d, generator=seeded()).to(**at)
    out = torch.empty(n, n, **at)

    def limit():
        torch.mm(X, X.T, out=out)
        out.clamp_(-1, 1).acos_()

    what = f"NTK Gram, n = {n}, d = {d}, against product and arc cosine in place"
    return measured(
        what, {"ours": lambda: lv.NTK().gram(X), "limit": limit}, 2.0 * n * n * d, rate, at["dtype"]
    )


def exact_ridge(size: dict, at: dict, rate: float) -> dict:
    """Gram matrix and solve, against one Cholesky factor of a matrix of that size."""
    n = size["gram"] // 2
    X = torch.randn(n, 20, generator=seeded(), dtype=torch.float64).to(**at)
    Y = torch.sin(X.sum(1))
    K = lv.Gaussian(3.0).gram(X) + 0.1 * torch.eye(n, **at)

    def ours():
        return lv.solve_krr(lv.Gaussian(3.0).gram(X), Y, 0.1)

    what = f"exact ridge, n = {n}, d = 20, against the Cholesky factor"
    tasks = {"ours": ours, "limit": lambda: torch.linalg.cholesky(K)}
    return measured(what, tasks, n**3 / 3, rate, at["dtype"])


def feature_chunk(size: dict, at: dict, rate: float) -> dict:
    """One chunk of a stream through 1000 columns: cosines and sines, then the normal equations,
    against their product."""
    rows, columns = size["rows"], 1000
    X = torch.randn(rows, 10, generator=seeded(), dtype=torch.float64).to(**at)
    Y = torch.sin(X.sum(1))
    kernel = lv.Gaussian(3.0)
    draw = lv.sample_prior(kernel, columns // 2, 10, generator=seeded())
    draw = lv.Draw(draw.W.to(**at), draw.ratio.to(**at))
    Z = lv.modified_features(kernel, X, draw)
    out = torch.empty(Z.shape[1], Z.shape[1], **at)

    def ours():
        lv.NormalEquations().update(lv.modified_features(kernel, X, draw), Y)

    what = f"random features of {rows} rows, {columns} columns, against Z^T Z"
    tasks = {"ours": ours, "limit": lambda: torch.mm(Z.T, Z, out=out)}
    return measured(what, tasks, 2.0 * rows * columns**2, rate, at["dtype"])


def training_step(size: dict, at: dict, rate: float) -> dict:
    """One gradient step of a net of m units, against its two products."""
    n, d, m = 256, 32, size["m"]
    X = lv.data.sphere(n, d, generator=seeded()).to(**at)
    Y = torch.sin(3 * X[:, 0])
    draw = lv.sample_prior(lv.NTK(), m, d, generator=seeded(1))
    draw = lv.Draw(draw.W.to(**at), draw.ratio.to(**at))
    net = lv.TwoLayerNet.from_draw(draw, generator=seeded(2))
    Z = torch.empty(m, n, **at)
    G = torch.empty(m, d, **at)
    S = torch.rand(m, n, **at)

    def ours():
        _, (gradient,) = net.gradient(X, Y)
        net.W.mul_(1 - 1e-4).add_(gradient, alpha=-1e-4)

    def limit():
        torch.mm(net.W, X.T, out=Z)
        torch.mm(S, X, out=G)

    what = f"training step, m = {m}, n = {n}, d = {d}, against its two products"
    return measured(what, {"ours": ours, "limit": limit}, 4.0 * m * n * d, rate, at["dtype"])


TASKS = (leverage_ratios, ntk_gram, exact_ridge, feature_chunk, training_step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    size = LARGE if options.device.startswith("cuda") else SMALL
    rows = []
    for dtype in (torch.float64, torch.float32):
        at = {"device": options.device, "dtype": dtype}
        row, rate = square_product(size, at)
        rows.append(row)
        print(f"{row['dtype']}: {rate / 1e12:.2f} T operations a second", flush=True)
        for task in TASKS:
            rows.append(task(size, at, rate))
            print(
                f"  {rows[-1]['what']}: {rows[-1]['ours_s'] * 1e3:.2f} ms, "
                f"{rows[-1]['of_limit']:.0%} of the limit, {rows[-1]['of_rate']:.0%} of the rate",
                flush=True,
            )
            write_result("speed_gpu", rows, options.results, options.device)


if __name__ == "__main__":
    main()
