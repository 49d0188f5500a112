"""Ridge leverage: the fast forms against the definition, and integrals that are known exactly."""

import math

import pytest
import torch

import levlib as lv
from tests.oracles import generator, leverage_by_definition, random_points, rounding

CIRCLES = [
    ("random", lv.data.sphere(20, 2, generator=generator())),
    ("clustered", lv.data.clustered_circle(10, 10, 0.03, generator=generator(3))),
]


@pytest.mark.parametrize("lam", [1e-1, 1e-4])
def test_hadamard_form_is_the_solve_for_each_weight(lam):
    X = lv.data.sphere(40, 6, generator=generator())
    W = lv.NTK().sample(200, 6, generator=generator(1))
    exact = leverage_by_definition(lv.NTK(), X, lam, W)
    lev = lv.RidgeLeverage(lv.NTK(), X, lam)
    assert (lev(W) - exact).abs().max() <= rounding(lev) * exact.max()


@pytest.mark.parametrize("form", ["pair", "complex"])
def test_triangular_form_is_the_solve_for_each_weight(form):
    X = random_points(40, 2)
    kernel = lv.Gaussian(0.8, form)
    W = kernel.sample(200, 2, generator=generator(1))
    exact = leverage_by_definition(kernel, X, 1e-3, W)
    lev = lv.RidgeLeverage(kernel, X, 1e-3)
    assert (lev(W) - exact).abs().max() <= rounding(lev) * exact.max()


def test_complex_and_pair_have_the_same_leverage():
    X, W = random_points(30, 2), random_points(50, 2, seed=1)
    pair, complex_ = (
        lv.RidgeLeverage(lv.Gaussian(0.8, form), X, 0.01) for form in ("pair", "complex")
    )
    assert (pair(W) - complex_(W)).abs().max() <= rounding(pair) * pair(W).max()


def test_blocks_change_nothing(monkeypatch):
    X, W = random_points(30, 3), random_points(100, 3, seed=1)
    for kernel in (lv.NTK(), lv.Gaussian(0.8)):
        lev = lv.RidgeLeverage(kernel, X, 0.1)
        whole = lev(W)
        monkeypatch.setattr("levlib.leverage.forms.BLOCK_BYTES", 1)
        assert (lev(W) - whole).abs().max() <= rounding(lev) * whole.max()
        monkeypatch.undo()


@pytest.mark.parametrize("lam", [1e-1, 1e-4])
@pytest.mark.parametrize("name, X", CIRCLES)
def test_arcs_integrate_to_the_statistical_dimension(name, X, lam):
    lev = lv.RidgeLeverage(lv.NTK(), X, lam)
    edges, values = lv.leverage_arcs(lev)
    assert len(values) == 2 * len(X)
    mean = float((values * edges.diff()).sum()) / (2 * math.pi)
    assert mean == pytest.approx(lev.s_lam, rel=rounding(lev))


def test_the_leverage_is_constant_on_arcs_and_scale_free():
    lev = lv.RidgeLeverage(lv.NTK(), lv.data.sphere(15, 2, generator=generator()), 0.01)
    edges, values = lv.leverage_arcs(lev)
    t = torch.rand(len(values), generator=generator(1), dtype=torch.float64) * 0.98 + 0.01
    angle = edges[:-1] + t * edges.diff()
    W = 7 * torch.stack([angle.cos(), angle.sin()], 1)
    assert (lev(W) - values).abs().max() <= rounding(lev) * values.max()


def test_grid_integral_of_the_bumpy_data():
    X, _, _ = lv.data.bumpy(generator=generator())
    lev = lv.RidgeLeverage(lv.Gaussian(0.0280443), X, 0.00618936)
    edges, values = lv.leverage_grid(lev)
    middle = (edges[1:] + edges[:-1]) / 2
    integral = (values * lev.kernel.log_prob(middle[:, None]).exp() * edges.diff()).sum()
    assert integral.item() == pytest.approx(73.27698718606, abs=1e-9)
    assert lev.s_lam == pytest.approx(73.27698718606, abs=1e-9)
    assert torch.allclose(
        lev.log_density(middle[:, None]).exp() * lev.s_lam,
        values * lev.kernel.log_prob(middle[:, None]).exp(),
        rtol=1e-10,
    )


def test_mean_over_the_prior_is_the_statistical_dimension():
    """Eq. 4 by a z-test: a right ratio fails one seed in 15,000 (4 standard errors); a ratio 5 %
    too large fails."""
    X = lv.data.sphere(30, 4, generator=generator())
    lev = lv.RidgeLeverage(lv.NTK(), X, 0.05)
    r = lev(lv.NTK().sample(20_000, 4, generator=generator(1)))
    error = r.std().item() / math.sqrt(len(r))
    assert abs(r.mean().item() - lev.s_lam) < 4 * error
    assert abs(1.05 * r.mean().item() - lev.s_lam) > 4 * error


def test_half_space_data_has_no_leverage_on_the_other_side():
    X = torch.tensor([[1.0, 0.1], [1.0, -0.1]], dtype=torch.float64)
    lev = lv.RidgeLeverage(lv.NTK(), X, 0.1)
    assert lev([[-1.0, 0.0]]).item() == 0
    assert (lv.leverage_arcs(lev)[1] == 0).sum() == 1
    assert lev.log_density([[-1.0, 0.0]]).item() == -math.inf


def test_duplicate_and_zero_rows():
    X = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    lev = lv.RidgeLeverage(lv.NTK(), X, 0.1)
    edges, values = lv.leverage_arcs(lev)
    assert len(values) == 6 and torch.isfinite(values).all()
    mean = float((values * edges.diff()).sum()) / (2 * math.pi)
    assert mean == pytest.approx(lev.s_lam, rel=rounding(lev))
    with pytest.raises(ValueError, match="every row of X is zero"):
        lv.leverage_arcs(lv.RidgeLeverage(lv.NTK(), [[0.0, 0.0]], 0.1))


def test_float32_is_honoured_and_close():
    X = lv.data.sphere(50, 5, generator=generator())
    W = lv.NTK().sample(100, 5, generator=generator(1))
    exact = lv.RidgeLeverage(lv.NTK(), X, 0.1)(W)
    single = lv.RidgeLeverage(lv.NTK(), X.float(), 0.1)(W.float())
    assert single.dtype == torch.float32
    # the two masks may differ for w on an edge to single precision: compare where they agree
    same = (lv.NTK().active(X, W) == lv.NTK().active(X.float(), W.float())).all(0)
    assert same.sum() > 95 and ((single - exact) / exact)[same].abs().max() < 1e-4


def test_statistical_dimension_of_simple_spectra():
    assert lv.statistical_dimension(
        torch.diag(torch.tensor([3.0, 1.0, 0.0])), 1.0
    ) == pytest.approx(0.75 + 0.5)
    K = lv.NTK().gram(lv.data.sphere(10, 3, generator=generator()))
    assert lv.statistical_dimension(K, 1e-12) == pytest.approx(10, rel=1e-6)
    assert lv.statistical_dimension(K, 1e6) < 1e-4


def test_no_gradient_flows_through_the_leverage_or_the_draws():
    X = lv.data.sphere(10, 3, generator=generator()).requires_grad_()
    for kernel in (lv.NTK(), lv.ArcCosine(1), lv.Gaussian(torch.tensor(0.5, requires_grad=True))):
        lev = lv.RidgeLeverage(kernel, X, 0.1)
        W = torch.ones(2, 3, dtype=torch.float64)
        assert not lev(W).requires_grad and lev.K.requires_grad
        method = "gibbs" if isinstance(kernel, lv.NTK) else "pool"
        draw = lv.sample(lev, 5, method=method, generator=generator())
        assert (
            not draw.ratio.requires_grad and not draw.W.requires_grad and math.isfinite(lev.s_lam)
        )


def test_the_half_space_forms_are_the_solve_for_each_weight():
    X, W = random_points(30, 4), random_points(100, 4, seed=1)
    for order in (0, 1, 2):
        exact = leverage_by_definition(lv.ArcCosine(order), X, 1e-3, W)
        lev = lv.RidgeLeverage(lv.ArcCosine(order), X, 1e-3)
        assert (lev(W) - exact).abs().max() <= rounding(lev) * exact.max()
