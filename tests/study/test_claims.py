"""Verdicts come from the rows, by rules: each rule is fed rows for both outcomes, and rows that are too few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from spikepipe_sched.importers import load_network
from spikepipe_sched.study.claims import CONVOLUTIONAL, JOURNAL, LAYERPIPE, V1, Claim, Evidence, claims
from spikepipe_sched.study.experiment import FIRST_NETWORKS, NETWORKS, PAPER
from spikepipe_sched.study.outcome import Outcome
from tests.study.made import LENGTH, grid, outcome, trained

#: Every claim by who makes it and how it begins.
SPEED_V1, SPEED_JOURNAL, SPEED_LAYERPIPE = (V1, "1.6 times"), (JOURNAL, "1.7 times"), (LAYERPIPE, "1.25 times")
UP_TO, UP_TO_LAYERPIPE = (V1, "up to 2 "), (LAYERPIPE, "up to 1.8")
TRAFFIC = (LAYERPIPE, "less communication")
SMALL, LARGE = (V1, "no loss"), (V1, "less than 10 %")


def found(evidence: Evidence, which: tuple[str, str]) -> Claim:
    """The one claim of a source that begins so."""
    (claim,) = [claim for claim in claims(evidence) if claim.source.startswith(which[0]) and claim.statement.startswith(which[1])]
    return claim


def overhead(overhead: Callable[[Outcome], float], source: str) -> Claim:
    """The one claim of a source about communication."""
    return found(Evidence(rows=grid(overhead=overhead)), (source, "less than 0.5 %"))


@pytest.mark.parametrize(
    ("which", "speedup", "verdict"),
    [
        (SPEED_V1, 1.56, "holds"),
        (SPEED_V1, 1.54, "does not hold"),
        (SPEED_V1, 2.5, "holds"),
        (SPEED_JOURNAL, 1.66, "holds"),
        (SPEED_JOURNAL, 1.64, "does not hold"),
        (SPEED_LAYERPIPE, 1.26, "holds"),
        (SPEED_LAYERPIPE, 1.24, "does not hold"),
        (UP_TO, 1.96, "holds"),
        (UP_TO, 1.94, "does not hold"),
        (UP_TO_LAYERPIPE, 1.76, "holds"),
        (UP_TO_LAYERPIPE, 1.74, "does not hold"),
    ],
)
def test_speedups_hold_from_what_was_claimed_less_its_rounding_on(which: tuple[str, str], speedup: float, verdict: str) -> None:
    assert found(Evidence(rows=grid(lambda _: speedup)), which).verdict == verdict


def test_the_mean_is_over_networks_and_processors_of_the_claim_alone() -> None:
    fast_on_pipelines = grid(lambda row: 1.0 if row.processors == 1 else 1.6)
    assert found(Evidence(rows=fast_on_pipelines), SPEED_V1).verdict == "holds"
    without_the_fourth = grid(lambda row: 1.6 if row.network in FIRST_NETWORKS else 1.0)
    assert found(Evidence(rows=without_the_fourth), SPEED_V1).verdict == "holds"
    assert found(Evidence(rows=grid(lambda row: 1.8 if row.network in FIRST_NETWORKS else 1.0)), SPEED_JOURNAL).verdict == "does not hold"
    by_others = grid(lambda row: 1.0 if row.solver == PAPER else 3.0)
    assert found(Evidence(rows=by_others), SPEED_V1).verdict == "does not hold"


def test_why_a_mean_is_missed_names_where_it_is_reached_and_what_the_bounds_leave() -> None:
    slow = found(Evidence(rows=grid(lambda row: 1.7 if row.processors == 16 else 1.1)), SPEED_V1)
    assert (slow.verdict, "with 16 processors alone it is reached" in slow.reason) == ("does not hold", True)
    assert "bounds" not in slow.reason  # they leave 3
    capped = found(Evidence(rows=grid(lambda _: 1.1, bound=LENGTH * 10 // 12)), SPEED_V1)
    assert "with no number of processors" in capped.reason
    assert "no schedule that places each task once (unroll = 1) more than 1.20" in capped.reason


@pytest.mark.parametrize(("which", "said"), [(SPEED_V1, "the mean is 2.47"), (UP_TO, "the largest is 4.00")])
def test_what_rests_on_processors_the_baseline_cannot_use_holds_in_part(which: tuple[str, str], said: str) -> None:
    # Stages of two layers use two processors.
    rests = found(Evidence(rows=grid(lambda row: {2: 1.1, 4: 2.0, 8: 2.8}.get(row.processors, 4.0), layers=2)), which)
    assert rests.verdict == "holds in part"
    assert rests.reason.startswith(said)
    cells = 9 if which == SPEED_V1 else 12
    assert f"in the {cells} of {4 * cells} cells with no more arrays than layers it is 1.10, below" in rests.reason
    assert rests.reason.endswith(
        f"rests on arrays that stages leaves idle; on up to 8 arrays the {said.split()[1]} is {'1.97' if which == SPEED_V1 else '2.80'}"
    )
    fair = found(Evidence(rows=grid(lambda _: 2.0, layers=2)), which)
    assert (fair.verdict, "rests" in fair.reason) == ("holds", False)


def test_without_a_cell_that_stages_could_fill_a_claim_holds_in_part() -> None:
    claim = found(Evidence(rows=grid(lambda _: 3.0, layers=2)), UP_TO_LAYERPIPE)
    assert claim.verdict == "holds in part"
    assert "in the 0 of 12 cells with no more arrays than layers there is none" in claim.reason


def test_bounds_are_said_to_be_those_of_schedules_that_place_each_task_once() -> None:
    for which in (SPEED_V1, UP_TO):
        bound = found(Evidence(rows=grid()), which).measured[-1]
        assert bound == "proven bound of schedules that place each task once (unroll = 1): 3.00; unrolled ones can be faster"
    capped = found(Evidence(rows=grid(bound=LENGTH)), UP_TO)
    assert capped.reason.endswith("the proven bounds leave no schedule that places each task once (unroll = 1) more than 1.00")


def test_what_is_measured_shows_both_means_and_every_number_of_processors() -> None:
    spikepipe, auto, _ = found(Evidence(rows=grid(lambda row: row.processors / 2, layers=4)), SPEED_V1).measured
    means = "3.75 (geometric 2.83, 1.00 to 8.00); 1.00 on 2, 2.00 on 4, 4.00 on 8, 8.00 on 16; 1.50 in the 18 cells with no more arrays than layers"
    assert (spikepipe, auto) == (f"spikepipe: {means}", f"auto: {means}")


def test_the_largest_speedup_names_its_cell() -> None:
    rows = grid(lambda row: 2.4 if (row.network, row.array, row.processors) == ("vgg9", "64x64", 8) else row.processors / 4, layers=8)
    claim = found(Evidence(rows=rows), UP_TO)
    fair = "where there are no more arrays than layers 2.40 at most: vgg9 on 8 arrays of 64x64"
    assert claim.measured[0] == f"spikepipe: 4.00 at most: nmnist_mlp on 16 arrays of 16x16; {fair}"


def test_what_layerpipe_claims_is_said_to_be_of_other_networks() -> None:
    for claim in claims(Evidence(rows=grid())):
        assert claim.reason.endswith("on other networks than its paper's, with 8 processors") == (claim.source == LAYERPIPE)


@pytest.mark.parametrize("source", [V1, JOURNAL])
@pytest.mark.parametrize(
    ("share", "readings", "verdict"), [(-0.01, 3, "holds"), (0.001, 2, "holds in part"), (0.0051, 1, "holds in part"), (0.051, 0, "does not hold")]
)
def test_an_overhead_is_read_in_three_ways_and_holds_in_part_by_some(source: str, share: float, readings: int, verdict: str) -> None:
    claim = overhead(lambda _: share, source)
    assert claim.verdict == verdict
    assert claim.reason.startswith(f"by {readings} of 3 readings the claim holds: ")
    assert "errors " in claim.reason


def test_every_reading_of_an_overhead_has_its_line() -> None:
    # 0.1 % of all bytes is a hundredth of the baseline's traffic: 0.99 % of what crosses, 0.01 % of what the buffers see.
    moved, buffers, crossing = overhead(lambda _: 0.001, V1).measured
    assert "read and write: spikepipe +0.10 % on average, median +0.10 %, +0.10 % to +0.10 %, 36 of 36 cells below 0.5 %; auto +0.10 %" in moved
    assert "buffers: spikepipe +0.01 % on average" in buffers
    assert "cross between processors: spikepipe +0.99 % on average, median +0.99 %, +0.99 % to +0.99 %, 0 of 36 cells below 0.5 %" in crossing


def test_the_journal_speaks_of_networks_with_convolutions() -> None:
    assert tuple(name for name in NETWORKS if any(layer.kind == "conv2d" for layer in load_network(name).layers)) == CONVOLUTIONAL
    elsewhere = [overhead(lambda row: 0.0 if row.network in CONVOLUTIONAL else 0.6, source).verdict for source in (JOURNAL, V1)]
    assert elsewhere == ["holds", "does not hold"]


def test_layerpipe_holds_if_fewer_bytes_cross_than_in_pipedream() -> None:
    fewer = found(Evidence(rows=grid(overhead=lambda _: -0.01)), TRAFFIC)
    assert (fewer.verdict, fewer.measured) == ("holds", ("0.90 times the bytes of stages on average, 0.90 to 0.90",))
    assert found(Evidence(rows=grid(overhead=lambda _: 0.01)), TRAFFIC).verdict == "does not hold"
    assert found(Evidence(rows=grid()), TRAFFIC).verdict == "does not hold"  # as many


def test_one_missing_row_leaves_no_verdict_where_it_counts() -> None:
    rows = [
        row
        for row in grid(lambda _: 2.0)
        if (row.outcome.network, row.outcome.solver, row.outcome.processors, row.outcome.array) != ("vgg9", PAPER, 2, "16x16")
    ]
    all_of_paper = [claim for claim in claims(Evidence(rows=rows, trained=trained())) if LAYERPIPE not in claim.source and "accuracy" not in claim.statement]
    assert {claim.verdict for claim in all_of_paper} == {"not enough cells"}
    assert all("1 of " in claim.reason for claim in all_of_paper)
    assert found(Evidence(rows=rows), SPEED_LAYERPIPE).verdict == "holds"


def test_rows_without_a_schedule_count_as_missing() -> None:
    rows = [
        row
        if row.outcome.solver != PAPER
        else replace(row, speedup=None, overhead_moved=None, overhead_buffers=None, overhead_crossing=None, outcome=outcome(solver=PAPER))
        for row in grid(lambda _: 2.0)
    ]
    assert found(Evidence(rows=rows), UP_TO).verdict == "not enough cells"


def test_without_rows_nothing_is_decided() -> None:
    assert {claim.verdict for claim in claims(Evidence(rows=(), trained=()))} == {"not enough cells"}


@pytest.mark.parametrize(
    ("low", "high", "said", "small", "large"),
    [
        (-0.4, 0.3, "no degradation", "holds", "holds"),
        (-4.0, 1.0, "inconclusive", "is undecided", "holds"),
        (-5.0, -2.0, "degraded", "does not hold", "holds"),
        (-14.0, -2.0, "degraded", "does not hold", "is undecided"),
        (-14.0, -11.0, "degraded", "does not hold", "does not hold"),
    ],
)
def test_accuracy_is_not_testable_and_the_substitute_says_what_it_can(low: float, high: float, said, small: str, large: str) -> None:
    evidence = Evidence(rows=(), trained=trained(lambda _: low, lambda _: high, said))
    for which, outcome_of in ((SMALL, small), (LARGE, large)):
        claim = found(evidence, which)
        assert claim.verdict == "not testable here"
        assert claim.reason.endswith(f"the claim {outcome_of} on the substitute")


def test_losses_smaller_than_the_margin_are_counted_beside_the_verdict() -> None:
    some = trained(lambda name: -0.4 if name == "mnist_iir" else -0.3, lambda name: -0.1 if name == "mnist_iir" else 0.3)
    claim = found(Evidence(rows=(), trained=some), SMALL)
    assert "of 24 schedules none is seen to lose 1 point or more, 8 lose less; the claim holds" in claim.reason
    assert "a loss of 1 point or more" in claim.rule
    one = found(Evidence(rows=(), trained=[replace(point, verdict=trained()[0].verdict) if i else point for i, point in enumerate(reversed(some))]), SMALL)
    assert "1 loses less" in one.reason


def test_equal_delays_of_a_substitute_are_counted_once() -> None:
    assert found(Evidence(rows=(), trained=trained()), SMALL).measured[0].endswith("over 24 schedules, with 2 different delays")
    late = [replace(point, staleness=(point.processors, 0)) for point in trained()]
    assert found(Evidence(rows=(), trained=late), SMALL).measured[0].endswith("with 8 different delays")


def test_training_that_is_not_done_leaves_no_verdict_and_none_at_all_is_said() -> None:
    unfinished = [replace(point, missing=1) if point.processors == 16 else point for point in trained()]
    assert {found(Evidence(rows=(), trained=unfinished), which).verdict for which in (SMALL, LARGE)} == {"not enough cells"}
    assert found(Evidence(rows=(), trained=trained()[1:]), SMALL).verdict == "not enough cells"
    for which in (SMALL, LARGE):
        claim = found(Evidence(rows=(), trained=None), which)
        assert (claim.verdict, claim.measured) == ("not testable here", ("nothing was trained",))
        assert "no substitute was trained" in claim.reason


def test_every_claim_has_a_source_and_a_rule() -> None:
    for claim in claims(Evidence(rows=grid(), trained=trained())):
        assert claim.source.split(",")[0] in ("SpikePipe", "LayerPipe")
        assert claim.rule.startswith(("holds if", "on the substitute: holds if"))
        assert claim.reason
