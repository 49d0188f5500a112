"""The result file of an experiment: its rows, and where they come from."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "levlib",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "altair",
    "vl-convert-python",
    "playwright",
)


def processor() -> str:
    """Return the name of the processor and the number of cores that this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def device_name(device: str) -> str:
    """Return the name of the GPU that "cuda" or "cuda:1" means, and that of the processor for
    "cpu"."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()


@cache  # asked first before a run changes its own result file
def commit() -> str:
    """Return the commit of the working tree, marked where files of it have changed since.

    A copy whose history is absent or behind says it in the variable LEVLIB_COMMIT.
    """
    if said := os.environ.get("LEVLIB_COMMIT"):
        return said
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ran.stdout.strip() or "unknown"


def kept_rows(path: Path) -> list[dict]:
    """Return the rows of a result file, none where there is no file yet: a run that resumes starts
    from them."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def write_result(
    script: str, rows: list[dict], folder: Path = RESULTS, device: str | None = None
) -> Path:
    """Write rows to `<folder>/<script>.json` in one step, with the date, the machine, the versions,
    the commit.

    A script that can run on a GPU passes its `device`, and the result then names it.
    """
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    result = {
        "script": "experiments/" + script.replace("speed_", "speed/").removesuffix("_gpu") + ".py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        **({"device": device_name(device)} if device else {}),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit(),
        "rows": rows,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{script}.json"
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)
    return path
