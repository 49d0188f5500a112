"""Malformed calls at random: each argument of each public function, replaced by what it cannot be,
must be refused.

Each refusal is a ValueError or a TypeError, raised before work starts, whose message names the
argument. Hypothesis chooses at least 2,000 calls, every argument among them; they are the same in
every run.
"""

import inspect
import math
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import levlib as lv
from tests.oracles import generator

CALLS = 2600

X = torch.tensor([[1.0, 0.2], [-0.3, 1.0], [0.5, -1.0], [-1.0, -0.4]], dtype=torch.float64)
Y = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64)
K = lv.NTK().gram(X)
W = torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.3, 0.7]], dtype=torch.float64)
G = generator()
NTK, LINE = lv.NTK(), lv.RidgeLeverage(lv.Gaussian(0.5), X[:, :1], 0.1)
LEV = lv.RidgeLeverage(NTK, X, 0.1)
DRAW = lv.sample_prior(NTK, 6, 2, generator=G)


def a_net() -> lv.TwoLayerNet:
    return lv.TwoLayerNet.from_draw(DRAW, generator=G)


RUN = lv.train(a_net(), X, Y, 0.1, steps=3, kernels=True)

# ---- what an argument of a kind cannot be

NO_NUMBER = st.sampled_from(["0.1", "", None, [], {}, object(), 1j, [1.0, 2.0], b"1", True])
NO_ARRAY = st.sampled_from(
    ["points", None, {}, {1.0}, object(), [[1.0], [1.0, 2.0]], [["a", "b"]], len]
)
BAD = st.sampled_from([math.nan, math.inf, -math.inf])


@st.composite
def spoiled(draw, good: torch.Tensor):
    """Return the good array with an entry that is no number."""
    bad = good.clone()
    bad.view(-1)[draw(st.integers(0, good.numel() - 1))] = draw(BAD)
    return draw(st.sampled_from([bad, bad.float(), bad.numpy(), bad.tolist()]))


@st.composite
def misshapen(draw, good: torch.Tensor):
    """Return an array with another number of dimensions, or of none at all."""
    wrong = [
        good[None, None],
        good[None][..., None, None],
        good[:0],
        good.numpy()[..., :0],
        good.sum(),
    ]
    return draw(st.sampled_from(wrong))


@st.composite
def asymmetric(draw, good: torch.Tensor):
    bad = good.clone()
    bad[draw(st.integers(0, 1)), draw(st.integers(2, 3))] += draw(st.floats(0.01, 1e6))
    return bad


def array(good: torch.Tensor, *more):
    return st.one_of(spoiled(good), misshapen(good), NO_ARRAY, *more)


def wrong_columns(good: torch.Tensor):
    return st.integers(5, 9).map(lambda d: torch.ones(len(good), d, dtype=good.dtype))


def wrong_length(good: torch.Tensor):
    return st.integers(5, 99).map(lambda n: torch.ones(n, *good.shape[1:], dtype=good.dtype))


def number(*more):
    """Return what is no positive, finite number."""
    return st.one_of(
        NO_NUMBER,
        st.sampled_from([0, 0.0, math.nan, math.inf, -math.inf]),
        st.floats(max_value=0),
        *more,
    )


def count(least: int = 1):
    """Return what is no integer of at least `least`."""
    return st.one_of(
        NO_NUMBER, st.integers(max_value=least - 1), st.floats(), st.just(np.float64(3))
    )


POINTS = array(X)
PAIRED = array(X, wrong_columns(X))
WEIGHTS = array(W, wrong_columns(W))
SQUARE = array(K, asymmetric(K), st.integers(1, 3).map(lambda k: K[:k]))
LABELS = array(Y, wrong_length(Y), st.just(Y * 1j))
VECTOR = array(Y, wrong_length(Y), st.just(Y[:, None]))
ROWS = array(X, wrong_length(X))
GENERATOR = st.sampled_from([None, 0, 1.5, "seed", np.random.default_rng(0), torch.Generator])
KERNEL = st.sampled_from([None, "ntk", 1.0, lv.NTK, lv.Gaussian, K, LEV])
LEVERAGE = st.sampled_from([None, "lev", 1.0, NTK, K, lv.RidgeLeverage])
DRAWN = st.sampled_from([None, "draw", 1.0, X, (X, Y), lv.Draw])
POSITIVE, LAMBDA = (
    number(),
    st.one_of(number().filter(lambda v: v != [1.0, 2.0]), st.just([0.1, -1.0])),
)
NEGATIVE = st.one_of(st.sampled_from(["x", None, math.nan, math.inf]), st.floats(max_value=-1e-9))
SHARE = number(st.floats(1.0001, 1e9))
CHOICE = st.one_of(st.text(max_size=3), st.sampled_from([None, 1.0, [], ["pool"], {}, len]))
FUNCTION = st.sampled_from([None, 1.0, "f", X, []])
NO_CHUNKS = st.sampled_from([None, 1.0, [], {}])
ANY_NET = st.sampled_from([None, "net", X, lv.TwoLayerNet, lv.NTK()])

# ---- the public surface: a function, arguments that are good, what each of them cannot be


@dataclass
class Call:
    """A call that works, and for each argument what it cannot be; `says` where the message has
    another name for it."""

    name: str
    function: object
    good: dict
    bad: dict
    says: dict = field(default_factory=dict)
    works: bool = True  # False where the good arguments need a cluster


def rows(kernel, name: str) -> list[Call]:
    """Return the calls of a kernel's methods."""
    return [
        Call(f"{name}.features", kernel.features, {"X": X, "W": W}, {"X": POINTS, "W": WEIGHTS}),
        Call(
            f"{name}.gram",
            kernel.gram,
            {"X": X, "Z": X},
            {"X": POINTS, "Z": PAIRED.filter(lambda z: z is not None)},
        ),
        Call(
            f"{name}.sample",
            kernel.sample,
            {"m": 3, "d": 2, "generator": G},
            {"m": count(), "d": count(), "generator": GENERATOR},
        ),
        Call(f"{name}.log_prob", kernel.log_prob, {"W": W}, {"W": array(W)}),
        Call(
            f"{name}.estimated",
            kernel.estimated,
            {"m": 3, "d": 2, "generator": G},
            {"m": count(), "d": count(), "generator": GENERATOR},
        ),
    ]


def optional(strategy):
    return strategy.filter(lambda value: value is not None)


KERNELS = [
    Call(
        "Gaussian",
        lv.Gaussian,
        {"lengthscale": 1.0, "form": "pair"},
        {"lengthscale": POSITIVE, "form": CHOICE},
    ),
    Call(
        "Laplacian",
        lv.Laplacian,
        {"lengthscale": 1.0, "form": "pair"},
        {"lengthscale": POSITIVE, "form": CHOICE},
    ),
    Call(
        "Matern",
        lv.Matern,
        {"nu": 1.5, "lengthscale": 1.0, "form": "pair"},
        {"nu": POSITIVE, "lengthscale": POSITIVE, "form": CHOICE},
    ),
    Call("ArcCosine", lv.ArcCosine, {"order": 1}, {"order": st.one_of(count(0), st.integers(3))}),
    *rows(NTK, "NTK"),
    *rows(lv.Gaussian(1.0), "Gaussian"),
    *rows(lv.ArcCosine(1), "ArcCosine"),
    *rows(lv.Laplacian(1.0), "Laplacian"),
    *rows(lv.Matern(1.5, 1.0), "Matern"),
    Call(
        "deep_ntk",
        lv.deep_ntk,
        {"X": X, "Z": X, "depth": 2},
        {"X": POINTS, "Z": optional(PAIRED), "depth": count()},
    ),
    Call("gram_matvec", lv.gram_matvec, {"kernel": NTK, "X": X}, {"kernel": KERNEL, "X": POINTS}),
]

LEVERAGES = [
    Call(
        "RidgeLeverage",
        lv.RidgeLeverage,
        {"kernel": NTK, "X": X, "lam": 0.1, "pilot": W, "margin": 0.1},
        {
            "kernel": KERNEL,
            "X": POINTS,
            "lam": POSITIVE,
            "pilot": optional(WEIGHTS),
            "margin": NEGATIVE,
        },
    ),
    Call("RidgeLeverage()", LEV, {"W": W}, {"W": WEIGHTS}),
    Call("leverage_arcs", lv.leverage_arcs, {"lev": LEV}, {"lev": LEVERAGE}),
    Call(
        "leverage_grid",
        lv.leverage_grid,
        {"lev": LINE, "cells": 200},
        {"lev": LEVERAGE, "cells": optional(count())},
    ),
    Call("rejection_bound", lv.rejection_bound, {"lev": LEV}, {"lev": LEVERAGE}),
    Call(
        "statistical_dimension",
        lv.statistical_dimension,
        {"K": K, "lam": 0.1},
        {"K": SQUARE, "lam": POSITIVE},
    ),
    Call(
        "leverage_scores",
        lv.leverage_scores,
        {"A": X, "sketch": 3, "project": 2, "generator": G},
        {
            "A": POINTS,
            "sketch": optional(count()),
            "project": optional(count()),
            "generator": GENERATOR,
        },
    ),
    Call("coherence", lv.coherence, {"A": X}, {"A": POINTS}),
    Call(
        "ridge_leverage_scores",
        lv.ridge_leverage_scores,
        {"K": K, "lam": 0.1},
        {"K": SQUARE, "lam": POSITIVE},
    ),
    Call(
        "recursive_nystrom",
        lv.recursive_nystrom,
        {"kernel": NTK, "X": X, "lam": 0.1, "s": 2, "generator": G},
        {"kernel": KERNEL, "X": POINTS, "lam": POSITIVE, "s": count(), "generator": GENERATOR},
    ),
]

SAMPLERS = [
    *(
        Call(
            "sample",
            lv.sample,
            {"lev": LEV, "m": 3, "method": method, "mix": 0.5, "generator": G, option: 50},
            {
                "lev": LEVERAGE,
                "m": count(),
                "method": CHOICE,
                "generator": GENERATOR,
                option: optional(count()),
                "mix": st.one_of(
                    st.sampled_from([1.0, -0.1, math.nan, "x", None]), st.floats(1.0, 1e9)
                ),
            },
        )
        for method, option in [("pool", "pool"), ("gibbs", "sweeps"), ("rejection", "budget")]
    ),
    Call(
        "sample_prior",
        lv.sample_prior,
        {"kernel": NTK, "m": 3, "d": 2, "generator": G},
        {"kernel": KERNEL, "m": count(), "d": count(), "generator": GENERATOR},
    ),
    Call(
        "modified_features",
        lv.modified_features,
        {"kernel": NTK, "X": X, "draw": DRAW},
        {"kernel": KERNEL, "X": POINTS, "draw": DRAWN},
    ),
    *(
        Call(
            name,
            getattr(lv, name),
            {"Psi": X, "K": K, "lam": 0.1},
            {"Psi": ROWS, "K": SQUARE, "lam": POSITIVE},
        )
        for name in ("sandwich_epsilon", "sandwich_spectrum")
    ),
    Call(
        "required_features",
        lv.required_features,
        {"epsilon": 0.5, "delta": 0.1, "s_q": 5.0, "s_lam": 4.0},
        {"epsilon": SHARE, "delta": SHARE, "s_q": POSITIVE, "s_lam": POSITIVE},
    ),
]

REGRESSION = [
    Call(
        "solve_krr",
        lv.solve_krr,
        {"K": K, "Y": Y, "lam": 0.1},
        {"K": SQUARE, "Y": LABELS, "lam": LAMBDA},
    ),
    Call(
        "leave_one_out",
        lv.leave_one_out,
        {"K": K, "Y": Y, "lam": 0.1},
        {"K": SQUARE, "Y": LABELS, "lam": LAMBDA},
    ),
    Call(
        "solve_krr_cg",
        lv.solve_krr_cg,
        {"K": K, "Y": Y, "lam": 0.1, "Psi": X, "tol": 1e-3, "max_iter": 9},
        {
            "K": SQUARE.filter(lambda K: not callable(K)),
            "Y": LABELS,
            "lam": POSITIVE,
            "Psi": optional(ROWS),
            "tol": SHARE,
            "max_iter": count(),
        },
    ),
    Call(
        "NormalEquations.update",
        lambda **given: lv.NormalEquations().update(**given),
        {"Psi": X, "Y": Y},
        {"Psi": POINTS, "Y": LABELS},
    ),
    Call(
        "NormalEquations.solve",
        lv.NormalEquations().update(X, Y).solve,
        {"lam": 0.1},
        {"lam": LAMBDA},
    ),
    Call(
        "NormalEquations.merge",
        lv.NormalEquations().merge,
        {"other": lv.NormalEquations()},
        {"other": DRAWN},
    ),
    Call(
        "dask_normal_equations",
        lv.dask_normal_equations,
        {"features": len, "X": [X], "Y": [Y]},
        {"features": FUNCTION, "X": NO_CHUNKS, "Y": NO_CHUNKS},
        works=False,
    ),
]

NETS = [
    Call(
        "TwoLayerNet.from_draw",
        lv.TwoLayerNet.from_draw,
        {"draw": DRAW, "kappa": 1.0, "generator": G},
        {"draw": DRAWN, "kappa": POSITIVE, "generator": GENERATOR},
    ),
    Call(
        "DeepNet",
        lv.DeepNet,
        {"depth": 2, "width": 4, "d": 2, "kappa": 1.0, "generator": G},
        {
            "depth": count(),
            "width": count(),
            "d": count(),
            "kappa": POSITIVE,
            "generator": GENERATOR,
        },
    ),
    *(
        call
        for name, net in [("TwoLayerNet", a_net()), ("DeepNet", lv.DeepNet(3, 4, 2, generator=G))]
        for call in (
            Call(f"{name}()", net, {"X": X}, {"X": PAIRED}),
            Call(f"{name}.gradient", net.gradient, {"X": X, "Y": Y}, {"X": PAIRED, "Y": VECTOR}),
            Call(
                f"{name}.dynamic_kernel",
                net.dynamic_kernel,
                {"X": X, "Z": X},
                {"X": PAIRED, "Z": optional(PAIRED)},
            ),
        )
    ),
    Call(
        "train",
        lambda **given: lv.train(given.pop("net") if "net" in given else a_net(), **given),
        {
            "X": X,
            "Y": Y,
            "lam": 0.1,
            "steps": 3,
            "lr": 0.1,
            "penalty": "origin",
            "X_test": X,
            "record": 2,
        },
        {
            "X": PAIRED,
            "Y": VECTOR,
            "lam": POSITIVE,
            "steps": optional(count()),
            "lr": optional(number(st.just(1e9))),
            "penalty": CHOICE,
            "X_test": optional(PAIRED),
            "net": optional(ANY_NET),
            "record": optional(count().filter(lambda value: not isinstance(value, list))),
        },
    ),
    Call(
        "train",
        lambda **given: lv.train(a_net(), X, Y, 0.1, **given),
        {"time": 1.0},
        {"time": optional(POSITIVE)},
    ),
    Call(
        "Run.kernel_at",
        RUN.kernel_at,
        {"t": 0.1},
        {"t": st.sampled_from([math.nan, "x", None, [], 1j])},
    ),
    Call(
        "ntk_ridge",
        lv.ntk_ridge,
        {"K": K, "Y": Y, "lam": 0.1, "kappa": 1.0, "K_test": K},
        {
            "K": SQUARE,
            "Y": LABELS,
            "lam": POSITIVE,
            "kappa": POSITIVE,
            "K_test": optional(array(K, wrong_columns(K))),
        },
    ),
    Call(
        "frozen_flow",
        lv.frozen_flow,
        {
            "K": K,
            "Y": Y,
            "lam": 0.1,
            "times": Y.abs(),
            "kappa": 1.0,
            "u0": Y,
            "K_test": K,
            "u0_test": Y,
            "penalty": "init",
        },
        {
            "K": SQUARE,
            "Y": VECTOR,
            "lam": POSITIVE,
            "times": array(Y, st.just(-Y)),
            "kappa": POSITIVE,
            "u0": optional(VECTOR),
            "K_test": optional(array(K, wrong_columns(K))),
            "u0_test": optional(VECTOR),
            "penalty": CHOICE,
        },
    ),
    Call(
        "moving_flow",
        lv.moving_flow,
        {
            "kernel_at": lambda t: K,
            "Y": Y,
            "lam": 0.1,
            "times": [0.0, 1.0],
            "kappa": 1.0,
            "u0": Y,
            "tolerance": 1e-6,
        },
        {
            "kernel_at": FUNCTION,
            "Y": VECTOR,
            "lam": POSITIVE,
            "times": array(Y, st.just(Y)),
            "kappa": POSITIVE,
            "u0": optional(VECTOR),
            "tolerance": POSITIVE,
        },
    ),
    Call(
        "shrinking_kernel",
        lv.shrinking_kernel,
        {"K": K, "lam": 0.1, "depth": 2},
        {"K": SQUARE, "lam": POSITIVE, "depth": count()},
    ),
    Call(
        "error_rate",
        lv.error_rate,
        {"H_t": K, "K": K, "Y": Y, "u": Y, "lam": 0.1, "kappa": 1.0},
        {"H_t": SQUARE, "K": SQUARE, "Y": VECTOR, "u": VECTOR, "lam": POSITIVE, "kappa": POSITIVE},
    ),
    Call(
        "lemma_4_1",
        lv.lemma_4_1,
        {"run": RUN, "K": K, "Y": Y},
        {"run": ANY_NET, "K": SQUARE, "Y": VECTOR, "epsilon": NEGATIVE},
    ),
]

OTHERS = [
    Call(
        "success_rate",
        lv.success_rate,
        {"successes": 3, "trials": 5, "confidence": 0.9},
        {"successes": st.one_of(count(0), st.integers(6)), "trials": count(3), "confidence": SHARE},
        says={"trials": "trials|successes"},
    ),
    Call(
        "median_interval",
        lv.median_interval,
        {"values": torch.arange(9.0), "confidence": 0.9},
        {"values": array(torch.arange(9.0), st.just(Y)), "confidence": SHARE | st.just(1.0)},
    ),
    Call(
        "slope",
        lv.slope,
        {
            "m": Y.abs(),
            "errors": X.abs() @ X.T.abs(),
            "generator": G,
            "confidence": 0.9,
            "resamples": 9,
        },
        {
            "m": array(Y, st.just(-Y)),
            "errors": array(K, st.just(-K), wrong_columns(K)),
            "generator": GENERATOR,
            "confidence": SHARE,
            "resamples": count(),
        },
    ),
    Call(
        "data.sphere",
        lv.data.sphere,
        {"n": 3, "d": 2, "generator": G},
        {"n": count(), "d": count(), "generator": GENERATOR},
    ),
    Call(
        "data.clustered_circle",
        lv.data.clustered_circle,
        {"spread": 3, "close": 2, "width": 0.1, "generator": G},
        {
            "spread": count(),
            "close": count(),
            "width": number(st.floats(6.3, 1e9)),
            "generator": GENERATOR,
        },
    ),
    Call(
        "data.close_pair",
        lv.data.close_pair,
        {"n": 3, "d": 2, "delta": 0.1, "generator": G},
        {
            "n": count(2),
            "d": count(2),
            "delta": number(st.floats(3.15, 1e9)),
            "generator": GENERATOR,
        },
    ),
    Call(
        "data.bumpy",
        lv.data.bumpy,
        {"n": 9, "noise": 0.1, "generator": G},
        {"n": count(2), "noise": NEGATIVE, "generator": GENERATOR},
    ),
    Call(
        "Slider",
        lv.Slider,
        {"name": "lam", "values": [1.0, 2.0], "start": 1.0},
        {
            "values": st.sampled_from([[], [1.0], [1.0, 1.0], [1.0, math.nan], [math.inf, 1.0]]),
            "name": st.sampled_from(["", "a b", "1"]),
            "start": optional(st.floats(max_value=0)),
        },
    ),
]

SURFACE = KERNELS + LEVERAGES + SAMPLERS + REGRESSION + NETS + OTHERS
ARGUMENTS = [(call, argument) for call in SURFACE for argument in call.bad]
# What a caller does not make from arguments of its own: results, base classes, and the pieces of an
# explorer and the
# estimators, whose refusals tests/explorers/test_explorer.py and scikit-learn's check_estimator
# hold.
ELSEWHERE = {
    "Axis",
    "check",
    "COLOURS",
    "ConjugateGradient",
    "Draw",
    "EstimatedKernel",
    "Explorer",
    "FeatureRidge",
    "Flow",
    "Interval",
    "Kernel",
    "KernelRidge",
    "LeverageFeatures",
    "NormalEquations",
    "NTK",
    "Panel",
    "Perturbation",
    "Question",
    "Run",
    "TwoLayerNet",
    "Which",
    "curves",
    "data",
    "dots",
    "heat",
    "rule",
    "stacked",
}


def refused(call: Call, argument: str, value) -> str | None:
    """Return what is wrong with how the call answers the value, None where it refuses it as it
    should."""
    try:
        result = call.function(**(call.good | {argument: value}))
    except (ValueError, TypeError) as error:
        said, named = str(error), call.says.get(argument, argument)
        return (
            None
            if re.search(rf"(?<![A-Za-z_])({named})(?![A-Za-z_])", said)
            else f"the message says {said!r}"
        )
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"it returned {result!r}"


@st.composite
def malformed(draw):
    call, argument = draw(st.sampled_from(ARGUMENTS))
    return call, argument, draw(call.bad[argument])


def test_malformed_arguments_are_refused_by_name():
    tried = []

    @settings(
        max_examples=CALLS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=HealthCheck,
    )
    @given(malformed())
    def refuses(case):
        call, argument, value = case
        tried.append((call.name, argument))
        wrong = refused(call, argument, value)
        assert wrong is None, f"{call.name}({argument}={value!r}): {wrong}"

    refuses()
    assert len(tried) >= 2000
    assert set(tried) == {(call.name, argument) for call, argument in ARGUMENTS}


@pytest.mark.parametrize(
    "call", [call for call in SURFACE if call.works], ids=lambda call: call.name
)
def test_the_good_calls_are_good(call):
    assert call.function(**call.good) is not None


def test_the_surface_is_whole():
    covered = {call.name.split(".")[0].rstrip("()") for call in SURFACE}
    assert set(lv.__all__) - covered <= ELSEWHERE
    for call in SURFACE:
        if inspect.isfunction(call.function) and call.function.__name__ != "<lambda>":
            assert set(call.bad) <= set(inspect.signature(call.function).parameters), call.name


def test_a_function_without_a_door_would_be_caught():
    open_door = Call("open", lambda lam: 1 / (1 + lam), {"lam": 0.1}, {"lam": POSITIVE})
    assert refused(open_door, "lam", -3.0) == "it returned -0.5"
    assert "message" in refused(open_door, "lam", "x")
