"""The leverage along great circles against the leverage at points on them."""

import math

import pytest
import torch

import levlib as lv
from levlib.sampling.circle import leverage_on_circles
from tests.oracles import random_points


@pytest.mark.parametrize("kernel", [lv.NTK(), lv.ArcCosine(0)], ids=repr)
@pytest.mark.parametrize("n, d", [(1, 2), (7, 1), (13, 4), (50, 3)])
def test_every_arc_of_every_circle_has_the_leverage_of_its_points(kernel, n, d):
    lev = lv.RidgeLeverage(kernel, random_points(n, d), 0.01)
    W, V = random_points(6, d, seed=1), random_points(6, d, seed=2)
    edges, values = leverage_on_circles(lev.form.A, W @ lev.X.T, V @ lev.X.T)
    assert edges.shape == (6, n + 2) and values.shape == (6, 2, n + 1)
    assert (edges[:, 0] == 0).all() and (edges[:, -1] == math.pi).all()
    assert (edges.diff(dim=1) >= 0).all()
    # an arc so short that its middle rounds to either side of a switch has no value to compare
    long = edges.diff(dim=1) > 1e-12
    t = (edges[:, :-1] + edges[:, 1:]) / 2
    points = t.cos()[..., None] * W[:, None] + t.sin()[..., None] * V[:, None]
    # up to n^2 entries of A are added up, one after the other
    allowed = 10 * torch.finfo(torch.float64).eps * float(lev.form.A.abs().sum())
    for side, sign in ((0, 1), (1, -1)):
        exact = lev(sign * points.reshape(-1, d)).view(t.shape)
        assert (values[:, side] - exact)[long].abs().max() <= allowed


def test_arcs_without_an_active_point_are_zero_and_not_rounding_error():
    X = torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.05], [1.0, 0.0, 0.2]], dtype=torch.float64)
    lev = lv.RidgeLeverage(lv.NTK(), X, 1e-6)
    W, V = random_points(200, 3), random_points(200, 3, seed=1)
    edges, values = leverage_on_circles(lev.form.A, W @ X.T, V @ X.T)
    t = (edges[:, 1:] + edges[:, :-1]) / 2
    points = t.cos()[..., None] * W[:, None] + t.sin()[..., None] * V[:, None]
    none = ~(points @ X.T >= 0).any(-1)
    assert none.any() and (values[:, 0][none] == 0).all() and (values[:, 0][~none] > 0).all()
