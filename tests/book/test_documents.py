"""What the documents say of the house is so: labels, order, targets, files, addresses, and the
README's printed code."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

import levlib

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
