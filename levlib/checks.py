"""Every array, number and generator that enters levlib is checked here, before work starts."""

import math
import warnings
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from levlib.linalg import blocks

TILE = 512  # side of the squares in which symmetry is checked: two of them fit a cache


def as_tensor(value, name: str, ndim: int | tuple[int, ...], like: Tensor | None = None) -> Tensor:
    """Return `value` as a finite floating (or complex) tensor with one of the given numbers of
    dimensions.

    NumPy arrays and lists are taken, integers become float64, and float32 stays float32 unless
    `like` is given: then a real tensor follows the dtype of `like`. Raises TypeError where `value`
    is no array of numbers; ValueError where it has the wrong number of dimensions, is empty, holds
    NaN or infinity, or lies on another device than `like`. Cost: one pass over the numbers.

    >>> as_tensor([[1, 2]], "X", 2)
    tensor([[1., 2.]], dtype=torch.float64)
    """
    value = _as_floating(value, name)
    _expect_dimensions(value, name, (ndim,) if isinstance(ndim, int) else ndim)
    if like is not None:
        if value.device != like.device:
            raise ValueError(
                f"{name} is on {value.device} but the data is on {like.device}; move one of them "
                "with .to(...)"
            )
        value = value if value.is_complex() else value.to(like.real.dtype)
    if not math.isfinite(_largest(value)):
        raise ValueError(
            f"{name} holds NaN or infinity in {value.dtype}; remove or impute those entries first"
        )
    return value


def _as_floating(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(_for_torch(np.asarray(value)))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name} must be a tensor or an array of numbers, got {type(value).__name__}"
            ) from error
    return value if value.is_floating_point() or value.is_complex() else value.double()


def _for_torch(array: np.ndarray) -> np.ndarray:
    # torch refuses reversed arrays and foreign byte orders, and warns of those that are read-only
    forward = all(stride >= 0 for stride in array.strides)
    if array.flags.writeable and array.dtype.isnative and forward:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _expect_dimensions(value: Tensor, name: str, allowed: tuple[int, ...]) -> None:
    shape = tuple(value.shape)
    if value.ndim not in allowed:
        line = value.ndim == 1 and 2 in allowed
        hint = f"; write {name}[:, None] for points on a line" if line else ""
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"{name} must have {expected} dimensions, got shape {shape}{hint}")
    if value.numel() == 0:
        raise ValueError(f"{name} is empty: got shape {shape}")


def _largest(value: Tensor) -> float:
    # the largest |entry|, NaN where there is one, in one pass that makes no copy
    value = value.detach()
    parts = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
    low, high = torch.aminmax(parts)
    return float(torch.maximum(-low, high))


def as_points(value, name: str, d: int | None = None, like: Tensor | None = None) -> Tensor:
    """Return points as a real tensor of shape (n, d), checked, with d columns where d is given."""
    points = as_tensor(value, name, 2, like)
    if points.is_complex():
        raise TypeError(f"{name} must be real, got {points.dtype}")
    if d is not None and points.shape[1] != d:
        raise ValueError(f"{name} must have {d} columns to match the data, got {points.shape[1]}")
    return points


def as_vector(value, name: str, length: int, like: Tensor | None = None) -> Tensor:
    """Return `value` as a real tensor of shape (length,), checked."""
    vector = as_tensor(value, name, 1, like)
    if vector.is_complex():
        raise TypeError(f"{name} must be real, got {vector.dtype}")
    if len(vector) != length:
        raise ValueError(f"{name} must have {length} entries to match the data, got {len(vector)}")
    return vector


def as_square(value, name: str, like: Tensor | None = None) -> Tensor:
    """Return a kernel matrix as a real symmetric tensor of shape (n, n), checked."""
    matrix = as_points(value, name, like=like)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be square, got shape {tuple(matrix.shape)}")
    allowed = 1e3 * torch.finfo(matrix.dtype).eps * _largest(matrix)
    values = matrix.detach()
    for rows, columns in combinations_with_replacement(list(blocks(len(values), 1, TILE)), 2):
        if _largest(values[rows, columns] - values[columns, rows].T) > allowed:
            raise ValueError(
                f"{name} must be symmetric; pass (K + K.T) / 2 if the difference is rounding alone"
            )
    return matrix


def as_labels(value, rows: Tensor, of: str, name: str = "Y") -> Tensor:
    """Return labels, (n,) or (n, k), with one row for each row of the matrix `rows`, which `of`
    names.

    They take its precision, and are complex only where it is. Raises TypeError for complex labels
    of a real matrix, ValueError for another number of rows.
    """
    labels = as_tensor(value, name, (1, 2), like=rows)
    if labels.is_complex() and not rows.is_complex():
        raise TypeError(f"{name} must be real where {of} is real, got {labels.dtype}")
    if len(labels) != len(rows):
        raise ValueError(
            f"{name} must have one row for each of the {len(rows)} points of {of}, got "
            f"{len(labels)}"
        )
    return labels.to(rows.dtype)


def as_number(value, name: str, *, above=None, least=None, below=None, most=None) -> float:
    """Return a finite number as a float: a Python number, or a scalar of NumPy or torch.

    `above` and `below` are bounds that it may not reach, `least` and `most` bounds that it may.
    Raises TypeError where it is no number, ValueError where it lies outside or is not finite.

    >>> as_number(np.float32(0.5), "mix", least=0, below=1), as_number(2, "lam", above=0)
    (0.5, 2.0)
    """
    if isinstance(value, bool | np.bool_ | str | bytes | complex):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a number, got {type(value).__name__}") from error
    inside = (
        math.isfinite(number)
        and (above is None or number > above)
        and (least is None or number >= least)
        and (below is None or number < below)
        and (most is None or number <= most)
    )
    if not inside:
        raise ValueError(f"{name} must be {_range(above, least, below, most)}, got {number:g}")
    return number


def _range(above, least, below, most) -> str:
    low = least if above is None else above
    high = most if below is None else below
    if low is None:
        return "finite"
    if high is None:
        return "positive and finite" if above == 0 else f"finite and >= {low:g}"
    return f"in {'[' if above is None else '('}{low:g}, {high:g}{']' if below is None else ')'}"


def as_lambdas(value) -> tuple[list[float], bool]:
    """Return lam as a list of positive floats, and whether it was one number, not a sequence.

    Raises TypeError where an entry is no number; ValueError where none is given, or not positive.

    >>> as_lambdas(0.5), as_lambdas([1, 2])
    (([0.5], True), ([1.0, 2.0], False))
    """
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return [as_number(value, "lam", above=0)], True
    if not value:
        raise ValueError("lam is empty: give a number or a sequence of numbers")
    return [as_number(each, "lam", above=0) for each in value], False


def as_scale(value, name: str) -> float | Tensor:
    """Return a positive float, or the torch scalar that it is where it requires a gradient."""
    number = as_number(value.detach() if isinstance(value, Tensor) else value, name, above=0)
    if not 1e-100 <= number <= 1e100:
        raise ValueError(
            f"{name} must be between 1e-100 and 1e100, got {number:g}; rescale the data"
        )
    return value.reshape(()) if isinstance(value, Tensor) and value.requires_grad else number


def as_count(value, name: str, least: int = 1) -> int:
    """Return an int; TypeError where it is no integer, ValueError where it is under `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def as_instance(value, name: str, kind: type, what: str):
    """Return `value`, or raise TypeError where it is no instance of `kind`, which the message calls
    `what`.

    >>> as_instance(1, "flag", int, "whole number")
    1
    """
    if not isinstance(value, kind):
        given = value if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a {what}, got {given}")
    return value


def as_generator(value) -> torch.Generator:
    """Return the generator, or raise TypeError that says how to make one: there is no default."""
    if not isinstance(value, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {type(value).__name__}; "
            "make one with torch.Generator().manual_seed(0)"
        )
    return value


def as_penalty(penalty) -> str:
    """Return the name of a penalty; ValueError where it is neither "origin" nor "init"."""
    if penalty not in ("origin", "init"):
        raise ValueError(
            f'penalty must be "origin" (|W|^2) or "init" (|W - W(0)|^2), got {penalty!r}'
        )
    return penalty


def as_multiplier(kappa) -> float:
    """Return kappa > 0 as a float; ValueError where it is not, and a warning where kappa > 1."""
    kappa = as_number(kappa, "kappa", above=0)
    if kappa > 1:
        warnings.warn(
            f"kappa = {kappa:g} is outside the paper's (0, 1]: Theorem 3.7 wants a small kappa to "
            "shrink the initial output. A large one makes training lazier; pair it with "
            "antisymmetric=True and scale lam by kappa^2",
            stacklevel=3,
        )
    return kappa
