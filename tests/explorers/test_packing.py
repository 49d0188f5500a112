"""Packing: every state comes back within the resolution that the layout states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levlib.explorers import packing


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 9),
    st.sampled_from([2, 7, 8, 12, 15, 32]),
    st.integers(0, 2**31),
    st.data(),
)
def test_every_state_comes_back_within_the_resolution(states, rows, bits, seed, data):
    rng = np.random.default_rng(seed)
    ragged = data.draw(st.booleans())
    counts = rng.integers(1, 9, states) if ragged else np.full(states, rows)
    columns = {
        "linear": lambda k: rng.normal(size=k).cumsum(),
        "wide": lambda k: 10.0 ** rng.uniform(-9, 3, k),
        "flat": lambda k: np.full(k, 0.1),
    }
    table = [{name: make(count) for name, make in columns.items()} for count in counts]
    layout, packed = packing.pack({"table": (bits, table)})
    for s, state in enumerate(table):
        back = packing.unpack(layout, packed, "table", s)
        for name, values in state.items():
            check_within_resolution(layout["table"]["columns"][name], values, back[name])


def check_within_resolution(column, values, back):
    bound = packing.resolution(column)
    if column["kind"] == "float" or column.get("log"):
        bound = np.expm1(bound) * np.abs(values)
    assert back.shape == values.shape
    assert (np.abs(back - values) <= bound * (1 + 1e-9) + 1e-12).all()


def test_a_column_over_many_decades_keeps_its_small_values():
    states = [{"y": np.array([1e-8, 1.0])}, {"y": np.array([2e-8, 1.0])}]
    layout, packed = packing.pack({"t": (12, states)})
    assert packing.unpack(layout, packed, "t", 1)["y"][0] == pytest.approx(2e-8, rel=3e-3)


def test_text_stays_and_must_not_change():
    layout, packed = packing.pack({"t": (12, [{"a": np.array(["x", "y"])}] * 3)})
    assert packing.unpack(layout, packed, "t", 2)["a"].tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="text must be the same in every state"):
        packing.pack({"t": (12, [{"a": np.array(["x"])}, {"a": np.array(["y"])}])})


def test_smooth_states_take_few_bytes():
    x = np.linspace(0, 1, 200)
    states = [{"x": x, "y": np.sin(6 * x + k / 50)} for k in range(200)]
    _, packed = packing.pack({"t": (12, states)})
    assert len(packed) < 200 * 200  # under a byte for each of the numbers that change
