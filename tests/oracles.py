"""Data and slow, plain oracles that several test files share."""

import numpy as np
import torch
from scipy.stats import chisquare

import levlib as lv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_points(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def reference_points() -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(20, 5))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def leverage_by_definition(kernel, X, lam, W) -> torch.Tensor:
    """Def. 3.1, one weight at a time: tr[Phi(w)^T (K + lam I)^{-1} Phi(w)]."""
    K = kernel.gram(X)
    ridge = K + lam * torch.eye(len(K), dtype=K.dtype)
    features = kernel.features(X, W).unbind(1)
    return torch.stack([torch.trace(F.mH @ torch.linalg.solve(ridge.to(F.dtype), F)).real for F in features])


def arc_p_value(lev, W) -> float:
    """Chi-square of the directions of W against the exact leverage of the arcs, cells of at least 5 expected."""
    edges, values = lv.leverage_arcs(lev)
    mass = (values * edges.diff()).numpy()
    angle = torch.remainder(torch.atan2(W[:, 1], W[:, 0]) - edges[0], 2 * torch.pi) + edges[0]
    counts = np.bincount(
        torch.searchsorted(edges, angle, right=True).sub(1).clamp(0, len(mass) - 1), minlength=len(mass)
    )
    expected = mass / mass.sum() * len(W)
    order = np.argsort(expected)
    group = np.minimum(np.cumsum(expected[order]) // 5, np.floor(expected.sum() / 5) - 1).astype(int)
    group = np.unique(group, return_inverse=True)[1]
    observed = np.bincount(group, counts[order])
    return float(chisquare(observed, np.bincount(group, expected[order])).pvalue)
