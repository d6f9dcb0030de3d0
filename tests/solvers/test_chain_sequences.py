"""Finite schedules as sequences: memories are respected, nothing gets stuck that fits, and the search never gets worse."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Problem, check, solve
from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.readers.pipeline import Pipeline
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.portfolio import heuristic_schedules
from spikepipe_solvers.sequences.chart import Chart, Line
from spikepipe_solvers.sequences.improve import improve_sequences, sequence_schedules, sequenced
from spikepipe_solvers.sequences.search import late_acceptance
from spikepipe_solvers.sequences.starts import homes, lines
from tests.oracle import Oracle, TooLarge, random_problem
from tests.solvers.instances import arrays, network_problem

SHORTEST = ("makespan",)


def chain(seed: int, stages: int = 8, **options: int) -> Pipeline:
    """Unequal stages, one per processor."""
    rng = random.Random(seed)
    costs = [tuple(rng.randint(1, 9) for _ in range(stages)) for _ in range(3)]
    given = {"micro_batches": rng.randint(1, 32), "transfer_cycles": rng.randint(0, 3)} | options
    return Pipeline.of_stages("chain", *costs, **given)  # type: ignore[arg-type]


def best(problem: Problem) -> int | None:
    """Least makespan of the sequences that are quick to make; all of them pass the check."""
    found = [assess(problem, schedule) for schedule in sequence_schedules(problem)]
    assert all(not each.violations for each in found)
    return min((each.key(problem)[0] for each in found), default=None)


@pytest.mark.parametrize(
    ("costs", "stages", "expected"),
    [
        (((1,), (1,), (1,)), 4, {(8, 0): 27, (8, 1): 30, (16, 0): 51, (16, 1): 54, (32, 0): 99, (32, 1): 102}),
        (((1,), (1,), (1,)), 8, {(8, 0): 31, (8, 1): 45, (16, 0): 55, (16, 1): 62, (32, 0): 103, (32, 1): 110}),
        (((3, 5, 2, 7), (4, 6, 3, 8), (3, 5, 2, 6)), 4, {(8, 0): 178, (8, 1): 181, (16, 0): 346, (16, 1): 349, (32, 0): 682, (32, 1): 685}),
        (((3, 5, 2, 7), (4, 6, 3, 8), (3, 5, 2, 6)), 8, {(8, 0): 195, (8, 1): 202, (16, 0): 363, (16, 1): 370, (32, 0): 699, (32, 1): 706}),
    ],
)
def test_the_greedy_meets_the_bound_where_memory_is_unlimited(costs: tuple[tuple[int, ...], ...], stages: int, expected: dict[tuple[int, int], int]) -> None:
    """The chains of the zero-bubble literature, equal stages and unequal ones: the bound proves the schedule best."""
    whole = [part * (stages // len(part)) for part in costs]
    for (micro_batches, transfer), value in expected.items():
        problem = Pipeline.of_stages("chain", *whole, micro_batches=micro_batches, transfer_cycles=transfer).problem(objective=SHORTEST)
        assert makespan_bound(problem).value == best(problem) == value


def test_the_greedy_is_close_to_the_bound_on_unequal_chains() -> None:
    """Of thirty it is met by twenty; within 5 % on each, within 0.8 % on average."""
    gaps = []
    for seed in range(30):
        problem = chain(seed).problem(objective=SHORTEST)
        found = best(problem)
        assert found is not None
        gaps.append(found / makespan_bound(problem).value - 1)
    assert sum(gap == 0 for gap in gaps) >= 20
    assert max(gaps) < 0.05
    assert sum(gaps) / len(gaps) < 0.008


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), memory=st.integers(1, 4), placement=st.sampled_from(["stages", "interleaved", "v"]))
def test_memories_are_respected_and_no_placement_gets_stuck(seed: int, memory: int, placement: str) -> None:
    """Whatever fits one micro-batch after the other gives a schedule that passes the check."""
    chunks = 1 if placement == "stages" else 2
    pipeline = chain(seed, 3, micro_batches=1 + seed % 7, memory=memory, chunks=chunks, placement=placement)  # type: ignore[arg-type]
    problem = pipeline.problem(objective=SHORTEST)
    chart = Chart.of(problem)
    for home in homes(chart):  # one: every stage has its processor
        made = list(lines(chart, home))
        assert made
        for line in made:
            assert check(problem, chart.schedule(line)) == ()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_sequence_is_shorter_than_the_optimum(seed: int) -> None:
    """Of small problems with sums, updates, unlike processors and memory limits, by brute force."""
    problem = random_problem(seed, "finite")
    try:
        oracle = Oracle(problem).optimum()
    except TooLarge:
        return
    chart = Chart.of(problem)
    for home in homes(chart):
        for line in lines(chart, home):
            found = assess(problem, chart.schedule(line))
            assert all(violation.kind in {"traffic", "memory"} for violation in found.violations)
            if not found.violations:
                assert oracle is not None
                assert found.key(problem) >= oracle


def lowered(memory: int | None) -> Problem:
    """A network with weights, sums and updates, on two arrays."""
    return network_problem(mode="finite", micro_batches=3, windows=2, platform=arrays(2, memory_bytes=memory), objective=SHORTEST)


def memory_of(problem: Problem, schedule: Schedule) -> int:
    """Largest peak of a schedule that passes the check."""
    metrics = assess(problem, schedule).metrics
    assert metrics is not None
    return metrics.memory_bytes


def test_lowered_networks_under_memory_limits_have_schedules() -> None:
    """Down to what one micro-batch after the other needs, where list scheduling ignores the limit."""
    free = lowered(None)
    chart = Chart.of(free)
    replayed = [chart.replayed(chart.one_by_one, home) for home in homes(chart)]
    least = min(memory_of(free, chart.schedule(line)) for line in replayed if line is not None)
    problem = lowered(least)
    found = [schedule for schedule in sequence_schedules(problem) if check(problem, schedule) == ()]
    assert found
    assert all(memory_of(problem, schedule) <= least for schedule in found)


def searched(chart: Chart, line: Line, *, fast: bool, steps: int = 60) -> tuple[int, list[int], list[int], list[int]]:
    """Some steps of the search from a schedule."""
    sequence, home, start = line.sequence.copy(), line.home.copy(), line.start.copy()
    makespan = late_acceptance.pick(fast=fast)(steps, 12345, 20, True, 0, chart.jobs, chart.tensors, chart.held, chart.first, chart.able, sequence, home, start)
    return int(makespan), sequence.tolist(), home.tolist(), start.tolist()


def some_charts() -> Iterator[Chart]:
    """Fixed and free, limited and unlimited."""
    costs = ((3, 5, 2), (4, 6, 3), (3, 5, 2))
    yield Chart.of(Pipeline.of_stages("v", *costs, micro_batches=4, placement="v", chunks=2, transfer_cycles=1, memory=2).problem(objective=SHORTEST))
    yield Chart.of(Pipeline.of_stages("free", *costs, micro_batches=4, placement="free", chunks=2, memory=5).problem(objective=SHORTEST))
    yield Chart.of(lowered(None))


def test_compiled_and_plain_searches_agree() -> None:
    """Bit for bit; what they return passes the check and is never longer than the start."""
    for chart in some_charts():
        home = next(homes(chart))
        line = min(lines(chart, home), key=lambda line: line.makespan)
        plain, compiled = searched(chart, line, fast=False), searched(chart, line, fast=True)
        assert plain == compiled
        makespan, sequence, home_after, start = plain
        found = Line(makespan=makespan, start=np.array(start), sequence=np.array(sequence), home=np.array(home_after))
        assert makespan <= line.makespan
        assert check(chart.problem, chart.schedule(found)) == ()


def test_the_search_improves_and_repeats() -> None:
    """From contiguous stages to less than 93 % of them on a chain whose layers may go anywhere; the same seed, the same schedule."""
    problem = Pipeline.of_stages("free", (3, 5, 2), (4, 6, 3), (3, 5, 2), micro_batches=6, placement="free", chunks=3).problem(objective=SHORTEST)
    chart = Chart.of(problem)
    stages = min(line.makespan for line in lines(chart, next(homes(chart))))
    found = []
    for _ in range(2):
        incumbent = Incumbent(problem, "test")
        improve_sequences(incumbent, Clock(Budget(deterministic_limit=2.0)), 3, bound=makespan_bound(problem).value)
        assert incumbent.schedule is not None
        assert incumbent.value("makespan") < 0.93 * stages
        found.append(incumbent.schedule)
    assert found[0] == found[1]


def test_task_graphs_of_one_iteration_are_left_to_list_scheduling() -> None:
    """Unless a memory is limited."""
    once = Pipeline.of_stages("chain", (1, 1), (1, 1), (1, 1), micro_batches=1).problem(objective=SHORTEST)
    assert not sequenced(once)
    assert sequenced(Pipeline.of_stages("chain", (1, 1), (1, 1), (1, 1), micro_batches=1, memory=1).problem(objective=SHORTEST))


def test_the_portfolio_is_never_worse_than_its_parts() -> None:
    """On a free chain: `auto` against every heuristic it starts from."""
    problem = Pipeline.of_stages("free", (3, 7), (4, 8), (3, 6), micro_batches=4, placement="free", chunks=2, transfer_cycles=1).problem(objective=SHORTEST)
    parts = [assess(problem, schedule) for _, schedule in heuristic_schedules(problem)]
    assert solve(problem, "auto", deterministic_limit=0.1).key() <= min(part.key(problem) for part in parts if not part.violations)
