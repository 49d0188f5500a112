"""Run the unit suite on other processors, numbers of threads and versions of the packages.

python book/tools/matrix.py [--short] [--only NAME ...]

Each run says what it is, one that fails does not stop the rest, and a table stands at the end. The
code paths of older processors are those of torch and MKL. `.venv-oldest` holds the lower bounds of
pyproject.toml, on the oldest Python that it allows, `.venv-newest` what pip chooses from the open
ranges. The oldest keeps the torch of requirements.lock: older builds for Linux on PyPI bring
several GB of CUDA. --short runs some files of numerical identities on the two older processors
alone.
"""

import argparse
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 3600  # for one run, or for making one environment
DEFAULT = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TWO = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
SUITE = ["-m", "not book and not browser"]
SHORT = [
    "tests/leverage/test_ridge.py",
    "tests/regression/test_exact.py",
    "tests/nets/test_two_layer.py",
    "tests/nets/test_flow.py",
]


def call(*command: str | Path, **environment: str) -> bool:
    """Run a command at the root; return whether it succeeded."""
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        print(f"   took more than {SECONDS} s", flush=True)
        return False
    except FileNotFoundError as missing:
        print(f"   there is no {missing.filename}", flush=True)
        return False
    return ran.returncode == 0


def oldest(project: dict, lock: str) -> str:
    """Return pip's constraints for the lowest versions that a project allows, with the torch of the
    lock."""
    extras = project["optional-dependencies"].values()
    needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
    lines = [line for line in lock.splitlines() if line.startswith("torch==")]
    for need in map(Requirement, needs):
        bounds = [part.version for part in need.specifier if part.operator == ">="]
        if bounds and need.name != "torch":
            lines.append(f"{need.name}=={bounds[0]}")
    return "\n".join(lines) + "\n"


def this_environment() -> Path | None:
    return Path(sys.executable)


def oldest_environment() -> Path | None:
    """Return the Python of `.venv-oldest`, made anew where the bounds changed; None where that
    fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = oldest(project, (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    place = ROOT / ".venv-oldest"
    python, bounds, wanted = place / "bin/python", place / "oldest.txt", place / "wanted.txt"
    if bounds.is_file() and bounds.read_text(encoding="utf-8") == text:
        return python
    if not call("python" + project["requires-python"].lstrip(">="), "-m", "venv", "--clear", place):
        return None
    wanted.write_text(text, encoding="utf-8")
    if not call(python, "-m", "pip", "install", "-q", "-r", "requirements.txt", "-c", wanted):
        return None
    wanted.rename(bounds)  # only now is the environment whole
    return python


def newest_environment() -> Path | None:
    """Return the Python of `.venv-newest`, brought up to date; None where that fails."""
    place = ROOT / ".venv-newest"
    python = place / "bin/python"
    if not python.is_file() and not call(sys.executable, "-m", "venv", place):
        return None
    eager = ["-U", "--upgrade-strategy", "eager"]
    made = call(python, "-m", "pip", "install", "-q", *eager, "-r", "requirements.txt")
    return python if made else None


class Run(NamedTuple):
    name: str
    environment: dict[str, str]
    python: Callable[[], Path | None] = this_environment


RUNS = [
    Run("default-processor", DEFAULT | ONE),
    Run("avx2-processor", AVX2 | ONE),
    Run("one-thread", ONE),
    Run("two-threads", TWO),
    Run("oldest-versions", {}, oldest_environment),
    Run("newest-versions", {}, newest_environment),
]


def run_all(runs: list[Run], tests: list[str]) -> int:
    """Run the tests in each way, print a table, and return the number of ways that failed."""
    rows = []
    for run in runs:
        how = " ".join(f"{key}={value}" for key, value in run.environment.items())
        print(f"   {run.name}  {how}", flush=True)
        start = time.monotonic()
        python = run.python()
        passed = python is not None and call(python, "-m", "pytest", *tests, **run.environment)
        said = "passed" if passed else "FAILED" if python else "FAILED: no environment"
        rows.append((run.name, time.monotonic() - start, said))
    for name, seconds, said in rows:
        print(f"   {name:20} {seconds:7.0f} s  {said}", flush=True)
    return sum(said != "passed" for *_, said in rows)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [run.name for run in RUNS]
    parser.add_argument("--short", action="store_true", help="what CI runs")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these runs alone")
    options = parser.parse_args(arguments)
    runs = RUNS[:2] if options.short else [run for run in RUNS if run.name in options.only]
    tests = SHORT if options.short else SUITE
    return int(bool(run_all(runs, tests)))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
