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
from levlib.explorers.controls import Panel, Slider, Table, as_table

AGAIN = 8  # states that a sweep evaluates a second time


@dataclass
class Explorer:
    """A figure with sliders: `fn(**values)` computes named tables, panels draw them.

    `fn` takes one keyword argument for each slider and returns a dict: a table is a dict of equally
    long 1-D columns (numbers, or text that never changes), a scalar is a number for the `readout`,
    which maps its name to a label. Shown in a kernel it is an anywidget that calls `fn`; where
    LEVLIB_STATIC=1 it sweeps the grid into the page. `fn` must be a function of its arguments
    alone. The start and the corners of the grid are evaluated at once: a failure, NaN, or a table
    of another shape raises ValueError that names the sliders' values; so does a chart that asks for
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
    tables: Sequence[Table] = ()
    readout: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    alt: str = ""

    def __post_init__(self):
        self._names = [slider.name for slider in self.sliders]
        if not self.sliders or len(set(self._names)) < len(self._names) or not self.panels:
            raise ValueError(
                "an explorer needs at least one panel, and at least one slider, each with its own "
                "name"
            )
        self.start = tuple(slider.start for slider in self.sliders)
        self._shape = None
        self._shape = {name: list(table) for name, table in self.at(self.start).items()}
        for corner in itertools.product(*((0, len(slider.values) - 1) for slider in self.sliders)):
            self.at(corner)
        self._placed = self._place_tables()
        self._drawn = [charts.compile_panel(panel, self._shape) for panel in self.panels]
        self._check_use()

    def _place_tables(self) -> dict[str, tuple[tuple[int, ...], int]]:
        given = {table.name: table for table in self.tables}
        named = {name for table in self.tables for name in table.on or ()}
        if not given.keys() <= self._shape.keys() or not named <= set(self._names):
            raise ValueError(
                f"tables must name what fn returns, {list(self._shape)}, and depend on sliders, "
                f"{self._names}; "
                f"got {sorted(given)} on {sorted(named)}"
            )
        placed = {}
        for name in self._shape:
            table = given.get(name, Table(name, bits=32 if name in self.readout else 12))
            on = self._names if table.on is None else table.on
            placed[name] = (
                tuple(k for k, slider in enumerate(self._names) if slider in on),
                table.bits,
            )
        return placed

    def _check_use(self) -> None:
        used = {name for drawn in self._drawn for name in drawn["tables"]} | set(self.readout)
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
        if self._shape is not None and shape != self._shape:
            raise ValueError(f"fn at {where} returned {shape}, but at the start {self._shape}")
        return found

    def sweep(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Return the states of each table, over the sliders that it depends on, the last of them
        fastest.

        Some states of the whole grid are evaluated again at the end: ValueError where a table
        depends on a slider that its `on` leaves out, or where `fn` does not give the same twice.
        Cost: a call of `fn` for each state.
        """
        grid = {name: self._positions(on) for name, (on, _) in self._placed.items()}
        wanted = dict.fromkeys(itertools.chain(*grid.values()))
        states = {
            index: self.at(index) for index in tqdm(wanted, desc="states", leave=False, delay=2)
        }
        chance = random.Random(0)
        for _ in range(AGAIN):
            index = tuple(chance.randrange(len(slider.values)) for slider in self.sliders)
            for name, table in self.at(index).items():
                self._same(
                    name, table, states[self._home(index, self._placed[name][0])][name], index
                )
        return {name: [states[index][name] for index in grid[name]] for name in self._placed}

    def _positions(self, on: tuple[int, ...]) -> list[tuple[int, ...]]:
        choices = [
            range(len(s.values)) if k in on else [s.start] for k, s in enumerate(self.sliders)
        ]
        return list(itertools.product(*choices))

    def _home(self, index: tuple[int, ...], on: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(i if k in on else self.start[k] for k, i in enumerate(index))

    def _same(self, name: str, one: dict, other: dict, index: tuple[int, ...]) -> None:
        if any(not np.array_equal(one[column], other[column]) for column in one):
            on = [self._names[k] for k in self._placed[name][0]]
            raise ValueError(
                f"table {name} at {self.values(index)} is not what the sliders {on} alone "
                "determine: name in `on` "
                "every slider that it depends on, and let fn seed its own generator"
            )

    def spec(self) -> dict:
        """Return what `lev.js` needs to draw: sliders, panels as Vega, readout and the place of
        each table."""
        sliders = [slider.spec() for slider in self.sliders]
        tables = {name: {"on": list(on)} for name, (on, _) in self._placed.items()}
        readout = [{"name": name, "label": label} for name, label in self.readout.items()]
        return {
            "sliders": sliders,
            "panels": self._drawn,
            "readout": readout,
            "tables": tables,
            "caption": self.caption,
        }

    def html(self) -> str:
        """Return the explorer as HTML that `lev.js` brings to life: a still picture, and every
        state, packed."""
        spec, states = self.spec(), self.sweep()
        layout, spec["packed"] = packing.pack(
            {name: (self._placed[name][1], states[name]) for name in states}
        )
        for name, place in layout.items():
            spec["tables"][name]["layout"] = place
        data = json.dumps(spec, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
        still = charts.still_image(self, html.escape(self.alt, quote=True))
        return (
            f'<div class="lev-explorer" role="group" aria-label="{html.escape(self.alt, quote=True)}">'
            f'<div class="lev-body">{still}</div><p class="lev-caption">{html.escape(self.caption)}</p>'
            f'<script type="application/json">{data}</script></div>'
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write one HTML file that holds all it needs, for a slide or a hand-out; it opens from
        disk, offline."""
        head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{assets.css()}</style>'
        script = assets.classic_script().replace("</script", "<\\/script")
        page = f"<!doctype html><html lang=en><title>Explorer</title>{head}{self.html()}<script>{script}</script></html>"
        beside = Path(path).with_suffix(".tmp")
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)

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
