"""Kernels: closed forms against quadrature, the mean of their features, and high-precision arithmetic."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import quad

import levlib as lv
from tests.oracles import generator, random_points, reference_points

KERNELS = [lv.NTK(), lv.Gaussian(0.7), lv.Gaussian(0.7, "complex")]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gram_is_the_mean_of_the_features(kernel):
    """Eq. 3 by a z-test on 28 entries: a right kernel fails one seed in about 10^4 (4.5 standard errors)."""
    X, M = random_points(7, 3), 20_000
    features = kernel.features(X, kernel.sample(M, 3, generator=generator(1)))
    products = torch.einsum("imk,jmk->ijm", features, features.conj()).real
    z = (products.mean(2) - kernel.gram(X)) / (products.std(2) / math.sqrt(M) + 1e-12)
    assert z.abs().max() < 4.5
    wrong = (products.mean(2) - 1.1 * kernel.gram(X)) / (products.std(2) / math.sqrt(M) + 1e-12)
    assert wrong.abs().max() > 4.5


def test_ntk_against_quadrature_on_the_circle():
    X = random_points(6, 2)
    K = lv.NTK().gram(X)
    for i in range(6):
        for j in range(6):
            # the share of directions in which both units are active, from the angles of the two half planes
            a, b = (math.atan2(*X[k].flip(0).tolist()) for k in (i, j))
            gap = abs((a - b + math.pi) % (2 * math.pi) - math.pi)
            assert K[i, j] == pytest.approx(float(X[i] @ X[j]) * (math.pi - gap) / (2 * math.pi), abs=1e-14)


def test_gaussian_against_quadrature_of_its_spectral_density():
    kernel = lv.Gaussian(0.3)
    K = kernel.gram([[0.0], [0.4]])[0, 1]
    p = lambda w: kernel.log_prob([[w]]).exp().item()  # noqa: E731
    assert quad(lambda w: math.cos(2 * math.pi * w * 0.4) * p(w), -8, 8)[0] == pytest.approx(K.item(), abs=1e-10)
    assert quad(p, -8, 8)[0] == pytest.approx(1, abs=1e-10)


def test_ntk_reference_numbers_in_forty_digits():
    """The entry, the extreme eigenvalues and the statistical dimensions, against mpmath (1e-13)."""
    X = reference_points()
    K = lv.NTK().gram(X)
    mpmath.mp.dps = 40
    x = mpmath.matrix(X.tolist())
    norm = [mpmath.norm(x[i, :]) for i in range(20)]
    H = mpmath.matrix(20, 20)
    for i in range(20):
        for j in range(20):
            inner = mpmath.fdot(x[i, :], x[j, :])
            cosine = max(mpmath.mpf(-1), min(mpmath.mpf(1), inner / norm[i] / norm[j]))
            H[i, j] = inner * (mpmath.pi - mpmath.acos(cosine)) / (2 * mpmath.pi)
    values = mpmath.eigsy(H, eigvals_only=True)
    assert K[0, 1].item() == pytest.approx(0.1989140340751432, abs=1e-15)
    assert torch.linalg.eigvalsh(K)[0].item() == pytest.approx(float(min(values)), abs=1e-13)
    assert torch.linalg.eigvalsh(K)[0].item() == pytest.approx(0.04473322083, abs=1e-10)
    assert torch.linalg.eigvalsh(K)[-1].item() == pytest.approx(1.955522275, abs=1e-9)
    for lam, s in ((0.1, 13.9932608), (0.01, 18.9497054)):
        exact = float(mpmath.fsum(v / (v + mpmath.mpf(lam)) for v in values))
        assert lv.statistical_dimension(K, lam) == pytest.approx(exact, rel=1e-12)
        assert exact == pytest.approx(s, abs=5e-8)


def test_ntk_float32_stays_positive_definite_where_arccos_does_not():
    angle = 2 * math.pi * torch.rand(400, generator=generator(), dtype=torch.float64)
    X = torch.stack([angle.cos(), angle.sin()], 1).float()
    K = lv.NTK().gram(X)
    assert K.dtype == torch.float32
    assert torch.linalg.eigvalsh(K.double())[0] > 0
    cosine = torch.nn.functional.normalize(X) @ torch.nn.functional.normalize(X).T
    naive = X @ X.T * (math.pi - torch.arccos(cosine.clamp(-1, 1))) / (2 * math.pi)
    assert torch.linalg.eigvalsh(naive.double())[0] < 0


def test_ntk_keeps_angles_that_arccos_loses():
    delta = 1e-9
    K = lv.NTK().gram([[1.0, 0.0], [math.cos(delta), math.sin(delta)]])
    assert (K[0, 0] - K[0, 1]).item() == pytest.approx(delta / (2 * math.pi), rel=1e-6)


def test_ntk_of_special_points():
    K = lv.NTK().gram([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert torch.equal(K[1], torch.zeros(4, dtype=K.dtype))
    assert K[0, 2] == 0 and K[0, 3] == K[0, 0] == 0.5


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(kernel, dtype):
    X, Z = random_points(4, 3).to(dtype), random_points(5, 3, seed=1).to(dtype)
    W = kernel.sample(6, 3, generator=generator(), dtype=dtype)
    assert W.shape == (6, 3) and W.dtype == dtype
    assert kernel.gram(X).dtype == kernel.gram(X, Z).dtype == dtype and kernel.gram(X, Z).shape == (4, 5)
    assert kernel.features(X, W).shape[:2] == (4, 6) and kernel.features(X, W).real.dtype == dtype
    assert kernel.log_prob(W).shape == (6,)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_one_point_one_weight_one_dimension(kernel):
    assert kernel.gram([[2.0]]).shape == (1, 1)
    assert kernel.features([[2.0]], kernel.sample(1, 1, generator=generator())).shape[:2] == (1, 1)


def test_numpy_goes_in():
    X = np.eye(3, dtype=np.float32)
    assert lv.NTK().gram(X).dtype == torch.float32
    assert lv.NTK().gram(np.eye(3, dtype=int)).dtype == torch.float64
