"""The committed results of long runs: whole, and reproduced by a tiny run that resumes after an
interruption."""

import json
import math
from pathlib import Path

import pytest
import torch

import levlib as lv
from experiments import counts as counting
from experiments import feature_counts, leverage_map, record, wide

FOLDER = Path(__file__).resolve().parents[2] / "experiments"


def stored(name: str) -> dict:
    return json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def committed():
    return stored("feature_counts")


def schema(value):
    """The shape of a result: the keys of each dict, the schema of a list's first item, and the kind
    of a leaf."""
    if isinstance(value, dict):
        return {key: schema(item) for key, item in value.items() if key != "versions"}
    if isinstance(value, list):
        return (
            [schema(item) for item in value[:1]] if value and isinstance(value[0], dict) else "list"
        )
    return "number" if value is None or isinstance(value, int | float) else type(value).__name__


def close(one, two) -> bool:
    """Whether two results are one, but for what sums round: numbers to 1e-6 of themselves."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(close(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(close, one, two))
    if isinstance(one, float):
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)
    return one == two


@pytest.fixture
def tiny():
    points = lv.data.sphere(10, 2, generator=torch.Generator().manual_seed(0))
    table = [
        feature_counts.Case("tiny", "10 at random", lv.NTK(), lambda: points, lam, "arcs")
        for lam in (0.1, 0.01)
    ]
    return table, feature_counts.Effort(seeds=6, trials=10, most=2048)


def test_the_committed_result_says_where_it_comes_from(committed):
    assert committed["script"] == "experiments/feature_counts.py"
    assert all(committed[key] for key in ("date", "processor", "versions", "python"))
    assert committed["commit"] not in ("", "unknown") and "dirty" not in committed["commit"]


def test_the_committed_result_has_all_cases_with_all_draws(committed):
    rows = committed["rows"]
    effort = feature_counts.Effort()
    assert [(row["name"], row["lam"], row["method"]) for row in rows] == [
        (case.name, case.lam, case.method) for case in feature_counts.cases()
    ]
    for row in rows:
        assert (row["seeds"], row["trials"], row["most"]) == (
            effort.seeds,
            effort.trials,
            effort.most,
        )
        assert len(row["plain"]["needed"]) == len(row["leverage"]["needed"]) == effort.seeds
        assert [entry["fraction"] for entry in row["failures"]["rates"]][::2] == [
            2.0**-k for k in range(6, -1, -1)
        ]
        assert row["theorem"] == lv.required_features(
            row["epsilon"], row["delta"], row["s_lam"], row["s_lam"]
        )


def test_the_committed_intervals_hold_their_estimates(committed):
    for row in committed["rows"]:
        for part in (row["plain"], row["leverage"]):
            assert part["low"] <= part["median"] <= part["high"]
            assert ("median" in part["at_least"]) == (
                part["median"] == part["most"] and None in part["needed"]
            )
        assert row["ratio"]["low"] <= row["ratio"]["ratio"] <= row["ratio"]["high"]
        assert all(
            entry["low"] <= entry["rate"] <= entry["high"] for entry in row["failures"]["rates"]
        )
        ends = row["failures"]["sufficient"]
        assert ends["low"] <= ends["m"] <= ends["high"] <= row["theorem"]


def test_the_theorem_holds_in_each_case_of_the_committed_result(committed):
    """At delta = 0.1 and 200 trials, the low end of a right count exceeds delta with probability
    below 2.5 %."""
    for row in committed["rows"]:
        last = row["failures"]["rates"][-1]
        assert last["m"] == row["theorem"] and last["low"] <= row["delta"]


def test_the_data_of_each_case_are_those_of_the_committed_result(committed):
    for case, row in zip(feature_counts.cases(), committed["rows"], strict=True):
        assert math.isclose(case.leverage().s_lam, row["s_lam"], rel_tol=1e-6)


def test_a_tiny_run_has_the_schema_of_the_committed_result(tiny, tmp_path, committed):
    table, effort = tiny
    assert feature_counts.measure(table, effort, tmp_path) == 6
    made = json.loads((tmp_path / "feature_counts.json").read_text(encoding="utf-8"))
    assert schema(made) == schema(committed)
    assert len(made["rows"]) == 2


def test_an_interrupted_run_resumes_and_a_finished_one_computes_nothing(
    tiny, tmp_path, monkeypatch
):
    table, effort = tiny
    ran = []
    run_part = feature_counts.run_part

    def stopped(part, case, *rest):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(part)
        return run_part(part, case, *rest)

    monkeypatch.setattr(feature_counts, "run_part", stopped)
    with pytest.raises(KeyboardInterrupt):
        feature_counts.measure(table, effort, tmp_path)
    monkeypatch.setattr(feature_counts, "run_part", run_part)
    assert feature_counts.measure(table, effort, tmp_path) == 4
    whole = (tmp_path / "feature_counts.json").read_bytes()
    assert feature_counts.measure(table, effort, tmp_path) == 0
    assert (tmp_path / "feature_counts.json").read_bytes() == whole
    rows = json.loads(whole)["rows"]
    assert feature_counts.measure(table, effort, tmp_path, fresh=True) == 6
    assert close(json.loads((tmp_path / "feature_counts.json").read_bytes())["rows"], rows)
    assert (
        feature_counts.measure(
            table, feature_counts.Effort(seeds=7, trials=10, most=2048), tmp_path
        )
        == 6
    )


def test_holds_is_the_sandwich_of_each_prefix():
    X = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    lev = lv.RidgeLeverage(lv.Gaussian(0.2), X, 0.01)
    draw = lv.sample(lev, 1000, method="grid", generator=torch.Generator().manual_seed(0))
    counts = counting.counts_to(1000)
    epsilons = []
    for m in counts:
        Psi = lv.modified_features(lev.kernel, X, lv.Draw(draw.W[:m], draw.ratio[:m]))
        epsilons.append(lv.sandwich_epsilon(Psi, lev.K, lev.lam))
    held = list(counting.holds(lev, draw, counts))
    assert held == [epsilon <= counting.EPSILON for epsilon in epsilons] and len(set(held)) == 2


def test_needed_is_the_first_count_from_which_all_hold():
    counts = counting.counts_to(370_728)
    assert counts[0] == 8 and counts[-1] == 370_728 and len(counts) == 32
    assert counting.needed(iter([True, False, True]), counts[:3]) == 16
    assert counting.needed(iter([True, True, False]), counts[:3]) is None
    assert (
        counting.needed(iter([True] * 7 + [False] * 25), counts) == 8
    )  # nothing is asked after seven in a row


def test_the_median_interval_is_exact_and_marks_what_is_censored():
    """For 21 values the ends are the 6th and the 16th: P(Binomial(21, 1/2) < 6) = 0.0133, for the
    7th 0.039."""
    part = counting.median_interval(list(range(1, 22)), 100)
    assert (part["median"], part["low"], part["high"], part["at_least"]) == (11, 6, 16, [])
    assert part["needed"] == list(range(1, 22)) and part["most"] == 100
    part = counting.median_interval([*range(1, 16), *[None] * 6], 100)
    assert (part["median"], part["low"], part["high"], part["at_least"]) == (11, 6, 100, ["high"])


def test_the_count_that_suffices_has_no_failing_count_above_it():
    rows = [{"m": m, "rate": rate} for m, rate in [(1, 0.0), (2, 0.3), (4, 0.1), (8, 0.05)]]
    assert feature_counts.smallest_within(rows, "rate") == 4
    assert feature_counts.smallest_within([*rows, {"m": 16, "rate": 0.2}], "rate") is None


# ---- wide nets


def test_the_committed_sweep_of_wide_nets_is_whole():
    result = stored("wide")
    assert result["script"] == "experiments/wide.py" and all(
        result[key] for key in ("date", "device", "versions", "python")
    )
    assert result["commit"] not in ("", "unknown") and "dirty" not in result["commit"]
    widths = [4**k for k in range(3, 9 if result["device"] == result["processor"] else 12)]
    wanted = {(kind, m, seed) for kind in wide.KINDS for m in widths for seed in range(5)}
    for case, row in zip(wide.cases(), result["rows"], strict=True):
        assert (row["name"], row["lam"], row["device"]) == (case.name, case.lam, result["device"])
        assert {(run["kind"], run["m"], run["seed"]) for run in row["runs"]} == wanted
        problem = wide.Problem.of(case, "cpu")
        for ours, theirs in (
            (problem.lev.s_lam, "s_lam"),
            (problem.T, "T"),
            (problem.Lambda_0, "Lambda_0"),
        ):
            assert math.isclose(ours, row[theirs], rel_tol=1e-6)


@pytest.fixture
def narrow(tmp_path):
    """A call that measures two tiny cases into tmp_path and returns how many runs it did."""
    table = [
        wide.Case("sphere", 0.05, n=12, d=3),
        wide.Case("pairs", 1e-3, delta=0.05, twins=2, n=12, d=3),
    ]
    return lambda widths=(16, 64), seeds=2, **more: wide.measure(
        table, widths, seeds, "cpu", tmp_path, **more
    )


def timeless(path):
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row | {"runs": [{**run, "step_s": None} for run in row["runs"]]} for row in rows]


def test_an_interrupted_sweep_of_wide_nets_resumes_to_the_same_numbers(
    narrow, tmp_path, monkeypatch
):
    ran = []
    run = wide.run

    def stopped(*one):
        if len(ran) == 5:
            raise KeyboardInterrupt
        ran.append(one)
        return run(*one)

    monkeypatch.setattr(wide, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        narrow()
    assert sum(len(row["runs"]) for row in timeless(tmp_path / "wide.json")) == 5
    monkeypatch.setattr(wide, "run", run)
    assert narrow() == 11 and narrow() == 0
    resumed = timeless(tmp_path / "wide.json")
    assert narrow(fresh=True) == 16
    assert close(timeless(tmp_path / "wide.json"), resumed)
    assert narrow(widths=(16, 64, 256)) == 8 and narrow(seeds=3) == 8
    assert not list(tmp_path.glob("*.tmp"))


def test_a_run_of_a_wide_net_holds_what_its_names_say():
    case = wide.Case("sphere", 0.05, n=12, d=3)
    problem = wide.Problem.of(case, "cpu")
    found = wide.run(problem, "leverage", 64, 1)
    g = torch.Generator().manual_seed(1000 + 7)
    draw = wide.draw(problem, "leverage", 64, g)
    net = lv.TwoLayerNet.from_draw(draw, generator=g)
    X = problem.lev.X
    K = problem.lev.K
    Y = problem.Y
    Psi = lv.modified_features(lv.NTK(), X, draw)
    u_0 = net(X)
    assert found["epsilon"] == pytest.approx(lv.sandwich_epsilon(Psi, K, 0.05))
    away = torch.linalg.matrix_norm(Psi @ Psi.T - K, 2) / torch.linalg.matrix_norm(K, 2)
    assert found["kernel"] == pytest.approx(float(away))
    u_star = lv.ntk_ridge(K, Y, 0.05)
    assert found["linear"] == pytest.approx(
        float((lv.ntk_ridge(Psi @ Psi.T, Y, 0.05) - u_star).norm())
    )
    ntk, still = (lv.frozen_flow(H, Y, 0.05, [problem.T], u0=u_0).u[0] for H in (K, Psi @ Psi.T))
    u = lv.train(net, X, Y, 0.05, time=problem.T).predictions[-1]
    assert found["error"] == pytest.approx(float((u - u_star).norm()))
    assert found["initialization"] == pytest.approx(float((still - ntk).norm()))
    assert found["training"] == pytest.approx(float((u - still).norm()))


def test_twins_stand_at_their_angle_and_share_their_labels():
    X, Y = wide.Case("pairs", 1e-3, delta=0.01, twins=3, n=20, d=5).data("cpu")
    assert torch.allclose(
        2 * ((X[:3] - X[-3:]).norm(dim=1) / 2).asin(), torch.full((3,), 0.01, dtype=X.dtype)
    )
    assert torch.allclose(X.norm(dim=1), torch.ones(20, dtype=X.dtype))
    assert (Y[:3] - Y[-3:]).abs().max() < 0.01 * 3 * 5**0.5


def test_a_result_names_the_device_only_where_it_is_asked(tmp_path):
    named = json.loads(record.write_result("a", [], tmp_path, "cpu").read_text(encoding="utf-8"))
    assert named["device"] == named["processor"] == record.processor()
    assert "device" not in json.loads(
        record.write_result("b", [], tmp_path).read_text(encoding="utf-8")
    )


# ---- the map


@pytest.fixture(scope="module")
def committed_map():
    return stored("leverage_map")


@pytest.fixture
def tiny_map():
    return [("circle", 0.1, 1.0), ("sphere", 0.1, 1.0)], leverage_map.Effort(
        seeds=6, most=2048, net_seeds=6, units=(16,)
    )


def test_the_committed_map_is_whole_and_says_where_it_comes_from(committed_map):
    assert committed_map["script"] == "experiments/leverage_map.py"
    assert committed_map["commit"] not in ("", "unknown") and "dirty" not in committed_map["commit"]
    cells = committed_map["rows"]
    effort = leverage_map.Effort()
    assert [(cell["data"], cell["delta"], cell["lam"]) for cell in cells] == leverage_map.the_map()
    for cell in cells:
        assert (cell["seeds"], cell["most"], cell["net_seeds"]) == (
            effort.seeds,
            effort.most,
            effort.net_seeds,
        )
        assert [(net["m"], net["labels"]) for net in cell["nets"]] == [
            (m, name) for m in effort.units for name in ("smooth", "opposed")
        ]


def test_the_intervals_of_the_committed_map_hold_their_estimates(committed_map):
    for cell in committed_map["rows"]:
        found = cell["features"]
        for part in (
            found["plain"],
            found["leverage"],
            *(net[w][s] for net in cell["nets"] for w, s in KINDS),
        ):
            assert part["low"] <= part["median"] <= part["high"]
        for ratio in (
            found["ratio"],
            *(net[what]["ratio"] for net in cell["nets"] for what in ("trained", "start")),
        ):
            assert ratio["low"] <= ratio["ratio"] <= ratio["high"]


KINDS = [(what, start) for what in ("trained", "start") for start in ("plain", "leverage")]


def test_the_data_of_the_map_are_those_of_the_committed_result(committed_map):
    for cell in committed_map["rows"]:
        X = leverage_map.DATA[cell["data"]][0](cell["delta"])
        assert X.shape == (cell["n"], cell["d"])
        angle = 2 * torch.atan2((X[-1] - X[-2]).norm(), (X[-1] + X[-2]).norm())
        assert math.isclose(angle, cell["delta"], rel_tol=1e-9)
        assert math.isclose(
            lv.statistical_dimension(lv.NTK().gram(X), cell["lam"]), cell["s_lam"], rel_tol=1e-6
        )


def test_a_tiny_map_has_the_schema_of_the_committed_one_and_resumes(
    tiny_map, tmp_path, committed_map, monkeypatch
):
    table, effort = tiny_map
    run_cell = leverage_map.run_cell
    ran = []

    def stopped(cell, effort):
        if ran:
            raise KeyboardInterrupt
        ran.append(cell)
        return run_cell(cell, effort)

    monkeypatch.setattr(leverage_map, "run_cell", stopped)
    with pytest.raises(KeyboardInterrupt):
        leverage_map.measure(table, effort, tmp_path)
    monkeypatch.setattr(leverage_map, "run_cell", run_cell)
    assert leverage_map.measure(table, effort, tmp_path) == 1
    whole = (tmp_path / "leverage_map.json").read_bytes()
    assert schema(json.loads(whole)) == schema(committed_map)
    assert leverage_map.measure(table, effort, tmp_path) == 0
    assert (tmp_path / "leverage_map.json").read_bytes() == whole


def test_the_errors_of_a_net_shrink_with_its_width_and_a_resting_kernel_is_a_flow():
    lev = lv.RidgeLeverage(lv.NTK(), leverage_map.sphere(0.1), 0.1)
    Y = leverage_map.labels(lev.X)["smooth"]
    draw = [
        lv.sample(lev, m, method="gibbs", generator=torch.Generator().manual_seed(0))
        for m in (64, 16384)
    ]
    narrow, wide = (leverage_map.errors(lev, drawn, Y, 50.0, 0) for drawn in draw)
    assert all(more > 3 * less for more, less in zip(narrow, wide, strict=True))
