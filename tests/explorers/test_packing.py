"""Packing: every state comes back within half a level, exact where it is read, and what depends on
what is derived."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levlib.explorers import packing


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 2**31),
    st.booleans(),
    st.data(),
)
def test_every_state_of_every_column_comes_back(shape, seed, ragged, data):
    rng = np.random.default_rng(seed)
    states = int(np.prod(shape))
    most = data.draw(st.sampled_from([1, 6, 1 + packing.FEW // states]))  # exact, and in levels
    counts = rng.integers(1, most + 1, states) if ragged else np.full(states, most)
    columns = {
        "linear": lambda k: rng.normal(size=k).cumsum(),
        "wide": lambda k: 10.0 ** rng.uniform(-200, 3, k),
        "integers": lambda k: rng.integers(-9, 2**40, k).astype(float),
        "text": lambda k: rng.choice(["p", "q"], k),
        "flat": lambda k: np.full(k, 0.1),
        "zero": np.zeros,
    }
    given = [{"t": {name: make(k) for name, make in columns.items()}} for k in counts]
    layout, packed = packing.pack(given, tuple(shape))
    for place, index in enumerate(np.ndindex(*shape)):
        for name, values in given[place]["t"].items():
            check_state(layout, packed, "t", name, index, shape, values)


def check_state(layout, packed, table, column, index, shape, values):
    """Assert that a page holds `values` at a position of the sliders."""
    at = layout[table]["columns"][column]
    sizes = [shape[axis] for axis in at["on"]]
    place = int(np.ravel_multi_index([index[axis] for axis in at["on"]], sizes)) if sizes else 0
    back = packing.unpack(layout, packed, table, column, place)
    assert within_half_a_level(at, values, back)


def within_half_a_level(at, values, back) -> bool:
    if "step" not in at:
        return np.array_equal(back, values)
    half = at["step"] / 2 * (1 + 1e-9)
    if at["log"]:
        return np.allclose(np.log(back), np.log(values), rtol=1e-9, atol=half)
    return np.allclose(back, values, rtol=1e-9, atol=half)


def test_a_column_over_many_decades_keeps_its_small_values():
    y = np.geomspace(1e-8, 1.0, packing.FEW)
    layout, packed = packing.pack([{"t": {"y": y}}, {"t": {"y": 2 * y}}], (2,))
    assert "step" in layout["t"]["columns"]["y"]
    assert packing.unpack(layout, packed, "t", "y", 1)[0] == pytest.approx(2e-8, rel=3e-3)


def test_a_number_to_be_read_keeps_all_its_digits():
    values = np.random.default_rng(0).normal(size=packing.FEW + 1)
    states = [
        {"risk": {"value": values[[k]]}, "row": {"x": values[:3]}} for k in range(len(values))
    ]
    layout, packed = packing.pack(states, (len(values),))
    back = [packing.unpack(layout, packed, "risk", "value", k)[0] for k in range(len(values))]
    assert back == values.tolist()
    assert packing.unpack(layout, packed, "row", "x", 0).tolist() == values[:3].tolist()


def test_a_table_depends_on_the_sliders_along_which_a_column_changes():
    x = np.linspace(0.0, 1.0, 9)

    def state(i, j, k):
        rounding = 1e-16 * np.random.default_rng([i, j, k]).normal(size=9)
        return {
            "none": {"x": x + rounding},
            "first": {"x": x, "y": x * i + rounding},
            "small": {"y": np.array([1.0, 1e-9 * (j + 1)])},
            "both": {"y": np.array([float(i == 2 and k == 1), 0.5])},
            "rows": {"x": np.zeros(k + 1)},
            "said": {"word": np.array(["few" if j == 0 else "many"])},
            "nothing": {"value": np.zeros(1)},
        }

    states = [state(*index) for index in np.ndindex(3, 2, 4)]
    layout, _ = packing.pack(states, (3, 2, 4))
    assert {name: table["on"] for name, table in layout.items()} == {
        "none": [],
        "first": [0],
        "small": [1],
        "both": [0, 2],
        "rows": [2],
        "said": [1],
        "nothing": [],
    }
    assert layout["first"]["columns"]["x"]["on"] == []


def test_smooth_states_take_few_bytes():
    x = np.linspace(0, 1, 200)
    states = [{"t": {"x": x, "y": np.sin(6 * x + k / 50)}} for k in range(200)]
    _, packed = packing.pack(states, (200,))
    assert len(packed) < 2.2 * 200 * 200  # 12 bits of each number, in base64
