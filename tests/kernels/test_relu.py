"""Kernels of ReLU units: closed forms against quadrature, high precision, wide nets, and each
other."""

import functools
import itertools
import math

import mpmath
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest

import levlib as lv
from levlib.kernels import gram
from levlib.kernels.relu import _next_angle
from tests.oracles import generator, random_points, reference_points

ORDERS = [0, 1, 2]


def unit(X):
    return torch.nn.functional.normalize(X, dim=1)


def circle(n):
    angle = 2 * math.pi * torch.rand(n, generator=generator(), dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], 1)


def smallest(K):
    return torch.linalg.eigvalsh(K.double())[0].item()


# ---- NTK


def test_ntk_against_quadrature_on_the_circle():
    X = random_points(6, 2)
    K = lv.NTK().gram(X)
    for i in range(6):
        for j in range(6):
            # the share of directions in which both units are active, from the angles of the two
            # half planes
            a, b = (math.atan2(*X[k].flip(0).tolist()) for k in (i, j))
            gap = abs((a - b + math.pi) % (2 * math.pi) - math.pi)
            assert K[i, j] == pytest.approx(
                float(X[i] @ X[j]) * (math.pi - gap) / (2 * math.pi), abs=1e-13
            )


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
    assert K[0, 1].item() == pytest.approx(0.1989140340751432, abs=1e-14)
    assert smallest(K) == pytest.approx(float(min(values)), abs=1e-13)
    assert smallest(K) == pytest.approx(0.04473322083, abs=1e-10)
    assert torch.linalg.eigvalsh(K)[-1].item() == pytest.approx(1.955522275, abs=1e-9)
    for lam, s in ((0.1, 13.9932608), (0.01, 18.9497054)):
        exact = float(mpmath.fsum(v / (v + mpmath.mpf(lam)) for v in values))
        assert lv.statistical_dimension(K, lam) == pytest.approx(exact, rel=1e-12)
        assert exact == pytest.approx(s, abs=5e-8)


def test_ntk_float32_stays_positive_definite_where_arccos_does_not():
    X = circle(400).float()
    K = lv.NTK().gram(X)
    assert K.dtype == torch.float32
    assert smallest(K) > 0
    cosine = unit(X) @ unit(X).T
    naive = X @ X.T * (math.pi - torch.arccos(cosine.clamp(-1, 1))) / (2 * math.pi)
    assert smallest(naive) < 0


def test_ntk_keeps_angles_that_arccos_loses():
    delta = 1e-9
    K = lv.NTK().gram([[1.0, 0.0], [math.cos(delta), math.sin(delta)]])
    # the gap is 1.6e-10, and an entry of 0.5 takes a few roundings of 1e-16
    assert (K[0, 0] - K[0, 1]).item() == pytest.approx(delta / (2 * math.pi), abs=1e-15)


def test_ntk_of_special_points():
    K = lv.NTK().gram([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert torch.equal(K[1], torch.zeros(4, dtype=K.dtype))
    # an angle of pi, or of 0, by atan2, to a few roundings
    assert K[0, 2].item() == pytest.approx(0, abs=1e-15)
    assert K[0, 3].item() == pytest.approx(0.5, abs=1e-15)
    assert K[0, 0].item() == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_d_plus_one_antipodal_pairs_make_the_matrix_singular(d):
    X = unit(random_points(d + 1, d))
    values = torch.linalg.eigvalsh(lv.NTK().gram(torch.cat([X, -X])))
    # ten roundings a row, relative to the largest eigenvalue
    assert values[0].abs() < 10 * len(values) * torch.finfo(values.dtype).eps * values[-1]
    fewer = torch.linalg.eigvalsh(lv.NTK().gram(torch.cat([X[:d], -X[:d]])))
    assert fewer[0] > 1e-4


def test_angles_near_zero_and_pi_by_both_ways():
    """Relative 1e-13 from 0.3 to 1e-12 of parallel, four roundings of pi if antipodal, amid many
    pairs that are far apart, or alone."""
    fill = unit(random_points(80, 6))
    for delta in (0.3, 1e-3, 1e-6, 1e-9, 1e-12):
        pair = torch.zeros(2, 6, dtype=torch.float64)
        pair[0, 0] = 1
        pair[1, 0] = math.cos(delta)
        pair[1, 1] = math.sin(delta)
        for X in (pair, torch.cat([pair, fill])):
            assert gram.angles(X, X)[0, 1].item() == pytest.approx(delta, rel=1e-13)
            assert (math.pi - gram.angles(X, -X)[0, 1]).item() == pytest.approx(delta, abs=2e-15)
            assert gram.angles(X, X).diagonal().abs().max() == 0


# ---- arc-cosine


@pytest.mark.parametrize("order", ORDERS)
def test_arccosine_against_quadrature_in_the_plane(order):
    """2 E[(w.x)_+^n (w.z)_+^n] in polar coordinates: E r^(2n) = 2^n n!, and the mean over
    directions by quadrature."""
    X = random_points(4, 2)
    K = lv.ArcCosine(order).gram(X)
    moment = 2**order * math.factorial(order)
    for i, j in itertools.combinations_with_replacement(range(4), 2):
        (a, b), (c, d) = X[[i, j]].tolist()

        def units(phi, a=a, b=b, c=c, d=d):
            return a * math.cos(phi) + b * math.sin(phi), c * math.cos(phi) + d * math.sin(phi)

        kinks = sorted(math.atan2(y, x) % math.pi for x, y in ((-b, a), (-d, c)))
        edges = [*kinks, *(kink + math.pi for kink in kinks), kinks[0] + 2 * math.pi]
        # both units are active on a whole piece or nowhere in it
        pieces = [(lo, hi) for lo, hi in itertools.pairwise(edges) if min(units((lo + hi) / 2)) > 0]

        def product(phi, units=units):
            return math.prod(units(phi)) ** order

        total = sum(quad(product, lo, hi)[0] for lo, hi in pieces)
        assert K[i, j].item() == pytest.approx(
            2 * moment * total / (2 * math.pi), rel=1e-10, abs=1e-12
        )


@pytest.mark.parametrize("order", ORDERS)
def test_arccosine_is_homogeneous_and_has_its_diagonal(order):
    X = random_points(5, 3)
    kernel = lv.ArcCosine(order)
    K = kernel.gram(X)
    assert torch.allclose(kernel.gram(3 * X, X), 3**order * K, rtol=1e-13)
    assert torch.allclose(K.diagonal(), (1, 1, 3)[order] * X.norm(dim=1) ** (2 * order), rtol=1e-14)


@pytest.mark.parametrize("order", ORDERS)
def test_a_row_of_zeros_has_no_features_and_no_kernel(order):
    X = torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    kernel = lv.ArcCosine(order)
    features = kernel.features(X, kernel.sample(50, 2, generator=generator()))
    assert not features[[0, 2]].any() and features[1].any()
    K = kernel.gram(X)
    assert not K[[0, 2]].any() and not K[:, [0, 2]].any()


@pytest.mark.parametrize("kernel", [lv.NTK(), lv.ArcCosine(2)], ids=repr)
def test_weights_are_standard_normal(kernel):
    """KS with 10^5 draws: a right sampler fails one seed in 1000; a scale 10 % off fails at
    once."""
    w = kernel.sample(50_000, 2, generator=generator(1)).flatten().numpy()
    assert kstest(w, "norm").pvalue > 1e-3 > kstest(1.1 * w, "norm").pvalue
    assert quad(lambda w: kernel.log_prob([[w]]).exp().item(), -9, 9)[0] == pytest.approx(
        1, abs=1e-9
    )
    assert kernel.log_prob([[1.0, 2.0]]).item() == pytest.approx(
        -2.5 - math.log(2 * math.pi), abs=1e-14
    )


# ---- deep NTK


def test_deep_ntk_of_depth_one_and_two():
    X, Z = random_points(6, 3), random_points(4, 3, seed=1)
    assert torch.allclose(lv.deep_ntk(X, Z, depth=1), X @ Z.T, rtol=1e-14)
    two = 2 * lv.NTK().gram(X, Z) + lv.ArcCosine(1).gram(X, Z)
    assert torch.allclose(lv.deep_ntk(X, Z, depth=2), two, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_deep_ntk_is_homogeneous_and_has_its_diagonal(depth):
    X, Z = random_points(5, 3), random_points(4, 3, seed=1)
    K = lv.deep_ntk(X, Z, depth=depth)
    assert torch.allclose(lv.deep_ntk(3 * X, Z / 2, depth=depth), 1.5 * K, rtol=1e-13)
    assert torch.allclose(
        lv.deep_ntk(X, depth=depth).diagonal(), depth * X.square().sum(1), rtol=1e-14
    )


def recursion(cosine, depth):
    S = Theta = cosine
    for _ in range(depth - 1):
        angle = mpmath.acos(S)
        S = (mpmath.sqrt(1 - S**2) + S * (mpmath.pi - angle)) / mpmath.pi
        Theta = Theta * (mpmath.pi - angle) / mpmath.pi + S
    return Theta


@pytest.mark.parametrize("theta", [1e-12, 1e-8, 3.9e-4, 4.1e-4, 0.02, 1.0, 2.0, 3.0, math.pi])
def test_deep_ntk_in_fifty_digits_down_to_small_angles(theta):
    """The recursion as printed, in 50 digits; the gap to the diagonal, which is about theta, to
    a few roundings of K(x, x) = depth in each layer."""
    mpmath.mp.dps = 50
    X = torch.tensor([[1.0, 0.0], [math.cos(theta), math.sin(theta)]], dtype=torch.float64)
    for depth in (2, 3, 5):
        exact = float(depth - recursion(mpmath.cos(mpmath.mpf(theta)), depth))
        K = lv.deep_ntk(X, depth=depth)
        assert (K[0, 0] - K[0, 1]).item() == pytest.approx(
            exact, abs=2 * depth**2 * torch.finfo(torch.float64).eps
        )


def test_the_next_angle_does_not_cancel():
    """sin^2 of half the next angle against the recursion in 50 digits (1e-12 relative down to
    1e-12)."""
    mpmath.mp.dps = 50
    for theta in (1e-12, 1e-8, 3.9e-4, 4.1e-4, 0.1, 2.0, math.pi):
        t = mpmath.mpf(theta)
        exact = mpmath.acos((mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / mpmath.pi)
        assert _next_angle(torch.tensor(theta, dtype=torch.float64)).item() == pytest.approx(
            float(exact), rel=1e-12
        )


@pytest.mark.parametrize("depth", [2, 3])
def test_deep_ntk_float32_stays_positive_definite_where_arccos_does_not(depth):
    X = circle(400).float()
    assert smallest(lv.deep_ntk(X, depth=depth)) > 0
    S = Theta = (unit(X) @ unit(X).T).clamp(-1, 1)
    for _ in range(depth - 1):
        angle = torch.arccos(S.clamp(-1, 1))
        S = ((1 - S**2).clamp(min=0).sqrt() + S * (math.pi - angle)) / math.pi
        Theta = Theta * (math.pi - angle) / math.pi + S
    assert smallest(Theta) < 0


def empirical_ntk(X, depth, width, seeds):
    """The tangent kernel J J^T of a random net in the NTK parametrisation, by autograd, one for
    each seed."""
    shapes = [(width, X.shape[1]), *[(width, width)] * (depth - 2), (1, width)]
    for seed in seeds:
        g = generator(seed)
        weights = [
            torch.randn(shape, generator=g, dtype=X.dtype).requires_grad_() for shape in shapes
        ]
        hidden = X.T
        for W in weights[:-1]:
            hidden = (2 / width) ** 0.5 * torch.relu(W @ hidden)
        outputs = (weights[-1] @ hidden)[0]
        rows = [torch.autograd.grad(output, weights, retain_graph=True) for output in outputs]
        J = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
        yield J @ J.T


@pytest.mark.parametrize("depth, width, draws", [(2, 64, 400), (3, 256, 100)])
def test_deep_ntk_is_the_mean_tangent_kernel_of_a_wide_net(depth, width, draws):
    """A z-test on 10 entries at 4.5 standard errors: about one seed in 10^4 fails; the wrong depth
    is 40 away."""
    X = random_points(4, 3)
    X[1] = X[0] + 0.2 * X[1]
    kernels = torch.stack(list(empirical_ntk(X, depth, width, range(draws))))

    def z(K):
        return ((kernels.mean(0) - K).abs() / (kernels.std(0) / draws**0.5)).max()

    assert z(lv.deep_ntk(X, depth=depth)) < 4.5
    assert z(1.1 * lv.deep_ntk(X, depth=depth)) > 4.5
    assert z(depth / (depth + 1) * lv.deep_ntk(X, depth=depth + 1)) > 4.5


GRAMS = [lv.NTK().gram, *(lv.ArcCosine(order).gram for order in ORDERS)]
GRAMS += [functools.partial(lv.deep_ntk, depth=depth) for depth in (2, 4)]


@pytest.mark.parametrize("kernel", GRAMS)
def test_gradients_in_the_points(kernel):
    """Autograd against finite differences, for K(X, Z); then finite where points coincide, oppose
    or vanish."""
    X = random_points(4, 3).requires_grad_()
    Z = random_points(3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda X: kernel(X, Z), (X,))
    Y = torch.tensor(
        [[1.0, 2.0], [1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]], dtype=torch.float64, requires_grad=True
    )
    assert torch.isfinite(torch.autograd.grad(kernel(Y).sin().sum(), Y)[0]).all()
