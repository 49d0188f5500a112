"""The states of an explorer in few bytes: a column once for each position of the sliders that move
it. `lev.js` reads what `pack` writes."""

import base64
import gzip

import numpy as np

LEVELS = 2**12 - 1  # between the extremes of a column: finer than a pixel
FEW = 512  # numbers of a column that are read one by one rather than drawn as a curve: kept exact
WIDE = 100.0  # a positive column that spans more has its levels evenly in the logarithm
STILL = 1e-12  # of a column's largest entry: a smaller change is rounding in double precision


def pack(states: list[dict], shape: tuple[int, ...]) -> tuple[dict, str]:
    """Return (layout, base64 of gzip) of the states of a grid of this shape, its last axis fastest.

    A state is table -> column -> values; its tables may differ from other states' in their number
    of rows. The layout says which axes each table and each column depends on: those along which it
    changes. Text, integers, columns of one row or of FEW numbers come back exact, other numbers to
    half a level. Cost: linear in the numbers.

    >>> states = [{"curve": {"x": np.array([0.0, 0.5]), "y": np.array([0.0, k])}} for k in (1, 2)]
    >>> layout, packed = pack(states, (2,))
    >>> layout["curve"]["on"], layout["curve"]["columns"]["x"]["on"]
    ([0], [])
    >>> unpack(layout, packed, "curve", "y", 1).tolist()
    [0.0, 2.0]
    """
    layout: dict[str, dict] = {}
    chunks: list[bytes] = []
    grid = np.arange(len(states)).reshape(shape)
    for name, table in states[0].items():
        columns = {}
        for column in table:
            values = [state[name][column] for state in states]
            on = depends_on(values, grid)
            kept = grid[tuple(slice(None) if k in on else 0 for k in range(grid.ndim))]
            place, data = _pack_column([values[k] for k in kept.ravel()])
            columns[column] = {"on": on, "offset": sum(map(len, chunks)), **place}
            chunks.append(data)
        on = sorted({axis for place in columns.values() for axis in place["on"]})
        layout[name] = {"on": on, "columns": columns}
    return layout, base64.b64encode(gzip.compress(b"".join(chunks), 9, mtime=0)).decode()


def depends_on(values: list[np.ndarray], grid: np.ndarray) -> list[int]:
    """Return the axes of a grid of places in `values` along which these change by more than
    rounding."""
    within = STILL * scale(values)
    return [
        axis
        for axis in range(grid.ndim)
        if not all(
            same(values[row[0]], values[k], within)
            for row in np.moveaxis(grid, axis, -1).reshape(-1, grid.shape[axis])
            for k in row[1:]
        )
    ]


def scale(values: list[np.ndarray]) -> float:
    """Return the largest |entry| of a column over its states, 0 for text."""
    if values[0].dtype.kind in "US":
        return 0.0
    return max(float(np.abs(state).max()) for state in values)


def same(one: np.ndarray, other: np.ndarray, within: float) -> bool:
    """Return whether two states of a column are equal: text exactly, numbers to `within`."""
    if one.shape != other.shape or one.dtype.kind in "US":
        return np.array_equal(one, other)
    return bool((np.abs(one - other) <= within).all())


def unpack(layout: dict, packed: str, table: str, column: str, place: int) -> np.ndarray:
    """Return one column at a place of the grid of its own sliders, as `lev.js` reads it: for
    tests."""
    data = gzip.decompress(base64.b64decode(packed))
    at = layout[table]["columns"][column]
    ragged = isinstance(at["starts"], list)
    rows = slice(*(at["starts"][k] if ragged else k * at["starts"] for k in (place, place + 1)))
    if "text" in at:
        return np.array(at["text"][rows])
    if "step" not in at:
        return np.frombuffer(data, "<f8", rows.stop, at["offset"])[rows]
    low, high = np.frombuffer(data, np.uint8, 2 * at["size"], at["offset"]).reshape(2, -1)
    values = at["low"] + at["step"] * (low[rows] + 256.0 * high[rows])
    return np.exp(values) if at["log"] else values


def _pack_column(states: list[np.ndarray]) -> tuple[dict, bytes]:
    rows = [len(state) for state in states]
    place = {"starts": [0, *np.cumsum(rows).tolist()] if len(set(rows)) > 1 else rows[0]}
    flat = np.concatenate(states)
    if flat.dtype.kind in "US":
        return place | {"text": flat.tolist()}, b""
    if max(rows) == 1 or len(flat) <= FEW or (flat == np.rint(flat)).all():
        return place, flat.astype("<f8").tobytes()
    log = bool(0 < WIDE * flat.min() < flat.max())
    flat = np.log(flat) if log else flat
    low, high = float(flat.min()), float(flat.max())
    step = (high - low) / LEVELS or 1.0
    fixed = np.rint((flat - low) / step).astype(np.uint16)
    planes = np.stack([fixed & 255, fixed >> 8]).astype(np.uint8)
    return place | {"size": len(flat), "low": low, "step": step, "log": log}, planes.tobytes()
