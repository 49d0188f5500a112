"""The cases of the trained pair: points whose last two are close, labels, and settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import levlib as lv
from experiments.feature_cases import seeded

PAPER = ("origin", False)  # the penalty |W|^2 and the plain start of Theorems 3.6 and 3.9
CURED = ("init", True)  # |W - W(0)|^2 and the antisymmetric start


def on_circle(angles: list[float]) -> Tensor:
    angle = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def circle_labels(X: Tensor) -> Tensor:
    angle = torch.atan2(X[:, 1], X[:, 0])
    return (2 * angle).cos() + angle.sin() / 2


def three_points() -> Tensor:
    return on_circle([0.0, 2.92 - 0.05, 2.92 + 0.05])


def ring() -> Tensor:
    """Seven even points and a pair at 0.1, midway between two of them."""
    middle = 13 * math.pi / 7
    return on_circle([*(2 * math.pi * k / 7 for k in range(7)), middle - 0.05, middle + 0.05])


def five_points() -> Tensor:
    return on_circle([0.4, 1.5, 2.6, 4.4 - 0.03, 4.4 + 0.03])


def three_pairs() -> Tensor:
    places = [0.5, 2.3, 4.6]
    return on_circle([place + side for place in places for side in (-0.05, 0.05)])


def on_sphere(n: int, d: int) -> Tensor:
    return lv.data.close_pair(n, d, 0.1, generator=seeded(0))


def digits() -> Tensor:
    """Nineteen digits as unit rows, and a copy of the last one turned by an angle of 0.1."""
    from sklearn.datasets import load_digits

    images = torch.as_tensor(load_digits().data[:19], dtype=torch.float64)
    X = torch.nn.functional.normalize(images, dim=1)
    side = torch.randn(64, generator=seeded(1), dtype=X.dtype)
    side = torch.nn.functional.normalize(side - (side @ X[-1]) * X[-1], dim=0)
    return torch.cat([X, (math.cos(0.1) * X[-1] + math.sin(0.1) * side)[None]])


def sphere_labels(X: Tensor) -> Tensor:
    return X[:, 0] + 2 * X[:, 0] * X[:, 1]


def digit_labels(X: Tensor) -> Tensor:
    """Return +1 for the digits 5 to 9 and -1 for the others; the copy has that of its original."""
    from sklearn.datasets import load_digits

    sign = torch.as_tensor(2.0 * (load_digits().target[:19] >= 5) - 1)
    return torch.cat([sign, sign[-1:]])


@dataclass(frozen=True)
class Case:
    """Points whose last two are the close pair, smooth labels, and what is done to the pair's.

    `opposed` sets them to +1 and -1, `apart` adds +1 and -1, and `smooth` leaves them.
    """

    name: str
    points: Callable[[], Tensor]
    labels: Callable[[Tensor], Tensor]
    lam: float
    pair: str = "apart"
    settings: tuple[tuple[str, bool], ...] = (PAPER, CURED)
    kinds: tuple[str, ...] = ("gaussian", "leverage")
    seeds: int = 5
    most: int = 2**22
    law: bool = False  # with Gaussian nets of the matched width
    pairs: int = 1  # the last 2 x pairs points are pairs

    def data(self, device: str) -> tuple[Tensor, Tensor]:
        X = self.points()
        Y = self.labels(X)
        side = torch.tensor([1.0, -1.0] * self.pairs, dtype=Y.dtype)
        if self.pair == "apart":
            Y[-len(side) :] += side
        elif self.pair == "opposed":
            Y[-len(side) :] = side
        return X.to(device), Y.to(device)


ALL = ("gaussian", "leverage", "mixture")
FOUR = (PAPER, CURED, ("origin", True), ("init", False))


def cases() -> list[Case]:
    """The three points and the ring suggested the law; the five points, the sphere of d = 3 and the
    others did not."""
    return [
        Case("three points", three_points, circle_labels, 1e-3, "apart", FOUR, ALL, 7, law=True),
        Case("ring", ring, circle_labels, 1e-3, kinds=ALL, law=True),
        Case("five points", five_points, circle_labels, 5e-4, seeds=7, law=True),
        Case("sphere 3", lambda: on_sphere(10, 3), sphere_labels, 1e-3, "opposed", law=True),
        Case("sphere 5", lambda: on_sphere(20, 5), sphere_labels, 1e-4, "opposed", law=True),
        Case("sphere 10", lambda: on_sphere(20, 10), sphere_labels, 1e-4, "opposed", law=True),
        Case("digits", digits, digit_labels, 1e-3, "opposed", law=True),
        Case("three pairs", three_pairs, circle_labels, 1e-3, pairs=3),
        Case("smooth labels", three_points, circle_labels, 1e-3, "smooth", seeds=7, most=2**16),
    ]
