"""Build the book from executed copies of its notebooks: python book/tools/stage.py [--strict]
[--serve PORT].

`_build/stage` holds a copy of the sources, in which each notebook is its executed copy. A notebook
runs (by nbmake) only when its key changed: the hash of its source, of the results that it names, of
levlib, of the installed packages and of this file. What succeeded is written down after each
notebook, so an interrupted run goes on where it stopped. The pages are always built cold.
A notebook that fails costs its own page, which says so; with --strict it costs the book. The status
is 0 for a whole book, 3 for one with such pages, and 1 where no book was built.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import serve
import yaml
from runner import ENVIRONMENT, execute, failed_page, results_named, write

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "_build" / "stage"
HTML = STAGE / "_build" / "html"
SECONDS = 1800  # for the pages
BUILT, NO_BOOK, PAGES_MISSING = 0, 1, 3


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
    """Return the hash of what every notebook depends on: levlib, this file and the
    next, Python and the installed packages."""
    packages = sorted(f"{package.name}=={package.version}" for package in distributions())
    code = [
        path for pattern in ("*.py", "*.js", "*.css") for path in (ROOT / "levlib").rglob(pattern)
    ]
    tools = [Path(__file__), Path(__file__).with_name("runner.py")]
    return digest(sys.version, *packages, digest_files(ROOT, code + tools))


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


def notebook_key(root: Path, path: Path) -> str:
    """Return the hash of what the executed copy of one notebook depends on."""
    results = digest_files(root, results_named(root / path))
    return digest(platform_key(), (root / path).read_bytes(), results)


def is_current(record: dict, key: str, target: Path) -> bool:
    """Return whether the copy is the one that was recorded under this key."""
    return (
        record.get("key") == key
        and target.is_file()
        and record.get("copy") == digest(target.read_bytes())
    )


def run_notebook(source: Path, target: Path, key: str, run) -> dict | None:
    """Run one notebook and say how it went; return its record, None where it failed.

    A page that says so takes the place of a copy that failed: an older one would show results that
    are not those of this source.
    """
    start = time.perf_counter()
    error, said = run(source, target)
    seconds = time.perf_counter() - start
    name = f"{source.parent.name}/{source.name}"
    print(f"   {name}  {'FAILED' if error else 'passed'} in {seconds:.1f} s", flush=True)
    if error:
        print(said, flush=True)
        write(target, failed_page(source, error))
        return None
    return {"key": key, "seconds": round(seconds, 1), "copy": digest(target.read_bytes())}


def run_notebooks(root: Path, stage: Path, manifest: Manifest, run=execute) -> list[Path]:
    """Run the notebooks whose key changed or whose copy is not what was recorded; return those that
    failed."""
    failed, todo, before = [], notebooks(root), manifest.data["notebooks"]
    manifest.data["notebooks"] = done = {
        name: before[name] for name in map(str, todo) if name in before
    }
    for path in todo:
        key, target = notebook_key(root, path), stage / path
        record = done.pop(str(path), {})
        if is_current(record, key, target):
            print(f"   {path}  unchanged ({record['seconds']:.1f} s when it ran)", flush=True)
        else:
            record = run_notebook(root / path, target, key, run)
        if record:
            done[str(path)] = record
            manifest.save()
        else:
            failed.append(path)
    seconds = sum(record["seconds"] for record in done.values())
    print(f"   {len(done)} notebooks took {seconds:.0f} s when they ran", flush=True)
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
        command,
        cwd=stage,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
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


def stage_book(strict: bool) -> int:
    """Run the notebooks and build the pages; say at the end which notebooks failed, and return the
    status."""
    STAGE.mkdir(parents=True, exist_ok=True)
    with open(STAGE.parent / "stage.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once take turns
        manifest = Manifest(STAGE / "manifest.json")
        mirror(ROOT, STAGE)
        failed = run_notebooks(ROOT, STAGE, manifest)
        built = not (failed and strict) and build(STAGE, manifest, strict)
    if failed:
        print(f"{len(failed)} notebook(s) FAILED: {', '.join(map(str, failed))}", flush=True)
    if built and failed:
        print("Their pages say so; the rest of the book is there.", flush=True)
    return NO_BOOK if not built else PAGES_MISSING if failed else BUILT


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="a warning or a failure costs all")
    parser.add_argument("--serve", metavar="PORT", help="then serve what was built")
    options = parser.parse_args(arguments)
    status = stage_book(options.strict)
    if options.serve and status != NO_BOOK:
        serve.main(str(HTML), options.serve)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted: what has finished is kept")
