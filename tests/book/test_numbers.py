"""The numbers that pages say are those of the result files; and no page says "always" of one."""

import json
import math
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"


def rows(name: str) -> list[dict]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def prose(page: str) -> str:
    """Return the prose of a page of Markdown or of a notebook, on one line."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"\s+", " ", text)


def looseness() -> list[float]:
    return [row["theorem"] / row["failures"]["sufficient"]["m"] for row in rows("feature_counts")]


def over_law() -> list[float]:
    """Return what leverage needed over s ln s, the median and the count for nine draws in ten."""
    found = []
    for row in rows("feature_counts"):
        law = row["s_lam"] * math.log(row["s_lam"])
        found += [row["leverage"]["median"] / law, row["failures"]["sufficient"]["m"] / law]
    return found


def largest_gain() -> dict:
    return max((row["ratio"] for row in rows("feature_counts")), key=lambda ratio: ratio["ratio"])


def law_of_the_pair() -> list[float]:
    """Return error of leverage at m over error of Gaussian at m gain, for each matched width."""
    found = []
    for row in rows("trained_pair"):
        errors: dict[tuple, list[float]] = {}
        for run in row["runs"]:
            if (run["penalty"], run["antisymmetric"], run["step"]) == ("origin", False, 1):
                errors.setdefault((run["kind"], run["m"]), []).append(run["error"])
        for kind, wide in errors:
            if kind == "matched":
                m = min(
                    (m for k, m in errors if k == "leverage"),
                    key=lambda m: abs(m * row["gain"] - wide),
                )
                found.append(median(errors["leverage", m]) / median(errors["matched", wide]))
    return found


STATUS, PAIR = "book/status.md", "chapters/3_2_2_trained_pair.ipynb"
FEATURES = "chapters/3_1_kernel_approximation.ipynb"
# page, what it says (groups are numbers), and what the result files hold: a number for each group
SAID = [
    (STATUS, r"in each of (\d+) cases", lambda: [len(rows("feature_counts"))]),
    (STATUS, r"(\d+) to (\d+) times fewer than the theorem", lambda: ends(looseness())),
    (STATUS, r"up to (\d+) times more on a line", lambda: [largest_gain()["ratio"]]),
    (
        STATUS,
        r"interval (\d+) to (\d+)\)",
        lambda: [largest_gain()["low"], largest_gain()["high"]],
    ),
]
NUMBER = r"(?:\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten)"
ABSOLUTE = re.compile(
    rf"\b(in every case|in all cases|always|on any data)\b[^.;]*?\b{NUMBER} times", re.I
)


def ends(values: list[float]) -> list[float]:
    return [min(values), max(values)]


@pytest.mark.parametrize(("page", "said", "held"), SAID, ids=[said for _, said, _ in SAID])
def test_a_number_of_a_page_is_that_of_its_result_file(page, said, held):
    found = re.search(said, prose(page))
    assert found, f"{page} does not say {said!r} any more"
    numbers = [float(group) for group in found.groups()]
    assert numbers == [round(value) for value in held()]


def test_no_failure_in_the_draws_of_the_25_cases():
    assert "0 failures in 200 draws" in prose(STATUS)
    for row in rows("feature_counts"):
        whole = [rate for rate in row["failures"]["rates"] if rate["fraction"] == 1]
        assert [rate["rate"] for rate in whole] == [0.0], row["name"]


def test_leverage_needs_one_to_eight_times_the_law():
    for page in (STATUS, FEATURES):
        assert "one to eight times" in prose(page)
    low, high = ends(over_law())
    assert 0.5 < low < 1.5 and 7.5 < high < 8.5


def test_the_law_of_the_trained_pair_holds_within_a_tenth():
    for page in (STATUS, PAIR):
        assert re.search(r"[Ww]ithin a tenth", prose(page))
    assert len(law_of_the_pair()) >= 10
    assert all(abs(ratio - 1) < 0.1 for ratio in law_of_the_pair())


PAGES = [STATUS, "book/intro.ipynb", "book/map.md", "book/proofs.md"]
PAGES += [f"chapters/{path.name}" for path in sorted((ROOT / "chapters").glob("*.ipynb"))]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_says_always_of_a_factor(page):
    assert not ABSOLUTE.search(prose(page)), ABSOLUTE.search(prose(page))[0]


def test_an_absolute_factor_is_seen():
    assert ABSOLUTE.search("Leverage needs in every case about three times the count.")
    assert ABSOLUTE.search("It is always 12 times smaller.")
    assert not ABSOLUTE.search("It is three times smaller in 25 cases. It always converges.")
