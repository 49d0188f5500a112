"""Intervals: coverage of the success rate, and slopes that are known."""

import pytest
import torch
from scipy.stats import binom

import levlib as lv
from tests.oracles import generator


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.97])
def test_clopper_pearson_covers_at_every_rate(rate):
    """Exact coverage by summing the binomial: at least 95 % whatever the rate (the normal interval
    fails at 0.02)."""
    inside = [rate in lv.success_rate(k, 40) for k in range(41)]
    assert sum(binom.pmf(k, 40, rate) for k in range(41) if inside[k]) >= 0.95


def test_known_interval():
    interval = lv.success_rate(0, 200)
    assert interval.estimate == interval.low == 0 and interval.high == pytest.approx(
        1 - 0.025 ** (1 / 200)
    )
    assert str(lv.success_rate(5, 10, 0.9)) == "0.5 [0.222, 0.778]"


def test_slope_interval_holds_the_truth_and_excludes_a_wrong_one():
    m = torch.tensor([2.0**k for k in range(4, 11)])
    noise = torch.exp(0.3 * torch.randn(40, 7, generator=generator()))
    interval = lv.slope(m, noise * m**-0.5, generator=generator(1))
    assert -0.5 in interval and -0.4 not in interval and -0.6 not in interval
    assert interval.high - interval.low < 0.15


def test_slope_is_exact_without_noise():
    m = torch.tensor([1.0, 3.0, 9.0])
    assert lv.slope(m, 5 / m.repeat(4, 1), generator=generator()).estimate == pytest.approx(-1)
