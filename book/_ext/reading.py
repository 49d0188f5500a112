"""How long a page takes an honest reader: words at 150 a minute, open lines of code at 15, and two
minutes for each explorer.

What is folded does not count: code cells tagged `hide-input`, and answers, hints and solutions.
"""

import json
import math
import re
from pathlib import Path

WORDS, LINES, EXPLORER = 150, 15, 2
FOLDED = {"hide-input", "solution"}
SAID = re.compile(r"Reading takes (\d+) minutes")
FENCE = re.compile(
    r"^(`{3,}|:{3,})\{\w+\}[^\n]*\n(?::[^\n]*\n)*:class: dropdown\n.*?^\1\s*$", re.M | re.S
)


def read(path: Path) -> list[dict]:
    """Return the cells of a notebook, each with its source as one text."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def tags(cell: dict) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def open_code(cells: list[dict]) -> list[dict]:
    """Return the code cells that a page shows."""
    return [cell for cell in cells if cell["cell_type"] == "code" and not tags(cell) & FOLDED]


def open_lines(cells: list[dict]) -> int:
    """Return the lines of code that a page shows, blank ones left out."""
    sources = (cell["source"].splitlines() for cell in open_code(cells))
    return sum(bool(line.strip()) for lines in sources for line in lines)


def words(cells: list[dict]) -> int:
    """Return the words of a page's prose, formulas included, folds left out."""
    prose = [
        c["source"] for c in cells if c["cell_type"] == "markdown" and "solution" not in tags(c)
    ]
    return sum(len(FENCE.sub("", text).split()) for text in prose)


def explorers(cells: list[dict]) -> int:
    return sum("lv.Explorer(" in cell["source"] for cell in cells if cell["cell_type"] == "code")


def minutes(cells: list[dict]) -> int:
    """Return the minutes of a page, rounded up.

    >>> text = {"cell_type": "markdown", "metadata": {}, "source": "word " * 300}
    >>> code = {"cell_type": "code", "metadata": {}, "source": "x = 1\\n" * 15}
    >>> minutes([text, code, code | {"metadata": {"tags": ["hide-input"]}}])
    3
    """
    shown = words(cells) / WORDS + open_lines(cells) / LINES
    return math.ceil(shown + EXPLORER * explorers(cells))


def with_minutes(cells: list[dict]) -> list[dict]:
    """Return the cells with the page's minutes in the sentence that says them."""
    said = f"Reading takes {minutes(cells)} minutes"
    return [
        cell | {"source": SAID.sub(said, cell["source"])}
        if cell["cell_type"] == "markdown"
        else cell
        for cell in cells
    ]
