"""The door: calls that must fail before work starts, each with the error and the words that it must
say."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import levlib as lv
from levlib.checks import as_points
from tests.oracles import generator

X = torch.eye(3, dtype=torch.float64)
K = lv.NTK().gram(X)
NAN = torch.full((3, 3), float("nan"))
LEV = lv.RidgeLeverage(lv.NTK(), X, 0.1)
PLANE = lv.RidgeLeverage(lv.NTK(), torch.eye(2), 0.1)
PILOT = lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=torch.eye(3))
WAVES = lv.RidgeLeverage(lv.Gaussian(1.0), X, 0.1)
NONE = lv.RidgeLeverage(lv.NTK(), torch.zeros(4, 3), 0.1)
g = generator()
OWN = lv.NTK().estimated(10, 3, generator=g)

CALLS = [
    # points
    (lambda: lv.NTK().gram(NAN), ValueError, "X holds NaN"),
    (lambda: lv.NTK().gram(torch.zeros(0, 3)), ValueError, "X is empty"),
    (lambda: lv.NTK().gram([1.0, 2.0]), ValueError, "write X[:, None]"),
    (lambda: lv.NTK().gram("points"), TypeError, "X must be a tensor or an array"),
    (lambda: lv.NTK().gram([[1.0], [1.0, 2.0]]), TypeError, "X must be a tensor or an array"),
    (lambda: lv.NTK().gram(X, torch.eye(2)), ValueError, "Z must have 3 columns"),
    (lambda: lv.NTK().gram(X * 1j), TypeError, "X must be real"),
    (lambda: lv.NTK().gram(X, X.to("meta")), ValueError, "move one of them with .to(...)"),
    (lambda: lv.NTK().features(X, torch.eye(2)), ValueError, "W must have 3 columns"),
    (lambda: lv.Gaussian(1.0).features(X, NAN), ValueError, "W holds NaN"),
    # kernels
    (lambda: lv.Gaussian(0.0), ValueError, "lengthscale must be positive"),
    (lambda: lv.Gaussian(-1), ValueError, "lengthscale must be positive"),
    (lambda: lv.Gaussian(float("inf")), ValueError, "lengthscale must be positive and finite"),
    (lambda: lv.Gaussian("wide"), TypeError, "lengthscale must be a number"),
    (lambda: lv.Gaussian(1.0, form="phase"), ValueError, "form must be"),
    (lambda: lv.NTK().sample(0, 2, generator=g), ValueError, "m must be at least 1"),
    (lambda: lv.NTK().sample(2, 0, generator=g), ValueError, "d must be at least 1"),
    (lambda: lv.NTK().sample(2.5, 2, generator=g), TypeError, "m must be an integer"),
    (lambda: lv.NTK().sample(2, 2, generator=0), TypeError, "torch.Generator().manual_seed(0)"),
    # leverage
    (lambda: lv.RidgeLeverage("ntk", X, 0.1), TypeError, "kernel must be a levlib Kernel"),
    (lambda: lv.RidgeLeverage(lv.NTK(), X, 0.0), ValueError, "lam must be positive"),
    (lambda: lv.RidgeLeverage(lv.NTK(), X, float("nan")), ValueError, "lam must be positive"),
    (lambda: lv.RidgeLeverage(lv.NTK(), X, None), TypeError, "lam must be a number"),
    (lambda: LEV(torch.eye(2)), ValueError, "W must have 3 columns"),
    (lambda: lv.statistical_dimension(K, -1), ValueError, "lam must be positive"),
    (lambda: lv.statistical_dimension(torch.ones(2, 3), 1), ValueError, "K must be square"),
    (
        lambda: lv.statistical_dimension([[1.0, 2.0], [0.0, 1.0]], 1),
        ValueError,
        "K must be symmetric",
    ),
    (
        lambda: lv.leverage_arcs(LEV),
        ValueError,
        "arcs need the NTK or ArcCosine(0) on data in the plane",
    ),
    (lambda: lv.leverage_grid(PLANE), ValueError, "the grid needs a Gaussian kernel on a line"),
    # sampling
    (lambda: lv.sample(LEV, 5, method="best", generator=g), ValueError, "method must be one of"),
    (
        lambda: lv.sample(LEV, 5, method="arcs", generator=g),
        ValueError,
        "arcs need the NTK or ArcCosine(0)",
    ),
    (lambda: lv.sample(PLANE, 0, method="arcs", generator=g), ValueError, "m must be at least 1"),
    (
        lambda: lv.sample(PLANE, 5, method="arcs", mix=1.0, generator=g),
        ValueError,
        "mix must be in [0, 1)",
    ),
    (
        lambda: lv.sample(PLANE, 5, method="arcs", mix="half", generator=g),
        TypeError,
        "mix must be a number",
    ),
    (lambda: lv.sample(PLANE, 5, method="arcs", pool=9, generator=g), ValueError, "pool goes with"),
    (
        lambda: lv.sample(PLANE, 5, method="pool", pool=4, generator=g),
        ValueError,
        "pool must be at least 5",
    ),
    (
        lambda: lv.sample(PLANE, 5, method="arcs", generator=None),
        TypeError,
        "generator must be a torch.Generator",
    ),
    (lambda: lv.sample_prior(lv.NTK(), -1, 2, generator=g), ValueError, "m must be at least 1"),
    (lambda: lv.sample(LEV, 5, method=["pool"], generator=g), ValueError, "method must be one of"),
    (
        lambda: lv.sample("lev", 5, method="pool", generator=g),
        TypeError,
        "lev must be a RidgeLeverage",
    ),
    (
        lambda: lv.sample(LEV, 5, method="pool", sweeps=3, generator=g),
        ValueError,
        'sweeps goes with method="gibbs"',
    ),
    (
        lambda: lv.sample(LEV, 5, method="gibbs", budget=3, generator=g),
        ValueError,
        'budget goes with method="rejec',
    ),
    (
        lambda: lv.sample(LEV, 5, method="gibbs", sweeps=0, generator=g),
        ValueError,
        "sweeps must be at least 1",
    ),
    (
        lambda: lv.sample(LEV, 5, method="gibbs", sweeps=1.5, generator=g),
        TypeError,
        "sweeps must be an integer",
    ),
    (
        lambda: lv.sample(WAVES, 5, method="gibbs", generator=g),
        ValueError,
        "NTK or ArcCosine(0), got that of Gaussian",
    ),
    (
        lambda: lv.sample(PILOT, 5, method="gibbs", generator=g),
        ValueError,
        'NTK() with a pilot; use method="pool"',
    ),
    (lambda: lv.sample(NONE, 5, method="gibbs", generator=g), ValueError, "every row of X is zero"),
    (
        lambda: lv.sample(NONE, 5, method="rejection", generator=g),
        ValueError,
        "every row of X is zero",
    ),
    (
        lambda: lv.sample(NONE, 5, method="pool", generator=g),
        ValueError,
        "none of 500 prior weights has any leverage",
    ),
    (
        lambda: lv.sample(LEV, 5, method="rejection", budget=2, generator=g),
        ValueError,
        "over budget=2; raise it",
    ),
    (lambda: lv.rejection_bound(PILOT), ValueError, "a bound needs the exact leverage"),
    (
        lambda: lv.rejection_bound(lv.RidgeLeverage(OWN, X, 0.1)),
        ValueError,
        'has no known bound; use method="pool"',
    ),
    # pilots
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=torch.eye(2)),
        ValueError,
        "pilot must have 3 columns",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot="W0"),
        TypeError,
        "pilot must be a tensor or an array",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=lv.Draw(X, -X[0])),
        ValueError,
        "pilot.ratio must hold",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=lv.Draw(X, X[0, :1])),
        ValueError,
        "for each of the 3 weights",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, margin=0.5),
        ValueError,
        "margin goes with a pilot",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=X, margin=-1),
        ValueError,
        "margin must be finite and >= 0",
    ),
    (
        lambda: lv.RidgeLeverage(lv.NTK(), X, 0.1, pilot=X, margin="x"),
        TypeError,
        "margin must be a number",
    ),
    (lambda: PILOT.K, AttributeError, "a leverage with a pilot forms no K"),
    # rows and points
    (lambda: lv.leverage_scores(NAN), ValueError, "A holds NaN"),
    (lambda: lv.leverage_scores([1.0]), ValueError, "A must have 2 dimensions"),
    (lambda: lv.leverage_scores(X, sketch=2, generator=g), ValueError, "sketch must be at least 3"),
    (lambda: lv.leverage_scores(X, sketch=4), TypeError, "generator must be a torch.Generator"),
    (
        lambda: lv.leverage_scores(X, project=4, generator=g),
        ValueError,
        "project and generator go with sketch",
    ),
    (
        lambda: lv.leverage_scores(X, sketch=4, project=0, generator=g),
        ValueError,
        "project must be at least 1",
    ),
    (lambda: lv.coherence(torch.zeros(0, 2)), ValueError, "A is empty"),
    (lambda: lv.ridge_leverage_scores(K, 0), ValueError, "lam must be positive"),
    (lambda: lv.ridge_leverage_scores(K[:2], 1), ValueError, "K must be square"),
    (lambda: lv.ridge_leverage_scores(-K, 0.1), ValueError, "not positive definite"),
    (
        lambda: lv.recursive_nystrom(lv.NTK(), X, 0.1, 4, generator=g),
        ValueError,
        "s must be at most",
    ),
    (
        lambda: lv.recursive_nystrom(lv.NTK(), X, 0.1, 0, generator=g),
        ValueError,
        "s must be at least 1",
    ),
    (
        lambda: lv.recursive_nystrom(lv.NTK(), X, 0, 2, generator=g),
        ValueError,
        "lam must be positive",
    ),
    (
        lambda: lv.recursive_nystrom("ntk", X, 0.1, 2, generator=g),
        TypeError,
        "kernel must be a levlib Kernel",
    ),
    (
        lambda: lv.recursive_nystrom(lv.NTK(), X, 0.1, 2, generator=1),
        TypeError,
        "generator must be a torch.Generator",
    ),
    # features
    (
        lambda: lv.modified_features(lv.NTK(), X, lv.Draw(X, torch.inf * torch.ones(3))),
        ValueError,
        "draw.ratio holds",
    ),
    (
        lambda: lv.modified_features(lv.NTK(), X, lv.Draw(K[:2, :2], K[0, :2])),
        ValueError,
        "W must have 3 columns",
    ),
    (lambda: lv.sandwich_epsilon(torch.ones(2, 4), K, 0.1), ValueError, "one row for each point"),
    (lambda: lv.sandwich_epsilon(X, K, 0), ValueError, "lam must be positive"),
    (lambda: lv.required_features(0.6, 0.1, 5, 5), ValueError, "epsilon must be in (0, 0.5]"),
    (lambda: lv.required_features(0.5, 0, 5, 5), ValueError, "delta must be in (0, 1]"),
    (lambda: lv.required_features(0.5, 0.1, 4, 5), ValueError, "s_q must be at least s_lam"),
    (lambda: lv.required_features(0.5, 0.1, 5, 0.5), ValueError, "s_lam must be more than 1/2"),
    # ridge regression
    (
        lambda: lv.solve_krr(K, [1.0, 2.0], 0.1),
        ValueError,
        "Y must have one row for each of the 3 points",
    ),
    (lambda: lv.solve_krr(K, [1.0, 2.0, np.nan], 0.1), ValueError, "Y holds NaN"),
    (lambda: lv.solve_krr(K, torch.ones(3), 0), ValueError, "lam must be positive"),
    (lambda: lv.solve_krr(K, torch.ones(3), []), ValueError, "lam is empty"),
    (lambda: lv.solve_krr(K, torch.ones(3), [0.1, -1.0]), ValueError, "lam must be positive"),
    (lambda: lv.solve_krr(K, torch.ones(3), [0.1, "x"]), TypeError, "lam must be a number"),
    (lambda: lv.solve_krr(K, torch.ones(3), torch.ones(2, 2)), TypeError, "lam must be a number"),
    (lambda: lv.solve_krr(K, torch.ones(3) * 1j, 0.1), TypeError, "Y must be real where K is real"),
    (
        lambda: lv.leave_one_out(K, torch.ones(2), 0.1),
        ValueError,
        "Y must have one row for each of the 3 points",
    ),
    (lambda: lv.leave_one_out(K[:2], torch.ones(2), 0.1), ValueError, "K must be square"),
    (lambda: lv.leave_one_out(K, torch.ones(3), "0.1 x"), TypeError, "lam must be a number"),
    (lambda: lv.NormalEquations().solve(0.1), ValueError, "call update with at least one chunk"),
    (lambda: lv.NormalEquations().update(X, X[0]).solve([]), ValueError, "lam is empty"),
    (
        lambda: lv.NormalEquations().update(X, [1.0]),
        ValueError,
        "Y must have one row for each of the 3 points of Psi",
    ),
    (lambda: lv.NormalEquations().update(X, X * 1j), TypeError, "Y must be real where Psi is real"),
    (lambda: lv.NormalEquations().update(NAN, X), ValueError, "Psi holds NaN"),
    (lambda: lv.NormalEquations().merge(3), TypeError, "other must be NormalEquations"),
    (
        lambda: lv.solve_krr_cg(K, torch.ones(2), 0.1),
        ValueError,
        "Y must have one row for each of the 3 points of K",
    ),
    (lambda: lv.solve_krr_cg(K, torch.ones(3), 0), ValueError, "lam must be positive"),
    (lambda: lv.solve_krr_cg(K, torch.ones(3), 0.1, tol=0), ValueError, "tol must be in (0, 1]"),
    (
        lambda: lv.solve_krr_cg(K, torch.ones(3), 0.1, max_iter=0),
        ValueError,
        "max_iter must be at least 1",
    ),
    (
        lambda: lv.solve_krr_cg(K, torch.ones(3), 0.1, Psi=X[:2]),
        ValueError,
        "Psi must have one row for each of the 3",
    ),
    (
        lambda: lv.solve_krr_cg(K - X, torch.ones(3), 0.1),
        ValueError,
        "K + 0.1 I is not positive definite",
    ),
    (lambda: lv.solve_krr_cg("K", torch.ones(3), 0.1), TypeError, "K must be a tensor or an array"),
    (
        lambda: lv.solve_krr_cg(lambda V: V[:2], torch.ones(3), 0.1),
        ValueError,
        "K(V) must be real and have the shape",
    ),
    (
        lambda: lv.solve_krr_cg(lambda V: V / 0, torch.ones(3), 0.1),
        ValueError,
        "K(V) holds NaN or infinity",
    ),
    (lambda: lv.solve_krr_cg(lambda V: V, torch.ones(3) * 1j, 0.1), TypeError, "Y must be real"),
    (lambda: lv.gram_matvec("ntk", X), TypeError, "kernel must be a levlib Kernel"),
    (lambda: lv.gram_matvec(lv.NTK(), NAN), ValueError, "X holds NaN"),
    (
        lambda: lv.gram_matvec(lv.NTK(), X)(torch.ones(2)),
        ValueError,
        "V must have one row for each of the 3 points",
    ),
    # verification
    (lambda: lv.success_rate(3, 2), ValueError, "successes must be at most trials"),
    (lambda: lv.success_rate(-1, 2), ValueError, "successes must be at least 0"),
    (
        lambda: lv.slope([1.0, 2.0], [[1.0, 0.0]], generator=g),
        ValueError,
        "errors must be positive",
    ),
    (lambda: lv.slope([1.0], [[1.0]], generator=g), ValueError, "at least two"),
    (
        lambda: lv.median_interval([1.0] * 5),
        ValueError,
        "at least 6 for a confidence of 0.95, got 5",
    ),
    (lambda: lv.median_interval([1.0] * 7, 0.99), ValueError, "values must be at least 8"),
    (lambda: lv.median_interval([1.0] * 9, 1), ValueError, "confidence must be in (0, 1)"),
    (lambda: lv.median_interval([[1.0] * 9]), ValueError, "values must have 1 dimensions"),
    # data
    (lambda: lv.data.sphere(0, 2, generator=g), ValueError, "n must be at least 1"),
    (lambda: lv.data.close_pair(5, 1, 0.1, generator=g), ValueError, "d must be at least 2"),
    (lambda: lv.data.close_pair(5, 2, 4.0, generator=g), ValueError, "delta must be in"),
    (lambda: lv.data.bumpy(1, generator=g), ValueError, "n must be at least 2"),
    (lambda: lv.data.bumpy(9, -0.1, generator=g), ValueError, "noise must be finite and >= 0"),
    (lambda: lv.data.clustered_circle(5, 5, 0, generator=g), ValueError, "width must be in"),
    (lambda: lv.nothing, AttributeError, "no attribute 'nothing'"),
]


@pytest.mark.parametrize(
    "call, error, words", CALLS, ids=[f"{i}-{c[2][:30]}" for i, c in enumerate(CALLS)]
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


def test_a_number_too_large_for_the_precision_of_the_data_is_refused():
    with pytest.raises(ValueError, match=r"Y holds NaN or infinity in torch\.float32"):
        lv.solve_krr(torch.eye(2), [1e300, 1.0], 0.1)


@pytest.mark.filterwarnings("error")
def test_arrays_that_torch_dislikes_are_taken():
    array = np.arange(6.0).reshape(3, 2)
    frozen = array.copy()
    frozen.flags.writeable = False
    for same in (
        array[::-1][::-1],
        frozen,
        array.astype(">f8"),
        np.asfortranarray(array),
        array.tolist(),
    ):
        assert torch.equal(as_points(same, "X"), torch.as_tensor(array))
    assert torch.equal(as_points(array[::-1], "X"), torch.as_tensor(array).flip(0))


def test_asymmetry_anywhere_in_a_large_matrix_is_seen():
    K = torch.eye(700, dtype=torch.float64)  # several blocks of the check
    for i, j in ((0, 699), (699, 0), (350, 349), (349, 350)):
        K[i, j] = 1e-9
        with pytest.raises(ValueError, match="K must be symmetric"):
            lv.solve_krr(K, torch.ones(700), 0.1)
        K[i, j] = 0


def test_single_precision_that_runs_out_says_so():
    X = torch.linspace(0, 1, 50)[:, None]
    with pytest.raises(ValueError, match="use float64 or a larger lam"):
        lv.RidgeLeverage(lv.Gaussian(1.0), X.float(), 1e-12)


@pytest.mark.parametrize("one", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5), 0.5])
def test_every_number_takes_the_same_scalars(one):
    assert torch.equal(
        lv.data.bumpy(5, one, generator=generator())[1],
        lv.data.bumpy(5, 0.5, generator=generator())[1],
    )
    draws = [
        lv.sample(PLANE, 5, method="arcs", mix=mix, generator=generator()) for mix in (one, 0.5)
    ]
    assert torch.allclose(draws[0].W, draws[1].W, rtol=1e-12)
    assert lv.RidgeLeverage(lv.NTK(), X, one).lam == 0.5
    for text in ("0.5", True, None):
        with pytest.raises(TypeError, match="noise must be a number"):
            lv.data.bumpy(5, text, generator=generator())


def test_importing_levlib_needs_neither_jupyter_nor_pictures_nor_statistics():
    heavy = {"altair", "anywidget", "IPython", "matplotlib", "sklearn", "scipy"}
    code = f"import sys, levlib; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
