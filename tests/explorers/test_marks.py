"""The marks of charts: what they draw, what they refuse, and that each fits into an explorer."""

import math

import numpy as np
import pytest
import torch

import levlib as lv

M = lv.Axis("width m", (1.0, 100.0), log=True, ticks=[1, 10, 100])
ERROR = lv.Axis("error")
BOTH = lv.Which("plain", "leverage")


def fn(m):
    angle = np.linspace(0.0, 2 * math.pi, 20)
    return {
        "errors": lv.stacked(torch.tensor([1.0, 10.0, 100.0]), plain=[3, 2, 1], leverage=[1, 1, m]),
        "medians": {
            "x": [1.0, 10.0],
            "y": [2.0, 1.5],
            "low": [1.0, 1.0],
            "high": [3.0, 2.0],
            "which": ["plain", "leverage"],
        },
        "ring": {"k": np.arange(20), "x": np.cos(angle), "y": np.sin(angle)},
        "map": {"left": [1], "right": [10], "low": [0], "high": [1], "value": [m]},
        "m": m,
    }


def test_every_mark_draws_in_an_explorer():
    panels = [
        lv.Panel(lv.curves("errors", M, ERROR, BOTH, points=True) + lv.rule("m", x=M)),
        lv.Panel(lv.dots("medians", M, ERROR, BOTH, interval=True)),
        lv.Panel(lv.curves("ring", lv.Axis(None), lv.Axis(None), "data", order="k")),
        lv.Panel(lv.heat("map", M, ERROR, lv.Axis("gain", (1, 3), log=True))),
    ]
    shown = lv.Explorer(fn, [lv.Slider("m", [1.0, 2.0, 3.0])], panels)
    svg = shown.still("svg")
    for name in ("plain", "leverage"):
        assert lv.COLOURS[name] in svg
    assert "stroke-dasharray" in svg and "width m" in svg


def test_stacked_keeps_each_line_and_its_name():
    table = lv.stacked([1, 2], plain=[3.0, 4.0], **{"exact fit": torch.tensor([5.0, 6.0])})
    assert table["y"] == [3.0, 4.0, 5.0, 6.0]
    assert table["which"] == ["plain", "plain", "exact fit", "exact fit"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: lv.stacked([1, 2], plain=[1.0]), "plain has 1 values for 2"),
        (lambda: lv.stacked([[1, 2]], plain=[1.0]), "1-D"),
        (lambda: lv.Which("lever"), "lever"),
        (lambda: lv.Which(), "names"),
        (lambda: lv.rule("m"), "x or y"),
        (lambda: lv.rule("m", x=M, y=ERROR), "x or y"),
        (lambda: lv.curves("errors", M, ERROR, "lever"), "lever"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_table_of_a_name_that_vega_keeps_is_refused():
    panel = lv.Panel(lv.rule("root", x=M))
    with pytest.raises(ValueError, match="root"):
        lv.Explorer(lambda m: {"root": m}, [lv.Slider("m", [1.0, 2.0])], [panel])
