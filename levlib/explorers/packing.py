"""States of an explorer in few bytes: fixed-point differences, byte planes, gzip. `lev.js` reads
what `pack` writes."""

import base64
import gzip
import math

import numpy as np

DECADES = 2.0  # a positive column that spans more than this is packed in its logarithm


def pack(tables: dict[str, tuple[int, list[dict]]]) -> tuple[dict, str]:
    """Return (layout, base64 of gzip) of tables given as name -> (bits, states), a state being
    column -> values.

    Numbers become fixed-point integers of `bits` <= 15 bits between the column's extremes, in the
    logarithm where the column is positive and spans more than two decades; float32 where bits is 32
    or the column never changes. Text must not change with the state. States of a table may differ
    in their number of rows. Cost: linear in the numbers.

    >>> layout, packed = pack({"curve": (12, [{"x": [0.0, 1.0]}, {"x": [0.0, 2.0]}])})
    >>> unpack(layout, packed, "curve", 1)["x"].tolist()
    [0.0, 2.0]
    """
    layout, chunks, offset = {}, [], 0
    for name, (bits, states) in tables.items():
        columns = {}
        for column in states[0]:
            columns[column], data = _pack_column([state[column] for state in states], bits)
            columns[column]["offset"] = offset
            chunks.append(data)
            offset += len(data)
        rows = [len(next(iter(state.values()))) for state in states]
        layout[name] = {
            "states": len(states),
            "rows": rows if len(set(rows)) > 1 else rows[0],
            "columns": columns,
        }
    return layout, base64.b64encode(gzip.compress(b"".join(chunks), 9, mtime=0)).decode()


def unpack(layout: dict, packed: str, table: str, state: int) -> dict[str, np.ndarray]:
    """Return the columns of one state, as `lev.js` reads them: what a test compares with the
    function's own values."""
    data, place = gzip.decompress(base64.b64decode(packed)), layout[table]
    rows = place["rows"] if isinstance(place["rows"], list) else [place["rows"]] * place["states"]
    return {
        name: _unpack_column(column, data, rows, state) for name, column in place["columns"].items()
    }


def resolution(column: dict) -> float:
    """Return the largest error of a packed column: absolute, or relative where the column is packed
    in its logarithm.

    >>> resolution({"kind": "fixed", "bits": 12, "low": 0.0, "high": 8190.0, "log": False})
    1.0
    """
    if column["kind"] != "fixed":
        return {"float": 2.0**-24, "text": 0.0}[column["kind"]]
    return (column["high"] - column["low"]) / (2 ** column["bits"] - 1) / 2


def _pack_column(states: list, bits: int) -> tuple[dict, bytes]:
    first = np.asarray(states[0])
    if first.dtype.kind in "US":
        if any(not np.array_equal(first, state) for state in states):
            raise ValueError(
                f"a column of text must be the same in every state, got {first[:3].tolist()} and "
                "others"
            )
        return {"kind": "text", "values": first.tolist()}, b""
    constant = all(len(state) == len(first) and np.array_equal(first, state) for state in states)
    flat = np.concatenate(
        [np.asarray(state, dtype=float) for state in (states[:1] if constant else states)]
    )
    if constant or bits == 32:
        return {"kind": "float", "constant": constant, "size": len(flat)}, flat.astype(
            "<f4"
        ).tobytes()
    lowest, highest = float(flat.min()), float(flat.max())
    log = lowest > 0 and math.log10(highest / lowest) > DECADES
    low, high = (math.log(lowest), math.log(highest)) if log else (lowest, highest)
    step = (high - low) / (2**bits - 1)
    fixed = (
        np.rint(((np.log(flat) if log else flat) - low) / step).astype(np.int64)
        if step
        else np.zeros(len(flat), int)
    )
    meta = {"kind": "fixed", "bits": bits, "low": low, "high": high, "log": log, "constant": False}
    if len({len(state) for state in states}) > 1:
        return meta | {"by": "row", "size": len(flat)}, _planes(fixed, bits)
    along = {
        "row": _planes(fixed, bits),
        "state": _planes(fixed.reshape(len(states), -1).T.ravel(), bits),
    }
    by = min(along, key=lambda order: len(gzip.compress(along[order])))
    return meta | {"by": by, "size": len(flat)}, along[by]


def _planes(fixed: np.ndarray, bits: int) -> bytes:
    change = np.diff(fixed, prepend=0)
    zigzag = ((change << 1) ^ (change >> 63)).astype(np.uint16)
    low = (zigzag & 255).astype(np.uint8).tobytes()
    return low if bits < 8 else low + (zigzag >> 8).astype(np.uint8).tobytes()


def _unpack_column(column: dict, data: bytes, rows: list[int], state: int) -> np.ndarray:
    if column["kind"] == "text":
        return np.array(column["values"])
    offset, size = column["offset"], column["size"]
    if column["kind"] == "float":
        flat = np.frombuffer(data, "<f4", size, offset).astype(float)
    else:
        zigzag = np.frombuffer(data, np.uint8, size, offset).astype(np.int64)
        if column["bits"] >= 8:
            zigzag = (
                zigzag | np.frombuffer(data, np.uint8, size, offset + size).astype(np.int64) << 8
            )
        fixed = np.cumsum((zigzag >> 1) ^ -(zigzag & 1))
        flat = column["low"] + fixed * (
            (column["high"] - column["low"]) / (2 ** column["bits"] - 1)
        )
        flat = np.exp(flat) if column["log"] else flat
        flat = flat.reshape(-1, len(rows)).T.ravel() if column["by"] == "state" else flat
    start = 0 if column["constant"] else sum(rows[:state])
    return flat[start : start + rows[state]]
