"""Public functions check, inner ones trust: how often one call inspects its arrays, by counting."""

import sys
from collections import Counter

import pytest
import torch

import levlib as lv
from tests.oracles import generator, random_points

N, D = 12, 3
X = random_points(N, D)
Y = X.sin().sum(1)
K = lv.NTK().gram(X)


def two_layer(m=20):
    draw = lv.sample_prior(lv.NTK(), m, D, generator=generator())
    return lv.TwoLayerNet.from_draw(draw, generator=generator(1))


RUN = lv.train(two_layer(), X, Y, 0.1, steps=5, kernels=True)


@pytest.fixture
def checks(monkeypatch):
    """How often each array was inspected since the last `clear`, by the function that did it."""
    counts = Counter()

    def counting(name, check):
        def counted(*given, **named):
            counts[name] += 1
            return check(*given, **named)

        return counted

    rooms = [room for name, room in sys.modules.items() if name.startswith("levlib.")]
    for name in ("as_tensor", "as_square"):
        counted = counting(name, getattr(lv.checks, name))
        for room in rooms:
            if hasattr(room, name):
                monkeypatch.setattr(room, name, counted)
    return counts


FLOW = {"u0": Y, "K_test": K, "u0_test": Y}
ONE = {
    "solve_krr": (1, 2, lambda: lv.solve_krr(K, Y, 0.1)),
    "leave_one_out": (1, 2, lambda: lv.leave_one_out(K, Y, [0.1, 1.0])),
    "solve_krr_cg": (1, 2, lambda: lv.solve_krr_cg(K, Y, 0.1)),
    "ntk_ridge": (1, 3, lambda: lv.ntk_ridge(K, Y, 0.1, K_test=K)),
    "frozen_flow": (1, 6, lambda: lv.frozen_flow(K, Y, 0.1, [1.0], **FLOW)),
    "frozen_flow, init": (1, 6, lambda: lv.frozen_flow(K, Y, 0.1, [1.0], **FLOW, penalty="init")),
    "moving_flow": (1, 3, lambda: lv.moving_flow(lambda t: K, Y, 0.1, [1.0, 2.0])),
    "error_rate": (2, 4, lambda: lv.error_rate(K, K, Y, Y, 0.1)),
    "lemma_4_1": (1, 2, lambda: lv.lemma_4_1(RUN, K, Y)),
}


@pytest.mark.parametrize("name", ONE)
def test_each_kernel_is_proved_symmetric_once_and_each_array_checked_once(name, checks):
    squares, arrays, call = ONE[name]
    call()
    assert (checks["as_square"], checks["as_tensor"]) == (squares, arrays)


NETS = {"two-layer": two_layer, "deep": lambda: lv.DeepNet(2, 8, D, generator=generator())}


@pytest.mark.parametrize("name", NETS)
def test_training_checks_its_data_once_whatever_the_number_of_steps(name, checks):
    net = NETS[name]()
    checks.clear()
    counts = []
    for steps in (3, 60):
        checks.clear()
        lv.train(net, X, Y, 0.1, steps=steps)
        counts.append(checks["as_tensor"])
    assert counts == [3, 3]  # X, Y, and X again for the kernel of the start


class Unchecked(lv.Gaussian):
    """A kernel whose Gram matrix checks nothing, so that all checks that are counted are the
    solver's."""

    def gram(self, X, Z=None):
        return torch.exp(-torch.cdist(X, X if Z is None else Z).square() / 2)


@pytest.mark.parametrize("labels", [Y, torch.stack([Y, Y**2], dim=1)], ids=["one", "two"])
def test_conjugate_gradient_on_products_checks_once_whatever_the_iterations(labels, checks):
    counts = []
    for tol in (0.5, 1e-10):
        checks.clear()
        found = lv.solve_krr_cg(lv.gram_matvec(Unchecked(1.0), X), labels, 0.01, tol=tol)
        counts.append((checks["as_tensor"], found.iterations))
    assert counts[0][0] == counts[1][0] == 2  # X and Y
    assert counts[1][1] > counts[0][1] + 3


def test_a_function_of_your_own_is_checked_at_each_product():
    answers = iter([K, K, K * torch.nan])
    with pytest.raises(ValueError, match=r"K\(V\) holds NaN"):
        lv.solve_krr_cg(lambda V: next(answers) @ V, Y, 0.1)
