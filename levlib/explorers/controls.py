"""What an explorer is made of: its sliders and its panels; and the check of what `fn` returns."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SYMBOLS = {
    "lam": "λ",
    "kappa": "κ",
    "delta": "δ",
    "epsilon": "ε",
    "eta": "η",
    "sigma": "σ",
    "theta": "θ",
}


def number(value: float) -> str:
    """Return a number as a slider shows it: three digits, powers of ten in superscript.

    >>> number(1024), number(0.05), number(1e-05), number(0.00032)
    ('1024', '0.05', '10⁻⁵', '3.2·10⁻⁴')
    """
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    digits, power = f"{value:.2e}".split("e")
    if -4 < int(power) < 5:
        return f"{float(f'{value:.3g}'):g}"
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if float(digits) == 1 else f"{float(digits):g}·10{raised}"


class Slider:
    """A slider over the values that one argument of an explorer's function may take.

    - `name`: the argument.
    - `values`: numbers in slider order.
    - `start`: one of them, the middle one if not given.
    - `label`: says what they are.
    - `symbol`: the paper's, if not given (λ for "lam").

    `Slider.log` and `Slider.integers` space values evenly in the logarithm. Raises ValueError for
    fewer than two values, repeated or non-finite ones, or a start that is not among them.

    >>> import levlib as lv
    >>> lv.Slider.log("lam", 1e-3, 1.0, 4, start=0.1).values
    [0.001, 0.01, 0.1, 1.0]
    >>> lv.Slider.integers("m", 16, 128, 4).values
    [16, 32, 64, 128]
    """

    def __init__(
        self,
        name: str,
        values: Sequence[float],
        *,
        start=None,
        label: str = "",
        symbol: str | None = None,
    ):
        if not name.isidentifier():
            raise ValueError(f"name must be the name of an argument of fn, got {name!r}")
        self.name = name
        self.values = list(values)
        self.label = label
        self.symbol = SYMBOLS.get(name, name) if symbol is None else symbol
        if len(set(self.values)) < max(2, len(self.values)) or not np.isfinite(self.values).all():
            raise ValueError(
                f"values of {name} must be at least two different finite numbers, got "
                f"{self.values[:5]}"
            )
        if start is not None and start not in self.values:
            raise ValueError(
                f"start of {name} must be one of its values {self.values}, got {start}"
            )
        self.start = len(self.values) // 2 if start is None else self.values.index(start)

    @classmethod
    def log(cls, name: str, low: float, high: float, count: int, **options) -> Slider:
        """Return a slider over `count` values from low to high > low > 0, evenly spaced in the
        logarithm."""
        if not 0 < low < high < math.inf:
            raise ValueError(f"a logarithmic slider needs 0 < low < high, got {low} and {high}")
        values = np.geomspace(low, high, _at_least_two(count))
        return cls(name, [float(f"{value:.3g}") for value in values], **options)

    @classmethod
    def integers(cls, name: str, low: int, high: int, count: int, **options) -> Slider:
        """Return a slider over at most `count` different integers from low to high, evenly spaced
        in the logarithm."""
        if not 0 < low < high < math.inf:
            raise ValueError(f"a slider of integers needs 0 < low < high, got {low} and {high}")
        values = np.rint(np.geomspace(low, high, _at_least_two(count)))
        return cls(name, sorted({int(value) for value in values}), **options)

    def spec(self) -> dict:
        """Return what `lev.js` needs of a slider."""
        return {
            "name": self.name,
            "symbol": self.symbol,
            "label": self.label,
            "start": self.start,
            "labels": [number(value) for value in self.values],
        }


@dataclass(frozen=True)
class Panel:
    """One picture of an explorer: an Altair chart whose data are named tables,
    `alt.Chart(alt.NamedData("curve"))`.

    - `chart`: the Altair chart.
    - `title`: stands above it.
    - `alt`: describes it to those who do not see it; the title if not given.
    - `height`: in pixels; the width follows the page.
    - `wide`: whether it takes a row of its own.
    - `renderer`: "svg"; "hybrid" draws many marks faster.

    >>> import altair as alt
    >>> import levlib as lv
    >>> chart = alt.Chart(alt.NamedData("curve")).mark_line().encode(x="x:Q", y="y:Q")
    >>> lv.Panel(chart, title="The fit").height
    260
    """

    chart: object
    title: str = ""
    alt: str = ""
    height: int = 260
    wide: bool = False
    renderer: str = "svg"


@dataclass(frozen=True)
class Question:
    """What a reader predicts before the sliders of an explorer move; they wait for a guess or a
    skip.

    - `text`: the question, in plain text.
    - `choices`: at least two different answers. Which one is right stands below the explorer.

    Raises ValueError for an empty text and for fewer than two choices or repeated ones.

    >>> import levlib as lv
    >>> lv.Question("How many features will do?", ["about 70", "about 200"]).choices
    ('about 70', 'about 200')
    """

    text: str
    choices: Sequence[str]

    def __post_init__(self):
        if isinstance(self.choices, str) or not all(isinstance(c, str) for c in self.choices):
            raise ValueError(f"choices must be a list of texts, got {self.choices!r}")
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.text.strip() or len(set(self.choices)) < max(2, len(self.choices)):
            raise ValueError(
                "a question needs a text and at least two different choices, got "
                f"{self.text!r} and {self.choices}"
            )

    def spec(self) -> dict:
        """Return what `lev.js` needs of a question."""
        return {"text": self.text, "choices": list(self.choices)}


def as_table(name: str, table) -> dict[str, np.ndarray]:
    """Return a table of `fn` as finite 1-D arrays of one length, a scalar as one row; or raise
    ValueError."""
    columns = table if isinstance(table, Mapping) else {"value": [table]}
    arrays = {column: _as_column(f"{name}.{column}", values) for column, values in columns.items()}
    lengths = {column: len(values) for column, values in arrays.items()}
    if not lengths or len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            f"columns of table {name} must be equally long and not empty, got {lengths}"
        )
    return arrays


def as_rows(tables: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[dict]]:
    """Return tables of columns as lists of rows, which is how Vega takes data.

    >>> as_rows({"curve": {"x": np.array([0.0, 1.0]), "y": np.array([2.0, 3.0])}})
    {'curve': [{'x': 0.0, 'y': 2.0}, {'x': 1.0, 'y': 3.0}]}
    """
    columns = {
        name: {column: values.tolist() for column, values in table.items()}
        for name, table in tables.items()
    }
    return {
        name: [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        for name, table in columns.items()
    }


def _as_column(name: str, values) -> np.ndarray:
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {values.shape}")
    if values.dtype.kind in "US":
        return values
    values = values.astype(float)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return values


def _at_least_two(count) -> int:
    if operator.index(count) < 2:
        raise ValueError(f"count must be at least 2, got {count}")
    return operator.index(count)
