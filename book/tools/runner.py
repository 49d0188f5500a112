"""Run one notebook by nbmake, and make the page of one that failed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

CELL_SECONDS = 300
SECONDS = 1800  # for a whole notebook
# threads spin for some microseconds, then sleep: small matrix products are fast on a quiet machine
# and on a busy one
ENVIRONMENT = {
    "LEVLIB_CHECK_SEED": "0",  # a build gives the same page twice
    "LEVLIB_STATIC": "1",
    "GOMP_SPINCOUNT": "3000",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TQDM_DISABLE": "1",
}


def write(path: Path, data: bytes) -> None:
    """Write a file in one step, and only if its content changes."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(data)
    os.replace(beside, path)


def results_named(source: Path) -> list[Path]:
    """Return the files of experiments/results that a notebook names:
    ../experiments/results/<name>.json."""
    text = source.read_text(encoding="utf-8")
    return [
        path
        for path in sorted(source.parents[1].glob("experiments/results/*.json"))
        if path.name in text
    ]


def nbmake(copy: Path, place: Path) -> tuple[bool, str]:
    """Run the notebook in place; return whether it passed, and what pytest said."""
    options = ["--nbmake", "--overwrite", f"--nbmake-timeout={CELL_SECONDS}", "-q"]
    options += ["-p", "no:cacheprovider"]
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--rootdir={place}", str(copy)],
            cwd=place,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"{copy.name} took more than {SECONDS} s"
    return ran.returncode == 0, ran.stdout


def first_error(copy: Path) -> str:
    """Return the name and the first line of the first error among the outputs of a notebook."""
    for cell in json.loads(copy.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                if output["ename"] == "KeyboardInterrupt":  # so nbmake ends a cell
                    return f"a cell took more than {CELL_SECONDS} s"
                return f"{output['ename']}: {output['evalue']}".splitlines()[0]
    return "the notebook did not come to its end"


def execute(source: Path, target: Path) -> tuple[str, str]:
    """Run one notebook and put the executed copy in place; return its error in one line, empty
    where it passed, and what pytest said."""
    # nbmake collects nothing under a folder named _build, so the copy runs in a temporary place
    with tempfile.TemporaryDirectory(prefix="levlib-") as place:
        copy = Path(place) / source.parent.name / source.name
        copy.parent.mkdir()
        shutil.copyfile(source, copy)
        for result in results_named(source):
            write(Path(place) / result.relative_to(source.parents[1]), result.read_bytes())
        passed, said = nbmake(copy, Path(place))
        if not passed:
            return first_error(copy), said
        write(target, copy.read_bytes())
        return "", said


def heading(source: Path) -> str:
    """Return the title of a notebook, with the label above it; its name where it has no title."""
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        lines = "".join(cell["source"]).splitlines()
        for position, line in enumerate(lines):
            if cell["cell_type"] == "markdown" and line.startswith("# "):
                return "\n".join(lines[: position + 1])
    return f"# {source.stem}"


def failed_page(source: Path, error: str) -> bytes:
    """Return a notebook with the title of `source` that says that it did not run, and why."""
    told = f"""{heading(source)}

::::{{admonition}} This page is missing
:class: error

Its notebook did not run when this book was built. It ended with

~~~~~~
{error[:300]}
~~~~~~

The rest of the book is whole. `make book` runs the notebook again and prints all of the error.
::::"""
    cells = [nbformat.v4.new_markdown_cell(told, id="failed")]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return nbformat.writes(page).encode()
