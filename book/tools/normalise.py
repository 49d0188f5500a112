"""Strip and normalise notebooks, so that a diff shows what an author changed: python
book/tools/normalise.py [--check].

No outputs, no counts, a fixed kernel, stable cell ids; of a cell's metadata only the tags and the
MyST-NB options stay. The sentence "Reading takes N minutes" holds what reading.py counts.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from reading import with_minutes  # noqa: E402

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT = ("tags", "mystnb")


def cell_ids(cells: list[dict], stem: str) -> list[str]:
    """Return an id for each cell: its own where that is valid and not taken, else one from the name
    and position."""
    ids, taken = [], {cell.get("id") for cell in cells}
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:40]
    for position, cell in enumerate(cells):
        own = cell.get("id", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", own) or own in ids:
            fresh = (f"{slug}-{position:03d}{'x' * more}" for more in range(len(cells) + 1))
            own = next(name for name in fresh if name not in taken)
            taken.add(own)
        ids.append(own)
    return ids


def normal_cell(cell: dict, name: str) -> dict:
    """Return the cell with nothing but its id, its source and the metadata that pages use."""
    metadata = {key: cell["metadata"][key] for key in KEPT if cell.get("metadata", {}).get(key)}
    source = "".join(cell["source"]).strip("\n").splitlines(keepends=True)
    plain = {"cell_type": cell["cell_type"], "id": name, "metadata": metadata, "source": source}
    if "attachments" in cell:
        plain["attachments"] = cell["attachments"]
    if cell["cell_type"] == "code":
        plain |= {"execution_count": None, "outputs": []}
    return plain


def normalised(text: str, stem: str) -> str:
    """Return the notebook `text` in its one normal form; applying it twice changes nothing."""
    raw = json.loads(text)
    if raw.get("nbformat") != 4:
        raise SystemExit(
            f"{stem}: expected a notebook of format 4, got {raw.get('nbformat')}; save it in "
            "JupyterLab"
        )
    joined = [cell | {"source": "".join(cell["source"])} for cell in raw["cells"]]
    cells = [
        normal_cell(cell, name)
        for cell, name in zip(with_minutes(joined), cell_ids(joined, stem), strict=True)
    ]
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    nbformat.validate(nbformat.from_dict(whole))
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Replace the file in one step, so that an interruption leaves the old one."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; list what is not normal and exit 1"
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, help="notebooks (default: those of chapters/ and book/)"
    )
    options = parser.parse_args(arguments)
    paths = options.paths or sorted([*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("book/**/*.ipynb")])
    changed = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        normal = normalised(text, path.stem)
        if normal != text:
            changed.append(path)
            if not options.check:
                write(path, normal)
    for path in changed:
        print(f"{'not normal' if options.check else 'normalised'}: {path}")
    if changed and options.check:
        print("run: python book/tools/normalise.py")
    return int(bool(changed) and options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
