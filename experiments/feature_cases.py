"""The kernels, data sets and ridges for which experiments/feature_counts.py counts features."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import levlib as lv


@dataclass(frozen=True)
class Case:
    """A kernel, a data set, a ridge, and the method that draws its leverage weights."""

    name: str
    data: str
    kernel: lv.Kernel
    X: Callable[[], Tensor]
    lam: float
    method: str

    def leverage(self) -> lv.RidgeLeverage:
        return lv.RidgeLeverage(self.kernel, self.X(), self.lam)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def line(n: int) -> Tensor:
    return torch.linspace(-1, 1, n, dtype=torch.float64)[:, None]


def cube(n: int, d: int) -> Tensor:
    return 2 * torch.rand(n, d, generator=seeded(0), dtype=torch.float64) - 1


def odd_circle(n: int) -> Tensor:
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def sphere(n: int, d: int) -> Tensor:
    return lv.data.sphere(n, d, generator=seeded(0))


def clusters() -> Tensor:
    return lv.data.clustered_circle(10, 10, 0.03, generator=seeded(0))


def pair(delta: float) -> Tensor:
    return lv.data.close_pair(20, 5, delta, generator=seeded(0))


def stretched() -> Tensor:
    return sphere(20, 5) * torch.tensor([1.0, 0.3, 0.1, 0.03, 0.01], dtype=torch.float64)


def sized() -> Tensor:
    return sphere(20, 5) * torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None]


GAUSSIAN_5 = lv.Gaussian(0.5)
LAPLACIAN = lv.Laplacian(0.5)
NTK = lv.NTK()
LOW = (0.1, 0.001)
HIGH = (1.0, 0.1)

# name, data, kernel, points, ridges, method
TABLE = [
    (
        "Gaussian, d = 1, l = 0.1",
        "200 on a grid",
        lv.Gaussian(0.1),
        partial(line, 200),
        (0.1, 0.01, 0.001),
        "grid",
    ),
    (
        "Gaussian, d = 1, l = 0.3",
        "100 on a grid",
        lv.Gaussian(0.3),
        partial(line, 100),
        (0.01,),
        "grid",
    ),
    (
        "Gaussian, d = 2, l = 0.5",
        "100 in a square",
        GAUSSIAN_5,
        partial(cube, 100, 2),
        (0.01,),
        "pool",
    ),
    (
        "Gaussian, d = 5, l = 0.5",
        "100 in a cube",
        GAUSSIAN_5,
        partial(cube, 100, 5),
        (0.01,),
        "rejection",
    ),
    (
        "Laplacian, d = 1, l = 0.5",
        "100 on a grid",
        LAPLACIAN,
        partial(line, 100),
        HIGH,
        "rejection",
    ),
    (
        "Laplacian, d = 2, l = 0.5",
        "100 in a square",
        LAPLACIAN,
        partial(cube, 100, 2),
        HIGH,
        "rejection",
    ),
    ("NTK, sphere, d = 3", "50 at random", NTK, partial(sphere, 50, 3), LOW, "rejection"),
    ("NTK, sphere, d = 5", "50 at random", NTK, partial(sphere, 50, 5), LOW, "rejection"),
    ("NTK, odd circle", "21 equally spaced", NTK, partial(odd_circle, 21), LOW, "arcs"),
    ("NTK, cluster, d = 2", "10 spread, 10 within 0.03", NTK, clusters, (1e-2, 1e-3, 1e-4), "arcs"),
    (
        "NTK, pair at 0.01, d = 5",
        "18 spread and a pair",
        NTK,
        partial(pair, 0.01),
        (1e-3, 1e-4),
        "gibbs",
    ),
    (
        "NTK, pair at 0.001, d = 5",
        "18 spread and a pair",
        NTK,
        partial(pair, 0.001),
        (1e-4, 1e-5),
        "gibbs",
    ),
    ("NTK, anisotropic, d = 5", "20, axes 1 to 0.01", NTK, stretched, (1e-3,), "gibbs"),
    ("NTK, unequal norms, d = 5", "20, norms 0.1 to 10", NTK, sized, (1e-2,), "gibbs"),
]


def cases() -> list[Case]:
    """Return the rows of the table, by kernel and data, each with its ridges."""
    return [
        Case(name, data, kernel, X, lam, method)
        for name, data, kernel, X, lams, method in TABLE
        for lam in lams
    ]
