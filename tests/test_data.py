"""Data sets: shapes, geometry and the map that Matplotlib carries."""

import math

import pytest
import torch

import levlib as lv
from tests.oracles import generator


def test_clustered_circle_lies_on_the_circle_in_one_narrow_arc():
    X = lv.data.clustered_circle(10, 8, 0.03, generator=generator())
    assert torch.allclose(X.norm(dim=1), torch.ones(18, dtype=torch.float64))
    close = X[10:]
    chord = torch.cdist(close, close).max()
    assert 0 < chord <= 2 * math.sin(0.015)


def test_close_pair_has_its_angle():
    X = lv.data.close_pair(6, 5, 1e-3, generator=generator())
    assert X.shape == (6, 5) and torch.allclose(X.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert (2 * torch.asin((X[-1] - X[-2]).norm() / 2)).item() == pytest.approx(1e-3, rel=1e-9)
    assert torch.cdist(X[:-1], X[:-1]).fill_diagonal_(9).min() > 0.05


def test_bumpy_is_the_function_of_the_paper_on_its_interval():
    X, Y, f = lv.data.bumpy(generator=generator())
    assert X[0].item() == pytest.approx(-5 / (2 * math.pi)) and X[-1].item() == pytest.approx(
        5 / (2 * math.pi)
    )
    x = X[123].item()
    assert f[123].item() == pytest.approx(math.sin(6 * x) + math.sin(60 * math.exp(x)))
    assert (Y - f).std().item() == pytest.approx(0.3, rel=0.1)


def test_elevation_is_a_map():
    X, Y, shape = lv.data.elevation()
    assert shape == (344, 403) and X.shape == (138_632, 2) and Y.shape == (138_632,)
    assert 236 == Y.min() and 1076 == Y.max()
    rows = X.reshape(*shape, 2)
    assert (rows[0, :, 1] > rows[1, :, 1]).all() and (rows[:, 1, 0] > rows[:, 0, 0]).all()
    assert (rows[0, 1] - rows[0, 0]).norm().item() == pytest.approx(0.0743, abs=1e-3)
