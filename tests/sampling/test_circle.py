"""The ratio along great circles against the ratio at points on them."""

import math

import pytest
import torch

import levlib as lv
from levlib.sampling.circle import ratio_on_circles
from tests.oracles import random_points

KERNELS = [lv.NTK(), lv.ArcCosine(0), lv.ArcCosine(1), lv.ArcCosine(2)]


def at(coefficients, t, order):
    powers = [t.cos() ** (2 * order - p) * t.sin() ** p for p in range(2 * order + 1)]
    return (coefficients * torch.stack(powers, dim=1)).sum(1)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("n, d", [(1, 2), (7, 1), (13, 4), (50, 3)])
def test_every_arc_of_every_circle_has_the_ratio_of_its_points(kernel, n, d):
    lev = lv.RidgeLeverage(kernel, random_points(n, d), 0.01)
    W, V = random_points(6, d, seed=1), random_points(6, d, seed=2)
    order = lev.form.order
    edges, coefficients = ratio_on_circles(lev.form.A, W @ lev.X.T, V @ lev.X.T, order)
    assert edges.shape == (6, n + 2) and coefficients.shape == (6, 2, 2 * order + 1, n + 1)
    assert (
        (edges[:, 0] == 0).all()
        and (edges[:, -1] == math.pi).all()
        and (edges.diff(dim=1) >= 0).all()
    )
    for inside in (0.2, 0.7):
        t = edges[:, :-1] + inside * edges.diff(dim=1)
        points = t.cos()[..., None] * W[:, None] + t.sin()[..., None] * V[:, None]
        for side, sign in ((0, 1), (1, -1)):
            exact = lev(sign * points.reshape(-1, d)).view(t.shape)
            error = (at(coefficients[:, side], t, order) - exact)[edges.diff(dim=1) > 1e-12]
            assert error.abs().max() <= 1e-11 * exact.max()


def test_arcs_without_an_active_point_are_zero_and_not_rounding_error():
    X = torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.05], [1.0, 0.0, 0.2]], dtype=torch.float64)
    lev = lv.RidgeLeverage(lv.NTK(), X, 1e-6)
    W, V = random_points(200, 3), random_points(200, 3, seed=1)
    edges, ratio = ratio_on_circles(lev.form.A, W @ X.T, V @ X.T, 0)
    t = (edges[:, 1:] + edges[:, :-1]) / 2
    points = t.cos()[..., None] * W[:, None] + t.sin()[..., None] * V[:, None]
    none = ~(points @ X.T >= 0).any(-1)
    assert none.any() and (ratio[:, 0, 0][none] == 0).all() and (ratio[:, 0, 0][~none] > 0).all()
