"""Build the book from executed copies of its notebooks: python book/tools/stage.py [--strict].

`_build/stage` holds a copy of the sources, in which each notebook is its executed copy. A notebook
runs (by nbmake) only when its key changed: the hash of its source, of the results that it names, of
levlib, of the installed packages and of this file. What succeeded is written down after each
notebook, so an interrupted run goes on where it stopped. The pages are always built cold.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "_build" / "stage"
HTML = STAGE / "_build" / "html"
TIMEOUT = 300
# threads spin for some microseconds, then sleep: small matrix products are fast on a quiet machine
# and on a busy one
ENVIRONMENT = {
    "LEVLIB_STATIC": "1",
    "GOMP_SPINCOUNT": "3000",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TQDM_DISABLE": "1",
}


def digest(*parts: bytes | str) -> str:
    """Return one hash of all parts, in order; their borders count."""
    total = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else part
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def digest_files(root: Path, paths: list[Path]) -> str:
    """Return one hash of the files' names and contents."""
    return digest(
        *(
            part
            for path in sorted(paths)
            for part in (path.relative_to(root).as_posix(), path.read_bytes())
        )
    )


@cache
def platform_key() -> str:
    """Return the hash of what every notebook depends on: levlib, this file, Python and the
    installed packages."""
    packages = sorted(f"{package.name}=={package.version}" for package in distributions())
    code = [
        path for pattern in ("*.py", "*.js", "*.css") for path in (ROOT / "levlib").rglob(pattern)
    ]
    return digest(sys.version, *packages, digest_files(ROOT, code), Path(__file__).read_bytes())


def toc_pages(toc: dict) -> list[str]:
    """Return the files that a table of contents names, its root first."""
    found = [toc[key] for key in ("root", "file") if key in toc]
    for key in ("parts", "chapters", "sections", "entries", "subtrees"):
        found += [page for entry in toc.get(key, []) for page in toc_pages(entry)]
    return found


def load_toc(root: Path = ROOT) -> list[str]:
    return toc_pages(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))


def notebooks(root: Path = ROOT) -> list[Path]:
    """Return the notebooks among the book's pages, relative to the root."""
    return [path for page in load_toc(root) if (root / (path := Path(page + ".ipynb"))).is_file()]


def write(path: Path, data: bytes) -> None:
    """Write a file in one step, and only if its content changes."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(data)
    os.replace(beside, path)


class Manifest:
    """What succeeded, in `_build/stage/manifest.json`; saved after each step."""

    def __init__(self, path: Path):
        self.path, self.data = path, {"notebooks": {}, "book": {}}
        try:
            self.data |= json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            pass

    def save(self) -> None:
        write(self.path, json.dumps(self.data, indent=1, sort_keys=True).encode())


def mirror(root: Path, stage: Path) -> None:
    """Copy the book's sources, other than notebooks, and remove what has no source any more."""
    wanted = {
        path.relative_to(root)
        for folder in ("book", "chapters")
        for path in (root / folder).rglob("*")
    }
    wanted = {
        path for path in wanted if (root / path).is_file() and path.parts[:2] != ("book", "tools")
    }
    wanted = {
        path
        for path in wanted
        if "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts
    }
    for path in wanted:
        if path.suffix != ".ipynb":
            write(stage / path, (root / path).read_bytes())
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["execute"] |= {"execute_notebooks": "off"}
    write(stage / "_config.yml", yaml.safe_dump(config, sort_keys=False).encode())
    write(stage / "_toc.yml", (root / "_toc.yml").read_bytes())
    kept = {path for path in wanted if path.suffix != ".ipynb"} | set(notebooks(root))
    for folder in ("book", "chapters"):
        for path in (stage / folder).rglob("*"):
            if path.is_file() and path.relative_to(stage) not in kept:
                path.unlink()


def results_named(source: Path) -> list[Path]:
    """Return the files of experiments/results that a notebook names:
    ../experiments/results/<name>.json."""
    text = source.read_text(encoding="utf-8")
    return [
        path
        for path in sorted(source.parents[1].glob("experiments/results/*.json"))
        if path.name in text
    ]


def execute(source: Path, target: Path) -> tuple[bool, str]:
    """Run one notebook by nbmake and put the executed copy in place; return whether it passed, and
    what pytest said."""
    # nbmake collects nothing under a folder named _build, so the copy runs in a temporary place
    with tempfile.TemporaryDirectory(prefix="levlib-") as place:
        copy = Path(place) / source.parent.name / source.name
        copy.parent.mkdir()
        shutil.copyfile(source, copy)
        for result in results_named(source):
            write(Path(place) / result.relative_to(source.parents[1]), result.read_bytes())
        options = [
            "--nbmake",
            "--overwrite",
            f"--nbmake-timeout={TIMEOUT}",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--rootdir={place}", str(copy)],
            cwd=place,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if ran.returncode == 0:
            write(target, copy.read_bytes())
        return ran.returncode == 0, ran.stdout


def run_notebooks(root: Path, stage: Path, manifest: Manifest, run=execute) -> list[Path]:
    """Run the notebooks whose key changed or whose copy is not what was recorded; return those that
    failed."""
    failed, done = [], manifest.data["notebooks"]
    todo = notebooks(root)
    manifest.data["notebooks"] = done = {
        name: done[name] for name in map(str, todo) if name in done
    }
    for path in todo:
        key = digest(
            platform_key(),
            (root / path).read_bytes(),
            digest_files(root, results_named(root / path)),
        )
        target, record = stage / path, done.get(str(path), {})
        if (
            record.get("key") == key
            and target.is_file()
            and record.get("copy") == digest(target.read_bytes())
        ):
            print(f"   {path}  unchanged ({record['seconds']:.1f} s when it ran)", flush=True)
            continue
        done.pop(str(path), None)
        start = time.perf_counter()
        passed, said = run(root / path, target)
        seconds = time.perf_counter() - start
        print(f"   {path}  {'passed' if passed else 'FAILED'} in {seconds:.1f} s", flush=True)
        if passed:
            done[str(path)] = {
                "key": key,
                "seconds": round(seconds, 1),
                "copy": digest(target.read_bytes()),
            }
            manifest.save()
        else:
            print(said, flush=True)
            failed.append(path)
    return failed


def build(stage: Path, manifest: Manifest, strict: bool) -> bool:
    """Build the pages cold, unless the same sources were built as strictly; return whether all
    pages are there."""
    sources = [
        path
        for path in stage.rglob("*")
        if path.is_file() and path.relative_to(stage).parts[0] != "_build"
    ]
    key = digest(
        platform_key(), digest_files(stage, [path for path in sources if path != manifest.path])
    )
    pages = [stage / "_build" / "html" / f"{page}.html" for page in load_toc(stage)]
    record = manifest.data["book"]
    if (
        record.get("key") == key
        and record.get("strict", False) >= strict
        and all(page.is_file() for page in pages)
    ):
        print("   pages  unchanged", flush=True)
        return True
    manifest.data["book"] = {}
    manifest.save()
    shutil.rmtree(stage / "_build", ignore_errors=True)
    start = time.perf_counter()
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", ".", "-q", "-n", "--keep-going", *["-W"] * strict]
    built = subprocess.run(
        command, cwd=stage, env=os.environ | ENVIRONMENT, stdin=subprocess.DEVNULL
    )
    missing = [page for page in pages if not page.is_file()]
    for page in missing:
        print(f"   missing page: {page.relative_to(stage)}")
    if built.returncode or missing:
        print(
            f"   pages  FAILED (jupyter-book returned {built.returncode}, {len(missing)} pages "
            "missing)"
        )
        return False
    print(f"   pages  {len(pages)} built in {time.perf_counter() - start:.1f} s", flush=True)
    manifest.data["book"] = {"key": key, "strict": strict}
    manifest.save()
    return True


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="a warning of the build is an error")
    options = parser.parse_args(arguments)
    STAGE.mkdir(parents=True, exist_ok=True)
    with open(STAGE.parent / "stage.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once take turns
        manifest = Manifest(STAGE / "manifest.json")
        mirror(ROOT, STAGE)
        failed = run_notebooks(ROOT, STAGE, manifest)
        if failed:
            print(f"{len(failed)} notebook(s) failed: {', '.join(map(str, failed))}")
            return 1
        return int(not build(STAGE, manifest, options.strict))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted: what has finished is kept")
