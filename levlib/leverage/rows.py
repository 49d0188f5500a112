"""Leverage of rows and of points: leverage scores and coherence of a matrix (Section 2), ridge
leverage of data points, and the Nystrom sample drawn by it."""

import math

import torch
from torch import Tensor

from levlib.checks import as_count, as_generator, as_number, as_points, as_square
from levlib.draw import uniform
from levlib.kernels import Kernel, as_kernel
from levlib.linalg import blocks, cholesky

BLOCK_BYTES = 2**26


def leverage_scores(
    A, *, sketch: int | None = None, project: int | None = None, generator=None
) -> Tensor:
    """Return the leverage a_i^T (A^T A)^+ a_i of each row of A, shape (n,) (Section 2).

    A is (n, d). They lie in [0, 1] and add up to the rank of A; singular values up to max(n, d) eps
    times the largest count as zero. Without options: exact, by QR of A and the singular vectors of
    R; cost 4 n d^2.

    `sketch` = k estimates A^T A from k random sums of rows (each row goes to one sum, with a random
    sign): if that keeps every |A x|^2 within a factor 1 +- epsilon, then every score is within [1 /
    (1 + epsilon), 1 / (1 - epsilon)] times the exact one; k = (d^2 + d) / (epsilon^2 delta) does so
    with probability 1 - delta, for any A. `project` = c then measures the rows through c Gaussian
    directions, with relative standard deviation sqrt(2 / c). Cost: n d + k d^2 + n d min(c, d).
    Estimates may exceed 1.

    Raises ValueError where sketch < d, project is given without sketch, or sketch without a
    generator. Source: Drineas, Magdon-Ismail, Mahoney and Woodruff 2012; Clarkson and Woodruff 2013
    and Nelson and Nguyen 2013 for the sketch.

    >>> import levlib as lv
    >>> lv.leverage_scores([[1.0, 0.0], [0.0, 3.0], [0.0, 4.0]])
    tensor([1.0000, 0.3600, 0.6400], dtype=torch.float64)
    """
    A = as_points(A, "A")
    if sketch is None:
        if project is not None or generator is not None:
            raise ValueError(
                "project and generator go with sketch: the exact scores are not random"
            )
        Q, R = torch.linalg.qr(A)
        U, values, _ = torch.linalg.svd(R, full_matrices=False)
        return (Q @ U[:, _nonzero(values, A)]).square().sum(1)
    sketch = as_count(sketch, "sketch", least=A.shape[1])
    generator = as_generator(generator)
    _, values, Vt = torch.linalg.svd(_sum_rows(A, sketch, generator), full_matrices=False)
    kept = _nonzero(values, A)
    whiten = Vt[kept].T / values[kept]
    if project is not None:
        shape = (whiten.shape[1], as_count(project, "project"))
        directions = torch.randn(
            shape, generator=generator, device=generator.device, dtype=torch.float64
        )
        whiten = whiten @ directions.to(whiten) / math.sqrt(shape[1])
    return (A @ whiten).square().sum(1)


def coherence(A) -> float:
    """Return the coherence of A, its largest leverage score: 1 where some row is orthogonal to all
    others (Section 2).

    A is (n, d); it is at least rank(A) / n. Cost and errors are those of `leverage_scores`.

    >>> import levlib as lv
    >>> round(lv.coherence([[1.0, 0.0], [0.0, 3.0], [0.0, 4.0]]), 9)
    1.0
    """
    return float(leverage_scores(A).max())


def ridge_leverage_scores(K, lam: float) -> Tensor:
    """Return the ridge leverage of each data point, the diagonal of K (K + lam I)^{-1}, shape (n,).

    They lie in [0, 1) and add up to s_lambda(K) (Eq. 4): where `RidgeLeverage` says which weights
    matter, these say which points do. K is (n, n), lam > 0. Raises ValueError for a K that is not
    symmetric, or where K + lam I is not positive definite. Cost: n^3. Source: Alaoui and Mahoney
    2015.

    >>> import levlib as lv
    >>> lv.ridge_leverage_scores(torch.diag(torch.tensor([3.0, 1.0])), 1.0)
    tensor([0.7500, 0.5000])
    """
    K = as_square(K, "K")
    lam = as_number(lam, "lam", above=0)
    ridge = K.double() + lam * torch.eye(len(K), dtype=torch.float64, device=K.device)
    inverse = torch.cholesky_inverse(cholesky(ridge, f"K + {lam:g} I"))
    return (1 - lam * inverse.diagonal()).clamp(min=0).to(K)


def recursive_nystrom(
    kernel: Kernel, X, lam: float, s: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw s distinct points by their estimated ridge leverage: indices (s,), ascending, and
    weights (s,).

    This is the baseline that samples points rather than features. With P the chosen indices, K is
    approximated by K[:, P] (K[P, P])^+ K[P, :]. The weights are 1 / sqrt(inclusion probability): S
    with the weights as its nonzero entries has E[S S^T] = I. The leverage of a half of the points,
    drawn at random, is found first, and so on down to a set of 2s points or less; each level
    estimates its own leverage from the s points that the one below has chosen.

    - `kernel`: a Kernel with a closed-form Gram matrix.
    - `X`: the points, (n, d).
    - `lam`: the ridge, > 0.
    - `s`: how many points, from 1 to n.
    - `generator`: a torch.Generator.

    Raises ValueError for lam or s outside these. Cost: about 2 n s^2 and 2 n s
    entries of K; no n x n matrix is formed. Source: Musco and Musco 2017, Algorithm 2, with a fixed
    number of points by systematic sampling.

    >>> import levlib as lv
    >>> X = torch.cat([torch.zeros(98, 2), torch.eye(2)])  # 98 points in one place
    >>> g = torch.Generator().manual_seed(0)
    >>> chosen, weights = lv.recursive_nystrom(lv.Gaussian(0.1), X, 0.1, 3, generator=g)
    >>> chosen[1:]
    tensor([98, 99])
    """
    kernel = as_kernel(kernel)
    X = as_points(X, "X")
    lam = as_number(lam, "lam", above=0)
    generator = as_generator(generator)
    s = as_count(s, "s")
    if s > len(X):
        raise ValueError(f"s must be at most the number of points, got {s} > {len(X)}")
    order = torch.randperm(len(X), generator=generator, device=generator.device).to(X.device)
    sizes = [len(X)]
    while sizes[-1] > 2 * s:
        sizes.append((sizes[-1] + 1) // 2)
    chosen = order[: sizes[-1]]
    weights = torch.ones(sizes[-1], dtype=torch.float64, device=X.device)
    for size in reversed(sizes):
        level = order[:size]
        scores = _point_scores(kernel, X[level], X[chosen], weights, lam)
        share = _inclusion(scores, s)
        picked = _systematic(share, s, generator)
        chosen = level[picked]
        weights = share[picked].rsqrt()
    chosen, rank = chosen.sort()
    return chosen, weights[rank].to(X)


def _nonzero(values: Tensor, A: Tensor) -> Tensor:
    return values > max(A.shape) * torch.finfo(A.dtype).eps * values[0]


def _sum_rows(A: Tensor, sketch: int, generator: torch.Generator) -> Tensor:
    place = torch.randint(2 * sketch, (len(A),), generator=generator, device=generator.device).to(
        A.device
    )
    return A.new_zeros(sketch, A.shape[1]).index_add_(
        0, place // 2, A * (2 * (place % 2) - 1)[:, None]
    )


def _point_scores(kernel: Kernel, X: Tensor, chosen: Tensor, weights: Tensor, lam: float) -> Tensor:
    """The diagonal of (K - K S (S^T K S + lam I)^{-1} S^T K) / lam, which is K (K + lam I)^{-1} for
    S = I."""
    inner = kernel.gram(chosen).double() * weights * weights[:, None]
    factor = cholesky(inner + lam * torch.eye(len(inner)).to(inner), f"S^T K S + {lam:g} I")
    scores = torch.cat([kernel.gram(X[rows]).diagonal().double() for rows in blocks(len(X), 1, 64)])
    for rows in blocks(len(X), 32 * len(chosen), BLOCK_BYTES):
        cross = kernel.gram(chosen, X[rows]).double() * weights[:, None]
        scores[rows] -= torch.linalg.solve_triangular(factor, cross, upper=False).square().sum(0)
    return scores.clamp(min=0) / lam


def _inclusion(scores: Tensor, s: int) -> Tensor:
    """Probabilities min(1, c score) that add up to s; a score of zero keeps a small one."""
    scores = scores.clamp(min=1e-12 * float(scores.max()) or 1.0)
    ranked = scores.sort(descending=True).values
    sure = torch.arange(len(scores), device=scores.device)
    # c, if the first `sure` points have probability 1, is what is left of s over the other scores
    scale = (s - sure) / ranked.flip(0).cumsum(0).flip(0)
    first = int((scale * ranked <= 1 + 1e-12).int().argmax())
    return (scores * scale[first]).clamp(max=1)


def _systematic(share: Tensor, s: int, generator: torch.Generator) -> Tensor:
    """Draw s distinct indices, each with its probability in `share`: in random order, one for each
    unit of the sum."""
    order = torch.randperm(len(share), generator=generator, device=generator.device).to(
        share.device
    )
    heap = share[order].cumsum(0)
    steps = (uniform(1, generator, heap) + torch.arange(s, device=heap.device)) * heap[-1] / s
    return order[torch.searchsorted(heap, steps, right=True).clamp(max=len(share) - 1)]
