"""Figures with sliders: one definition that calls Python in a kernel, and that moves in a static
page without one."""

from __future__ import annotations

import html
import itertools
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from levlib.explorers import assets, charts, packing
from levlib.explorers.controls import Panel, Question, Slider, as_table
from levlib.files import write

AGAIN = 8  # states that a sweep evaluates a second time
# A threaded product does not round alike twice. In float64 that is 1e-16 of the largest entry and
# what an ill-conditioned solve makes of it; a few hundred steps in float32 lose up to 1e-5.
ROUNDING = 1e-5
# A column of nothing but rounding around zero has no scale of its own.
FLOOR = 1e-12


@dataclass
class Explorer:
    """A figure with sliders: `fn(**values)` computes named tables, panels draw them.

    Shown in a kernel it is an anywidget that calls `fn`; where LEVLIB_STATIC=1 it sweeps the grid
    into the page.

    - `fn`: takes one keyword argument for each slider and returns a dict: a table is a dict of
      equally long 1-D columns (numbers or text), a scalar is a number for the readout. It must be a
      function of its arguments alone.
    - `sliders`: at least one `Slider`, each with its own name.
    - `panels`: at least one `Panel`.
    - `readout`: maps the name of a scalar to a label.
    - `caption`: stands below the panels.
    - `alt`: describes the whole to those who do not see it.
    - `question`: a `Question` that the reader answers, or skips, before the sliders move.

    The start and the corners of the grid are evaluated at once: a failure, NaN, or a table of
    other columns raises ValueError that names the sliders' values; so does a chart that asks for
    a table or a column that is not there. Cost: 1 + 2^sliders calls of `fn`; a sweep takes one for
    each state.

    >>> import altair as alt
    >>> import levlib as lv
    >>> chart = alt.Chart(alt.NamedData("line")).mark_line().encode(x="x:Q", y="y:Q")
    >>> def fn(lam):
    ...     return {"line": {"x": [0.0, 1.0], "y": [0.0, lam]}}
    >>> lv.Explorer(fn, [lv.Slider("lam", [1.0, 2.0])], [lv.Panel(chart)]).at((1,))["line"]["y"]
    array([0., 2.])
    """

    fn: Callable[..., Mapping]
    sliders: Sequence[Slider]
    panels: Sequence[Panel]
    readout: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    alt: str = ""
    question: Question | None = None

    def __post_init__(self):
        self._names = [slider.name for slider in self.sliders]
        if not self.sliders or len(set(self._names)) < len(self._names) or not self.panels:
            raise ValueError(
                "an explorer needs at least one panel, and at least one slider, each with its own "
                "name"
            )
        self.start = tuple(slider.start for slider in self.sliders)
        self._shape: dict[str, list[str]] = {}
        self._shape = {name: list(table) for name, table in self.at(self.start).items()}
        for corner in itertools.product(*((0, len(slider.values) - 1) for slider in self.sliders)):
            self.at(corner)
        self._compiled = [charts.compile_panel(panel, self._shape) for panel in self.panels]
        self._check_use()

    def _check_use(self) -> None:
        used = {name for panel in self._compiled for name in panel["tables"]} | set(self.readout)
        if used != self._shape.keys():
            raise ValueError(
                f"panels and readout use {sorted(used)}, but fn returns {sorted(self._shape)}; "
                "each must be in both"
            )

    def values(self, index: Sequence[int] | None = None) -> dict[str, float]:
        """Return the arguments of `fn` at a position of the sliders, one index for each (the start
        if not given)."""
        index = self.start if index is None else tuple(index)
        if len(index) != len(self.sliders):
            raise ValueError(
                f"index must have one entry for each slider {self._names}, got {index}"
            )
        for slider, k in zip(self.sliders, index, strict=True):
            if not 0 <= k < len(slider.values):
                raise ValueError(
                    f"index of {slider.name} must be in 0..{len(slider.values) - 1}, got {k}"
                )
        return {
            slider.name: slider.values[k] for slider, k in zip(self.sliders, index, strict=True)
        }

    def at(self, index: Sequence[int] | None = None) -> dict[str, dict[str, np.ndarray]]:
        """Return the tables that `fn` gives at a position of the sliders, checked; a scalar is a
        table of one row."""
        values = self.values(index)
        where = ", ".join(f"{name}={value:g}" for name, value in values.items())
        try:
            found = {name: as_table(name, table) for name, table in self.fn(**values).items()}
        except Exception as error:
            raise ValueError(f"fn failed at {where}: {type(error).__name__}: {error}") from error
        shape = {name: list(table) for name, table in found.items()}
        if self._shape and shape != self._shape:
            raise ValueError(f"fn at {where} returned {shape}, but at the start {self._shape}")
        return found

    def sweep(self) -> list[dict[str, dict[str, np.ndarray]]]:
        """Return the tables at every position of the grid, the last slider fastest.

        Eight states are evaluated again at the end: ValueError where a column differs by more than
        ROUNDING (1e-5) of its largest |entry| over the sweep, or text at all: then `fn` holds
        randomness or memory of its own. Columns below FLOOR (1e-12) count as zero. Text, a count or
        an argmax jumps where rounding tips it, and no tolerance covers that: `fn` must decide such
        ties by itself, by a margin above rounding. Cost: a call of `fn` for each state.
        """
        grid = list(itertools.product(*(range(len(slider.values)) for slider in self.sliders)))
        states = [self.at(index) for index in tqdm(grid, desc="states", leave=False, delay=2)]
        scales = {
            (name, column): packing.scale([state[name][column] for state in states])
            for name, columns in self._shape.items()
            for column in columns
        }
        for place in random.Random(0).choices(range(len(grid)), k=AGAIN):
            again = self.at(grid[place])
            for (name, column), scale in scales.items():
                one, other = states[place][name][column], again[name][column]
                if not packing.same(one, other, ROUNDING * scale + FLOOR):
                    raise ValueError(
                        f"column {column} of table {name} at {self.values(grid[place])} is not "
                        "twice the same: let fn seed its own generator, keep nothing between calls "
                        "that another call changes, and count or compare with a margin, so that "
                        "rounding tips nothing"
                    )
        return states

    def spec(self) -> dict:
        """Return what `lev.js` needs to draw: sliders, panels as Vega, readout and caption."""
        return {
            "sliders": [slider.spec() for slider in self.sliders],
            "panels": self._compiled,
            "readout": [{"name": name, "label": label} for name, label in self.readout.items()],
            "caption": self.caption,
            "question": self.question.spec() if self.question else None,
        }

    def html(self) -> str:
        """Return the explorer as HTML that `lev.js` brings to life: a still picture, and every
        state, packed."""
        shape = tuple(len(slider.values) for slider in self.sliders)
        tables, packed = packing.pack(self.sweep(), shape)
        spec = self.spec() | {"tables": tables, "packed": packed}
        data = json.dumps(spec, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
        alt = html.escape(self.alt, quote=True)
        return (
            f'<div class="lev-explorer" role="group" aria-label="{alt}">'
            f'<div class="lev-body">{charts.still_image(self, alt)}</div>'
            f'<p class="lev-caption">{html.escape(self.caption)}</p>'
            f'<script type="application/json">{data}</script></div>'
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write one HTML file that holds all it needs, for a slide or a hand-out; it opens from
        disk, offline."""
        script = assets.classic_script().replace("</script", "<\\/script")
        page = (
            "<!doctype html><html lang=en><title>Explorer</title>"
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<style>{assets.css()}</style>{self.html()}<script>{script}</script></html>"
        )
        write(Path(path), page)

    def still(self, kind: str = "png", index: Sequence[int] | None = None) -> bytes | str:
        """Return a picture of all panels at a position of the sliders: "png" as bytes, "svg" as
        text."""
        if kind not in ("png", "svg"):
            raise ValueError(f'kind must be "png" or "svg", got {kind!r}')
        return charts.still(self, kind, self.start if index is None else index)

    @cached_property
    def widget(self):
        """The explorer as an anywidget: `index` can be observed and set, and it goes into
        ipywidgets' boxes."""
        from levlib.explorers.widget import ExplorerWidget

        return ExplorerWidget(self)

    def _repr_mimebundle_(self, **_):
        if os.environ.get("LEVLIB_STATIC") == "1":
            return {"text/html": self.html(), "text/plain": self.alt}
        bundle = self.widget._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle or {}
        return {**data, "image/png": self.still("png"), "text/plain": self.alt}
