"""The marks of an explorer's charts, in a line each: axes, curves, dots, rules and maps in the
colours of the book.

A chart is a sum of marks. Each names a table that `fn` returns and reads its columns `x`, `y` and
`which`; `stacked` makes such a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from levlib.explorers.charts import COLOURS, DASHES

GREY = "#888"


@dataclass(frozen=True)
class Axis:
    """An axis of a chart: what stands on it, and from where to where.

    - `title`: the quantity, with its unit where it has one; None draws no axis.
    - `domain`: its ends; they follow the data if not given. Marks beyond them are cut off.
    - `log`: whether it is logarithmic.
    - `ticks`: the values that get a label.
    - `format`: how they are written, in d3's notation.

    >>> import levlib as lv
    >>> lv.Axis("ridge λ", (1e-4, 1.0), log=True).scale().to_dict()["type"]
    'log'
    """

    title: str | None = ""
    domain: Sequence[float] | None = None
    log: bool = False
    ticks: Sequence[float] | None = None
    format: str | None = None

    def scale(self) -> alt.Scale:
        """Return the scale as Altair's."""
        kind = {"type": "log"} if self.log else {}
        if self.domain is None:
            return alt.Scale(nice=False, zero=False, **kind)
        return alt.Scale(domain=list(self.domain), nice=False, **kind)

    def place(self, channel, field: str):
        """Return `field` on this axis as Altair's `channel`, alt.X or alt.Y."""
        if self.title is None:
            return channel(f"{field}:Q", scale=self.scale(), axis=None)
        labels: dict[str, object] = {"tickCount": 5}
        if self.ticks is not None:
            labels["values"] = list(self.ticks)
        if self.format:
            labels["format"] = self.format
        axis = alt.Axis(**labels)
        return channel(f"{field}:Q", title=self.title, scale=self.scale(), axis=axis)


def stacked(x, /, **lines) -> dict[str, list]:
    """Return several lines over one x as one table with the columns x, y and which.

    `x` and each line are 1-D and equally long; a name with spaces is passed as **{"exact fit": y}.
    Raises ValueError where a line has another length.

    >>> import levlib as lv
    >>> lv.stacked([0.0, 1.0], plain=[2.0, 3.0], leverage=[4.0, 5.0])["which"]
    ['plain', 'plain', 'leverage', 'leverage']
    """
    across = _listed(x)
    table: dict[str, list] = {"x": [], "y": [], "which": []}
    for name, line in lines.items():
        values = _listed(line)
        if len(values) != len(across):
            raise ValueError(f"line {name} has {len(values)} values for {len(across)} of x")
        table["x"] += across
        table["y"] += values
        table["which"] += [name] * len(values)
    return table


class Which:
    """What the entries of a column `which` look like: a colour of COLOURS for each, and a dash.

    - `names`: entries that are keys of COLOURS; or mappings, entry -> key of COLOURS or a colour in
      hexadecimal.
    - `dashes`: whether lines differ by their dash too, for eyes that do not tell the colours apart.

    >>> import levlib as lv
    >>> lv.Which("plain", "leverage").names
    ['plain', 'leverage']
    >>> lv.Which({"the net": "leverage", "its flow": "exact"}).colours[0] == lv.COLOURS["leverage"]
    True
    """

    def __init__(self, *names: str | Mapping[str, str], dashes: bool = True):
        keys: dict[str, str] = {}
        for name in names:
            keys |= {name: name} if isinstance(name, str) else dict(name)
        unknown = [key for key in keys.values() if key not in COLOURS and key[:1] != "#"]
        if not keys or unknown:
            raise ValueError(f"names must be among {list(COLOURS)}, got {unknown}")
        self.names = list(keys)
        self.colours = [COLOURS.get(key, key) for key in keys.values()]
        self._dashes = [DASHES.get(key, [1, 0]) for key in keys.values()] if dashes else None

    def colour(self, legend: bool = True) -> alt.Color:
        """Return the colours as Altair's encoding."""
        scale = alt.Scale(domain=self.names, range=self.colours)
        return alt.Color("which:N", scale=scale, legend=alt.Legend() if legend else None)

    def dash(self, legend: bool = True) -> dict[str, alt.StrokeDash]:
        """Return the dashes as keyword arguments of Altair's `encode`."""
        if self._dashes is None:
            return {}
        scale = alt.Scale(domain=self.names, range=self._dashes)
        shown = alt.Legend() if legend else None
        return {"strokeDash": alt.StrokeDash("which:N", scale=scale, legend=shown)}


def curves(
    table: str,
    x: Axis,
    y: Axis,
    which: Which | str,
    *,
    legend: bool = True,
    points: bool = False,
    order: str = "",
    **style,
) -> alt.Chart:
    """Return lines of a table.

    - `table`: with the columns x and y, and which where there are several lines.
    - `x`, `y`: their axes.
    - `which`: the look of the lines; or the key of COLOURS of one line.
    - `legend`: whether it is shown; one chart of a figure is enough.
    - `points`: marks the values on the line.
    - `order`: the column in whose order the rows are joined; that of x if not given.
    - `style`: options of Altair's `mark_line`.

    >>> import levlib as lv
    >>> x, y = lv.Axis("time"), lv.Axis("error", (0.01, 1.0), log=True)
    >>> chart = lv.curves("errors", x, y, lv.Which("plain", "leverage")) + lv.rule("t", x=x)
    >>> len(chart.layer)
    2
    """
    chart = alt.Chart(alt.NamedData(table))
    places = [x.place(alt.X, "x"), y.place(alt.Y, "y")]
    lines = {"clip": True, "point": {"size": 22} if points else False} | style
    kept = {"order": f"{order}:Q"} if order else {}
    if isinstance(which, str):
        return chart.mark_line(color=_colour(which), **lines).encode(*places, **kept)
    shown = which.dash(legend) if "strokeDash" not in style else {}
    return chart.mark_line(**lines).encode(*places, which.colour(legend), **shown, **kept)


def dots(
    table: str,
    x: Axis,
    y: Axis,
    which: Which | str,
    *,
    legend: bool = True,
    interval: bool = False,
    **style,
) -> alt.Chart | alt.LayerChart:
    """Return points of a table, with their intervals where it has the columns low and high.

    - `table`: with the columns x and y, and which where there are several kinds.
    - `x`, `y`: their axes.
    - `which`: the look of the points; or the key of COLOURS of them all.
    - `legend`: whether it is shown.
    - `interval`: draws a bar from low to high behind each point.
    - `style`: options of Altair's `mark_point`.

    >>> import levlib as lv
    >>> chart = lv.dots("ratios", lv.Axis("ridge λ"), lv.Axis("ratio"), "leverage", interval=True)
    >>> [layer.mark.type for layer in chart.layer]
    ['rule', 'point']
    """
    across = x.place(alt.X, "x")
    colour = alt.value(_colour(which)) if isinstance(which, str) else which.colour(legend)
    ink = {"color": colour}
    base = alt.Chart(alt.NamedData(table))
    marks = {"clip": True, "size": 40, "filled": True, "opacity": 1} | style
    points = base.mark_point(**marks).encode(across, y.place(alt.Y, "y"), **ink)
    if not interval:
        return points
    low, high = y.place(alt.Y, "low"), alt.Y2("high")
    return base.mark_rule(strokeWidth=2, clip=True).encode(across, low, high, **ink) + points


def rule(table: str, *, x: Axis | None = None, y: Axis | None = None, **style) -> alt.Chart:
    """Return a grey line across the chart at a scalar that `fn` returns under the name `table`.

    Give the axis on which the scalar lies: `x` for an upright line, `y` for a level one. `style`
    are options of Altair's `mark_rule`; strokeDash=[5, 4] dashes it. Raises ValueError unless one
    axis is given.

    >>> import levlib as lv
    >>> lv.rule("m", x=lv.Axis("width m", log=True)).to_dict()["mark"]["type"]
    'rule'
    """
    places = {"x": (x, alt.X), "y": (y, alt.Y)}
    place = {name: axis.place(way, "value") for name, (axis, way) in places.items() if axis}
    if len(place) != 1:
        raise ValueError("give the axis on which the scalar lies: x or y")
    marks = {"color": GREY, "strokeWidth": 1.5, "clip": True} | style
    return alt.Chart(alt.NamedData(table)).mark_rule(**marks).encode(**place)


def heat(table: str, x: Axis, y: Axis, colour: Axis, *, scheme: str = "blues") -> alt.Chart:
    """Return a map of rectangles, coloured by their value.

    - `table`: with the columns left, right, low, high (the borders of each rectangle) and value.
    - `x`, `y`: their axes.
    - `colour`: title, domain and scale of the value.
    - `scheme`: a colour scheme of Vega.

    >>> import levlib as lv
    >>> chart = lv.heat("map", lv.Axis("λ", log=True), lv.Axis("δ", log=True), lv.Axis("gain"))
    >>> chart.to_dict()["mark"]["type"]
    'rect'
    """
    ends = {} if colour.domain is None else {"domain": list(colour.domain)}
    scale = alt.Scale(type="log" if colour.log else "linear", scheme=scheme, **ends)
    edges = [x.place(alt.X, "left"), alt.X2("right"), y.place(alt.Y, "low"), alt.Y2("high")]
    chart = alt.Chart(alt.NamedData(table)).mark_rect()
    return chart.encode(*edges, alt.Color("value:Q", title=colour.title, scale=scale))


def _colour(key: str) -> str:
    if key not in COLOURS and key[:1] != "#":
        raise ValueError(f"a colour must be among {list(COLOURS)}, got {key!r}")
    return COLOURS.get(key, key)


def _listed(values) -> list:
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"a line must be 1-D, got shape {values.shape}")
    return values.tolist()
