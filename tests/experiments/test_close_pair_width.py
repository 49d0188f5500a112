"""The committed widths of close pairs are whole and say what chapter 2.3 says of them; a tiny run
gives such widths again."""

import json
from pathlib import Path
from statistics import median

import pytest

from experiments import close_pair_width as study

RESULT = Path(study.__file__).parent / "results" / f"{study.NAME}.json"


@pytest.fixture(scope="module")
def committed():
    return json.loads(RESULT.read_text(encoding="utf-8"))


def test_the_committed_result_has_all_cases_and_says_where_it_comes_from(committed):
    rows = committed["rows"]
    assert sorted((row["label"], row["delta"]) for row in rows) == sorted(study.CASES)
    for row in rows:
        assert len(row["widths"]) == study.seeds_of(row["label"], row["delta"], 9)
        assert max(row["widths"]) < row["top"]
    assert committed["script"] == f"experiments/{study.NAME}.py"
    assert committed["commit"] not in ("", "unknown") and "dirty" not in committed["commit"]


def test_labels_decide(committed):
    for row in committed["rows"]:
        middle = median(row["widths"])
        if row["label"] > 0:
            assert middle <= 8 and max(row["widths"]) <= 64
        elif row["delta"] <= 0.25:
            assert 0.5 < middle / row["estimate"] < 2.5


def test_a_tiny_run_agrees_and_resumes(committed, tmp_path):
    cases = [(1.0, 0.7), (-1.0, 0.5)]
    assert study.measure(cases, 3, tmp_path) == 2 and study.measure(cases, 3, tmp_path) == 0
    assert study.measure(cases, 3, tmp_path, fresh=True) == 2
    found = json.loads((tmp_path / f"{study.NAME}.json").read_text(encoding="utf-8"))["rows"]
    for row in found:
        kept = next(
            r for r in committed["rows"] if (r["label"], r["delta"]) == (row["label"], row["delta"])
        )
        ratio = median(row["widths"]) / median(kept["widths"][:3])
        assert 0.25 <= ratio <= 4  # another processor may tip a narrow net
