"""The bars of a window: those of the run, wherever steady state begins."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Pipeline, Problem
from spikepipe_sched.export.bars import bars, clipped, drawn_cycles, length_cycles, processor_labels, window
from spikepipe_sched.result import Result, Status
from tests.helpers import HAND, hand_result, pipelined_result, scheduled, training_graph, training_problem, unlike_platform


def unchecked(problem, schedule) -> Result:
    """Drawing does not ask whether a schedule is feasible."""
    return Result(problem=problem, status=Status.UNKNOWN, schedule=schedule, metrics=None, objectives=(), provenance=HAND)


def runs(some):
    return sorted((bar.task, bar.copy, bar.iteration, bar.processor, bar.start, bar.end) for bar in some)


@settings(max_examples=60)
@given(scheduled("periodic"), st.integers(1, 60))
def test_a_window_holds_what_a_run_holds_from_the_start_of_steady_state(case, length):
    result = unchecked(*case)
    period = case[1].period
    steady = int(case[1].start.max()) // period + 1
    shift = steady * period
    late = [bar for bar in bars(result, steady + length // period + 2) if bar.start - shift < length and (bar.end > shift or bar.start >= shift)]
    late = [bar for bar in late if max(bar.end - bar.start, 1) <= period]  # longer than a period: no feasible schedule has one
    expected = sorted((bar.task, bar.copy, bar.iteration, bar.processor, bar.start - shift, bar.end - shift) for bar in late)
    assert [run for run in runs(window(result, length)) if run[5] - run[4] <= period] == expected


@settings(max_examples=40)
@given(scheduled("finite"), st.integers(1, 60))
def test_a_window_of_a_finite_run_is_its_beginning(case, length):
    result = unchecked(*case)
    assert runs(window(result, length)) == runs(bar for bar in bars(result) if bar.start < length)


@settings(max_examples=40)
@given(st.lists(scheduled("periodic"), min_size=1, max_size=2), st.integers(1, 200))
def test_as_many_cycles_are_drawn_as_the_bars_allow(cases, most):
    results = [unchecked(*case) for case in cases]
    longest = max(map(length_cycles, results))
    drawn = drawn_cycles(results, most)
    assert 1 <= drawn <= longest
    assert drawn == 1 or sum(len(window(result, drawn)) for result in results) <= most
    assert drawn == longest or sum(len(window(result, drawn + 1)) for result in results) > most


def test_a_period_in_steady_state_holds_all_its_work():
    result = pipelined_result()
    pieces = clipped(window(result, 13), 13)
    assert all(0 <= bar.start <= bar.end <= 13 for bar in pieces)
    assert result.metrics is not None
    assert sum(bar.end - bar.start for bar in pieces) == sum(result.metrics.busy_cycles)


def test_processors_are_named_with_their_classes_where_they_differ():
    assert processor_labels(training_problem()) == ["p0", "p1"]
    assert processor_labels(Problem.from_graph(training_graph(), unlike_platform())) == ["p0 big", "p1 small"]
    pipeline = Pipeline.of_stages("pair", (1, 1), (1, 1), (1, 1), micro_batches=1)
    assert processor_labels(pipeline.problem()) == ["p0", "p1"]  # each is a class of its own, and called like it


def test_everything_is_drawn_where_there_is_little():
    result = hand_result(training_problem(3, 2, mode="finite", micro_batches=2))
    assert drawn_cycles([result], 10**6) == length_cycles(result)
