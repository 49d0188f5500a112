"""Data and slow, plain oracles that several test files share."""

import numpy as np
import torch
from scipy.stats import chisquare, kstest

import levlib as lv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_points(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def reference_points() -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(20, 5))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def rounding(lev) -> float:
    """What a solve with K + lam I may lose, relative to the largest leverage: n roundings times the
    condition number, and 10 for the constants."""
    values = torch.linalg.eigvalsh(lev.K)
    condition = float((values[-1] + lev.lam) / (values[0].clamp(min=0) + lev.lam))
    return 10 * len(lev.K) * torch.finfo(torch.float64).eps * condition


def leverage_by_definition(kernel, X, lam, W) -> torch.Tensor:
    """Definition 3.1, one weight at a time: tr[Phi(w)^T (K + lam I)^{-1} Phi(w)]."""
    K = kernel.gram(X)
    ridge = K + lam * torch.eye(len(K), dtype=K.dtype)
    features = kernel.features(X, W).unbind(1)
    return torch.stack(
        [torch.trace(F.mH @ torch.linalg.solve(ridge.to(F.dtype), F)).real for F in features]
    )


def same_draw(one: lv.Draw, two: lv.Draw) -> bool:
    """Whether two draws are one, but for what products round: 1e-8, where other draws are far."""
    return torch.allclose(one.W, two.W, rtol=0, atol=1e-8) and torch.allclose(
        one.ratio, two.ratio, rtol=1e-8, atol=0
    )


def arc_p_value(lev, W) -> float:
    """Chi-square of the directions of W against the exact leverage of the arcs, cells of at least 5
    expected."""
    edges, values = lv.leverage_arcs(lev)
    mass = (values * edges.diff()).numpy()
    angle = torch.remainder(torch.atan2(W[:, 1], W[:, 0]) - edges[0], 2 * torch.pi) + edges[0]
    counts = np.bincount(
        torch.searchsorted(edges, angle, right=True).sub(1).clamp(0, len(mass) - 1),
        minlength=len(mass),
    )
    expected = mass / mass.sum() * len(W)
    order = np.argsort(expected)
    group = np.minimum(np.cumsum(expected[order]) // 5, np.floor(expected.sum() / 5) - 1).astype(
        int
    )
    group = np.unique(group, return_inverse=True)[1]
    observed = np.bincount(group, counts[order])
    return float(chisquare(observed, np.bincount(group, expected[order])).pvalue)


def clustered_sphere(seed: int = 0) -> torch.Tensor:
    """10 points anywhere on the sphere of R^3 and 10 within about 0.02 of its north pole: leverage
    near the equator."""
    spread, close = random_points(10, 3, seed), 0.01 * random_points(10, 3, seed + 1)
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return torch.nn.functional.normalize(torch.cat([spread, pole + close]), dim=1)


def longitude_p_value(lev, W) -> float:
    """Kolmogorov-Smirnov of the longitude of W about the first axis, d = 3, for a ratio that is
    constant on cells.

    Along each of 4000 meridians cos(t) e + sin(t) h the ratio is constant between the t at which
    some point switches, and so the integral of r sin(t) is exact; the trapezoid rule adds the
    meridians up.
    """
    phi = torch.linspace(-torch.pi, torch.pi, 4001, dtype=torch.float64)
    h = torch.stack([torch.zeros_like(phi), phi.cos(), phi.sin()], dim=1)
    X = lev.X[lev.X.norm(dim=1) > 0]
    switch = (
        torch.remainder(torch.atan2(-X[:, 0].expand(len(phi), -1), h @ X.T), torch.pi)
        .sort(dim=1)
        .values
    )
    edges = torch.nn.functional.pad(switch, (1, 1))
    edges[:, -1] = torch.pi
    t = (edges[:, 1:] + edges[:, :-1]) / 2
    middle = t.sin()[..., None] * h[:, None] + t.cos()[..., None] * torch.tensor(
        [1.0, 0.0, 0.0], dtype=torch.float64
    )
    density = (lev(middle.reshape(-1, 3)).view(t.shape) * -edges.cos().diff(dim=1)).sum(1)
    heap = torch.cat(
        [torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(density, phi)]
    )
    assert (
        abs(float(heap[-1]) / (4 * torch.pi) / lev.s_lam - 1) < 1e-3
    )  # the oracle knows E[r] = s_lambda
    return float(
        kstest(torch.atan2(W[:, 2], W[:, 1]), lambda x: np.interp(x, phi, heap / heap[-1])).pvalue
    )


CIRCLES = {
    "random": lv.data.sphere(20, 2, generator=generator(5)),
    "clustered": lv.data.clustered_circle(10, 10, 0.03, generator=generator(3)),
}
SPHERES = {"random": lv.data.sphere(20, 3, generator=generator(5)), "clustered": clustered_sphere()}


def frequency_cdf(lev):
    """The distribution function of q on a line, by the trapezoid rule on 200,001 points of the
    definition."""
    w = torch.linspace(-8, 8, 200_001, dtype=torch.float64) * lev.kernel.frequency_scale
    density = torch.exp(lev.kernel.log_prob(w[:, None])) * lev(w[:, None])
    heap = torch.cumulative_trapezoid(density, w)
    return lambda x: np.interp(x, w[1:], heap / heap[-1])
