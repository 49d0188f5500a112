"""The build tools: the notebook normaliser, the staged build, the server, the search for a Python,
the lock."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "book" / "tools"
sys.path.insert(0, str(TOOLS))

import matrix  # noqa: E402
import normalise  # noqa: E402
import reading  # noqa: E402
import runner  # noqa: E402
import stage  # noqa: E402

SECONDS = 60  # the most that a small process may take, on a busy machine too


def notebook(*sources, ids=None, **metadata) -> str:
    cells = [nbformat.v4.new_code_cell(source, metadata=metadata) for source in sources]
    for cell, name in zip(cells, ids or [], strict=False):
        cell["id"] = name
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


# ---- the minutes of a page


def page(*cells: tuple[str, str, list[str]]) -> list[dict]:
    return [
        {"cell_type": kind, "source": text, "metadata": {"tags": tags}}
        for kind, text, tags in cells
    ]


def test_minutes_count_what_a_page_shows():
    prose = ("markdown", "word " * 150, [])
    fold = ("markdown", "```{admonition} Hint\n:class: dropdown\n" + "word " * 900 + "\n```", [])
    lines = ("code", "x = 1\n\n" * 15, [])
    assert reading.minutes(page(prose, fold, lines)) == 2
    assert reading.minutes(page(prose, lines, ("code", "lv.Explorer(\n" * 40, ["hide-input"]))) == 4
    assert reading.minutes(page(prose, ("markdown", "word " * 900, ["solution"]))) == 1


def test_the_normaliser_writes_the_minutes_and_only_there():
    said = page(("markdown", "Reading takes 99 minutes; it is worth them. 99", []))
    assert (
        reading.with_minutes(said)[0]["source"] == "Reading takes 1 minutes; it is worth them. 99"
    )


# ---- the normaliser


def test_normalised_has_no_trace_of_a_run_and_keeps_what_the_author_wrote():
    kept = {"tags": ["remove-input"], "mystnb": {"image": {"alt": "a"}}}
    raw = json.loads(notebook("1 + 1\n\n", **kept, execution={"iopub.status.busy": "t"}))
    raw["cells"][0] |= {
        "execution_count": 3,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "2"}],
    }
    raw["metadata"] = {"kernelspec": {"name": "mine", "display_name": "Mine"}, "widgets": {}}
    out = json.loads(normalise.normalised(json.dumps(raw), "chapter"))
    (cell,) = out["cells"]
    assert cell["outputs"] == [] and cell["execution_count"] is None
    assert cell["metadata"] == kept
    assert "".join(cell["source"]) == "1 + 1"
    assert out["metadata"]["kernelspec"]["name"] == "python3" and "widgets" not in out["metadata"]


@pytest.mark.parametrize(
    "ids", [["a", "b", "c"], ["a", "a", "a"], ["bad id!", "x", "nb-000"], ["nb-002", "é", ""]]
)
def test_normalised_is_idempotent_valid_and_keeps_ids_that_are_good(ids):
    raw = json.loads(notebook("1", "2", "3"))
    for cell, name in zip(raw["cells"], ids, strict=True):
        cell["id"] = name
    once = normalise.normalised(json.dumps(raw), "nb")
    assert normalise.normalised(once, "nb") == once and once.endswith("}\n")
    out = nbformat.reads(once, as_version=4)
    nbformat.validate(out)
    names = [cell.id for cell in out.cells]
    assert len(set(names)) == 3
    assert (
        all(new == old for new, old in zip(names, ids, strict=True) if re.fullmatch("[a-c]|x", old))
        or ids == ["a"] * 3
    )


def test_ids_do_not_change_from_run_to_run():
    raw = json.loads(notebook("1", "2"))
    texts = []
    for _ in range(2):
        for cell in raw["cells"]:
            cell.pop("id", None)
        texts.append(normalise.normalised(json.dumps(raw), "nb"))
    assert texts[0] == texts[1]


def test_check_lists_offenders_and_writes_nothing(tmp_path, capsys):
    bad, good = tmp_path / "bad.ipynb", tmp_path / "good.ipynb"
    bad.write_text(notebook("1", ids=["a"]))
    good.write_text(normalise.normalised(notebook("1", ids=["a"]), "good"))
    before = bad.read_text()
    assert normalise.main(["--check", str(bad), str(good)]) == 1
    said = capsys.readouterr().out
    assert "bad.ipynb" in said and "good.ipynb" not in said and bad.read_text() == before
    assert normalise.main([str(bad), str(good)]) == 0
    assert normalise.main(["--check", str(bad), str(good)]) == 0


# ---- the staged build

INTRO = nbformat.writes(nbformat.v4.new_notebook())
CHAPTER = nbformat.writes(
    nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("(label)=\n# A chapter\nof some lines")]
    )
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of two notebooks and a page in a folder of its own, and a record of what ran."""
    root = tmp_path / "root"
    for name, text in {
        "_toc.yml": "root: book/intro\nchapters: [{file: chapters/a}, {file: book/map}]\n",
        "_config.yml": "title: t\nexecute: {execute_notebooks: force}\n",
        "book/intro.ipynb": INTRO,
        "book/map.md": "# map",
        "book/tools/tool.py": "",
        "chapters/a.ipynb": CHAPTER,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(stage, "platform_key", lambda: "platform")
    ran = []

    def run(source, target, error=""):
        ran.append(source.name)
        if not error:
            runner.write(target, b"executed " + source.read_bytes())
        return error, "what pytest said"

    def go(run=run):
        ran.clear()
        place = tmp_path / "stage"
        manifest = stage.Manifest(place / "manifest.json")
        stage.mirror(root, place)
        failed = stage.run_notebooks(root, place, manifest, run)
        return list(ran), failed

    go.root, go.stage, go.run, go.ran = root, tmp_path / "stage", run, ran
    return go


def test_a_notebook_runs_once_and_its_executed_copy_stays(book):
    assert book() == (["intro.ipynb", "a.ipynb"], [])
    assert (book.stage / "chapters/a.ipynb").read_text() == "executed " + CHAPTER
    assert (book.stage / "book/map.md").exists() and not (book.stage / "book/tools").exists()
    assert "'off'" in (book.stage / "_config.yml").read_text()
    assert book() == ([], [])
    assert (book.stage / "chapters/a.ipynb").read_text() == "executed " + CHAPTER


def test_what_changed_runs_again(book, monkeypatch):
    book()
    (book.root / "chapters/a.ipynb").write_text(CHAPTER + " ")
    assert book() == (["a.ipynb"], [])
    (book.stage / "chapters/a.ipynb").write_text("not what ran")
    assert book() == (["a.ipynb"], [])
    monkeypatch.setattr(stage, "platform_key", lambda: "another levlib")
    assert book() == (["intro.ipynb", "a.ipynb"], [])


def test_a_notebook_runs_again_when_a_result_that_it_names_changes(book):
    (book.root / "chapters/a.ipynb").write_text("reads ../experiments/results/counts.json")
    results = book.root / "experiments" / "results"
    results.mkdir(parents=True)
    (results / "counts.json").write_text("1")
    assert book() == (["intro.ipynb", "a.ipynb"], [])
    (results / "others.json").write_text("1")
    assert book() == ([], [])
    (results / "counts.json").write_text("2")
    assert book() == (["a.ipynb"], [])


def test_a_removed_notebook_leaves_nothing(book):
    book()
    (book.root / "chapters/a.ipynb").unlink()
    (book.root / "_toc.yml").write_text("root: book/intro\n")
    assert book() == ([], [])
    assert not (book.stage / "chapters/a.ipynb").exists()
    assert "chapters/a.ipynb" not in (book.stage / "manifest.json").read_text() or book() == (
        [],
        [],
    )


def test_a_failure_is_shown_not_recorded_and_does_not_stop_the_others(book, capsys):
    def run(source, target):
        return book.run(source, target, "Error: 1" if source.stem == "intro" else "")

    assert book(run) == (["intro.ipynb", "a.ipynb"], [Path("book/intro.ipynb")])
    said = capsys.readouterr().out
    assert "book/intro.ipynb  FAILED" in said and "what pytest said" in said
    assert (book.stage / "chapters/a.ipynb").read_text() == "executed " + CHAPTER
    assert book() == (["intro.ipynb"], [])
    assert (book.stage / "book/intro.ipynb").read_text() == "executed " + INTRO


def test_a_failed_notebook_becomes_a_page_that_says_so_and_never_shows_an_older_result(book):
    book()
    (book.root / "chapters/a.ipynb").write_text(CHAPTER + " ")
    assert book(lambda *paths: book.run(*paths, "ValueError: no root")) == (
        ["a.ipynb"],
        [Path("chapters/a.ipynb")],
    )
    page = nbformat.read(book.stage / "chapters/a.ipynb", as_version=4)
    nbformat.validate(page)
    (cell,) = page.cells
    assert cell.source.startswith("(label)=\n# A chapter\n\n")
    assert "did not run" in cell.source and "\nValueError: no root\n" in cell.source
    (book.root / "chapters/a.ipynb").write_text(CHAPTER)
    assert book() == (["a.ipynb"], []), "the page of the failure is not the result of a run"


@pytest.fixture
def outcome(book, monkeypatch):
    """What stage.main returns, builds and serves for notebooks that fail with these errors."""
    place = book.stage

    def go(*arguments, error="", pages=True):
        did = []
        monkeypatch.setattr(stage, "ROOT", book.root)
        monkeypatch.setattr(stage, "STAGE", place)
        monkeypatch.setattr(stage, "build", lambda *_: did.append("built") or pages)
        monkeypatch.setattr(stage.serve, "main", lambda *_: did.append("served"))
        run_all = stage.run_notebooks

        def run(source, target):
            return book.run(source, target, error if source.stem == "a" else "")

        with monkeypatch.context() as patched:
            patched.setattr(stage, "run_notebooks", lambda *given: run_all(*given, run))
            return stage.main(list(arguments)), did

    return go


def test_a_failed_notebook_costs_its_own_page_and_the_status_and_is_named_last(outcome, capsys):
    assert outcome(error="Error: 1") == (stage.PAGES_MISSING, ["built"])
    assert "1 notebook(s) FAILED: chapters/a.ipynb" in capsys.readouterr().out.splitlines()[-2]
    assert outcome("--serve", "8000", error="Error: 1") == (3, ["built", "served"])
    assert outcome("--serve", "8000") == (0, ["built", "served"])


def test_a_strict_build_makes_no_pages_where_a_notebook_failed(outcome, capsys):
    assert outcome("--strict", error="Error: 1") == (stage.NO_BOOK, [])
    assert "chapters/a.ipynb" in capsys.readouterr().out.splitlines()[-1]
    assert outcome("--strict") == (0, ["built"])


def test_what_was_not_built_is_not_served(outcome):
    assert outcome("--serve", "8000", pages=False) == (stage.NO_BOOK, ["built"])


def test_an_interrupted_run_keeps_what_finished(book):
    def interrupted(source, target):
        if source.stem == "a":
            raise KeyboardInterrupt
        return book.run(source, target)

    with pytest.raises(KeyboardInterrupt):
        book(interrupted)
    assert book() == (["a.ipynb"], [])


def test_a_broken_manifest_is_a_fresh_start(book):
    book()
    (book.stage / "manifest.json").write_text("{")
    assert book() == (["intro.ipynb", "a.ipynb"], [])


def test_execute_reports_the_failing_cell_and_leaves_the_target_alone(tmp_path):
    source, target = tmp_path / "n.ipynb", tmp_path / "out" / "n.ipynb"
    source.write_text(notebook("import os\nos.environ['LEVLIB_STATIC']", "print('seen')\n1 / 0"))
    error, said = runner.execute(source, target)
    assert error == "ZeroDivisionError: division by zero"
    assert "print('seen')" in said and "ZeroDivisionError" in said and not target.exists()
    source.write_text(notebook("import os\nos.environ['LEVLIB_STATIC']"))
    error, said = runner.execute(source, target)
    assert error == "" and "'1'" in target.read_text()


def test_execute_says_in_words_that_a_notebook_was_ended(tmp_path, monkeypatch):
    source, target = tmp_path / "n.ipynb", tmp_path / "out" / "n.ipynb"
    source.write_text(notebook("import os\nos.kill(os.getpid(), 9)"))
    error, said = runner.execute(source, target)
    assert "did not come to its end" in error and "died" in said and not target.exists()
    source.write_text(notebook("import time\ntime.sleep(60)"))
    monkeypatch.setattr(runner, "CELL_SECONDS", 1)
    error, said = runner.execute(source, target)
    assert "a cell took more than 1 s" in error and "timed out" in said and not target.exists()


def test_execute_lays_the_results_that_a_notebook_names_beside_it(tmp_path):
    source, results = tmp_path / "chapters" / "n.ipynb", tmp_path / "experiments" / "results"
    source.parent.mkdir()
    results.mkdir(parents=True)
    (results / "counts.json").write_text("counted")
    (results / "others.json").write_text("not asked for")
    read = "from pathlib import Path\nplace = Path('../experiments/results')\n"
    source.write_text(
        notebook(read + "(place / 'counts.json').read_text(), len(list(place.iterdir()))")
    )
    error, said = runner.execute(source, target := tmp_path / "out.ipynb")
    assert error == "" and "('counted', 1)" in target.read_text(), said


def test_the_pages_of_the_toc_exist():
    for page in stage.load_toc():
        assert any((ROOT / f"{page}{ending}").is_file() for ending in (".md", ".ipynb")), page


# ---- the server and the search for a Python


@pytest.fixture
def serve(tmp_path):
    """A server of a small book on a port that is taken, started with the SIGINT of the parent."""
    (tmp_path / "index.html").write_text("the book")
    started = []

    def go(sigint=signal.default_int_handler):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = signal.signal(signal.SIGINT, sigint)  # what is ignored here is ignored there
        try:
            server = subprocess.Popen(
                [sys.executable, TOOLS / "serve.py", tmp_path, str(port)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        started.append(server)
        assert f"port {port} is taken" in server.stdout.readline()
        for line in server.stdout:  # the next ports may be taken by others
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                return server, found.group()
        raise AssertionError("the server said no address")

    with socket.socket() as taken:
        yield go
        for server in started:
            server.kill()
            server.communicate(timeout=SECONDS)


def test_serve_takes_the_next_free_port_and_serves_the_book(serve):
    address = serve()[1]
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        assert answer.read() == b"the book"


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sigint", [signal.default_int_handler, signal.SIG_IGN])
def test_serve_ends_cleanly_however_it_was_started(serve, sigint, name):
    server = serve(sigint)[0]
    server.send_signal(name)
    out, err = server.communicate(timeout=SECONDS)
    assert server.returncode == 0 and "Stopped" in out and err == ""


@pytest.mark.parametrize(
    "port, word", [("0", "1 to 65535"), ("eight", "1 to 65535"), ("70000", "1 to 65535")]
)
def test_serve_refuses_what_is_no_port(tmp_path, port, word):
    (tmp_path / "index.html").write_text("")
    ran = subprocess.run(
        [sys.executable, TOOLS / "serve.py", tmp_path, port],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ran.returncode == 1 and word in ran.stderr and "Traceback" not in ran.stderr


def find_python(**environment):
    return subprocess.run(
        ["/bin/sh", TOOLS / "find_python.sh"],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd="/",
        timeout=SECONDS,
    )


def fake(path, version: tuple[int, int]) -> str:
    """Write a Python that says that it is of another version; return its path."""
    says = "Python {}.{}.4".format(*version)
    path.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo {says} && exit\n"
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n'
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_find_python_takes_a_supported_one_without_a_word(tmp_path, minor):
    python = fake(tmp_path / "python", (3, minor))
    found = find_python(PYTHON=python)
    assert (found.returncode, found.stdout.strip(), found.stderr) == (0, python, "")


def test_find_python_warns_of_a_newer_one_and_explains_an_old_one(tmp_path):
    newer, old = fake(tmp_path / "newer", (3, 15)), fake(tmp_path / "old", (3, 10))
    found, refused = find_python(PYTHON=newer), find_python(PYTHON=old)
    assert found.returncode == 0 and found.stdout.strip() == newer
    assert "warning" in found.stderr and "3.15.4" in found.stderr
    assert refused.returncode == 1 and refused.stdout == ""
    assert "3.11 to 3.14" in refused.stderr and "3.10.4" in refused.stderr


def test_find_python_prefers_a_supported_one_to_a_newer_one(tmp_path):
    fake(tmp_path / "python3", (3, 15))
    older = fake(tmp_path / "python3.12", (3, 12))
    found = find_python(PATH=str(tmp_path), PYTHON="")
    assert found.stdout.strip() == older and found.stderr == ""


def test_all_places_name_the_same_versions_of_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    minors = [int(text.split("3.")[1]) for text in project["classifiers"] if ":: 3." in text]
    oldest, newest = min(minors), max(minors)
    assert minors == list(range(oldest, newest + 1))
    assert project["requires-python"] == f">=3.{oldest}"
    said = f"Python 3.{oldest} to 3.{newest}"
    for place in ("README.md", "requirements.lock", "book/tools/find_python.sh"):
        assert said in (ROOT / place).read_text(), place
    script = (TOOLS / "find_python.sh").read_text()
    assert f"\nfind {oldest} {newest} " in script and f"find {newest + 1} " in script
    for minor in minors:
        assert f"python3.{minor}" in script


# ---- the matrix of processors, threads and versions


def test_the_oldest_versions_are_the_lower_bounds_and_the_torch_of_the_lock():
    project = {
        "dependencies": ["torch>=2.4", "numpy>=1.26"],
        "optional-dependencies": {
            "a": ["levlib[b]", "dask[array]>=3"],
            "b": ["book>=1.0.post1,<2"],
        },
    }
    lines = matrix.oldest(project, "tqdm==1\ntorch==2.13.0\n").splitlines()
    assert sorted(lines) == ["book==1.0.post1", "dask==3", "numpy==1.26", "torch==2.13.0"]


def test_the_matrix_goes_on_after_a_failure_and_ends_with_a_table(monkeypatch, capsys):
    called = []

    def call(*command, **environment):
        called.append(environment)
        return "BAD" not in environment

    monkeypatch.setattr(matrix, "call", call)
    runs = [
        matrix.Run("first", {"BAD": "1"}),
        matrix.Run("second", {}, lambda: None),
        matrix.Run("third", {"GOOD": "1"}),
    ]
    assert matrix.run_all(runs, []) == 2
    assert called == [{"BAD": "1"}, {"GOOD": "1"}]
    table = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    said = [(row[0], row[3]) for row in table]
    assert said == [("first", "FAILED"), ("second", "FAILED:"), ("third", "passed")]
    assert matrix.run_all(runs[2:], []) == 0


def test_what_the_short_matrix_runs_exists():
    assert all((ROOT / name).is_file() for name in matrix.SHORT)


# ---- the time limit of a test


@pytest.mark.parametrize(
    "hang",
    [
        "while True: pass",
        "import ctypes; ctypes.CDLL(None).sleep(60)",  # inside C code
        "import subprocess; subprocess.run(['sleep', '60'])",
    ],
)
def test_a_test_that_hangs_fails_and_the_run_ends(tmp_path, hang):
    (tmp_path / "test_hang.py").write_text(f"def test_hang():\n    {hang}\n")
    limit = ["-o", "timeout=1", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *limit, tmp_path],
        stdout=(said := tmp_path / "said").open("w"),  # a pipe would wait for what a test started
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        cwd=tmp_path,
    )
    assert ran.returncode == 1 and "Timeout" in said.read_text()


# ---- the lock


def requirements() -> list[Requirement]:
    """Return every range of pyproject.toml, those of all extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return list(map(Requirement, [*project["dependencies"], *(n for need in extras for n in need)]))


def test_the_lock_pins_each_requirement_exactly_and_says_no_place():
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!]+", line) for line in lines)
    pins = dict(line.split("==") for line in lines)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for need in requirements():
        if need.name != "levlib":
            assert need.specifier.contains(pins[canonicalize_name(need.name)]), need


def test_each_range_stands_once_and_requirements_txt_asks_for_all_extras_of_this_folder():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    ranges = [need for need in requirements() if need.name != "levlib"]
    names = [canonicalize_name(need.name) for need in ranges]
    assert len(names) == len(set(names)) and all(need.specifier for need in ranges)
    (everything,) = map(Requirement, extras["all"])
    assert everything.name == "levlib" and everything.extras == extras.keys() - {"all"}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-e .[all]"]
