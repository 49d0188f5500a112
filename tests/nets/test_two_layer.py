"""Nets: outputs, gradients and dynamic kernels against autograd, Euler's identity, the kernel of a
wide deep net."""

import re

import pytest
import torch

import levlib as lv
from levlib.nets import two_layer as two_layer_room
from tests.oracles import generator, random_points

N, D = 20, 10
X = lv.data.sphere(N, D, generator=generator())
Y = torch.sign(torch.randn(N, generator=generator(1), dtype=torch.float64))
X_TEST = lv.data.sphere(10, D, generator=generator(2))
K = lv.NTK().gram(X)


def two_layer(m, seed=0, d=D, dtype=torch.float64, **options):
    draw = lv.sample_prior(lv.NTK(), m, d, generator=generator(seed), dtype=dtype)
    return lv.TwoLayerNet.from_draw(draw, generator=generator(10**6 + seed), **options)


def reweighed(m, seed=0, **options):
    lev = lv.RidgeLeverage(lv.NTK(), X, 0.1)
    draw = lv.sample(lev, m, method="pool", generator=generator(seed))
    return lv.TwoLayerNet.from_draw(draw, generator=generator(10**6 + seed), **options)


def by_definition(net, W, X):
    """Definition 3.5 and Definition 3.8 in plain torch, where autograd can follow."""
    return net.kappa * (torch.relu(X @ W.T) @ net.output)


NETS = {
    "plain": lambda: two_layer(301, kappa=0.7),
    "reweighed": lambda: reweighed(301, kappa=0.3),
    "antisymmetric": lambda: two_layer(301, antisymmetric=True),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    "budgets", [(2**20, 2**30), (2**12, 2**30), (2**12, 0)], ids=["whole", "blocks", "again"]
)
def test_output_and_gradient_are_those_of_autograd(name, budgets, monkeypatch):
    monkeypatch.setitem(two_layer_room.BLOCK_BYTES, "cpu", budgets[0])
    monkeypatch.setitem(two_layer_room.MASK_BYTES, "cpu", budgets[1])
    net = NETS[name]()
    W = net.W.clone().requires_grad_()
    u = by_definition(net, W, X)
    (expected,) = torch.autograd.grad((Y - u).square().sum() / 2, W)
    got_u, (got,) = net.gradient(X, Y)
    assert (got - expected).norm() <= 1e-13 * expected.norm()
    assert (got_u - u).norm() <= 1e-13 * net.W.norm()
    assert (net(X) - u).norm() <= 1e-13 * net.W.norm()


@pytest.mark.parametrize("name", NETS)
def test_dynamic_kernel_is_the_product_of_gradients(name, monkeypatch):
    monkeypatch.setitem(two_layer_room.BLOCK_BYTES, "cpu", 2**12)
    net = NETS[name]()

    def gradients(points):
        return torch.autograd.functional.jacobian(lambda W: by_definition(net, W, points), net.W)

    J, J_test = (gradients(points).flatten(1) / net.kappa for points in (X, X_TEST))
    assert torch.allclose(net.dynamic_kernel(X), J @ J.T, rtol=1e-12, atol=1e-14)
    assert torch.allclose(net.dynamic_kernel(X_TEST, X), J_test @ J.T, rtol=1e-12, atol=1e-14)


def test_the_output_weights_are_those_of_definitions_3_5_and_3_8():
    plain = two_layer(50)
    assert torch.allclose(plain.output.abs() * 50**0.5, torch.ones(50, dtype=torch.float64))
    assert set(plain.a.tolist()) == {-1.0, 1.0}
    draw = lv.sample(lv.RidgeLeverage(lv.NTK(), X, 0.1), 50, method="pool", generator=generator())
    other = lv.TwoLayerNet.from_draw(draw, generator=generator(1))
    assert torch.allclose(other.output, other.a * (draw.ratio / 50).sqrt()) and torch.equal(
        other.W, draw.W
    )
    lv.train(other, X, Y, 0.1, steps=3)
    assert torch.allclose(other.output, other.a * (draw.ratio / 50).sqrt()) and not torch.equal(
        other.W, draw.W
    )


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


SHAPES = [(1, 1, 1), (7, 3, 5), (65, 2, 17), (1000, 31, 3), (4097, 7, 33), (20000, 5, 20)]


@pytest.mark.parametrize("m, d, n", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kept", [2**30, 0], ids=["mask kept", "mask again"])
def test_an_antisymmetric_net_starts_at_exactly_zero(m, d, n, dtype, kept, threads, monkeypatch):
    monkeypatch.setitem(two_layer_room.MASK_BYTES, "cpu", kept)
    points = random_points(n, d).to(dtype)
    net = two_layer(m, d=d, dtype=dtype, antisymmetric=True)
    assert not net(points).any() and not net.gradient(points, points[:, 0])[0].any()
    assert (two_layer(m, d=d, dtype=dtype)(points) != 0).any() or m == n == 1


@pytest.mark.parametrize("change", ["W", "output"])
def test_it_is_zero_for_its_twins_alone(change):
    """One unit, or one output weight, that is not that of its twin: the net is what the definition
    says."""
    net = two_layer(30, antisymmetric=True)
    getattr(net, change)[-1].mul_(1.5)
    by_hand = by_definition(net, net.W, X)
    assert by_hand.abs().max() > 1e-3
    assert (net(X) - by_hand).norm() <= 1e-13 * net.W.norm()


def test_a_trained_antisymmetric_net_is_what_the_definition_says():
    net = two_layer(30, antisymmetric=True)
    run = lv.train(net, X, Y, 0.1, steps=3, record=3)
    assert not run.predictions[0].any() and (run.predictions[1:].norm(dim=1) > 1e-3).all()
    assert (net(X) - by_definition(net, net.W, X)).norm() <= 1e-13 * net.W.norm()


@pytest.mark.parametrize("m, d, n", SHAPES)
def test_doubling_leaves_the_kernel_as_it_is(m, d, n):
    """To the rounding of sums of m terms that are not negative, and of d terms of size |x| |z|."""
    points = random_points(n, d)
    doubled, plain = (two_layer(m, d=d, antisymmetric=how) for how in (True, False))
    allowed = 2 * (m + d) * torch.finfo(torch.float64).eps * points.square().sum(1).max()
    away = doubled.dynamic_kernel(points) - plain.dynamic_kernel(points)
    assert away.abs().max() <= allowed


def test_dtype_follows_the_draw():
    net = two_layer(30, dtype=torch.float32)
    assert repr(net) == "TwoLayerNet(m=30, d=10, kappa=1, antisymmetric=False)"
    run = lv.train(net, X.numpy(), Y.numpy(), 0.1, steps=5, kernels=True)
    assert {net(X).dtype, run.predictions.dtype, run.kernels.dtype, run.loss.dtype} == {
        torch.float32
    }


def test_nets_carry_no_gradient_and_do_not_need_a_gradient_mode():
    tracked = X.clone().requires_grad_()
    for net in (two_layer(30), lv.DeepNet(2, 8, D, generator=generator())):
        results = [net(tracked), *net.gradient(tracked, Y)[1], net.dynamic_kernel(tracked)]
        results.append(lv.train(net, tracked, Y, 0.1, steps=2).predictions)
        assert not any(value.requires_grad for value in [*results, *net.weights])
        with torch.no_grad():
            plain = net.gradient(X, Y)[1][0]
            assert (net.gradient(tracked, Y)[1][0] - plain).norm() <= 1e-13 * plain.norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("dtype, rtol", [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_a_net_trains_on_a_gpu_as_on_the_cpu(dtype, rtol):
    runs = []
    for device in ("cpu", "cuda"):
        draw = lv.sample_prior(lv.NTK(), 512, D, generator=generator(), dtype=dtype)
        draw = lv.Draw(draw.W.to(device), draw.ratio.to(device))
        net = lv.TwoLayerNet.from_draw(draw, generator=generator(1))
        runs.append(lv.train(net, X.to(device), Y.to(device), 0.1, time=5, record=3, kernels=True))
    assert runs[1].predictions.is_cuda
    assert torch.allclose(runs[0].predictions, runs[1].predictions.cpu(), rtol=rtol, atol=rtol)


# ---- deep nets


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_euler_the_gradient_along_the_weights_is_depth_times_the_output(depth):
    net = lv.DeepNet(depth, 30, D, generator=generator(), kappa=0.5)
    for label in range(3):
        Z = X_TEST[label : label + 1]
        u = net(Z)
        _, gradients = net.gradient(Z, u - 1)  # residual 1, so this is kappa grad f
        along = sum((G * W).sum() for G, W in zip(gradients, net.weights, strict=True))
        # a sum over all weights, whose terms are as large as |G| |W|
        sizes = sum(G.norm() * W.norm() for G, W in zip(gradients, net.weights, strict=True))
        assert float(along) == pytest.approx(depth * float(u), abs=1e-14 * float(sizes))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_dynamic_kernel_of_a_deep_net_is_the_product_of_gradients(depth):
    net = lv.DeepNet(depth, 12, D, generator=generator())
    rows = []
    for points in (X, X_TEST):
        each = [net.gradient(x[None], net(x[None]) - 1)[1] for x in points]
        rows.append(torch.stack([torch.cat([G.flatten() for G in one]) for one in each]))
    assert torch.allclose(net.dynamic_kernel(X), rows[0] @ rows[0].T, rtol=1e-12, atol=1e-12)
    assert torch.allclose(
        net.dynamic_kernel(X_TEST, X), rows[1] @ rows[0].T, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("depth", [2, 3])
def test_the_kernel_of_a_wide_deep_net_is_the_deep_tangent_kernel(depth):
    """|H(0) - H| / |H| falls like m^-1/2; the kernel of another depth has a floor, slope 0."""
    widths, limit = [2**k for k in (6, 8, 10)], lv.deep_ntk(X, depth=depth)
    far = torch.empty(11, len(widths))
    for seed in range(len(far)):
        for column, m in enumerate(widths):
            H = lv.DeepNet(depth, m, D, generator=generator(100 * seed + column)).dynamic_kernel(X)
            far[seed, column] = (H - limit).norm() / limit.norm()
    slope = lv.slope(widths, far, generator=generator())
    assert -0.65 < slope.estimate < -0.35 and slope.high < -0.3, str(slope)


def test_depth_one_is_linear_ridge_regression():
    net = lv.DeepNet(1, 1, D, generator=generator())
    lv.train(net, X, Y, 0.5, time=40)
    assert torch.allclose(net(X), lv.ntk_ridge(X @ X.T, Y, 0.5), atol=1e-6)


# ---- bad input

DRAW = lv.sample_prior(lv.NTK(), 8, D, generator=generator())
NET = two_layer(8)
g = generator()

CALLS = [
    (lambda: lv.TwoLayerNet.from_draw(X, generator=g), TypeError, "draw must be a levlib Draw"),
    (
        lambda: lv.TwoLayerNet.from_draw(DRAW, generator=None),
        TypeError,
        "torch.Generator().manual_seed(0)",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(DRAW, kappa=0, generator=g),
        ValueError,
        "kappa must be positive",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(DRAW, kappa=-1, generator=g),
        ValueError,
        "kappa must be positive",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(DRAW, kappa="small", generator=g),
        TypeError,
        "kappa must be a number",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(lv.Draw(X, -X[:, 0]), generator=g),
        ValueError,
        "draw.ratio must hold p/q >= 0",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(lv.Draw(X, X[0]), generator=g),
        ValueError,
        "draw.ratio must have 20 entries",
    ),
    (
        lambda: lv.TwoLayerNet.from_draw(lv.Draw(X * torch.nan, X[:, 0]), generator=g),
        ValueError,
        "draw.W holds NaN",
    ),
    (lambda: NET(X[:, :3]), ValueError, "X must have 10 columns"),
    (lambda: NET.gradient(X, Y[:3]), ValueError, "Y must have 20 entries to match the data"),
    (lambda: NET.dynamic_kernel(X, X[:, :2]), ValueError, "Z must have 10 columns"),
    (lambda: NET(X.to("meta")), ValueError, "move one of them with .to(...)"),
    (lambda: lv.DeepNet(0, 4, D, generator=g), ValueError, "depth must be at least 1"),
    (lambda: lv.DeepNet(2, 0, D, generator=g), ValueError, "width must be at least 1"),
    (lambda: lv.DeepNet(2, 4, 0, generator=g), ValueError, "d must be at least 1"),
    (lambda: lv.DeepNet(2, 4, D, generator=0), TypeError, "generator must be a torch.Generator"),
    (lambda: lv.DeepNet(2, 4, D, kappa=0, generator=g), ValueError, "kappa must be positive"),
    (lambda: lv.DeepNet(2, 4, D, generator=g)(X[:, :3]), ValueError, "X must have 10 columns"),
]


@pytest.mark.parametrize(
    "call, error, words", CALLS, ids=[f"{i}-{c[2][:30]}" for i, c in enumerate(CALLS)]
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
