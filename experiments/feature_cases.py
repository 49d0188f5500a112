"""The kernels, data sets and ridges for which experiments/feature_counts.py counts features."""

import math
from collections.abc import Callable
from dataclasses import dataclass

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


def cases() -> list[Case]:
    """Return the rows of the table, by kernel and data, each with its ridges."""
    gauss = lv.Gaussian
    ntk = lv.NTK()
    laplace = lv.Laplacian(0.5)
    clusters = lambda: lv.data.clustered_circle(10, 10, 0.03, generator=seeded(0))  # noqa: E731
    pair = lambda delta: lambda: lv.data.close_pair(20, 5, delta, generator=seeded(0))  # noqa: E731
    stretch = torch.tensor([1.0, 0.3, 0.1, 0.03, 0.01], dtype=torch.float64)
    sizes = torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None]
    table = [
        (
            "Gaussian, d = 1, l = 0.1",
            "200 on a grid",
            gauss(0.1),
            lambda: line(200),
            (0.1, 0.01, 0.001),
            "grid",
        ),
        (
            "Gaussian, d = 1, l = 0.3",
            "100 on a grid",
            gauss(0.3),
            lambda: line(100),
            (0.01,),
            "grid",
        ),
        (
            "Gaussian, d = 2, l = 0.5",
            "100 in a square",
            gauss(0.5),
            lambda: cube(100, 2),
            (0.01,),
            "pool",
        ),
        (
            "Gaussian, d = 5, l = 0.5",
            "100 in a cube",
            gauss(0.5),
            lambda: cube(100, 5),
            (0.01,),
            "rejection",
        ),
        (
            "Laplacian, d = 1, l = 0.5",
            "100 on a grid",
            laplace,
            lambda: line(100),
            (1.0, 0.1),
            "rejection",
        ),
        (
            "Laplacian, d = 2, l = 0.5",
            "100 in a square",
            laplace,
            lambda: cube(100, 2),
            (1.0, 0.1),
            "rejection",
        ),
        (
            "NTK, sphere, d = 3",
            "50 at random",
            ntk,
            lambda: sphere(50, 3),
            (0.1, 0.001),
            "rejection",
        ),
        (
            "NTK, sphere, d = 5",
            "50 at random",
            ntk,
            lambda: sphere(50, 5),
            (0.1, 0.001),
            "rejection",
        ),
        ("NTK, odd circle", "21 equally spaced", ntk, lambda: odd_circle(21), (0.1, 0.001), "arcs"),
        (
            "NTK, cluster, d = 2",
            "10 spread, 10 within 0.03",
            ntk,
            clusters,
            (1e-2, 1e-3, 1e-4),
            "arcs",
        ),
        (
            "NTK, pair at 0.01, d = 5",
            "18 spread and a pair",
            ntk,
            pair(0.01),
            (1e-3, 1e-4),
            "gibbs",
        ),
        (
            "NTK, pair at 0.001, d = 5",
            "18 spread and a pair",
            ntk,
            pair(0.001),
            (1e-4, 1e-5),
            "gibbs",
        ),
        (
            "NTK, anisotropic, d = 5",
            "20, axes 1 to 0.01",
            ntk,
            lambda: sphere(20, 5) * stretch,
            (1e-3,),
            "gibbs",
        ),
        (
            "NTK, unequal norms, d = 5",
            "20, norms 0.1 to 10",
            ntk,
            lambda: sphere(20, 5) * sizes,
            (1e-2,),
            "gibbs",
        ),
    ]
    return [
        Case(name, data, kernel, X, lam, method)
        for name, data, kernel, X, lams, method in table
        for lam in lams
    ]
