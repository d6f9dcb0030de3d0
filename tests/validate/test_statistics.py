"""From accuracies to a verdict: the interval against SciPy's, its coverage, and every way out."""

from __future__ import annotations

import math
from itertools import starmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spikepipe_sched.validate.statistics import MAX_SEEDS, interval, learned_above, seeds_needed, verdict
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, DataSummary, TrainedRun, Verdict

DATA = DataSummary(name="d", source="", coding="direct", classes=10, train_samples=100, test_samples=10**6, chance=0.1)
SHARES = st.floats(0.2, 1.0)


def trained(arm: str, seed: int, accuracy: float, diverged: bool = False) -> TrainedRun:
    return TrainedRun(arm=arm, seed=seed, rate=0.1, losses=(), accuracies=(accuracy,), diverged_epoch=1 if diverged else None, samples=1, seconds=1.0)


def judged(differences: list[float], margin: float = 1.0, base: float = 90.0, data: DataSummary = DATA) -> Verdict:
    """Of differences in points to a synchronous accuracy in percent."""
    runs = [trained(SYNCHRONOUS, seed, base / 100) for seed in range(len(differences))]
    runs += [trained(DELAYED, seed, (base + difference) / 100) for seed, difference in enumerate(differences)]
    return verdict(runs, data, margin, same=False)


@given(st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=8).filter(lambda pairs: len({a - b for a, b in pairs}) > 1))
@settings(max_examples=50)
def test_the_interval_is_that_of_the_paired_t_test(pairs):
    late, prompt = zip(*pairs, strict=True)
    mean, std, low, high = interval([a - b for a, b in pairs])
    expected = stats.ttest_rel(late, prompt).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)
    assert (mean, std) == pytest.approx((np.mean(late) - np.mean(prompt), np.std(np.subtract(late, prompt), ddof=1)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("count", "resolution"), [(2, 0.0), (5, 0.0), (5, 0.5)])
def test_the_interval_holds_the_truth_in_95_of_100_experiments(count, resolution):
    generator = np.random.default_rng(7)
    drawn = generator.normal(-0.4, 0.8, (3000, count))
    if resolution:
        drawn = np.round(drawn / resolution) * resolution
    found = list(starmap(lambda low, high: low <= -0.4 <= high, (interval(row.tolist(), resolution)[2:] for row in drawn)))
    assert np.mean(found) >= 0.94
    assert resolution or np.mean(found) <= 0.96


def test_few_seeds_that_agree_by_chance_prove_nothing_finer_than_the_test_set():
    assert interval([0.5, 0.5])[2:] == (0.5, 0.5)
    _, std, low, high = interval([0.5, 0.5], 0.3)
    assert std == 0
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 1) * 0.3 / math.sqrt(24))
    coarse = DataSummary(name="d", source="", coding="direct", classes=10, train_samples=100, test_samples=100, chance=0.1)
    assert judged([0.0, 0.0], data=coarse).outcome == "inconclusive"
    assert judged([0.0] * 5, data=coarse).outcome == "no degradation"


@pytest.mark.parametrize(
    ("differences", "outcome", "reason"),
    [
        ([0.1, -0.1, 0.2, -0.2], "no degradation", "a loss of 1 point or more is ruled out"),
        ([-0.5, -0.4, -0.6, -0.5], "no degradation", "there is a loss, but of less than 1 point"),
        ([0.5, 0.4, 0.6, 0.5], "no degradation", "the delays help"),
        ([0.0] * 5, "no degradation", "a loss of 1 point or more is ruled out"),
        ([-5.0, -5.1, -4.9, -5.0], "degraded", "by 5.00 points (4.87 to 5.13), more than 1"),
        ([-1.2, -0.9, -1.1, -1.0], "inconclusive", "there is a loss, but it may be less or more than 1 point"),
        ([-3.0, 2.0, -1.0, 1.0], "inconclusive", "a loss of 1 point is neither shown nor ruled out"),
        ([-0.1], "inconclusive", "one seed gives no interval; at least 2 are needed"),
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(differences, outcome, reason):
    found = judged(differences)
    assert found.outcome == outcome
    assert found.reason.startswith(reason)
    assert found.differences == pytest.approx(differences)
    assert found.mean == pytest.approx(np.mean(differences))


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=6), st.floats(0.1, 3))
@settings(max_examples=80)
def test_no_verdict_but_inconclusive_while_the_margin_is_inside(differences, margin):
    found = judged(differences, margin)
    assert found.low is not None
    assert found.high is not None
    assert (found.outcome == "no degradation") == (found.low > -margin)
    assert (found.outcome == "degraded") == (found.high < -margin)


@given(st.floats(-3, 3), st.floats(0.01, 3), st.integers(2, 10))
@settings(max_examples=60)
def test_so_many_seeds_would_settle_it_and_one_less_would_not(mean, std, have):
    def settled(count: int) -> bool:
        return stats.t.ppf(0.975, count - 1) * std / math.sqrt(count) < abs(mean + 1)

    needed = seeds_needed(mean, std, 1.0, have)
    if needed is None:
        assert not settled(MAX_SEEDS)
    else:
        assert settled(needed)
        assert needed == have + 1 or not settled(needed - 1)


def test_no_difference_is_larger_than_everything():
    found = judged([-79.0, 9.0])
    assert (found.low, found.high) == (-100.0, 100.0)


def test_an_inconclusive_verdict_says_how_many_seeds_would_do():
    found = judged([-3.0, 2.0, -1.0, 1.0])
    assert found.seeds_needed is not None
    assert f"about {found.seeds_needed} seeds would tell" in found.reason
    assert "too close to the margin" in judged([-2.0, 0.0]).reason


def test_delays_that_make_runs_diverge_degrade_whatever_the_interval():
    runs = [trained(SYNCHRONOUS, 0, 0.9), trained(DELAYED, 0, 0.9), trained(SYNCHRONOUS, 1, 0.9), trained(DELAYED, 1, 0.1, diverged=True)]
    found = verdict(runs, DATA, 1.0, same=False)
    assert (found.outcome, found.reason) == ("degraded", "1 of 2 runs diverged with the delays, none without")


def test_runs_that_learn_nothing_with_the_delays_are_named_where_their_spread_leaves_it_open():
    found = judged([0.0, 0.1, -0.1, 0.0, -80.0])
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("1 of 5 runs learned nothing with the delays, all did without; a loss of 1 point is neither shown nor ruled out; ")
    assert "learned nothing" not in judged([-3.0, 2.0, -1.0, 1.0]).reason


def test_a_reference_that_diverged_or_learned_nothing_is_no_yardstick():
    runs = [trained(SYNCHRONOUS, 0, 0.9), trained(DELAYED, 0, 0.9), trained(SYNCHRONOUS, 1, 0.1, diverged=True), trained(DELAYED, 1, 0.1, diverged=True)]
    found = verdict(runs, DATA, 1.0, same=False)
    assert found.outcome == "inconclusive"
    assert "1 of 2 runs diverged without any delays" in found.reason
    found = judged([0.0, 0.0, 0.0], base=10.0)
    assert found.outcome == "inconclusive"
    assert "3 of 3 runs learned nothing without any delays" in found.reason


def test_always_the_same_answer_is_hardly_ever_taken_for_learning():
    data = DataSummary(name="d", source="", coding="direct", classes=10, train_samples=100, test_samples=360, chance=0.1)
    assert stats.binom.sf(math.floor(360 * learned_above(data)), 360, 0.1) < 0.005


def test_missing_runs_leave_it_open_but_pairs_are_compared():
    runs = [trained(SYNCHRONOUS, 0, 0.9), trained(DELAYED, 0, 0.8), trained(SYNCHRONOUS, 1, 0.9)]
    found = verdict(runs, DATA, 1.0, same=False, missing=1)
    assert (found.outcome, found.reason) == ("inconclusive", "1 of 4 runs were not finished")
    assert found.differences == pytest.approx((-10.0,))
    assert verdict([], DATA, 1.0, same=False, missing=4).mean is None


def test_arms_that_are_one_training_differ_by_nothing_even_with_one_seed():
    found = verdict([trained(SYNCHRONOUS, 0, 0.5)], DATA, 1.0, same=True)
    assert (found.outcome, found.differences, found.low, found.high) == ("no degradation", (0.0,), 0.0, 0.0)
