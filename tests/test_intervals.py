"""Intervals: coverage of success rates and medians, and slopes that are known."""

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


@pytest.mark.parametrize(
    "confidence, n, rank",
    [(0.95, 6, 1), (0.95, 20, 6), (0.95, 21, 6), (0.95, 40, 14), (0.99, 21, 5)],
)
def test_the_median_lies_between_two_order_statistics_with_the_confidence_and_no_closer_two(
    confidence, n, rank
):
    """The k-th and the (n + 1 - k)-th enclose it with probability 1 - 2 P(Binomial(n, 1/2) < k)."""
    values = torch.randperm(n, generator=generator()) + 1
    interval = lv.median_interval(values, confidence)
    assert (interval.estimate, interval.low, interval.high) == ((n + 1) / 2, rank, n + 1 - rank)
    covers = [1 - 2 * binom.cdf(k - 1, n, 0.5) for k in (rank, rank + 1)]
    assert covers[0] >= confidence > covers[1]


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.95, 0.99, 0.999])
def test_the_least_number_of_values_is_the_one_that_the_message_names(confidence):
    least = next(n for n in range(1, 20) if 1 - 2 * 0.5**n >= confidence)
    with pytest.raises(ValueError, match=f"values must be at least {least} for a confidence of"):
        lv.median_interval(torch.arange(least - 1.0), confidence)
    interval = lv.median_interval(torch.arange(float(least)), confidence)
    assert (interval.low, interval.high) == (0, least - 1)


def test_slope_interval_holds_the_truth_and_excludes_a_wrong_one():
    m = torch.tensor([2.0**k for k in range(4, 11)])
    noise = torch.exp(0.3 * torch.randn(40, 7, generator=generator()))
    interval = lv.slope(m, noise * m**-0.5, generator=generator(1))
    assert -0.5 in interval and -0.4 not in interval and -0.6 not in interval
    assert interval.high - interval.low < 0.15


def test_slope_is_exact_without_noise():
    m = torch.tensor([1.0, 3.0, 9.0])
    assert lv.slope(m, 5 / m.repeat(4, 1), generator=generator()).estimate == pytest.approx(-1)
