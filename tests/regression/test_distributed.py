"""Sums over workers: by Dask, with a worker killed in the middle, and by torch.distributed, as the
page has it."""

import os
import re
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster

import levlib as lv
from tests.oracles import random_points

ROOT = Path(__file__).resolve().parents[2]
X, Y = random_points(1000, 3).numpy(), random_points(1000, 2, seed=1).numpy()
KERNEL = lv.Gaussian(1.5)
DRAW = lv.sample_prior(KERNEL, 20, 3, generator=torch.Generator().manual_seed(0))
FEATURES = partial(lv.modified_features, KERNEL, draw=DRAW)


@pytest.fixture(scope="module")
def cluster():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
    ):
        yield cluster


def assert_same(sums: lv.NormalEquations, labels=Y):
    whole = lv.NormalEquations().update(FEATURES(X), labels)
    assert sums.n == len(X)
    for name in ("gram", "moment", "square"):
        assert torch.allclose(getattr(sums, name), getattr(whole, name), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("labels", [Y, Y[:, 0]], ids=["two outputs", "one"])
def test_dask_arrays_in_any_chunks_give_the_sums_of_the_whole(cluster, labels):
    cut = da.from_array(labels, chunks=(300,) * labels.ndim)
    assert_same(lv.dask_normal_equations(FEATURES, da.from_array(X, chunks=(70, 2)), cut), labels)


def test_lists_of_delayed_chunks_and_of_chunks_in_memory_do_too(cluster):
    pieces = np.array_split(np.arange(1000), 11)
    load = dask.delayed(lambda rows, source: source[rows])
    parts = [[load(rows, source) for rows in pieces] for source in (X, Y)]
    assert_same(lv.dask_normal_equations(FEATURES, *parts))
    assert_same(
        lv.dask_normal_equations(
            FEATURES, [X[rows] for rows in pieces], [Y[rows] for rows in pieces]
        )
    )


def test_no_cluster_is_needed(monkeypatch):
    monkeypatch.setattr("levlib.regression.distributed.ROWS", 70)
    with dask.config.set(scheduler="synchronous"):
        assert_same(
            lv.dask_normal_equations(FEATURES, da.from_array(X, chunks=(400, 3)), da.from_array(Y))
        )


def fatal_once(row: np.ndarray, flag: Path, X) -> torch.Tensor:
    """FEATURES, but the first worker that comes to the chunk that starts with `row` dies there,
    with all it holds."""
    if (X[0] == row).all() and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return FEATURES(X)


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(cluster, tmp_path):
    flag = tmp_path / "killed"
    features = partial(fatal_once, X[700], flag)
    sums = lv.dask_normal_equations(features, da.from_array(X, chunks=(50, 3)), da.from_array(Y))
    assert flag.exists()
    assert_same(sums)


def test_merging_leaves_its_arguments_alone():
    """A worker may run a task twice on the same arguments."""
    from levlib.regression.distributed import _merge

    parts = [
        lv.NormalEquations().update(FEATURES(X[rows]), Y[rows])
        for rows in (slice(0, 500), slice(500, 1000))
    ]
    before = [part.gram.clone() for part in parts]
    for _ in range(2):
        assert_same(_merge(parts))
    assert all(torch.equal(part.gram, gram) for part, gram in zip(parts, before, strict=True))


DX, DY = da.from_array(X), da.from_array(Y)
BAD = [
    (
        lambda: lv.dask_normal_equations("features", DX, DY),
        TypeError,
        "features must be a function",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, DX, Y),
        TypeError,
        "both be dask arrays or both lists of chunks",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, X, Y),
        TypeError,
        "both be dask arrays or both lists of chunks",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, DX[:9], DY),
        ValueError,
        "got (9, 3) and (1000, 2)",
    ),
    (lambda: lv.dask_normal_equations(FEATURES, DX[:, 0], DY), ValueError, "X must be (n, d)"),
    (
        lambda: lv.dask_normal_equations(FEATURES, DX[DX[:, 0] > 0], DY),
        ValueError,
        "see compute_chunk_sizes",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, [X], [Y, Y]),
        ValueError,
        "as many chunks, at least one, got 1 and 2",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, [], []),
        ValueError,
        "as many chunks, at least one, got 0 and 0",
    ),
    (
        lambda: lv.dask_normal_equations(FEATURES, [X], [Y[:5]]),
        ValueError,
        "as many rows in each chunk, got 1000 and 5",
    ),
]


@pytest.mark.parametrize("call, error, words", BAD)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=re.escape(words)), dask.config.set(scheduler="synchronous"):
        call()


def test_without_dask_the_message_names_the_extra():
    code = (
        "import sys; sys.modules['dask'] = None; "
        "import levlib as lv; lv.dask_normal_equations(len, [1], [1])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (
        done.returncode == 1
        and "ImportError: dask_normal_equations needs Dask: pip install 'levlib[dask]'"
        in (done.stderr)
    )


# ---- the code of book/distributed.md


def programs() -> list[str]:
    page = (ROOT / "book" / "distributed.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def test_the_dask_program_of_the_page_gives_what_one_process_gives(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(programs()[0])
    run = partial(
        subprocess.run,
        [sys.executable, program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    by_workers = run(env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert by_workers.returncode == 0, by_workers.stderr
    line = next(line for line in programs()[0].splitlines() if "with Client(" in line)
    program.write_text(programs()[0].replace(line, "    if True:"))
    alone = run(env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert alone.returncode == 0, alone.stderr
    assert numbers(by_workers.stdout)[0] == 20_000
    assert numbers(by_workers.stdout) == pytest.approx(numbers(alone.stdout), rel=1e-7)


def test_the_torch_program_of_the_page_gives_on_two_ranks_what_it_gives_on_one(tmp_path):
    (tmp_path / "program.py").write_text(programs()[1])

    def ranks(world: int) -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = {
            "PYTHONPATH": str(ROOT),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "WORLD_SIZE": str(world),
        }
        command = [sys.executable, tmp_path / "program.py"]
        started = [
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | place | {"RANK": str(rank)},
            )
            for rank in range(world)
        ]
        return [process.communicate(timeout=120)[0] for process in started]

    (alone,), both = ranks(1), ranks(2)
    assert len(numbers(alone)) == 3
    for answer in both:
        assert numbers(answer) == pytest.approx(numbers(alone), rel=1e-7)
