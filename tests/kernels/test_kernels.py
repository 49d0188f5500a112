"""Eq. 3 for every kernel: the mean of the features, shapes, your own kernel, and calls that must
fail at the door."""

import math
import re

import numpy as np
import pytest
import torch

import levlib as lv
from levlib.kernels import base, gram
from tests.oracles import generator, random_points

FOURIER = [
    lv.Gaussian(0.7),
    lv.Gaussian(0.7, "complex"),
    lv.Laplacian(1.5),
    lv.Laplacian(1.5, "complex"),
]
FOURIER += [lv.Matern(0.5, 1.5), lv.Matern(1.5, 1.5), lv.Matern(2.5, 0.7, "complex")]
KERNELS = [lv.NTK(), lv.ArcCosine(0), lv.ArcCosine(1), lv.ArcCosine(2), *FOURIER]
X = torch.eye(3, dtype=torch.float64)
NAN = torch.full((3, 3), float("nan"))
g = generator()

each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


class Sign(lv.Kernel):
    """Your own kernel, 1 - 2 theta / pi, by features and sample alone."""

    def features(self, X, W):
        return torch.sign(X @ W.T)[:, :, None]

    def sample(self, m, d, *, generator, dtype=torch.float64):
        return torch.randn(m, d, generator=generator, dtype=dtype)


def z_scores(products, K):
    return (
        ((products.mean(2) - K) / (products.std(2) / math.sqrt(products.shape[2]) + 1e-12))
        .abs()
        .max()
    )


def products(kernel, X, W):
    features = kernel.features(X, W)
    return torch.einsum("imk,jmk->ijm", features, features.conj()).real


# ---- Eq. 3


@each_kernel
def test_gram_is_the_mean_of_the_features(kernel):
    """Eq. 3 by a z-test on 28 entries: a right kernel fails one seed in about 5000 (4.5 standard
    errors)."""
    X = random_points(7, 3)
    M = 40_000
    P = products(kernel, X, kernel.sample(M, 3, generator=generator(1)))
    assert z_scores(P, kernel.gram(X)) < 4.5
    assert z_scores(P, 1.1 * kernel.gram(X)) > 4.5


@pytest.mark.parametrize("kernel", [*FOURIER, lv.ArcCosine(1), lv.ArcCosine(2)], ids=repr)
def test_weights_of_the_wrong_scale_fail_the_same_test(kernel):
    X = random_points(7, 3)
    wrong = 1.1 * kernel.sample(40_000, 3, generator=generator(1))
    assert z_scores(products(kernel, X, wrong), kernel.gram(X)) > 4.5


def test_both_forms_have_the_same_products_weight_by_weight():
    X = random_points(5, 3)
    W = lv.Gaussian(0.7).sample(20, 3, generator=generator(1))
    pair, complex_ = (products(lv.Gaussian(0.7, form), X, W) for form in ("pair", "complex"))
    assert torch.allclose(pair, complex_, rtol=0, atol=1e-13)


@each_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(kernel, dtype):
    X = random_points(4, 3).to(dtype)
    Z = random_points(5, 3, seed=1).to(dtype)
    W = kernel.sample(6, 3, generator=generator(), dtype=dtype)
    assert W.shape == (6, 3) and W.dtype == dtype
    assert kernel.gram(X).dtype == kernel.gram(X, Z).dtype == dtype and kernel.gram(X, Z).shape == (
        4,
        5,
    )
    assert kernel.features(X, W).shape[:2] == (4, 6) and kernel.features(X, W).real.dtype == dtype
    assert kernel.log_prob(W).shape == (6,) and kernel.log_prob(W).dtype == dtype


@each_kernel
def test_one_point_one_weight_one_dimension(kernel):
    assert kernel.gram([[2.0]]).shape == (1, 1)
    assert kernel.features([[2.0]], kernel.sample(1, 1, generator=generator())).shape[:2] == (1, 1)


@each_kernel
def test_single_precision_agrees_with_double(kernel):
    X = random_points(30, 3).float()
    K = kernel.gram(X.double())
    # about 25 roundings in single precision: an angle at a cosine of 0.95 takes ten of them
    assert (kernel.gram(X).double() - K).abs().max() < 3e-6 * K.abs().max()


@each_kernel
def test_gram_by_blocks_is_symmetric_and_equals_the_whole(kernel, monkeypatch):
    X, Z = random_points(40, 6), random_points(30, 6, seed=1)
    whole = kernel.gram(X)
    pairs = kernel.gram(X, Z)
    monkeypatch.setitem(gram.BLOCK_BYTES, "cpu", 7 * 40 * 8)
    allowed = 1e-13 * float(whole.max())  # some hundred roundings of the largest entry
    K = kernel.gram(X)
    assert (K - whole).abs().max() <= allowed and (K - K.T).abs().max() <= allowed
    assert (kernel.gram(X, Z) - pairs).abs().max() <= allowed


def test_distances_do_not_cancel_where_points_are_close_or_far_from_the_origin():
    """Against the differences themselves, by both ways: few close pairs, and all pairs close (a
    shifted cloud)."""
    cloud = random_points(60, 8)
    for X in (
        torch.cat([cloud, cloud[:2] + 1e-9]),
        cloud + 1e6,
        torch.zeros(5, 8, dtype=torch.float64),
    ):
        exact = (X[:, None] - X).norm(dim=2)
        # d = 8 roundings of |x|^2 + |z|^2, at most 20 times the square of a distance
        assert torch.allclose(gram.distances(X, X), exact, rtol=4e-14, atol=0)


def test_a_product_alone_loses_the_distance_of_close_points():
    """|x|^2 + |z|^2 - 2 x.z is a multiple of 2^-53: it cannot be near 8e-18."""
    x = random_points(1, 8)
    z = x + 1e-9
    product = x.square().sum() + z.square().sum() - 2 * (x * z).sum()
    exact = float((x - z).square().sum())
    assert exact < 1e-17 and abs(float(product) - exact) > 0.5 * exact


def test_distances_that_overflow_are_infinite_and_their_kernel_is_zero():
    X = torch.tensor([[1e200], [-1e200], [0.0]], dtype=torch.float64)
    for kernel in FOURIER:
        assert torch.equal(kernel.gram(X), torch.eye(3, dtype=torch.float64))


def test_numpy_goes_in():
    X = np.eye(3, dtype=np.float32)
    assert lv.NTK().gram(X).dtype == torch.float32
    assert lv.NTK().gram(np.eye(3, dtype=int)).dtype == torch.float64


# ---- your own kernel


def test_an_estimated_gram_is_the_mean_of_the_products_and_says_so():
    X, Z = random_points(6, 3), random_points(4, 3, seed=1)
    for kernel in (Sign(), lv.NTK(), lv.Matern(1.5, 1.0, "complex")):
        estimated = kernel.estimated(500, 3, generator=generator(2))
        P = products(kernel, torch.cat([X, Z]), kernel.sample(500, 3, generator=generator(2)))
        assert torch.allclose(estimated.gram(X), P[:6, :6].mean(2), atol=1e-14)
        assert torch.allclose(estimated.gram(X, Z), P[:6, 6:].mean(2), atol=1e-14)
        assert torch.allclose(
            estimated.standard_error(X, Z), P[:6, 6:].std(2) / math.sqrt(500), atol=1e-14
        )
        assert repr(estimated) == f"{kernel!r} estimated from 500 weights"


def test_the_standard_error_of_an_estimate_holds_the_closed_form():
    """A z-test on 28 entries at 4.5 standard errors: one seed in about 5000 fails."""
    X = random_points(7, 3)
    theta = gram.angles(*[torch.nn.functional.normalize(X)] * 2)
    estimated = Sign().estimated(20_000, 3, generator=generator(3))

    def z(K):
        return ((estimated.gram(X) - K).abs() / (estimated.standard_error(X) + 1e-9)).max()

    assert z(1 - 2 * theta / math.pi) < 4.5 < z(1 - 1.8 * theta / math.pi)


def test_estimates_are_made_in_blocks_of_weights(monkeypatch):
    kernel = lv.NTK().estimated(300, 3, generator=generator())
    X = random_points(10, 3)
    whole = kernel.gram(X)
    error = kernel.standard_error(X)
    seen = []
    monkeypatch.setattr(base, "BLOCK_BYTES", 10_000)
    features = lv.NTK.features
    monkeypatch.setattr(
        lv.NTK, "features", lambda self, X, W: seen.append(len(X) * len(W)) or features(self, X, W)
    )
    assert torch.allclose(kernel.gram(X), whole, atol=1e-15)
    assert torch.allclose(kernel.standard_error(X), error, atol=1e-15)
    assert max(seen) * 3 * 8 <= 10_000


def test_ridge_leverage_takes_an_estimated_kernel():
    """The mean of the leverage over w ~ p is s_lambda of the estimate, up to the estimate's own
    error (3 %)."""
    X = random_points(8, 3)
    kernel = Sign().estimated(20_000, 3, generator=generator(4))
    lev = lv.RidgeLeverage(kernel, X, 0.1)
    assert lev(kernel.sample(20_000, 3, generator=generator(5))).mean() == pytest.approx(
        lev.s_lam, rel=0.03
    )
    assert lev(kernel.W).mean() == pytest.approx(lev.s_lam, rel=1e-12)
    draw = lv.sample(lev, 50, method="pool", generator=generator(6))
    assert lv.modified_features(kernel, X, draw).shape == (8, 50)


def test_an_estimated_kernel_keeps_the_density_of_its_kernel():
    kernel = lv.Gaussian(0.5)
    W = random_points(4, 2)
    assert torch.equal(
        kernel.estimated(10, 2, generator=generator()).log_prob(W), kernel.log_prob(W)
    )


class Flat(Sign):
    """Features of a wrong shape, and weights of a wrong number."""

    def features(self, X, W):
        return (X @ W.T).T[:, :, None]


class Short(Sign):
    def sample(self, m, d, *, generator, dtype=torch.float64):
        return torch.zeros(m - 1, d)


class Halfway(lv.Kernel):
    def sample(self, m, d, *, generator, dtype=torch.float64):
        return torch.zeros(m, d)


# ---- gradients


@pytest.mark.parametrize("kernel", [lv.NTK(), lv.ArcCosine(1), lv.ArcCosine(2), *FOURIER], ids=repr)
def test_gradients_stay_finite_at_coincident_parallel_and_zero_points(kernel):
    X = torch.tensor(
        [[1.0, 2.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True
    )
    for K in (kernel.gram(X), kernel.gram(X, X.detach().clone())):
        assert torch.isfinite(torch.autograd.grad(K.sin().sum(), X)[0]).all()


@each_kernel
def test_the_value_is_the_same_where_autograd_records(kernel):
    X = torch.cat([random_points(30, 5), random_points(2, 5)])
    K = kernel.gram(X)
    recorded = kernel.gram(X.clone().requires_grad_()).detach()
    assert (recorded - K).abs().max() <= 1e-13 * K.max()


# ---- the door

CALLS = [
    *((lambda k=k: k.gram(NAN), ValueError, "X holds NaN") for k in KERNELS),
    *((lambda k=k: k.gram(torch.zeros(0, 3)), ValueError, "X is empty") for k in KERNELS),
    *((lambda k=k: k.gram([1.0, 2.0]), ValueError, "write X[:, None]") for k in KERNELS),
    *((lambda k=k: k.gram(X, torch.eye(2)), ValueError, "Z must have 3 columns") for k in KERNELS),
    *(
        (lambda k=k: k.gram(X, X.to("meta")), ValueError, "move one of them with .to(...)")
        for k in KERNELS
    ),
    *(
        (lambda k=k: k.features(X, torch.eye(2)), ValueError, "W must have 3 columns")
        for k in KERNELS
    ),
    *((lambda k=k: k.features(X, NAN), ValueError, "W holds NaN") for k in KERNELS),
    *(
        (lambda k=k: k.sample(0, 2, generator=g), ValueError, "m must be at least 1")
        for k in KERNELS
    ),
    *(
        (lambda k=k: k.sample(2, 0, generator=g), ValueError, "d must be at least 1")
        for k in KERNELS
    ),
    *(
        (lambda k=k: k.sample(2, 2, generator=0), TypeError, "torch.Generator().manual_seed(0)")
        for k in KERNELS
    ),
    *((lambda k=k: k.log_prob(NAN), ValueError, "W holds NaN") for k in KERNELS),
    (lambda: lv.Laplacian(0.0), ValueError, "lengthscale must be positive"),
    (lambda: lv.Laplacian(1e-300), ValueError, "lengthscale must be between 1e-100 and 1e100"),
    (lambda: lv.Laplacian(1.0, form="phase"), ValueError, "form must be"),
    (lambda: lv.Gaussian(torch.ones(2)), TypeError, "lengthscale must be a number"),
    (
        lambda: lv.Gaussian(torch.tensor(-1.0, requires_grad=True)),
        ValueError,
        "lengthscale must be positive",
    ),
    (
        lambda: lv.Gaussian(torch.tensor(1.0, device="meta")),
        TypeError,
        "lengthscale must be a number",
    ),
    (
        lambda: lv.Gaussian(1e-60).gram(X.float()),
        ValueError,
        "X / lengthscale holds NaN or infinity",
    ),
    (lambda: lv.Gaussian(1.0).gram(X, NAN), ValueError, "Z holds NaN"),
    (
        lambda: lv.Laplacian(1e-60).sample(2, 2, generator=g, dtype=torch.float32),
        ValueError,
        "overflow in torch.float",
    ),
    (lambda: lv.Matern(0, 1.0), ValueError, "nu must be positive and finite"),
    (lambda: lv.Matern(float("nan"), 1.0), ValueError, "nu must be positive and finite"),
    (lambda: lv.Matern(0.7, 1.0), ValueError, "nu must be 1/2, 3/2 or 5/2, got 0.7"),
    (lambda: lv.Matern(3.5, 1.0), ValueError, "nu must be 1/2, 3/2 or 5/2, got 3.5"),
    (lambda: lv.Matern("smooth", 1.0), TypeError, "nu must be a number"),
    (lambda: lv.Matern(0.5, 0.0), ValueError, "lengthscale must be positive"),
    (lambda: lv.ArcCosine(3), ValueError, "order must be 0, 1 or 2, got 3"),
    (lambda: lv.ArcCosine(-1), ValueError, "order must be at least 0"),
    (lambda: lv.ArcCosine(1.0), TypeError, "order must be an integer"),
    (lambda: lv.ArcCosine(2).gram(1e80 * X), ValueError, "(|x| |z|)^2 overflows in torch.float64"),
    (lambda: lv.NTK().gram(1e30 * X.float()), ValueError, "(|x| |z|)^1 overflows in torch.float32"),
    (lambda: lv.deep_ntk(X, depth=0), ValueError, "depth must be at least 1"),
    (lambda: lv.deep_ntk(X, depth=2.0), TypeError, "depth must be an integer"),
    (lambda: lv.deep_ntk(NAN, depth=2), ValueError, "X holds NaN"),
    (lambda: lv.deep_ntk([1.0, 2.0], depth=2), ValueError, "write X[:, None]"),
    (lambda: lv.deep_ntk(X, torch.eye(2), depth=2), ValueError, "Z must have 3 columns"),
    (lambda: lv.deep_ntk(X, X.to("meta"), depth=2), ValueError, "move one of them with .to(...)"),
    (
        lambda: Sign().gram(X),
        TypeError,
        "has no closed-form Gram matrix: define gram(X, Z) in its class",
    ),
    (lambda: lv.RidgeLeverage(Sign(), X, 0.1), TypeError, "kernel.estimated(m, d, generator=g)"),
    (lambda: Sign().log_prob(X), TypeError, "Sign() has no density: define log_prob(W)"),
    (lambda: Sign().estimated(1, 3, generator=g), ValueError, "m must be at least 2"),
    (lambda: Sign().estimated(9, 0, generator=g), ValueError, "d must be at least 1"),
    (
        lambda: Sign().estimated(9, 3, generator=None),
        TypeError,
        "generator must be a torch.Generator",
    ),
    (lambda: Sign().estimated(9, 3, generator=g).gram([1.0]), ValueError, "write X[:, None]"),
    (
        lambda: Flat().estimated(9, 3, generator=g).gram(X),
        ValueError,
        "must return shape (n, m, d2) = (3, 9, d2)",
    ),
    (lambda: Short().estimated(9, 3, generator=g), ValueError, "sample must return 9 weights"),
    (lambda: Halfway(), TypeError, "features"),
]


@pytest.mark.parametrize(
    "call, error, words", CALLS, ids=[f"{i}-{c[2][:30]}" for i, c in enumerate(CALLS)]
)
def test_bad_input_to_kernels(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
