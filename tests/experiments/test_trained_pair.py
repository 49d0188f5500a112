"""The study of the trained pair: a tiny run resumes, and its rows mean what they say."""

import json
import math
from statistics import median

import pytest
import torch

import levlib as lv
from experiments import pair_cases
from experiments import trained_pair as study


def tiny() -> pair_cases.Case:
    return pair_cases.Case(
        "tiny", pair_cases.three_points, pair_cases.circle_labels, 0.01, seeds=2, most=256
    )


def test_the_last_two_points_of_each_case_are_the_closest_pair():
    for case in pair_cases.cases():
        X, Y = case.data("cpu")
        assert torch.allclose(X.norm(dim=1), torch.ones(len(X), dtype=X.dtype))
        cosine = (X @ X.T).fill_diagonal_(-1)
        closest = cosine[-2, -1]
        assert closest >= cosine.max() - 1e-12, case.name
        difference = (Y[-2] - Y[-1]).abs()
        assert (difference < 0.2) if case.pair == "smooth" else (difference > 1), case.name


def test_the_wedge_has_the_measure_of_its_angle_and_more_of_the_leverage():
    lev = lv.RidgeLeverage(study.NTK, pair_cases.three_points(), 1e-3)
    r_max, p_w, q_w = study.wedge(lev)
    assert p_w == pytest.approx(0.1 / math.pi, abs=5 * math.sqrt(0.1 / math.pi / 10**6))
    edges, values = lv.leverage_arcs(lev)
    assert r_max == pytest.approx(values.max().item(), rel=1e-9)
    middle = (edges[1:] + edges[:-1]) / 2
    inside = study.separates(torch.stack([middle.cos(), middle.sin()], 1), lev.X)
    exact = (values * edges.diff() * inside).sum() / (2 * math.pi * lev.s_lam)
    assert q_w == pytest.approx(exact.item(), abs=0.01) and q_w > 5 * p_w


def test_an_interrupted_study_resumes_to_the_same_runs(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert study.measure([tiny()], 256, "cpu", whole) == 8
    ran, run = [], study.run

    def stopped(problem, job):
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(job)
        return run(problem, job)

    monkeypatch.setattr(study, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        study.measure([tiny()], 256, "cpu", parts)
    monkeypatch.setattr(study, "run", run)
    assert study.measure([tiny()], 256, "cpu", parts) == 5
    assert study.measure([tiny()], 256, "cpu", parts) == 0
    names = [f"{folder}/trained_pair.json" for folder in (whole, parts)]
    one, other = (json.loads(open(name, encoding="utf-8").read())["rows"][0] for name in names)
    assert len(one["runs"]) == len(other["runs"]) == 8
    for a, b in zip(one["runs"], other["runs"], strict=True):
        assert a.keys() == b.keys() and a["error"] == pytest.approx(b["error"], rel=1e-6)


def test_a_law_is_tried_by_the_mean_leverage_of_the_wedge_where_that_is_not_the_largest():
    case = pair_cases.Case("one", pair_cases.three_points, pair_cases.circle_labels, 0.01, law=True)
    row = {"gain": 3.0, "q_w": 0.2, "p_w": 0.1}
    wide = {(job.kind, job.m) for job in study.jobs(case, row, 4096) if job.kind in study.MATCHES}
    assert wide == {("matched", 3072), ("wedge", 2048)}
    same = study.jobs(case, row | {"gain": 2.1}, 4096)
    assert {job.kind for job in same} & set(study.MATCHES) == {"matched"}


def test_a_run_says_how_much_of_the_pair_is_learned():
    problem = study.Problem.of(tiny(), "cpu")
    narrow, wide = (
        study.run(problem, study.Job("gaussian", m, 0, *pair_cases.CURED)) for m in (16, 16384)
    )
    assert narrow["learned"] < 0.4 < wide["learned"] < 1 and wide["error"] < narrow["error"]
    assert 0 <= wide["stay"] <= 1 and wide["wedge"] > 50 * max(1, narrow["wedge"]) / 10


def test_the_chosen_runs_are_those_of_one_kind_width_setting_and_step():
    row = {
        "runs": [
            vars(study.Job("gaussian", 256, s, *pair_cases.PAPER, step))
            for s in (1, 0)
            for step in (1, 3)
        ]
    }
    assert [each["seed"] for each in study.chosen(row, "gaussian", 256)] == [0, 1]
    assert not study.chosen(row, "leverage", 256)


# ---- the committed study


@pytest.fixture(scope="module")
def committed():
    return json.loads((study.RESULTS / "trained_pair.json").read_text(encoding="utf-8"))


def ratios(row, m, setting):
    """The median Gaussian error over the median leverage error."""
    errors = [
        [one["error"] for one in study.chosen(row, kind, m, setting)]
        for kind in ("gaussian", "leverage")
    ]
    assert all(len(each) >= 5 for each in errors)
    return median(errors[0]) / median(errors[1])


def test_the_committed_study_says_where_it_comes_from_and_has_all_cases(committed):
    assert committed["script"] == "experiments/trained_pair.py"
    assert all(committed[key] for key in ("date", "device", "versions", "python"))
    assert committed["commit"] not in ("", "unknown") and "dirty" not in committed["commit"]
    assert [row["name"] for row in committed["rows"]] == [case.name for case in pair_cases.cases()]


def test_the_gain_of_each_opposed_pair_grows_with_the_width(committed):
    for row in committed["rows"]:
        if row["pair"] == "smooth":
            continue
        narrow, wide = (ratios(row, m, pair_cases.CURED) for m in (256, 16384))
        assert wide > max(1.1, narrow), row["name"]


def test_the_error_on_three_points_is_halved_at_the_width_that_the_page_names(committed):
    assert ratios(committed["rows"][0], 65536, pair_cases.PAPER) > 2


def test_the_wedge_says_no_more_than_the_proposition_allows(committed):
    """E sum |o_r| |P w_r| over the wedge, by a million weights, against sqrt(2 m p_w q_w) for
    m = 1: five standard errors of a mean with variance under 2 p_w would be 0.002."""
    lev = lv.RidgeLeverage(study.NTK, pair_cases.three_points(), 1e-3)
    W = study.NTK.sample(10**6, 2, generator=study.seeded(5))
    inside = study.separates(W, lev.X)
    said = ((lev(W) / lev.s_lam).sqrt() * W.norm(dim=1) * inside).mean().item()
    _, p_w, q_w = study.wedge(lev)
    assert 0.8 * math.sqrt(2 * p_w * q_w) < said < math.sqrt(2 * p_w * q_w)
