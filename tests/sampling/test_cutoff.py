"""The cut-off density: its law, its weights, and how far it is from an over-estimate of the
leverage density."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import levlib as lv
from tests.oracles import generator, random_points

LINE = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None]


def cutoff_density(kernel, X, lam, W):
    """q~(w) = min(c, p n / lam), from its definition."""
    extents = X.max(0).values - X.min(0).values
    c = (extents + math.sqrt(2 * math.pi) * kernel.lengthscale).prod()
    return torch.minimum(c, kernel.log_prob(W).exp() * len(X) / lam)


@pytest.mark.parametrize("lam", [10.0, 1e-1, 1e-3])
def test_draws_on_a_line_have_the_stated_density_and_its_weights(lam):
    """A right sampler fails on one seed in 1,000; the prior fails wherever the density is not the
    prior itself."""
    kernel = lv.Gaussian(0.2)
    w = torch.linspace(-12, 12, 400_001, dtype=torch.float64) * kernel.frequency_scale
    density = cutoff_density(kernel, LINE, lam, w[:, None])
    heap = torch.cumulative_trapezoid(density, w)
    draw = lv.sample_cutoff(kernel, LINE, lam, 20_000, generator=generator(1))
    cdf = lambda x: np.interp(x, w[1:], heap / heap[-1])  # noqa: E731
    assert kstest(draw.W[:, 0], cdf).pvalue > 1e-3
    assert kstest(kernel.sample(20_000, 1, generator=generator(1))[:, 0], cdf).pvalue < 1e-12
    weights = kernel.log_prob(draw.W).exp() / cutoff_density(kernel, LINE, lam, draw.W) * heap[-1]
    assert torch.allclose(draw.ratio, weights, rtol=1e-6)


@pytest.mark.parametrize("d", [2, 3])
def test_radii_in_more_dimensions(d):
    """|w| against its distribution by quadrature; one false alarm in 1,000."""
    kernel, X, lam = lv.Gaussian(0.4), random_points(60, d), 0.01
    r = torch.linspace(0, 12, 200_001, dtype=torch.float64) * kernel.frequency_scale
    W = torch.nn.functional.pad(r[:, None], (0, d - 1))
    heap = torch.cumulative_trapezoid(cutoff_density(kernel, X, lam, W) * r ** (d - 1), r)
    draw = lv.sample_cutoff(kernel, X, lam, 20_000, generator=generator(1))
    cdf = lambda x: np.interp(x, r[1:], heap / heap[-1])  # noqa: E731
    assert kstest(draw.W.norm(dim=1), cdf).pvalue > 1e-3
    assert kstest(kernel.sample(20_000, d, generator=generator(1)).norm(dim=1), cdf).pvalue < 1e-12
    assert (
        kstest(
            draw.W[:, 0].sign() * draw.W.norm(dim=1),
            lambda x: 0.5 + 0.5 * np.sign(x) * cdf(np.abs(x)),
        ).pvalue
        > 1e-3
    )


@pytest.mark.parametrize("d", [1, 2])
def test_reweighted_features_average_to_the_kernel(d):
    """E[Psi Psi^T] = K by a z-test on every entry (5 errors: about one seed in 4,000); unweighted
    features fail."""
    kernel, X = lv.Gaussian(0.5), random_points(20, d)
    draw, K = (
        lv.sample_cutoff(kernel, X, 1e-2, 4000, generator=generator(2)),
        lv.Gaussian(0.5).gram(X),
    )
    products = torch.einsum("imk,jmk->ijm", *(2 * [kernel.features(X, draw.W)]))
    for ratio, right in ((draw.ratio, True), (torch.ones_like(draw.ratio), False)):
        terms = products * ratio
        z = (terms.mean(2) - K) / (terms.std(2) / math.sqrt(4000) + 1e-9)
        assert (z.abs().max() < 5) == right


@pytest.mark.parametrize(
    "X, lengthscale",
    [
        (LINE, 0.02),
        (LINE, 0.3),
        (LINE, 3.0),
        (random_points(200, 1), 0.3),
        (torch.cat([LINE[:70] / 10, 1 + LINE[:30] / 10]), 0.1),
        (LINE[:1].repeat(5, 1), 1.0),
    ],
)
@pytest.mark.parametrize("lam", [10.0, 1e-2, 1e-4])
def test_the_density_is_an_over_estimate_up_to_1_3_and_costs_at_most_4(X, lengthscale, lam):
    kernel = lv.Gaussian(lengthscale)
    lev = lv.RidgeLeverage(kernel, X, lam)
    edges, values = lv.leverage_grid(lev)
    w = ((edges[1:] + edges[:-1]) / 2)[:, None]
    q, over = kernel.log_prob(w).exp() * values, cutoff_density(kernel, X, lam, w)
    assert (q / over).max() < 1.3
    assert float((q / over).max() * (over * edges.diff()).sum()) < 4 * lev.s_lam


def test_at_equal_width_it_sandwiches_as_leverage_does_and_plain_features_do_not():
    """Eq. 5 with epsilon = 1/2 on 20 of 20 draws at four times leverage's median count, 256; on
    none of the plain."""
    X, kernel, lam = (
        torch.linspace(-1, 1, 200, dtype=torch.float64)[:, None],
        lv.Gaussian(0.1),
        1e-2,
    )
    K = kernel.gram(X)
    for seed in range(20):
        draw = lv.sample_cutoff(kernel, X, lam, 1024, generator=generator(seed))
        plain = lv.sample_prior(kernel, 1024, 1, generator=generator(seed))
        assert lv.sandwich_epsilon(lv.modified_features(kernel, X, draw), K, lam) <= 0.5
        assert lv.sandwich_epsilon(lv.modified_features(kernel, X, plain), K, lam) > 0.5


def test_float32_and_a_large_ridge():
    draw = lv.sample_cutoff(lv.Gaussian(0.5), LINE.float(), 1e-2, 7, generator=generator())
    assert draw.W.dtype == draw.ratio.dtype == torch.float32 and draw.W.shape == (7, 1)
    plain = lv.sample_cutoff(lv.Gaussian(0.5), LINE, 1e9, 7, generator=generator())
    assert torch.allclose(plain.ratio, torch.ones(7, dtype=torch.float64))
    learnt = lv.Gaussian(torch.tensor(0.5, requires_grad=True))
    assert not lv.sample_cutoff(learnt, LINE, 1e-2, 7, generator=generator()).ratio.requires_grad
