"""Streamed ridge regression: against its dual form, in any chunking, on a path of lambdas."""

import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

import levlib as lv
from tests.oracles import generator, random_points


def test_primal_is_dual():
    Psi, Y = random_points(50, 20), random_points(50, 1, seed=1)[:, 0]
    beta = lv.NormalEquations().update(Psi, Y).solve(0.1)
    assert torch.allclose(Psi @ beta, Psi @ (Psi.T @ lv.solve_krr(Psi @ Psi.T, Y, 0.1)), atol=1e-9)
    assert torch.allclose(
        beta, torch.as_tensor(Ridge(alpha=0.1, fit_intercept=False).fit(Psi, Y).coef_), atol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_sums_over_several_panels_and_row_blocks_are_the_products(dtype):
    """300 columns are three panels, 5000 rows two blocks: the size at which both loops go round."""
    Psi = torch.randn(5000, 300, generator=generator(), dtype=dtype)
    Y = torch.randn(5000, 2, generator=generator(1), dtype=torch.float64)
    ne = lv.NormalEquations().update(Psi, Y)
    assert torch.allclose(ne.gram, Psi.mH @ Psi, rtol=1e-12, atol=1e-9)
    assert torch.allclose(ne.moment, Psi.mH @ Y.to(dtype), rtol=1e-12, atol=1e-9)
    assert torch.allclose(ne.square, (Y**2).sum(0), rtol=1e-12) and ne.n == 5000


@settings(max_examples=50, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), max_size=6, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_any_chunking_and_merge_order_is_the_same(cuts, order):
    Psi, Y = random_points(60, 8), random_points(60, 2, seed=1)
    whole = lv.NormalEquations().update(Psi, Y)
    edges = [0, *sorted(cuts), 60]
    parts = [lv.NormalEquations().update(Psi[a:b], Y[a:b]) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    total = lv.NormalEquations()
    for part in parts:
        total.merge(part)
    assert total.n == whole.n == 60
    assert torch.allclose(total.solve(0.01), whole.solve(0.01), atol=1e-9)
    assert torch.allclose(total.square, (Y**2).sum(0), rtol=1e-12)


def test_merging_leaves_the_other_alone():
    a, b = (lv.NormalEquations().update(random_points(5, 2, seed=s), torch.ones(5)) for s in (0, 1))
    before = b.gram.clone()
    total = lv.NormalEquations().merge(lv.NormalEquations()).merge(b).merge(a)
    assert torch.equal(b.gram, before) and total.n == 10 and b.n == 5


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("outputs", [(), (2,)])
def test_several_lambdas_are_the_single_ones_stacked(dtype, outputs):
    Psi = torch.randn(40, 12, generator=generator(), dtype=dtype)
    ne = lv.NormalEquations().update(
        Psi, torch.randn(40, *outputs, generator=generator(1), dtype=torch.float64)
    )
    path = ne.solve([0.01, 0.1, 10.0])
    assert path.shape == (3, 12, *outputs)
    for solution, lam in zip(path, (0.01, 0.1, 10.0), strict=True):
        assert (solution - ne.solve(lam)).norm() <= 1e-12 * solution.norm()  # cond under 10


def test_complex_features_predict_what_real_pairs_do():
    X, _, f = lv.data.bumpy(100, generator=generator())
    W = lv.Gaussian(0.1).sample(30, 1, generator=generator(1))
    draw, fits = lv.Draw(W, torch.ones(30, dtype=torch.float64)), []
    for form in ("pair", "complex"):
        Psi = lv.modified_features(lv.Gaussian(0.1, form), X, draw)
        K = (Psi @ Psi.mH).real
        fits.append(K @ lv.solve_krr(K, f, 0.1))
    assert torch.allclose(*fits, atol=1e-10)
    complex_features = lv.modified_features(lv.Gaussian(0.1, "complex"), X, draw)
    beta = lv.NormalEquations().update(complex_features, f).solve(0.1)
    assert beta.is_complex() and beta.shape == (30,)


def test_float32_chunks_are_off_by_their_rounding_and_summed_in_float64():
    """In norm, one chunk is off by at most 3e-7, and twenty of them by no more: the sums are not in
    float32."""
    X = random_points(40_000, 5)
    draw = lv.sample_prior(lv.Gaussian(2.0), 100, 5, generator=generator(1))
    Psi = lv.modified_features(lv.Gaussian(2.0), X, draw).float()
    ne, exact = lv.NormalEquations(), lv.NormalEquations()
    for rows in torch.arange(len(X)).split(2000):
        ne.update(Psi[rows], X[rows, 0].float())
        exact.update(Psi[rows].double(), X[rows, 0])
        error = torch.linalg.matrix_norm(ne.gram - exact.gram, 2) / torch.linalg.matrix_norm(
            exact.gram, 2
        )
        assert 0 < error < 3e-7
    assert ne.gram.dtype == ne.solve(0.1).dtype == torch.float64


def test_a_small_float32_chunk_after_a_large_one_is_not_lost():
    """10^8 + 1 is a number of float64 and none of float32, in whatever order it is added."""
    ne = lv.NormalEquations()
    for value in (1e4, 1.0):
        ne.update(torch.full((1, 1), value), torch.full((1,), value))
    assert ne.gram.item() == ne.moment.item() == ne.square.item() == 1e8 + 1


def test_half_precision_is_multiplied_in_single():
    Psi = random_points(300, 4).half()
    ne = lv.NormalEquations().update(Psi, Psi[:, 0])
    assert torch.allclose(ne.gram, Psi.double().T @ Psi.double(), rtol=1e-5, atol=1e-4)


def test_one_row_one_column():
    assert lv.NormalEquations().update([[2.0]], [1.0]).solve(1.0).item() == pytest.approx(0.4)


@pytest.mark.parametrize(
    "chunk",
    [
        (torch.ones(2, 3), torch.ones(2)),
        (torch.ones(2, 2), torch.ones(2, 2)),
        (torch.ones(2, 2, dtype=torch.complex128), torch.ones(2)),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused_and_changes_nothing(chunk):
    ne = lv.NormalEquations().update(torch.eye(2), [1.0, 2.0])
    before = ne.gram.clone(), ne.moment.clone()
    with pytest.raises(ValueError, match="chunk does not fit"):
        ne.update(*chunk)
    with pytest.raises(ValueError, match="chunk does not fit"):
        ne.merge(lv.NormalEquations().update(*chunk))
    assert torch.equal(ne.gram, before[0]) and torch.equal(ne.moment, before[1]) and ne.n == 2


def test_a_stream_can_be_pickled_and_goes_on():
    Psi, Y = random_points(30, 4), random_points(30, 1, seed=1)[:, 0]
    half = pickle.loads(pickle.dumps(lv.NormalEquations().update(Psi[:10], Y[:10])))  # noqa: S301
    whole = lv.NormalEquations().update(Psi, Y)
    half.update(Psi[10:], Y[10:])
    assert half.n == 30 and torch.allclose(half.gram, whole.gram, rtol=1e-12, atol=1e-12)


def test_an_overflow_is_an_error_not_a_nan():
    ne = lv.NormalEquations().update(torch.full((2, 2), 1e30), torch.ones(2))
    with pytest.raises(ValueError, match="overflowed"):
        ne.solve(1.0)
