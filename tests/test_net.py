"""Nets and their training: gradients and kernels against autograd, runs against the flow, rates in the width."""

import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import levlib as lv
from tests.oracles import generator, random_points

N, D = 20, 10
X = lv.data.sphere(N, D, generator=generator())
Y = torch.sign(torch.randn(N, generator=generator(1), dtype=torch.float64))
X_TEST = lv.data.sphere(10, D, generator=generator(2))
K, K_TEST = lv.NTK().gram(X), lv.NTK().gram(X_TEST, X)
LAMBDA_0 = float(torch.linalg.eigvalsh(K)[0])


def two_layer(m, seed=0, d=D, dtype=torch.float64, **options):
    draw = lv.sample_prior(lv.NTK(), m, d, generator=generator(seed), dtype=dtype)
    return lv.TwoLayerNet.from_draw(draw, generator=generator(10**6 + seed), **options)


def reweighed(m, seed=0, **options):
    lev = lv.RidgeLeverage(lv.NTK(), X, 0.1)
    draw = lv.sample(lev, m, method="pool", generator=generator(seed))
    return lv.TwoLayerNet.from_draw(draw, generator=generator(10**6 + seed), **options)


def by_definition(net, W, X):
    """Def. 3.5 and 3.8 in plain torch, where autograd can follow."""
    return net.kappa * (torch.relu(X @ W.T) @ net.output)


NETS = {
    "plain": lambda: two_layer(301, kappa=0.7),
    "reweighed": lambda: reweighed(301, kappa=0.3),
    "antisymmetric": lambda: two_layer(301, antisymmetric=True),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("budgets", [(2**22, 2**30), (2**12, 2**30), (2**12, 0)], ids=["whole", "blocks", "again"])
def test_output_and_gradient_are_those_of_autograd(name, budgets, monkeypatch):
    monkeypatch.setitem(lv.net.BLOCK_BYTES, "cpu", budgets[0])
    monkeypatch.setitem(lv.net.MASK_BYTES, "cpu", budgets[1])
    net = NETS[name]()
    W = net.W.clone().requires_grad_()
    u = by_definition(net, W, X)
    (expected,) = torch.autograd.grad((Y - u).square().sum() / 2, W)
    got_u, (got,) = net.gradient(X, Y)
    assert (got - expected).norm() <= 1e-13 * expected.norm()
    assert (got_u - u).norm() <= 1e-13 * net.W.norm() and torch.equal(net(X), got_u)


@pytest.mark.parametrize("name", NETS)
def test_dynamic_kernel_is_the_product_of_gradients(name, monkeypatch):
    monkeypatch.setitem(lv.net.BLOCK_BYTES, "cpu", 2**12)
    net = NETS[name]()
    gradients = lambda points: torch.autograd.functional.jacobian(lambda W: by_definition(net, W, points), net.W)  # noqa: E731
    J, J_test = (gradients(points).flatten(1) / net.kappa for points in (X, X_TEST))
    assert torch.allclose(net.dynamic_kernel(X), J @ J.T, rtol=1e-12, atol=1e-14)
    assert torch.allclose(net.dynamic_kernel(X_TEST, X), J_test @ J.T, rtol=1e-12, atol=1e-14)


def test_the_output_weights_are_those_of_definitions_3_5_and_3_8():
    plain, other = two_layer(50), reweighed(50)
    assert torch.equal(plain.output.abs(), torch.full((50,), 50**-0.5, dtype=torch.float64))
    assert set(plain.a.tolist()) == {-1.0, 1.0}
    draw = lv.sample(lv.RidgeLeverage(lv.NTK(), X, 0.1), 50, method="pool", generator=generator())
    assert torch.allclose(other.output, other.a * (draw.ratio / 50).sqrt()) and torch.equal(other.W, draw.W)
    lv.train(other, X, Y, 0.1, steps=3)
    assert torch.allclose(other.output, other.a * (draw.ratio / 50).sqrt()) and not torch.equal(other.W, draw.W)


@pytest.mark.parametrize("m, d, n", [(7, 3, 5), (4097, 7, 33), (20000, 5, 20)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_antisymmetric_net_starts_at_exactly_zero_with_the_same_kernel(m, d, n, dtype):
    points = random_points(n, d).to(dtype)
    net, plain = two_layer(m, d=d, dtype=dtype, antisymmetric=True), two_layer(m, d=d, dtype=dtype)
    assert not net(points).any() and plain(points).all()
    assert torch.allclose(net.dynamic_kernel(points), plain.dynamic_kernel(points), rtol=1e-4, atol=1e-5)


def test_dtype_follows_the_draw():
    net = two_layer(30, dtype=torch.float32)
    run = lv.train(net, X.numpy(), Y.numpy(), 0.1, steps=5, kernels=True)
    assert {net(X).dtype, run.predictions.dtype, run.kernels.dtype, run.loss.dtype} == {torch.float32}


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


def test_a_step_is_gradient_descent_on_the_regularized_loss():
    for penalty in ("origin", "init"):
        net = reweighed(100, kappa=0.5)
        W_0 = net.W.clone()
        W = W_0.clone()
        for _ in range(3):
            leaf = W.clone().requires_grad_()
            weight = leaf if penalty == "origin" else leaf - W_0
            loss = (Y - by_definition(net, leaf, X)).square().sum() / 2 + 0.2 * weight.square().sum() / 2
            W = W - 0.05 * torch.autograd.grad(loss, leaf)[0]
        run = lv.train(net, X, Y, 0.2, steps=3, lr=0.05, penalty=penalty)
        assert torch.allclose(net.W, W, rtol=1e-12, atol=1e-14)
        weight = W if penalty == "origin" else W - W_0
        loss = (Y - by_definition(net, W, X)).square().sum() / 2 + 0.1 * weight.square().sum()
        assert run.loss[-1] == pytest.approx(float(loss), rel=1e-12)


def test_records_say_what_the_net_did():
    net = two_layer(200)
    W_0, H_0 = net.W.clone(), net.dynamic_kernel(X)
    run = lv.train(net, X, Y, 0.1, time=6.0, record=[0.0, 1.0, 3.3], kernels=True, X_test=X_TEST)
    assert len(run.times) == 4 and run.times[0] == 0 and run.times[-1] == pytest.approx(6.0)
    assert (run.times[1:3] - torch.tensor([1.0, 3.3])).abs().max() <= run.lr / 2 + 1e-12
    assert torch.equal(run.predictions[-1], net(X)) and torch.equal(run.test_predictions[-1], net(X_TEST))
    assert torch.equal(run.kernels[0], H_0) and torch.equal(run.kernels[-1], net.dynamic_kernel(X))
    moved = net.W - W_0
    assert run.movement[-1] == pytest.approx(float(moved.norm(dim=1).max()))
    assert run.distance[-1] == pytest.approx(float(moved.norm())) and run.norm[-1] == pytest.approx(float(net.W.norm()))
    assert run.movement[0] == run.distance[0] == 0
    assert torch.allclose(run.kernel_at(float(run.times[1])), run.kernels[1], atol=1e-12)
    assert torch.allclose(run.kernel_at(float(run.times[1:3].mean())), run.kernels[1:3].mean(0))
    assert str(run).startswith("Run(T = 6, loss = ")


def test_memory_does_not_grow_with_the_steps():
    kept = [lv.train(two_layer(20), X, Y, 0.1, steps=steps).predictions.shape for steps in (5, 500)]
    assert kept == [(2, N), (2, N)]


def test_time_is_cut_into_whole_stable_steps():
    net = two_layer(200, kappa=0.6)
    values = torch.linalg.eigvalsh(net.dynamic_kernel(X))
    run = lv.train(net, X, Y, 0.1, time=7.0)
    largest = 1 / (1.1 * 0.36 * float(values[-1]) + 0.1)
    steps = 7.0 / run.lr
    assert steps == pytest.approx(round(steps)) and largest * (1 - 1 / steps) <= run.lr <= largest
    assert run.convergence == pytest.approx((0.36 * float(values[0]) + 0.1) * 7.0) and not run.converged
    assert lv.train(two_layer(200), X, Y, 0.1, time=1.0, lr=0.1).lr == pytest.approx(0.1)
    assert lv.train(two_layer(200), X, Y, 1.0, time=5.0).converged


def test_the_stability_limit_is_sharp():
    """Just under 2 / (kappa^2 lmax + lam) a linearised net converges; the step that is refused would diverge."""
    net = two_layer(8192, antisymmetric=True)
    limit = 2 / (float(torch.linalg.eigvalsh(net.dynamic_kernel(X))[-1]) + 0.1)
    with pytest.raises(ValueError, match=re.escape(f"must be under 2 / (kappa^2 lmax(H) + lam) = {limit:g}")):
        lv.train(net, X, Y, 0.1, steps=300, lr=1.01 * limit)
    run = lv.train(net, X, Y, 0.1, steps=100, lr=0.95 * limit, penalty="init")
    assert (run.predictions[-1] - lv.ntk_ridge(K, Y, 0.1)).norm() < 0.2


class Exploding(lv.TwoLayerNet):
    """A net whose gradient fails at its tenth call, as an overflow would."""

    calls = 0

    def gradient(self, X, Y):
        self.calls += 1
        u, G = super().gradient(X, Y)
        return (u, G) if self.calls < 10 else (u * torch.inf, G)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_records():
    start = two_layer(20)
    net = Exploding(start.W, start.a, torch.ones(20, dtype=torch.float64))
    with pytest.warns(UserWarning, match="not finite at step 9 of 50"):
        run = lv.train(net, X, Y, 2.0, steps=50, record=10)
    assert len(run.times) == 2 and torch.isfinite(run.predictions).all()
    assert "step 9" in run.stopped and not run.converged and "not finite" in str(run)


KILLED = """
import os, signal, sys
import tests.test_net as t
import levlib as lv
replace, writes = os.replace, []
def fatal(*names):
    writes.append(names)
    if len(writes) == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
os.replace = fatal
t.checkpointed(sys.argv[1], sys.argv[2])
"""


def checkpointed(name, path):
    net = two_layer(300) if name == "two-layer" else lv.DeepNet(3, 40, D, generator=generator(5))
    options = {"record": 6, "kernels": True, "X_test": X_TEST, "penalty": "init", "checkpoint_every": 0}
    return net, lv.train(net, X, Y, 0.1, steps=30, checkpoint=path, **options)


@pytest.mark.parametrize("name", ["two-layer", "deep"])
def test_a_killed_run_goes_on_to_the_same_bits(name, tmp_path):
    path, whole = tmp_path / "run.npz", tmp_path / "whole.npz"
    done = subprocess.run([sys.executable, "-c", KILLED, name, str(path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with np.load(path, allow_pickle=False) as file:
        assert '"next": 11' in str(file["state"])
    (net, run), (expected_net, expected) = checkpointed(name, path), checkpointed(name, whole)
    for W, V in zip(net.weights, expected_net.weights, strict=True):
        assert torch.equal(W, V)
    for field in ("times", "predictions", "loss", "movement", "distance", "norm", "kernels", "test_predictions"):
        assert torch.equal(getattr(run, field), getattr(expected, field)), field
    again_net, again = checkpointed(name, path)  # a finished run is read, not run
    assert torch.equal(again.predictions, expected.predictions) and torch.equal(again_net(X), expected_net(X))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    lv.train(two_layer(30), X, Y, 0.1, steps=3, checkpoint=path)
    for net, labels, lam, options in [
        (two_layer(30, seed=1), Y, 0.1, {}),
        (two_layer(30, kappa=0.5), Y, 0.1, {}),
        (two_layer(30), -Y, 0.1, {}),
        (two_layer(30), Y, 0.2, {}),
        (two_layer(30), Y, 0.1, {"record": 2}),
        (two_layer(30), Y, 0.1, {"penalty": "init"}),
    ]:
        with pytest.raises(ValueError, match="belongs to another run"):
            lv.train(net, X, labels, lam, steps=3, checkpoint=path, **options)
    for content in (b"", b"not a checkpoint", path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no checkpoint of levlib"):
            lv.train(two_layer(30), X, Y, 0.1, steps=3, checkpoint=path)


def test_a_progress_bar_shows_on_long_runs_alone(capsys, monkeypatch):
    lv.train(two_layer(20), X, Y, 0.1, steps=20)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.modules["levlib.descent"], "PROGRESS_DELAY", 1e-9)
    lv.train(two_layer(20), X, Y, 0.1, steps=20)
    assert "20/20" in capsys.readouterr().err
    lv.train(two_layer(20), X, Y, 0.1, steps=20, progress=False)
    assert capsys.readouterr().err == ""


# Rates in the width. Each slope is over 11 seeds and four widths; bounds hold the whole 95 % bootstrap interval.
WIDTHS, SEEDS, LAM = [2**k for k in (7, 9, 11, 13)], 11, 0.02
TIME = 5.5 / (LAMBDA_0 + LAM)


def errors(antisymmetric):
    u, u_test = lv.ntk_ridge(K, Y, LAM), lv.ntk_ridge(K, Y, LAM, K_test=K_TEST)
    table = torch.empty(2, SEEDS, len(WIDTHS))
    for seed in range(SEEDS):
        for column, m in enumerate(WIDTHS):
            net = two_layer(m, seed=100 * seed + column, antisymmetric=antisymmetric)
            run = lv.train(net, X, Y, LAM, time=TIME, X_test=X_TEST)
            table[:, seed, column] = torch.stack(
                [(run.predictions[-1] - u).norm(), (run.test_predictions[-1] - u_test).norm()]
            )
    return table


@pytest.fixture(scope="module")
def rates():
    return {
        name: [lv.slope(WIDTHS, table, generator=generator()) for table in errors(name == "antisymmetric")]
        for name in ("plain", "antisymmetric")
    }


def test_theorem_3_6_the_training_error_falls_like_the_root_of_the_width(rates):
    """The interval holds the true slope in 95 of 100 seeds sets; a net of a wrong scale has slope 0 and fails."""
    for name in ("plain", "antisymmetric"):
        train_slope, _ = rates[name]
        assert -0.65 < train_slope.low and train_slope.high < -0.35, (name, str(train_slope))


def test_theorem_3_7_the_test_error_falls_only_when_the_net_starts_at_zero(rates):
    """At kappa = 1 the plain net keeps exp(-lam T) of its initial output off the data, whatever its width."""
    (_, plain), (_, antisymmetric) = rates["plain"], rates["antisymmetric"]
    assert abs(plain.estimate) < 0.15 and -0.5 not in plain, str(plain)
    assert -0.65 < antisymmetric.estimate < -0.35 and antisymmetric.high < -0.3, str(antisymmetric)


def test_with_lam_shrinking_in_the_width_the_error_falls_like_one_over_the_width():
    """lam ~ m^-1/2, as Theorem 3.6 asks: Y - u* ~ m^-1/2 then multiplies H(t) - H ~ m^-1/2 in Eq. 14."""
    table = torch.empty(SEEDS, len(WIDTHS))
    for seed in range(SEEDS):
        for column, m in enumerate(WIDTHS):
            lam = 0.02 * (WIDTHS[0] / m) ** 0.5
            net = two_layer(m, seed=100 * seed + column)
            run = lv.train(net, X, Y, lam, time=10 / (LAMBDA_0 + lam))
            table[seed, column] = (run.predictions[-1] - lv.ntk_ridge(K, Y, lam)).norm()
    slope = lv.slope(WIDTHS, table, generator=generator())
    assert slope.high < -0.8, str(slope)


def test_the_plateau_after_lam_t_of_4_is_not_cured_by_width():
    """|W|^2 with fixed lam: the weights die as exp(-lam t), H(t) with them; |W - W(0)|^2 keeps the error falling."""
    lam, at_end = 0.1, {}
    u = lv.ntk_ridge(K, Y, lam)
    for m in (2**11, 2**14):
        for penalty in ("origin", "init"):
            net = two_layer(m, antisymmetric=True)
            run = lv.train(net, X, Y, lam, time=80, penalty=penalty, record=[0.5 / lam], progress=False)
            at_end[penalty, m] = float((run.predictions[-1] - u).norm() / u.norm())
    assert at_end["init", 2**14] < 0.6 * at_end["init", 2**11]
    assert at_end["origin", 2**14] > 0.75 * at_end["origin", 2**11] and at_end["origin", 2**14] > 0.04, at_end


# ---- deep nets


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_euler_the_gradient_along_the_weights_is_depth_times_the_output(depth):
    net = lv.DeepNet(depth, 30, D, generator=generator(), kappa=0.5)
    for label in range(3):
        Z = X_TEST[label : label + 1]
        u = net(Z)
        _, gradients = net.gradient(Z, u - 1)  # residual 1, so this is kappa grad f
        along = sum((G * W).sum() for G, W in zip(gradients, net.weights, strict=True))
        assert float(along) == pytest.approx(depth * float(u), rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_dynamic_kernel_of_a_deep_net_is_the_product_of_gradients(depth):
    net = lv.DeepNet(depth, 12, D, generator=generator())
    rows = []
    for points in (X, X_TEST):
        each = [net.gradient(x[None], net(x[None]) - 1)[1] for x in points]
        rows.append(torch.stack([torch.cat([G.flatten() for G in one]) for one in each]))
    assert torch.allclose(net.dynamic_kernel(X), rows[0] @ rows[0].T, rtol=1e-12, atol=1e-12)
    assert torch.allclose(net.dynamic_kernel(X_TEST, X), rows[1] @ rows[0].T, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not hasattr(lv, "deep_ntk"), reason="deep_ntk is not there yet")
@pytest.mark.parametrize("depth", [2, 3])
def test_the_kernel_of_a_wide_deep_net_is_the_deep_tangent_kernel(depth):
    """|H(0) - H| / |H| falls like m^-1/2: a kernel off by 1 % has a floor and fails (checked with 0.99 H for depth 2)."""
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
    (lambda: lv.TwoLayerNet.from_draw(DRAW, generator=None), TypeError, "torch.Generator().manual_seed(0)"),
    (lambda: lv.TwoLayerNet.from_draw(DRAW, kappa=0, generator=g), ValueError, "kappa must be positive"),
    (lambda: lv.TwoLayerNet.from_draw(DRAW, kappa=-1, generator=g), ValueError, "kappa must be positive"),
    (lambda: lv.TwoLayerNet.from_draw(DRAW, kappa="small", generator=g), TypeError, "kappa must be a number"),
    (lambda: lv.TwoLayerNet.from_draw(lv.Draw(X, -X[:, 0]), generator=g), ValueError, "p/q >= 0 for each of 20"),
    (lambda: lv.TwoLayerNet.from_draw(lv.Draw(X, X[0]), generator=g), ValueError, "got shape (10,)"),
    (lambda: lv.TwoLayerNet.from_draw(lv.Draw(X * torch.nan, X[:, 0]), generator=g), ValueError, "draw.W holds NaN"),
    (lambda: NET(X[:, :3]), ValueError, "X must have 10 columns"),
    (lambda: NET.gradient(X, Y[:3]), ValueError, "Y must have one label for each of the 20 points"),
    (lambda: NET.dynamic_kernel(X, X[:, :2]), ValueError, "Z must have 10 columns"),
    (lambda: NET(X.to("meta")), ValueError, "move one of them with .to(...)"),
    (lambda: lv.DeepNet(0, 4, D, generator=g), ValueError, "depth must be at least 1"),
    (lambda: lv.DeepNet(2, 0, D, generator=g), ValueError, "width must be at least 1"),
    (lambda: lv.DeepNet(2, 4, 0, generator=g), ValueError, "d must be at least 1"),
    (lambda: lv.DeepNet(2, 4, D, generator=0), TypeError, "generator must be a torch.Generator"),
    (lambda: lv.DeepNet(2, 4, D, kappa=0, generator=g), ValueError, "kappa must be positive"),
    (lambda: lv.DeepNet(2, 4, D, generator=g)(X[:, :3]), ValueError, "X must have 10 columns"),
    (lambda: lv.train(X, X, Y, 0.1, steps=1), TypeError, "net must be a TwoLayerNet or a DeepNet"),
    (lambda: lv.train(NET, X, Y[:2], 0.1, steps=1), ValueError, "Y must have one label"),
    (lambda: lv.train(NET, X, Y * torch.nan, 0.1, steps=1), ValueError, "Y holds NaN"),
    (lambda: lv.train(NET, X, Y, 0, steps=1), ValueError, "lam must be positive"),
    (lambda: lv.train(NET, X, Y, 0.1), ValueError, "give either the flow time (time=) or the number of steps"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, steps=1), ValueError, "not both"),
    (lambda: lv.train(NET, X, Y, 0.1, time=0), ValueError, "time must be positive"),
    (lambda: lv.train(NET, X, Y, 0.1, steps=0), ValueError, "steps must be at least 1"),
    (lambda: lv.train(NET, X, Y, 0.1, steps=1, lr=-1), ValueError, "lr must be positive"),
    (lambda: lv.train(NET, X, Y, 0.1, steps=1, lr=100), ValueError, "lr = 100 is not stable"),
    (lambda: lv.train(NET, X, Y, 0.1, steps=1, penalty="l1"), ValueError, 'penalty must be "origin"'),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, record=0), ValueError, "record must be at least 1"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, record=[0, 9]), ValueError, "record must hold times from 0 to T = 1"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, record="all"), TypeError, "record must be a tensor or an array"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, X_test=X[:, :2]), ValueError, "X_test must have 10 columns"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, checkpoint="no/such/run.npz"), ValueError, "a folder that exists"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, checkpoint="."), ValueError, "checkpoint must name a file"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1, checkpoint="a", checkpoint_every=-1), ValueError, "seconds >= 0"),
    (lambda: lv.train(NET, X, Y, 0.1, time=1).kernel_at(0.5), ValueError, "train with kernels=True"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", CALLS, ids=[f"{i}-{c[2][:30]}" for i, c in enumerate(CALLS)])
def test_bad_input(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


def test_a_refused_call_leaves_the_net_alone():
    net = two_layer(8)
    before = net.W.clone()
    with pytest.raises(ValueError, match="not stable"):
        lv.train(net, X, Y, 0.1, steps=1, lr=100)
    assert torch.equal(net.W, before)


def test_kappa_above_one_warns_with_the_papers_reason_and_works():
    """The lazy regime: kappa = 1000, lam kappa^2, centred penalty, antisymmetric start."""
    with pytest.warns(UserWarning, match=r"outside the paper's \(0, 1\]"):
        net = two_layer(256, kappa=1000, antisymmetric=True)
    with pytest.warns(UserWarning, match="outside the paper's"):
        lv.DeepNet(2, 4, D, kappa=2, generator=generator())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        H = net.dynamic_kernel(X)
        run = lv.train(net, X, Y, 0.1 * 1000**2, time=6 / (0.1 * 1000**2), penalty="init")
    assert run.converged
    assert (run.predictions[-1] - lv.ntk_ridge(H, Y, 0.1 * 1000**2, kappa=1000)).norm() < 0.02
