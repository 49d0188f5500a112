"""What the documents say of the house is so: labels, order, targets, files, addresses, and the
README's printed code."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import levlib
from tests.book.test_pages import HTML
from tests.test_house import ROOMS

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# ---- a statement of the paper is found by a search for its label

STATEMENTS = yaml.safe_load(read("book/map.yml"))["statements"]
each_statement = pytest.mark.parametrize("entry", STATEMENTS, ids=lambda entry: entry["number"])


def has_label(text: str, label: str) -> bool:
    """Whether the label stands in the text as the paper prints it: Eq. 1 is not in Eq. 16."""
    return re.search(rf"\b{re.escape(label)}(?![\d.]\d|\d)", text) is not None


def documentation(name: str) -> str:
    """Return the docstring of a name in levlib, and those of its methods if it is a class."""
    found = levlib
    for part in name.split("."):
        found = getattr(found, part)
    parts = list(vars(found).values()) if inspect.isclass(found) else []
    texts = [inspect.getdoc(one) or "" for one in [found, *parts]]
    return re.sub(r"\s+", " ", " ".join(texts))


def test_a_label_is_told_from_a_longer_one():
    assert has_label("as Eq. 1, Eq. 16.", "Eq. 1") and has_label(
        "Definition 3.1.", "Definition 3.1"
    )
    assert not has_label("as Eq. 16", "Eq. 1") and not has_label("Theorem 3.31", "Theorem 3.3")


@each_statement
def test_a_function_of_the_map_names_its_statement(entry):
    assert any(has_label(documentation(name), entry["number"]) for name in entry["functions"])


@each_statement
def test_a_search_of_the_library_finds_the_statement(entry):
    paths = (ROOT / "levlib").rglob("*.py")
    assert any(has_label(path.read_text(encoding="utf-8"), entry["number"]) for path in paths)


# ---- the house as the documents draw it


@pytest.mark.parametrize("name", ["README.md", "book/api.md", "CONTRIBUTING.md"])
def test_a_document_prints_the_row_of_rooms_that_imports_obey(name):
    rows = re.findall(r"\w+(?:\s+→\s+\w+)+", read(name))
    assert [re.split(r"\s+→\s+", row) for row in rows] == [ROOMS]


def test_the_map_of_the_house_names_what_is_there():
    table = re.findall(r"^\| (`.*?`) \|", read("README.md"), re.MULTILINE)
    named = [name for cell in table for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) >= 9 and [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_is_short_and_has_its_picture():
    text = read("README.md")
    assert len(text.splitlines()) < 80
    (picture,) = re.findall(r"!\[[^\]]{30,}\]\((.*?)\)", text)
    assert (ROOT / picture).is_file()


# ---- what the documents and the workflows name exists

PROSE = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
CONFIGURED = [".pre-commit-config.yaml", *(str(path.relative_to(ROOT)) for path in WORKFLOWS)]


def steps(name: str) -> list[dict]:
    jobs = yaml.safe_load(read(name))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands(name: str) -> list[str]:
    """Return each piece of code in a document, or each command of a workflow or a hook."""
    if name in PROSE:
        text = read(name)
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
        return [*spans, *(line for block in blocks for line in block.splitlines())]
    if name == ".pre-commit-config.yaml":
        return [hook["entry"] for hook in yaml.safe_load(read(name))["repos"][0]["hooks"]]
    return [step["run"] for step in steps(name) if "run" in step]


def targets_named(command: str) -> list[str]:
    called = re.match(r"make ((?:[a-z]+ ?)+)", command)
    return called[1].split() if called else []


def files_named(command: str) -> list[str]:
    inside = r"(?:\.ci|\.github|book|levlib|tests|experiments|chapters)/[\w./-]*"
    at_top = r"[\w-]+\.(?:md|cff|toml|lock|txt)"
    return re.findall(rf"(?<![\w./])(?:{inside}|{at_top})(?![\w/])", command)


@pytest.mark.parametrize("name", [*PROSE, *CONFIGURED])
def test_each_target_and_file_that_is_named_exists(name):
    targets = re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE)
    named = commands(name)
    assert [one for each in named for one in targets_named(each) if one not in targets] == []
    assert [one for each in named for one in files_named(each) if not (ROOT / one).exists()] == []
    links = re.findall(r"\]\(([^)#:]+)\)", read(name)) if name in PROSE else []
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_what_is_named_is_seen():
    assert targets_named("make lint unit") == ["lint", "unit"]
    assert targets_named("make book SERVE=0  # makes .venv") == ["book"]
    assert files_named(".venv/bin/python book/tools/normalise.py") == ["book/tools/normalise.py"]
    assert files_named(".ci/run") == [".ci/run"] and files_named("levlib/no.py") == ["levlib/no.py"]


def test_the_workflows_call_what_ci_and_readers_call():
    assert [step["run"] for step in steps(".github/workflows/test.yml") if "run" in step] == [
        ".ci/run"
    ]
    pages = steps(".github/workflows/pages.yml")
    assert [step["run"] for step in pages if "run" in step] == ["make book SERVE=0"]
    (folder,) = [step["with"]["path"] for step in pages if "artifact" in step.get("uses", "")]
    assert ROOT / folder == HTML


def test_the_workflow_runs_each_python_that_the_package_names():
    job = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["test"]
    names = PROJECT["classifiers"]
    versions = [name.rsplit(" ", 1)[1] for name in names if re.search(r":: 3\.\d+$", name)]
    assert job["strategy"]["matrix"]["python"] == versions


# ---- one source for the version, the citation and the addresses


def test_the_version_has_one_source():
    assert levlib.__version__ == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in read("CHANGELOG.md")
    assert "version" not in yaml.safe_load(read("CITATION.cff"))


def test_the_citation_names_the_book_and_the_paper():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert [author["name"] for author in citation["authors"] + PROJECT["authors"]] == [
        "The levlib authors"
    ] * 2
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Lee",
        "Shen",
        "Song",
        "Wang",
        "Yu",
    ]
    assert paper["title"] in read("README.md") and paper["identifiers"][0]["value"].lower() in (
        read("README.md").lower()
    )


SITE = yaml.safe_load(read("book/site.yml"))
KNOWN = {"127.0.0.1", "download.pytorch.org", "pytorch.org", "arxiv.org", "doi.org"}


def made_up(text: str, known: set[str] = KNOWN) -> list[str]:
    """Return the addresses whose host is not known and that book/site.yml does not begin."""
    own = tuple(address for address in SITE.values() if address)
    found = re.findall(r"(?:https?://|git@)[^\s)>\"'`]+", text)
    return [
        address
        for address in found
        if not address.startswith(own or ("-",))
        and re.split("[/:]", address.split("//")[-1])[0] not in known
    ]


@pytest.mark.parametrize(
    "name", [*PROSE, *CONFIGURED, "CITATION.cff", "pyproject.toml", "_config.yml"]
)
def test_no_address_is_made_up(name):
    assert set(SITE) == {"repository", "address"}
    assert made_up(read(name)) == []


def test_an_address_that_no_setting_gives_is_seen():
    text = "https://levlib.example.org/book, git@host.org:a/b and https://arxiv.org/abs/2009.09829"
    assert made_up(text) == ["https://levlib.example.org/book,", "git@host.org:a/b"]


def test_readers_are_sent_to_the_one_setting():
    assert "[book/site.yml](book/site.yml)" in read("README.md")


# ---- the README's code


def test_the_printed_code_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    s_lam, epsilon, score = map(float, ran.stdout.split())
    assert s_lam > 1 and 0 < epsilon < 1 and 0.5 < score < 1
