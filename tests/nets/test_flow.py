"""Flows: closed forms against integration and against trained nets; Eq. 13 and Eq. 14 with
kappa^2; Lemma 4.1; depth."""

import math
import re

import pytest
import torch
from scipy.integrate import quad
from sklearn.kernel_ridge import KernelRidge

import levlib as lv
from tests.oracles import generator

N, D, LAM, KAPPA = 20, 10, 0.3, 0.7
X = lv.data.sphere(N, D, generator=generator())
Y = torch.sign(torch.randn(N, generator=generator(1), dtype=torch.float64))
X_TEST = lv.data.sphere(7, D, generator=generator(2))
K, K_TEST = lv.NTK().gram(X), lv.NTK().gram(X_TEST, X)
U_0 = torch.randn(N, generator=generator(3), dtype=torch.float64)
U_0_TEST = torch.randn(7, generator=generator(4), dtype=torch.float64)
TIMES = [0.0, 0.1, 1.0, 5.0, 30.0]


def two_layer(m, **options):
    draw = lv.sample_prior(lv.NTK(), m, D, generator=generator(5))
    return lv.TwoLayerNet.from_draw(draw, generator=generator(6), **options)


def test_ntk_ridge_is_scikit_learns_kernel_ridge():
    peer = KernelRidge(alpha=LAM, kernel="precomputed").fit(KAPPA**2 * K, Y)
    u, u_test = (lv.ntk_ridge(K, Y, LAM, KAPPA, K_test) for K_test in (None, K_TEST))
    assert (u - torch.as_tensor(peer.predict(KAPPA**2 * K))).abs().max() < 1e-9
    assert (u_test - torch.as_tensor(peer.predict(KAPPA**2 * K_TEST))).abs().max() < 1e-9
    assert (
        lv.ntk_ridge(K, Y, LAM, KAPPA) - lv.ntk_ridge(K, Y, LAM / KAPPA**2)
    ).abs().max() < 1e-12  # erratum 6


@pytest.mark.parametrize("kappa", [1.0, KAPPA])
def test_the_closed_form_is_the_integrated_flow(kappa):
    start = {"kappa": kappa, "u0": U_0, "u0_test": U_0_TEST}
    closed = lv.frozen_flow(K, Y, LAM, TIMES, K_test=K_TEST, **start)
    integrated = lv.moving_flow(lambda t: (K, K_TEST), Y, LAM, TIMES, **start)
    assert closed.u.shape == (5, N) and closed.u_test.shape == (5, 7)
    assert torch.allclose(closed.u, integrated.u, atol=1e-7) and torch.allclose(
        closed.u_test, integrated.u_test, atol=1e-7
    )


@pytest.mark.parametrize("penalty", ["origin", "init"])
def test_the_closed_form_starts_and_ends_where_it_must(penalty):
    options = {"kappa": KAPPA, "u0": U_0, "u0_test": U_0_TEST, "K_test": K_TEST, "penalty": penalty}
    flow = lv.frozen_flow(K, Y, LAM, [0.0, 1e4], **options)
    labels, rest, rest_test = (Y, 0, 0) if penalty == "origin" else (Y - U_0, U_0, U_0_TEST)
    assert torch.allclose(flow.u[0], U_0, atol=1e-12) and torch.allclose(
        flow.u_test[0], U_0_TEST, atol=1e-12
    )
    assert torch.allclose(flow.u[1], rest + lv.ntk_ridge(K, labels, LAM, KAPPA), atol=1e-12)
    assert torch.allclose(
        flow.u_test[1], rest_test + lv.ntk_ridge(K, labels, LAM, KAPPA, K_TEST), atol=1e-12
    )


def test_the_closed_form_with_a_singular_kernel_is_the_integral():
    """A zero eigenvalue is a limit of the formula, not a division by zero: quadrature knows the
    answer."""
    flow = lv.frozen_flow(
        torch.zeros(2, 2).double(), [1.0, 2.0], LAM, [2.0], u0=[3.0, 4.0], K_test=[[1.0, -0.5]]
    )

    def rest(s):
        decay = math.exp(-LAM * s)
        return math.exp(-LAM * (2 - s)) * ((1 - 3 * decay) - 0.5 * (2 - 4 * decay))

    assert float(flow.u_test) == pytest.approx(quad(rest, 0, 2)[0], rel=1e-10)


def test_a_wide_net_follows_the_frozen_flow_on_and_off_the_data():
    """The largest gap over all times falls with the width, about like m^-1/2: 16 times the width, a
    quarter of it."""
    gap = {}
    for m in (1024, 16384):
        net = two_layer(m, kappa=KAPPA)
        u0, u0_test = net(X), net(X_TEST)
        run = lv.train(net, X, Y, LAM, time=6.0, lr=0.02, record=12, X_test=X_TEST, penalty="init")
        flow = lv.frozen_flow(
            K, Y, LAM, run.times, kappa=KAPPA, u0=u0, K_test=K_TEST, u0_test=u0_test, penalty="init"
        )
        gap[m] = max(
            (run.predictions - flow.u).norm(dim=1).max(),
            (run.test_predictions - flow.u_test).norm(dim=1).max(),
        )
    assert gap[16384] < 0.4 * gap[1024] and gap[16384] < 0.15, gap


def test_with_its_own_moving_kernel_the_flow_is_nearly_the_net_and_the_frozen_one_is_not():
    """Eq. 16 at m = 200. What is missing, here 1.4 %, does not shrink with lr: some units slide
    along a kink."""
    net = two_layer(200)
    u0 = net(X)
    run = lv.train(net, X, Y, LAM, time=6.0, lr=0.01, record=600, kernels=True)
    moving = lv.moving_flow(run.kernel_at, Y, LAM, [3.0, 6.0], u0=u0, tolerance=1e-6)
    frozen = lv.frozen_flow(run.kernels[0], Y, LAM, [3.0, 6.0], u0=u0)
    mine = run.predictions[[300, 600]]
    assert (moving.u - mine).norm() < 0.02 * mine.norm() and (
        frozen.u - mine
    ).norm() > 0.05 * mine.norm()


@pytest.mark.parametrize("lr", [0.01, 0.0025])
def test_some_units_slide_along_a_kink_and_flip_at_every_few_steps(lr):
    """Where both sides push w_r.x_i to 0 the unit stays there, and the chain rule with a 0/1 mask
    loses its motion."""
    net, flips, steps = two_layer(40), torch.zeros(40, N), round(6 / lr)
    for step in range(steps):
        before = net.W @ X.T > 0
        net.W.sub_(lr * (net.gradient(X, Y)[1][0] + LAM * net.W))
        flips += (before != (net.W @ X.T > 0)) * (step > steps / 2)
    assert 0.05 < float((flips > 0.1 * steps / 2).double().mean()) < 0.2


@pytest.mark.parametrize("steps", [1, 20, 200])
def test_the_error_falls_at_the_rate_of_equations_13_and_14_with_kappa_squared(steps):
    """Erratum 7, by central differences along a run at kappa = 0.7: the terms as printed lack
    kappa^2."""
    net = two_layer(200, kappa=KAPPA)
    lv.train(net, X, Y, LAM, steps=steps, lr=0.05)
    u, (G,) = net.gradient(X, Y)
    u_star, H, W, h = lv.ntk_ridge(K, Y, LAM, KAPPA), net.dynamic_kernel(X), net.W.clone(), 1e-7
    distance = []
    for sign in (1, -1):
        net.W.copy_(W - sign * h * (G + LAM * W))
        distance.append((net(X) - u_star).square().sum())
    measured = float(distance[0] - distance[1]) / (2 * h)
    error = u - u_star
    printed = float(
        -2 * error @ (H + LAM * torch.eye(N)) @ error + 2 * error @ (H - K) @ (Y - u_star)
    )
    assert sum(lv.error_rate(H, K, Y, u, LAM, KAPPA)) == pytest.approx(measured, rel=1e-4)
    assert abs(printed - measured) > 0.2 * abs(measured)
    assert sum(lv.error_rate(H, K, Y, u, LAM)) != pytest.approx(measured, rel=0.2)


def test_the_two_terms_are_one_for_the_frozen_kernel():
    first, second = lv.error_rate(K, K, Y, U_0, LAM, KAPPA)
    error = U_0 - lv.ntk_ridge(K, Y, LAM, KAPPA)
    assert second == 0 and first == pytest.approx(
        float(-2 * error @ (KAPPA**2 * K + LAM * torch.eye(N)) @ error)
    )


def lemma(m, penalty, time=10.0):
    run = lv.train(
        two_layer(m, antisymmetric=True),
        X,
        Y,
        0.05,
        time=time,
        penalty=penalty,
        record=20,
        kernels=True,
    )
    claims = lv.lemma_4_1(run, K, Y, epsilon=0.1)
    assert torch.equal(claims.movement, run.movement)
    direct = torch.linalg.eigvalsh(run.kernels[-1] - run.kernels[0]).abs().max()
    assert claims.kernel_change[-1] == pytest.approx(float(direct), rel=1e-10)
    return claims


def test_lemma_4_1_holds_at_large_width_and_its_third_claim_fails_at_small():
    """Without decay, movement and change of the kernel fall by more than half for 16 times the
    units."""
    narrow, wide = lemma(512, "init"), lemma(8192, "init")
    for claim in ("movement", "kernel_change"):
        assert getattr(wide, claim)[-1] < 0.45 * getattr(narrow, claim)[-1], claim
    assert (wide.error <= wide.bound * (1 + 1e-12)).all() and wide.error[0] == wide.bound[0]
    tiny = lemma(8, "origin", time=80.0)
    assert (tiny.error > tiny.bound).any()


def test_with_the_papers_penalty_and_fixed_lam_the_weights_move_at_every_width():
    """|W|^2 shrinks each weight by the factor exp(-lam t): the first claim of Lemma 4.1 needs lam ~
    m^-1/2."""
    narrow, wide = lemma(512, "origin"), lemma(8192, "origin")
    assert wide.movement[-1] > 0.9 * narrow.movement[-1] > 1.0
    assert wide.kernel_change[-1] < 0.6 * narrow.kernel_change[-1]


@pytest.mark.parametrize("depth, lam, share", [(2, 0.5, 0.6), (2, 0.05, 0.035), (3, 0.5, 0.46)])
def test_a_deep_net_ends_where_the_shrinking_kernel_says_not_at_the_ridge_predictor(
    depth, lam, share
):
    """Remark 4.2: with lam / L the net misses u* by the predicted `share` of |u*|; |W - W(0)|^2
    with lam does not."""
    deep = lv.deep_ntk(X, depth=depth)
    u = lv.ntk_ridge(deep, Y, lam)
    end = 5 / (float(torch.linalg.eigvalsh(deep)[0]) + lam)
    net, centred = (lv.DeepNet(depth, 1024, D, generator=generator(3)) for _ in range(2))
    u0 = net(X)
    run = lv.train(net, X, Y, lam, time=end)
    lv.train(centred, X, Y, lam, time=end, penalty="init")
    predicted = lv.moving_flow(lv.shrinking_kernel(deep, lam, depth), Y, lam, [end], u0=u0)
    missed, expected = ((v[-1] - u).norm() / u.norm() for v in (run.predictions, predicted.u))
    assert expected == pytest.approx(share, rel=0.05) and missed == pytest.approx(
        float(expected), rel=0.1
    )
    flow = lv.frozen_flow(deep, Y, lam, [end], u0=u0, penalty="init")
    assert (centred(X) - flow.u[0]).norm() < 0.03 * u.norm()


def test_dtype_follows_the_kernel():
    single = K.float()
    flow = lv.moving_flow(lambda t: (single, K_TEST), Y, LAM, TIMES)
    assert {lv.ntk_ridge(single, Y, LAM).dtype, flow.u.dtype, flow.u_test.dtype} == {torch.float32}
    assert lv.frozen_flow(single, Y, LAM, TIMES, K_test=K_TEST).u_test.dtype == torch.float32


RUN = lv.train(two_layer(4), X, Y, LAM, steps=2)
CALLS = [
    (lambda: lv.ntk_ridge(K, Y, 0), ValueError, "lam must be positive"),
    (lambda: lv.ntk_ridge(K, Y, LAM, kappa=0), ValueError, "kappa must be positive"),
    (
        lambda: lv.ntk_ridge(K, Y[:3], LAM),
        ValueError,
        "Y must have one row for each of the 20 points",
    ),
    (lambda: lv.ntk_ridge(K, Y, LAM, K_test=K_TEST.T), ValueError, "K_test must have 20 columns"),
    (lambda: lv.frozen_flow(K[:3], Y, LAM, TIMES), ValueError, "K must be square"),
    (lambda: lv.frozen_flow(K, Y, LAM, [-1.0]), ValueError, "times must not be negative"),
    (lambda: lv.frozen_flow(K, Y, LAM, TIMES, u0=[1.0]), ValueError, "u0 must have 20 entries"),
    (lambda: lv.frozen_flow(K, None, LAM, TIMES), TypeError, "Y must be a tensor or an array"),
    (lambda: lv.frozen_flow(K, Y, LAM, TIMES, u0_test=U_0_TEST), ValueError, "pass K_test"),
    (
        lambda: lv.frozen_flow(K, Y, LAM, TIMES, penalty="l1"),
        ValueError,
        'penalty must be "origin"',
    ),
    (lambda: lv.moving_flow(lambda t: K, Y[:4], LAM, TIMES), ValueError, "Y must have 20 entries"),
    (
        lambda: lv.moving_flow(lambda t: K, Y, LAM, [1.0, 0.5]),
        ValueError,
        "times must ascend and end after 0",
    ),
    (
        lambda: lv.moving_flow(lambda t: K, Y, LAM, [0.0]),
        ValueError,
        "times must ascend and end after 0",
    ),
    (lambda: lv.moving_flow(K, Y, LAM, TIMES), TypeError, "kernel_at must be a function of t"),
    (
        lambda: lv.moving_flow(lambda t: K, Y, LAM, TIMES, tolerance=0),
        ValueError,
        "tolerance must be positive",
    ),
    (
        lambda: lv.moving_flow(lambda t: K / (t < 1), Y, LAM, TIMES),
        ValueError,
        "kernel_at(t) is not finite",
    ),
    (lambda: lv.shrinking_kernel(K, LAM, 0), ValueError, "depth must be at least 1"),
    (lambda: lv.error_rate(K[:3, :3], K, Y, U_0, LAM), ValueError, "H_t must have the shape of K"),
    (lambda: lv.error_rate(K, K, Y, U_0[:2], LAM), ValueError, "u must have 20 entries"),
    (lambda: lv.error_rate(K, K, Y[:2], U_0, LAM), ValueError, "Y must have 20 entries"),
    (lambda: lv.lemma_4_1(RUN, K, Y), ValueError, "train with kernels=True"),
    (lambda: lv.lemma_4_1(K, K, Y), TypeError, "run must be what train returns"),
]


@pytest.mark.parametrize(
    "call, error, words", CALLS, ids=[f"{i}-{c[2][:30]}" for i, c in enumerate(CALLS)]
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
