"""Exercises that check themselves: fresh inputs, one line in place of a traceback."""

import os
import random
from collections.abc import Callable

from levlib.checks import as_count


class NotYet(AssertionError):
    """An answer that is not right yet; a notebook shows its one line in place of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


def check(answer, test: Callable, *, cases: int = 5, seed: int | None = None) -> None:
    """Test an answer on fresh inputs, and print that it is right or raise `NotYet` with one line.

    `test(answer, chance)` draws its inputs from `chance`, a random.Random, finds the right value
    another way, and asserts; the message of the assert is what the reader sees. An answer that is
    still `...` prints a reminder (but not where LEVLIB_STATIC=1 builds a page); where answers are
    graded (the variable NBGRADER_EXECUTION is set) it is refused, since a print would score full
    marks. The seed of a failure is printed; `seed`, or the variable LEVLIB_CHECK_SEED, gives the
    same inputs again.

    Raises NotYet where the test fails or the answer raises; TypeError where `test` is no function.
    Cost: that of `cases` calls.

    >>> import levlib as lv
    >>> def doubled(answer, chance):
    ...     x = chance.uniform(1, 2)
    ...     assert abs(answer(x) - 2 * x) < 1e-9, f"at {x:.2f}"
    >>> lv.check(lambda x: x + x, doubled)
    right, on 5 fresh cases
    >>> lv.check(..., doubled)
    not answered yet
    """
    if not callable(test):
        raise TypeError(f"test must be a function, got {type(test).__name__}")
    cases = as_count(cases, "cases")
    if answer is ...:
        if os.environ.get("NBGRADER_EXECUTION"):
            raise NotYet("there is no answer")
        if os.environ.get("LEVLIB_STATIC") != "1":  # a page that no one can answer stays silent
            print("not answered yet")
        return
    seed = _seed() if seed is None else as_count(seed, "seed", least=0)
    for case in range(cases):
        said = _failure(answer, test, random.Random(f"{seed} {case}"))
        if said:
            raise NotYet(f"{said} (seed {seed}, case {case + 1} of {cases})")
    print(f"right, on {cases} fresh cases")


def _seed() -> int:
    given = os.environ.get("LEVLIB_CHECK_SEED")
    return int(given) if given else random.SystemRandom().randrange(10**6)


def _failure(answer, test: Callable, chance: random.Random) -> str | None:
    """Return what is wrong with the answer on one case, or None."""
    try:
        test(answer, chance)
    except AssertionError as wrong:
        return str(wrong).partition("\n")[0] or "the check failed"
    except Exception as error:  # the reader's own code may raise anything
        return f"your answer raised {type(error).__name__}: {error}"
    return None
