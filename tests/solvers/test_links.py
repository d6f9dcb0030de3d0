"""Schedules made to respect shared links: always feasible ones, checked by a replay, and never better than brute force."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Interconnect, Limits, Platform, Problem, Result, Schedule, SystolicArray, check, solve
from spikepipe_sched.recheck import recheck
from spikepipe_sched.solver import load_solver, solver_names
from spikepipe_sched.transfers import transfers
from spikepipe_solvers.links import Lane, with_links
from tests.helpers import by_hand, scheduled, small_graph, training_problem
from tests.link_oracle import LinkOracle
from tests.oracle import TooLarge, random_problem
from tests.replay import Replay
from tests.solvers.instances import INSTANCES

SHARINGS = ("bus", "ports", "pairs")


def with_sharing(problem: Problem, sharing: str) -> Problem:
    return replace(
        problem,
        interconnect=replace(
            problem.interconnect, sharing=sharing, bandwidth_bytes_per_cycle=problem.interconnect.bandwidth_bytes_per_cycle or 1, signal_latency_cycles=0
        ),
    )


# -- lanes -------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.one_of(st.none(), st.integers(1, 12)), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=8))
def test_a_lane_gives_the_first_idle_interval(period: int | None, wanted: list[tuple[int, int]]) -> None:
    """Against trying every start, cycle by cycle."""
    lane, busy = Lane(period), set[int]()

    def cells(start: int, length: int) -> set[int]:
        return {time if period is None else time % period for time in range(start, start + length)}

    for ready, length in wanted:
        tried = range(ready, ready + (period or 1000))
        fits = period is None or length <= period
        first = next((start for start in tried if fits and not cells(start, length) & busy), None)
        assert lane.earliest(ready, length) == first
        if first is not None:
            lane.take(first, length)
            busy |= cells(first, length)


# -- any schedule ------------------------------------------------------------------------------------


@settings(max_examples=120)
@given(scheduled().filter(lambda case: case[0].unroll == 1), st.sampled_from(SHARINGS))
def test_any_schedule_can_be_made_to_respect_links(case: tuple[Problem, Schedule], sharing: str) -> None:
    """Same placement, no violation but of limits, no shorter period; the replay agrees."""
    problem, schedule = case
    problem = with_sharing(problem, sharing)
    made = with_links(problem, schedule)
    if made is None:  # only shares of a sum that wait for each other; here every edge has a tensor of its own
        raise AssertionError
    assert made.processor.tolist() == schedule.processor.tolist()
    if not transfers(problem, schedule.processor).size:
        assert made == schedule
        return
    assert {violation.kind for violation in check(problem, made)} <= {"memory limit"}
    assert Replay(problem, made).link_faults() == set()
    assert with_links(problem, made) is made
    if schedule.period is not None:
        assert made.period is not None
        assert made.period >= schedule.period


def test_nothing_changes_where_links_are_not_shared() -> None:
    problem = training_problem()
    schedule = by_hand(problem, {name: (0, 40 * i) for i, name in enumerate(problem.tasks.names)}, period=400)
    assert with_links(problem, schedule) is schedule
    assert with_links(with_sharing(problem, "bus"), schedule) is schedule  # nothing crosses
    elsewhere = replace(schedule, processor=schedule.processor + 9)
    assert with_links(with_sharing(problem, "bus"), elsewhere) is elsewhere  # for the check to refuse


def two_senders(size: int = 8) -> Problem:
    """a -> b and c -> d, 2 cycles each; 4 bytes a cycle, 1 of latency."""
    platform = Platform(
        name="four",
        classes={"x": SystolicArray(rows=1, cols=1)},
        processors=("x",) * 4,
        interconnect=Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=4, sharing="bus"),
        clock_hz=1,
    )
    graph = small_graph(dict.fromkeys("abcd", 2), {("a", "b"): {"bytes": size}, ("c", "d"): {"bytes": size}})
    return Problem.from_graph(graph, platform, mode="periodic")


def test_links_serve_the_given_order_and_readers_wait() -> None:
    problem = replace(two_senders(), mode="finite", objective=())
    made = with_links(problem, by_hand(problem, {"a": (0, 0), "b": (1, 5), "c": (2, 0), "d": (3, 5)}))
    assert made is not None
    assert made.transfers is not None
    assert sorted(made.transfers.tolist()) == [2, 4]
    assert sorted(made.start.tolist()) == [0, 0, 5, 7]


def test_processors_keep_their_order() -> None:
    """b's input comes late over a slow bus; d, which follows b and needs nothing, does not overtake it."""
    graph = small_graph(dict.fromkeys("abd", 2), {("a", "b"): {"bytes": 64}})
    problem = with_sharing(Problem.from_graph(graph, replace(two_machines(), interconnect=Interconnect(bandwidth_bytes_per_cycle=1)), mode="finite"), "bus")
    made = with_links(problem, by_hand(problem, {"a": (0, 0), "b": (1, 3), "d": (1, 5)}))
    assert made is not None
    assert made.start.tolist() == [0, 66, 68]


def test_a_memory_limit_holds_tasks_back() -> None:
    """As early as possible, p0 would hold two tensors at once; the given starts avoid it."""
    small = replace(two_machines(), classes={"x": SystolicArray(rows=1, cols=1, memory_bytes=8)})
    graph = small_graph(dict.fromkeys("abcd", 2), {("a", "b"): {"bytes": 8}, ("c", "d"): {"bytes": 8}})
    problem = with_sharing(Problem.from_graph(graph, small, mode="finite"), "bus")
    given = by_hand(problem, {"a": (0, 0), "b": (1, 3), "c": (0, 5), "d": (1, 8)})
    made = with_links(problem, given)
    assert made is not None
    assert check(problem, made) == ()
    assert made.start.tolist() == given.start.tolist()
    loose = replace(problem, processors=tuple(replace(p, memory_bytes=None) for p in problem.processors))
    early = with_links(loose, given)
    assert early is not None
    assert early.start.tolist() == [0, 3, 2, 5]


def test_the_period_is_raised_to_what_the_bus_must_carry() -> None:
    problem = two_senders(40)  # 10 cycles each
    made = with_links(problem, by_hand(problem, {"a": (0, 0), "b": (1, 13), "c": (2, 0), "d": (3, 13)}, period=2))
    assert made is not None
    assert made.period == 20
    assert check(problem, made) == ()


def test_a_limit_on_the_period_is_respected() -> None:
    problem = replace(two_senders(40), limits=Limits(period_cycles=19))
    assert with_links(problem, by_hand(problem, {"a": (0, 0), "b": (1, 13), "c": (2, 0), "d": (3, 13)}, period=2)) is None
    found = solve(replace(problem, limits=Limits(period_cycles=3)), "stages")
    assert found.schedule is None
    assert found.infeasibility is not None
    assert "links cannot carry" in found.infeasibility.demanded


def test_shares_of_a_sum_that_wait_for_each_other_cannot_be_sent() -> None:
    """c adds to what b, which c waits for, has to receive."""
    graph = small_graph(dict.fromkeys("abcd", 1), {e: {"tensors": {"sum": 4}} for e in (("a", "b"), ("c", "d"))} | {("b", "c"): {}})
    problem = with_sharing(Problem.from_graph(graph, two_machines(), mode="finite"), "bus")
    assert with_links(problem, by_hand(problem, {"a": (0, 0), "b": (1, 9), "c": (0, 20), "d": (1, 40)})) is None
    assert recheck(solve(problem, "list")) == []


def two_machines() -> Platform:
    """Two equal processors."""
    return Platform(name="two", classes={"x": SystolicArray(rows=1, cols=1)}, processors=("x", "x"), interconnect=Interconnect(), clock_hz=1)


def test_a_full_processor_keeps_its_phases() -> None:
    """No idle cycle on either processor: tasks can only move by whole periods."""
    graph = small_graph({"a": 3, "b": 3, "c": 3, "d": 3}, {("a", "c"): {"bytes": 64}, ("b", "d"): {"bytes": 64}})
    problem = with_sharing(Problem.from_graph(graph, two_machines(), mode="periodic"), "bus")
    made = with_links(problem, by_hand(problem, {"a": (0, 0), "b": (0, 3), "c": (1, 4), "d": (1, 7)}, period=6))
    assert made is not None
    assert (made.period, check(problem, made)) == (6, ())


# -- solvers -----------------------------------------------------------------------------------------

CHOSEN = ("tiny", "tiny, unlike arrays", "tiny, delays at most 2", "tiny, finite", "residual, finite", "hybrid, recomputed", "random periodic 5", "ring")


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("solver", [name for name in solver_names() if name not in ("auto", "cpsat")])
def test_heuristics_respect_links(solver: str, name: str, sharing: str) -> None:
    problem = with_sharing(INSTANCES[name](), sharing)
    if (reason := load_solver(solver).spec.supports(problem)) is not None:
        pytest.skip(f"{solver}: {reason}")
    found = solve(problem, solver, deterministic_limit=0.02, seed=1)
    assert recheck(found) == []
    if found.schedule is None:
        assert found.infeasibility is not None
        return
    if transfers(problem, found.schedule.processor).size:
        assert Replay(problem, found.schedule).link_faults() == set()
    assert Result.from_json(found.to_json()).to_json() == found.to_json()


def crossing_problem(seed: int, mode: str, sharing: str) -> Problem:
    """Three or four tasks, each for one of three processors: much of what they send must cross, and takes as long as they do."""
    rng = random.Random(f"{mode}-{seed}")
    link = Interconnect(latency_cycles=rng.randint(0, 1), bandwidth_bytes_per_cycle=1, sharing=sharing)  # type: ignore[arg-type]
    classes = dict.fromkeys("xyz", SystolicArray(rows=1, cols=1))
    platform = Platform(name="three", classes=classes, processors=("x", "y", "z"), interconnect=link, clock_hz=1)
    names = "abcd"[: rng.randint(3, 4)]
    edges = {(u, v): {"bytes": rng.randint(1, 3)} for i, u in enumerate(names) for v in names[i + 1 :] if rng.random() < 0.6}
    graph = small_graph({name: {rng.choice("xyz"): rng.randint(1, 2)} for name in names}, edges)
    return Problem.from_graph(graph, platform, mode=mode)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_no_solver_beats_brute_force_where_links_decide(mode: str, sharing: str) -> None:
    """Never below the optimum, bounds never above it, and mostly at it."""
    compared = reached = decided = 0
    for seed in range(14):
        problem = crossing_problem(seed, mode, sharing)
        try:
            best = LinkOracle(problem).least_length()
        except TooLarge:
            continue
        found = solve(problem, "cpsat", deterministic_limit=0.3, seed=1)
        assert found.objective is not None
        assert found.bound is not None
        assert found.bound <= best <= found.objective, seed
        compared, reached = compared + 1, reached + (found.objective == best)
        free = solve(with_sharing(problem, "none"), "cpsat", deterministic_limit=0.3, seed=1)
        decided += free.objective is not None and free.objective < best
    assert compared >= 10
    assert reached >= 0.8 * compared
    assert decided >= 1


def test_no_solver_beats_brute_force_on_training_loops() -> None:
    """The same with weights that travel, over a bus; limits aside."""
    compared = 0
    for seed in range(18):
        problem = random_problem(seed, "periodic")
        memories = tuple(replace(p, memory_bytes=None) for p in problem.processors)
        problem = with_sharing(replace(problem, limits=Limits(), processors=memories), "bus")
        try:
            best = LinkOracle(problem).least_length()
        except TooLarge:
            continue
        found = solve(problem, "cpsat", deterministic_limit=0.3, seed=1)
        assert found.objective is not None
        assert found.bound is not None
        assert found.bound <= best <= found.objective, seed
        compared += 1
    assert compared >= 10
