"""The rules of a chapter, on the sources; and what the executed copies hold, after `make strict`
has run them."""

import ast
import json
import os
import re
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGE = ROOT / "_build" / "stage"
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
HEADINGS = [
    "Question",
    "You will be able to",
    "Statement",
    "From scratch",
    "See it",
    "Check it",
    "Where it breaks",
    "Exercises",
    "Summary and map",
]
EXPLORERS = {
    "3_1_kernel_approximation": 3,
    "3_2_1_gaussian_initialization": 3,
}  # at least one elsewhere
PACKED_BYTES = 400 * 1024
BOOK_BYTES = 1024 * 1024

chapters = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def read(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def code(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def trees(cells: list[dict]) -> list[ast.Module]:
    return [ast.parse(cell["source"]) for cell in code(cells)]


def explorer_calls(cells: list[dict]) -> list[ast.Call]:
    calls = [node for tree in trees(cells) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) == "Explorer"
    ]


def alt_text(cell: dict) -> str:
    return cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")


# ---- the sources


def test_there_are_chapters_and_the_table_of_contents_lists_them_all():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert CHAPTERS and all(f"chapters/{path.stem}\n" in toc for path in CHAPTERS)


@chapters
def test_the_nine_headings_stand_in_order(path):
    prose = "\n".join(cell["source"] for cell in read(path) if cell["cell_type"] == "markdown")
    assert re.findall(r"^## +(.+?) *$", prose, re.MULTILINE) == HEADINGS
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    assert re.match(r"\d+(_\d+)*_[a-z][a-z0-9_]*$", path.stem)


@chapters
def test_it_opens_with_the_one_thing_and_ends_with_what_to_read_next(path):
    cells = read(path)
    assert (
        cells[0]["source"].startswith("# ")
        and "If you read only one thing" in cells[0]["source"] + cells[1]["source"]
    )
    assert re.search(r"\*\*What comes next\.\*\*.*\{doc\}", cells[-1]["source"])


@chapters
def test_cells_are_short(path):
    lengths = [len(cell["source"].splitlines()) for cell in code(read(path))]
    assert median(lengths) <= 8, lengths
    assert max(lengths) <= 20, lengths


@chapters
def test_prose_stands_between_any_two_code_cells(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    for before, after in pairwise(cells):
        assert not (before["cell_type"] == after["cell_type"] == "code"), after["source"]


@chapters
def test_no_classes_magics_installs_or_hidden_cells(path):
    cells = read(path)
    for cell in code(cells):
        assert not re.search(
            r"^\s*[%!]|\bpip3? install\b|get_ipython", cell["source"], re.MULTILINE
        ), cell["source"]
        hidden = [tag for tag in cell["metadata"].get("tags", []) if re.match("remove|hide", tag)]
        assert not hidden, cell["source"]
    assert not [
        node for tree in trees(cells) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]


@chapters
def test_the_chapter_asserts_and_every_exercise_waits_for_an_answer(path):
    cells = read(path)
    assert [
        node for tree in trees(cells) for node in ast.walk(tree) if isinstance(node, ast.Assert)
    ]
    prose = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert len(re.findall(r"\{exercise", prose)) >= 3


@chapters
def test_explorers_have_a_caption_and_alt_text(path):
    calls = explorer_calls(read(path))
    assert len(calls) >= EXPLORERS.get(path.stem, 1)
    for call in calls:
        given = {word.arg: word.value for word in call.keywords}
        assert {"caption", "alt"} <= given.keys(), ast.unparse(call)[:80]
        for name in ("caption", "alt"):
            if isinstance(given[name], ast.Constant):
                assert len(given[name].value) >= 30, given[name].value


@chapters
def test_figures_have_alt_text(path):
    for cell in code(read(path)):
        if re.search(r"\bplt\.(?!style|rc)|\.imshow\(|subplots\(", cell["source"]):
            assert len(alt_text(cell)) >= 30, cell["source"]


@chapters
def test_outputs_are_stripped(path):
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in code(read(path))
    )


# ---- the executed copies


def executed() -> list:
    """Return a parameter for each notebook that the book holds, executed or not."""
    found = [Path("chapters") / path.name for path in CHAPTERS] + [Path("book/intro.ipynb")]
    return [pytest.param(path, marks=pytest.mark.book, id=path.stem) for path in found]


def outputs(path: Path) -> list[tuple[dict, dict]]:
    """Return (cell, output) for each output of the executed copy; skip where there is none, and say
    so."""
    copy, record = STAGE / path, STAGE / "manifest.json"
    if not (
        copy.is_file()
        and record.is_file()
        and str(path) in json.loads(record.read_text())["notebooks"]
    ):
        reason = f"no executed copy of {path} in _build/stage: run make strict first"
        (pytest.fail if os.environ.get("LEVLIB_REQUIRE_BOOK") else pytest.skip)(reason)
    return [(cell, output) for cell in code(read(copy)) for output in cell["outputs"]]


@pytest.mark.parametrize("path", executed())
def test_nothing_failed_and_nothing_was_said_on_stderr(path):
    for cell, output in outputs(path):
        assert output["output_type"] != "error", cell["source"]
        assert output.get("name") != "stderr", "".join(output.get("text", ""))
    state = json.loads((STAGE / path).read_text())["metadata"].get("widgets", {})
    assert '"output_type": "error"' not in json.dumps(state)
    assert "Traceback (most recent call last)" not in json.dumps(state)


@pytest.mark.parametrize("path", executed())
def test_explorers_became_static_pages_of_modest_size(path):
    pages = [
        "".join(output["data"].get("text/html", ""))
        for _, output in outputs(path)
        if "data" in output
    ]
    found = [page for page in pages if "lev-explorer" in page]
    assert len(found) >= len(explorer_calls(read(ROOT / path))) >= 1
    assert max(map(packed_bytes, found)) <= PACKED_BYTES
    widgets = [
        o
        for _, o in outputs(path)
        if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]
    assert not widgets, "a widget vanishes from a static page: show an Explorer instead"


@pytest.mark.book
def test_the_states_of_all_explorers_fit_into_a_megabyte():
    total = 0
    for path in [Path("chapters") / path.name for path in CHAPTERS] + [Path("book/intro.ipynb")]:
        shown = (output["data"] for _, output in outputs(path) if "data" in output)
        pages = ("".join(data.get("text/html", "")) for data in shown)
        total += sum(packed_bytes(page) for page in pages if "lev-explorer" in page)
    assert 0 < total <= BOOK_BYTES, total


def packed_bytes(page: str) -> int:
    """Return the length of the longest quoted base64 text in the page: the packed states of its
    explorer."""
    return max((len(text) for text in re.findall(r'"([A-Za-z0-9+/=]{200,})"', page)), default=0)


@pytest.mark.parametrize("path", executed())
def test_every_picture_has_alt_text(path):
    for cell, output in outputs(path):
        if any(kind.startswith("image/") for kind in output.get("data", {})):
            assert len(alt_text(cell)) >= 30, cell["source"]
