"""Stationary kernels: spectral densities by quadrature and by sampling, closed forms by arithmetic,
gradients."""

import functools
import math

import mpmath
import pytest
import torch
from scipy.integrate import quad
from scipy.special import j0
from scipy.stats import cauchy, f, kstest, norm, t
from sklearn.gaussian_process import kernels as sk

import levlib as lv
from tests.oracles import generator, random_points

LAWS = [
    (lv.Gaussian(0.3), norm),
    (lv.Laplacian(0.3), cauchy),
    *((lv.Matern(nu, 0.3), t(2 * nu)) for nu in (0.5, 1.5, 2.5)),
]
each_law = pytest.mark.parametrize("kernel, law", LAWS, ids=[repr(kernel) for kernel, _ in LAWS])


def density(kernel, *w):
    return kernel.log_prob([list(w)]).exp().item()


@each_law
def test_the_density_integrates_to_one_and_its_transform_is_the_kernel(kernel, law):
    """K(0, x) = integral of cos(2 pi w x) p(w), by quadrature on a line (1e-7)."""
    assert 2 * quad(lambda w: density(kernel, w), 0, math.inf)[0] == pytest.approx(1, abs=1e-6)
    for x in (0.1, 0.4):
        wave = {"weight": "cos", "wvar": 2 * math.pi * x}
        assert 2 * quad(lambda w: density(kernel, w), 0, math.inf, **wave)[0] == pytest.approx(
            kernel.gram([[0.0]], [[x]]).item(), abs=1e-7
        )
        wrong = 2 * quad(lambda w: density(kernel, w), 0, math.inf, weight="cos", wvar=x)[0]
        assert abs(wrong - kernel.gram([[0.0]], [[x]]).item()) > 1e-2


@pytest.mark.parametrize(
    "kernel", [lv.Gaussian(0.3), lv.Matern(1.5, 0.3), lv.Matern(2.5, 0.3)], ids=repr
)
def test_the_transform_in_the_plane_is_the_kernel(kernel):
    """K(r) = 2 pi times the integral of p(w) J_0(2 pi w r) w, by quadrature (1e-6)."""
    for r in (0.0, 0.2, 0.5):

        def wave(w, r=r):
            return 2 * math.pi * density(kernel, w, 0.0) * j0(2 * math.pi * w * r) * w

        pieces = [quad(wave, a, b, limit=500)[0] for a, b in ((0, 5), (5, 50), (50, 200))]
        assert sum(pieces) == pytest.approx(kernel.gram([[0.0, 0.0]], [[r, 0.0]]).item(), abs=1e-6)


@each_law
def test_frequencies_on_a_line_follow_their_density(kernel, law):
    """Kolmogorov-Smirnov with 10^5 draws: a right sampler fails one seed in 1000; a scale 10 % off
    fails at once."""
    w = kernel.sample(100_000, 1, generator=generator(7))[:, 0].numpy() / kernel.frequency_scale
    assert kstest(w, law.cdf).pvalue > 1e-3 > kstest(1.1 * w, law.cdf).pvalue
    assert kernel.log_prob([[0.2]]).item() == pytest.approx(
        law.logpdf(0.2 / kernel.frequency_scale) - math.log(kernel.frequency_scale), abs=1e-12
    )


def test_frequencies_carry_the_length_scale_in_full_precision():
    """A scale that was rounded to float32 is off by 1e-8 of itself."""
    kernel = lv.Gaussian(0.7)
    W = kernel.sample(5, 2, generator=generator(3))
    V = torch.randn(5, 2, generator=generator(3), dtype=torch.float64)
    torch.testing.assert_close(W * (2 * math.pi * 0.7), V, rtol=1e-14, atol=0)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_student_frequencies_in_any_dimension(nu, d):
    """|v|^2 / d ~ F(d, 2 nu) and a coordinate ~ t(2 nu): KS, a right sampler fails one seed in 500
    for each case."""
    kernel = lv.Matern(nu, 0.3)
    V = kernel.sample(50_000, d, generator=generator(8)) / kernel.frequency_scale
    assert kstest((V.square().sum(1) / d).numpy(), f(d, 2 * nu).cdf).pvalue > 1e-3
    assert kstest(V[:, -1].numpy(), t(2 * nu).cdf).pvalue > 1e-3
    independent = (
        lv.Matern(nu, 0.3).sample(50_000 * d, 1, generator=generator(8)).view(-1, d)
        / kernel.frequency_scale
    )
    assert kstest((independent.square().sum(1) / d).numpy(), f(d, 2 * nu).cdf).pvalue < 1e-3


def test_laplacian_frequencies_are_independent_by_coordinate():
    kernel = lv.Laplacian(0.7)
    X = random_points(6, 3)
    columns = [kernel.gram(X[:, [k]]) for k in range(3)]
    assert torch.allclose(kernel.gram(X), columns[0] * columns[1] * columns[2], rtol=1e-14)
    W = kernel.sample(5, 3, generator=generator())
    assert torch.allclose(
        kernel.log_prob(W), sum(kernel.log_prob(W[:, [k]]) for k in range(3)), rtol=1e-13
    )


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_matern_in_fifty_digits(nu):
    """Against 2^(1 - nu) / Gamma(nu) s^nu K_nu(s) by mpmath, from distances of 1e-12 to 7 length
    scales, relative to the value: s is at most 16, and exp(-s) is off by s roundings of s, and a
    few more."""
    mpmath.mp.dps = 50
    for r in (1e-12, 1e-5, 0.1, 1.0, 2.5, 7.0):
        s = mpmath.sqrt(2 * mpmath.mpf(nu)) * mpmath.mpf(r)
        exact = 2 ** (1 - mpmath.mpf(nu)) / mpmath.gamma(nu) * s**nu * mpmath.besselk(nu, s)
        assert lv.Matern(nu, 1.0).gram([[0.0]], [[r]]).item() == pytest.approx(
            float(exact), rel=1e-14
        )


def test_against_scikit_learn():
    X, Z = random_points(6, 3), random_points(4, 3, seed=1)
    pairs = [
        (lv.Gaussian(0.8), sk.RBF(0.8)),
        *((lv.Matern(nu, 0.8), sk.Matern(0.8, nu=nu)) for nu in (0.5, 1.5, 2.5)),
    ]
    for ours, theirs in pairs:
        assert torch.allclose(
            ours.gram(X, Z), torch.as_tensor(theirs(X.numpy(), Z.numpy())), rtol=1e-12
        )


def test_matern_one_half_is_the_exponential_of_the_distance():
    X = random_points(20, 2)
    exact = torch.exp(-torch.cdist(X, X) / 0.8)
    assert torch.allclose(lv.Matern(0.5, 0.8).gram(X), exact, rtol=1e-12)


TRAINED = [lv.Gaussian, lv.Laplacian]
TRAINED += [functools.partial(lv.Matern, nu) for nu in (0.5, 1.5, 2.5)]


@pytest.mark.parametrize("make", TRAINED)
def test_gradients_in_the_length_scale_and_in_the_points(make):
    """Autograd against finite differences, through gram, sample and log_prob."""
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    X = random_points(4, 2).requires_grad_()
    Z = random_points(3, 2, seed=1)
    assert torch.autograd.gradcheck(lambda scale, X: make(scale).gram(X, Z), (scale, X))
    assert torch.autograd.gradcheck(lambda scale: make(scale).gram(X.detach()), (scale,))
    assert torch.autograd.gradcheck(
        lambda scale: make(scale).sample(3, 2, generator=generator()), (scale,)
    )
    assert torch.autograd.gradcheck(lambda scale: make(scale).log_prob(Z), (scale,))


def test_a_length_scale_can_be_learnt():
    X = random_points(20, 1)
    K = lv.Gaussian(0.6).gram(X)
    log_l = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_l], line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (lv.Gaussian(log_l.exp()).gram(X) - K).square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert log_l.exp().item() == pytest.approx(0.6, abs=1e-4)
    trained = lv.Gaussian(torch.tensor(0.6, requires_grad=True))
    assert repr(trained) == "Gaussian(0.6, form='pair')"
