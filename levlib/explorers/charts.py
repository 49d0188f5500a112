"""Altair panels compiled to Vega with the book's colours, and their still pictures; no browser is
needed."""

from __future__ import annotations

import base64
import re
from functools import cache
from html import escape

import vl_convert

from levlib.explorers.controls import as_rows, number

# light enough for a dark page, dark enough for a white one (contrast 3:1 on both), and apart for
# colour-blind eyes
COLOURS = {
    "leverage": "#3b82c4",
    "plain": "#d9722b",
    "exact": "#8f6bbf",
    "truth": "#7d8590",
    "data": "#7d8590",
}
# of a line, in pixels drawn and left out: the same difference for those who see no colours
DASHES = {
    "leverage": [1, 0],
    "plain": [7, 2],
    "exact": [2, 2],
    "truth": [4, 3],
    "data": [1, 0],
}
FONT = "system-ui, 'DejaVu Sans', sans-serif"
QUIET = {
    "labelColor": "currentColor",
    "titleColor": "currentColor",
    "labelFontSize": 11,
    "titleFontSize": 12,
}
THEME = {
    "background": None,
    "aria": False,
    "font": FONT,
    "view": {"stroke": None},
    "axis": QUIET
    | {
        "domainColor": "#888",
        "tickColor": "#888",
        "gridColor": "#888",
        "gridOpacity": 0.2,
        "titleFontWeight": 500,
    },
    "legend": QUIET | {"orient": "top", "title": None, "symbolStrokeWidth": 3, "offset": 4},
    "range": {
        "category": [*dict.fromkeys(COLOURS.values()), "#1b9e77", "#b8860b"],
        "ramp": {"scheme": "viridis"},
    },
    "line": {"strokeWidth": 2},
    "rule": {"color": "#888", "strokeWidth": 1.5},
    "point": {"filled": True, "size": 28},
}
# of a still picture, in pixels: a panel, the space beside it, the line above it
WIDTH = 360
GAP = 24
HEAD = 46


def compile_panel(panel, columns: dict[str, list[str]]) -> dict:
    """Return a panel as Vega, and the tables that it reads; ValueError where it asks for what `fn`
    does not give."""
    chart = panel.chart.to_dict()
    if {"hconcat", "vconcat", "concat", "facet", "repeat"} & chart.keys():
        raise ValueError(
            "a panel is one picture: give each part of a concatenated or faceted chart a panel of "
            "its own"
        )
    tables = _checked_tables(chart, columns)
    chart |= {
        "width": WIDTH,
        "height": panel.height,
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
    }
    chart["config"] = THEME
    return {
        "title": panel.title,
        "alt": panel.alt or panel.title,
        "wide": panel.wide,
        "renderer": panel.renderer,
        "tables": tables,
        "vega": vl_convert.vegalite_to_vega(chart),
    }


def _checked_tables(chart: dict, columns: dict[str, list[str]]) -> list[str]:
    """Return the tables that a chart reads, or raise ValueError for what `fn` does not give."""
    tables = sorted(set(_find(chart, "name", inside="data")))
    foreign = _find(chart, "values", inside="data") or _find(chart, "url", inside="data")
    if "datasets" in chart or foreign or not tables:
        raise ValueError('charts must name their data: alt.Chart(alt.NamedData("curve"))')
    if "root" in tables:
        raise ValueError("a table must not be called root: Vega keeps that name for itself")
    unknown = set(tables) - columns.keys()
    asked = {name for name in _find(chart, "field") if isinstance(name, str)} - _made(chart)
    missing = asked - {column for table in tables for column in columns.get(table, ())}
    if unknown or missing:
        raise ValueError(f"a chart asks for {sorted(unknown | missing)}, but fn returns {columns}")
    return tables


def still(explorer, kind: str, index) -> bytes | str:
    """Return all panels side by side, under a line that says the sliders' values, as "svg" text or
    "png" bytes."""
    svg = _svg(explorer, index)
    return svg if kind == "svg" else vl_convert.svg_to_png(svg, scale=1.5)


def _svg(explorer, index) -> str:
    _register_fonts()
    values = explorer.values(index)
    rows = as_rows(explorer.at(index))
    said = "   ".join(
        f"{slider.symbol} = {number(values[slider.name])}" for slider in explorer.sliders
    )
    parts = [_text(said, GAP, 20)]
    x = float(GAP)
    height = 0.0
    for panel in explorer.spec()["panels"]:
        picture = vl_convert.vega_to_svg(_with_data(panel["vega"], rows))
        picture = picture.replace("currentColor", "#333")
        width, tall = re.findall(r'width="([\d.]+)" height="([\d.]+)"', picture)[0]
        parts.append(_text(panel["title"], x, HEAD - 6))
        parts.append(picture.replace("<svg", f'<svg x="{x}" y="{HEAD}"', 1))
        x += float(width) + GAP
        height = max(height, float(tall))
    return _page(parts, x, HEAD + height + GAP / 2)


def _page(parts: list[str], width: float, height: float) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        '<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts) + "</svg>"
    )


def still_image(explorer, alt: str) -> str:
    """Return the still picture at the start as an HTML image, for pages that are printed or have no
    script."""
    svg = base64.b64encode(_svg(explorer, explorer.start).encode()).decode()
    return f'<img class="lev-still" alt="{alt}" src="data:image/svg+xml;base64,{svg}">'


def _made(chart: dict) -> set[str]:
    """Return the names of the fields that the chart's own transforms make."""
    given = _find(chart, "as")
    return {name for names in given for name in ([names] if isinstance(names, str) else names)}


def _with_data(vega: dict, rows: dict[str, list[dict]]) -> dict:
    filled = [
        source | {"values": rows[source["name"]]} if source["name"] in rows else source
        for source in vega["data"]
    ]
    return vega | {"data": filled}


def _find(node, key: str, inside: str | None = None, here: str | None = None) -> list:
    """Return every value of `key` in a nested specification, those below a key `inside` alone where
    it is given."""
    found = []
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and (inside is None or here == inside):
                found.append(value)
            found += _find(value, key, inside, name)
    elif isinstance(node, list):
        for value in node:
            found += _find(value, key, inside, here)
    return found


def _text(text: str, x: float, y: float) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="13" font-family="DejaVu Sans">{escape(text)}</text>'
    )


@cache
def _register_fonts() -> None:
    # Matplotlib carries DejaVu Sans, which has the glyphs of Unicode mathematics
    import matplotlib

    vl_convert.register_font_directory(f"{matplotlib.get_data_path()}/fonts/ttf")
