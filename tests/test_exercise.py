"""Exercises that check themselves: what a right, a wrong, an empty and a raising answer say."""

import math
import random

import pytest

import levlib as lv
from levlib.exercise import NotYet


def doubled(answer, chance: random.Random) -> None:
    x = chance.uniform(1, 2)
    assert abs(answer(x) - 2 * x) < 1e-9, f"at {x:.3f} it is {2 * x:.3f}"


def test_a_right_answer_is_told_on_how_many_cases(capsys):
    lv.check(lambda x: 2 * x, doubled, cases=3)
    assert capsys.readouterr().out == "right, on 3 fresh cases\n"


@pytest.mark.parametrize("wrong", [lambda x: 3 * x, lambda x: math.nan, lambda x: x])
def test_a_wrong_answer_gets_one_line_with_the_seed_and_no_traceback(wrong):
    with pytest.raises(NotYet, match=r"at 1\.\d+ it is .*\(seed 7, case 1 of 5\)") as caught:
        lv.check(wrong, doubled, seed=7)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert caught.value._render_traceback_() == [f"Not yet: {caught.value}"]


@pytest.mark.parametrize(
    "answer, said",
    [
        (3.0, "raised TypeError"),
        (lambda: 1, "raised TypeError"),
        (lambda x: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (None, "raised TypeError"),
    ],
)
def test_an_answer_that_raises_is_not_right_yet(answer, said):
    with pytest.raises(NotYet, match=said):
        lv.check(answer, doubled)


def test_no_answer_is_a_reminder_for_a_reader_and_no_marks_for_a_grader(capsys, monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    lv.check(..., doubled)
    assert capsys.readouterr().out == "not answered yet\n"
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(NotYet, match="there is no answer"):
        lv.check(..., doubled)


def test_the_seed_gives_the_same_inputs_again_and_without_one_they_are_fresh(monkeypatch):
    seen = []

    def keep(answer, chance):
        seen.append(chance.random())

    for _ in range(2):
        lv.check(1, keep, cases=2, seed=3)
    assert seen[:2] == seen[2:] and seen[0] != seen[1]
    monkeypatch.setenv("LEVLIB_CHECK_SEED", "3")
    lv.check(1, keep, cases=2)
    assert seen[4:] == seen[:2]
    monkeypatch.delenv("LEVLIB_CHECK_SEED")
    for _ in range(4):
        lv.check(1, keep, cases=1)
    assert len(set(seen[6:])) > 1  # all four seeds alike: once in 10^18


def test_nothing_is_written_to_stderr(capsys):
    lv.check(lambda x: 2 * x, doubled)
    with pytest.raises(NotYet):
        lv.check(lambda x: 0.0, doubled)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("bad", [{"cases": 0}, {"cases": 1.5}, {"seed": -1}, {"seed": "x"}])
def test_a_bad_call_is_refused(bad):
    with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
        lv.check(lambda x: 2 * x, doubled, **bad)
    with pytest.raises(TypeError, match="test must be a function"):
        lv.check(1, "no function")
