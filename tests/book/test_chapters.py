"""The rules of a chapter, on the sources; and what the executed copies hold, after `make strict`
has run them."""

import ast
import json
import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import reading  # noqa: E402

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
# Chapters that still have the older form: their first explorer stands under "See it", no cell is
# folded, and lines are longer. A chapter leaves this set when it keeps every rule below.
OLD_FORM = {
    "3_1_kernel_approximation",
    "4_1_matrix_concentration",
    "4_3_deep_networks",
    "5_when_leverage_helps",
}
OPEN_LINES, MINUTES, COLUMNS, FIRST_EXPLORER, STUB = 260, 40, 78, 110, 12
# What a folded cell may take from levlib: the pieces of a picture, and nothing that computes.
PICTURE = {"Axis", "COLOURS", "Explorer", "Panel", "Question", "Slider", "Which"}
PICTURE |= {"curves", "dots", "heat", "rule", "stacked"}
DRAWS = (PICTURE - {"Slider", "stacked"}) | {"subplots", "show"}
PACKED_BYTES = 400 * 1024
BOOK_BYTES = 1024 * 1024

chapters = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
NEW = [path for path in CHAPTERS if path.stem not in OLD_FORM]
new_chapters = pytest.mark.parametrize("path", NEW, ids=lambda path: path.stem)
old_chapters = pytest.mark.parametrize(
    "path", [path for path in CHAPTERS if path.stem in OLD_FORM], ids=lambda path: path.stem
)


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


def tags(cell: dict) -> set[str]:
    return reading.tags(cell)


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


@new_chapters
def test_the_title_has_the_section_of_the_paper(path):
    section = ".".join(re.match(r"\d+(?:_\d+)*(?=_[a-z])", path.stem)[0].split("_"))
    assert re.match(rf"# {re.escape(section)}(, continued:)? \S", read(path)[0]["source"])


@new_chapters
def test_the_first_explorer_stands_folded_below_the_question(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    first = next(k for k, cell in enumerate(cells) if cell["cell_type"] == "code")
    assert re.search(r"^## Question$", cells[first - 1]["source"], re.MULTILINE)
    assert tags(cells[first]) == {"hide-input"}
    assert explorer_calls([cells[first]]), "the first code cell shows the first explorer"
    written = [line for line in cells[first]["source"].splitlines() if line.strip()]
    assert len(written) <= FIRST_EXPLORER
    before = "".join(cell["source"] for cell in cells[:first])
    assert "{figure}" not in before and len(before.split()) <= 260


@new_chapters
def test_a_page_is_read_to_the_end(path):
    cells = read(path)
    assert reading.open_lines(cells) <= OPEN_LINES
    assert reading.minutes(cells) <= MINUTES
    said = reading.SAID.findall("".join(cell["source"] for cell in cells))
    assert said == [str(reading.minutes(cells))], "python book/tools/normalise.py writes it"


@new_chapters
def test_code_fits_the_column(path):
    lines = [line for cell in code(read(path)) for line in cell["source"].splitlines()]
    assert [line for line in lines if len(line) > COLUMNS] == []


@new_chapters
def test_open_cells_are_short(path):
    lengths = [len(cell["source"].splitlines()) for cell in reading.open_code(read(path))]
    assert median(lengths) <= 8 and max(lengths) <= 20, lengths


@new_chapters
def test_text_between_code_cells_says_something(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    for before, text, after in zip(cells, cells[1:], cells[2:], strict=False):
        kinds = [cell["cell_type"] for cell in (before, text, after)]
        if kinds == ["code", "markdown", "code"] and "solution" not in tags(text):
            assert len(text["source"].split()) >= STUB, text["source"]


@old_chapters
def test_cells_are_short(path):
    lengths = [len(cell["source"].splitlines()) for cell in code(read(path))]
    assert median(lengths) <= 8, lengths
    assert max(lengths) <= 20, lengths


@old_chapters
def test_prose_stands_between_any_two_code_cells(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    for before, after in pairwise(cells):
        assert not (before["cell_type"] == after["cell_type"] == "code"), after["source"]


@old_chapters
def test_an_older_chapter_is_too_long_for_the_newer_form(path):
    cells = read(path)
    long = [line for c in code(cells) for line in c["source"].splitlines() if len(line) > COLUMNS]
    assert long or reading.minutes(cells) > MINUTES, "take it out of OLD_FORM"


def drawn(tree: ast.Module) -> set[str]:
    """Return the drawing functions that a cell calls."""
    called = {getattr(n.func, "attr", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}
    alone = {n.value.id for n in ast.walk(tree) if type(n) is ast.Attribute and named(n.value)}
    return called & DRAWS | alone & {"alt", "plt"}


def computed(tree: ast.Module) -> set[str]:
    """Return what a cell takes from levlib and torch beyond the pieces of a picture."""
    from_levlib = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and named(node.value) and node.value.id == "lv"
    }
    torch_modules = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("linalg", "autograd", "func")
    }
    return from_levlib - PICTURE | torch_modules


def named(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


@new_chapters
def test_folded_cells_draw_and_open_cells_compute(path):
    cells = code(read(path))
    for number, cell in enumerate(cells):
        tree = ast.parse(cell["source"])
        if number == 0 or tags(cell) & {"check", "solution"}:
            continue
        if "hide-input" in tags(cell):
            assert not computed(tree), cell["source"]
        else:
            assert not drawn(tree), cell["source"]


def test_mathematics_in_a_fold_and_charts_in_the_open_are_seen():
    assert computed(ast.parse("K = lv.NTK().gram(X)")) == {"NTK"}
    assert computed(ast.parse("torch.linalg.solve(K, Y)")) == {"linalg"}
    assert not computed(
        ast.parse("lv.Explorer(fn, [m], [lv.Panel(lv.curves('a', x, y, 'plain'))])")
    )
    assert drawn(ast.parse("fig, ax = plt.subplots()")) == {"plt", "subplots"}
    assert drawn(ast.parse("lv.rule('m', x=axis) + 1")) == {"rule"}
    assert not drawn(ast.parse("table = lv.stacked(x, plain=y)"))


@chapters
def test_no_classes_magics_installs_or_hidden_cells(path):
    cells = read(path)
    allowed = set() if path.stem in OLD_FORM else {"hide-input"}
    for cell in code(cells):
        assert not re.search(
            r"^\s*[%!]|\bpip3? install\b|get_ipython", cell["source"], re.MULTILINE
        ), cell["source"]
        hidden = {tag for tag in tags(cell) if re.match("remove|hide", tag)}
        assert hidden <= allowed, cell["source"]
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


@new_chapters
def test_an_exercise_has_an_answer_a_check_a_hint_and_a_solution(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    found = [k for k, cell in enumerate(cells) if "```{exercise}" in cell["source"]]
    assert len(found) >= 3
    for k in found:
        text, answer, check, opened, solution, closed = cells[k : k + 6]
        label = re.search(r":label: ([\w-]+)", text["source"])[1]
        assert "{admonition} Hint\n:class: dropdown" in text["source"]
        assert tags(answer) == {"answer"} and answer["source"] == "answer = ..."
        assert tags(check) == {"check", "hide-input"}
        assert f"{{solution-start}} {label}\n:class: dropdown" in opened["source"]
        assert len(opened["source"].split()) >= 25, f"{label}: a solution gives its reason"
        assert "{solution-end}" in closed["source"]
        assert tags(opened) == tags(solution) == tags(closed) == {"solution"}
        last = [cell["source"].splitlines()[-1] for cell in (check, solution)]
        assert last[0] == last[1] and last[0].startswith("lv.check(answer, ")


@chapters
def test_explorers_have_a_caption_and_alt_text(path):
    calls = explorer_calls(read(path))
    assert calls
    for call in calls:
        given = {word.arg: word.value for word in call.keywords}
        assert {"caption", "alt"} <= given.keys(), ast.unparse(call)[:80]
        for name in ("caption", "alt"):
            if isinstance(given[name], ast.Constant):
                assert len(given[name].value) >= 30, given[name].value


@new_chapters
def test_every_explorer_asks_first_and_answers_below(path):
    cells = [cell for cell in read(path) if cell["source"].strip()]
    for k, cell in enumerate(cells):
        for call in explorer_calls([cell] if cell["cell_type"] == "code" else []):
            assert "question" in {word.arg for word in call.keywords}, ast.unparse(call)[:80]
            assert "{admonition} Answer\n:class: dropdown" in cells[k + 1]["source"]


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
