"""The replay: by hand, against the schedule it may never be later than, and against a cycle-by-cycle twin."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, Problem, Schedule, simulate, solve
from spikepipe_sched.check import durations, layer_delays, violations
from spikepipe_sched.solver import load_solver
from spikepipe_solvers.links import with_links
from tests.helpers import by_hand, platform, scheduled, small_graph, training_problem
from tests.solvers.instances import INSTANCES

SHARINGS = ("none", "bus", "ports", "pairs")


def with_sharing(problem: Problem, sharing: str) -> Problem:
    return replace(
        problem,
        interconnect=replace(
            problem.interconnect, sharing=sharing, bandwidth_bytes_per_cycle=problem.interconnect.bandwidth_bytes_per_cycle or 1, signal_latency_cycles=0
        ),
    )


def chain(**options: Any) -> Problem:
    """a (2 cycles) -> b (3), 8 bytes: 2 cycles on a link and 1 of latency."""
    return Problem.from_graph(small_graph({"a": 2, "b": 3}, {("a", "b"): {"bytes": 8}}), platform(), **{"mode": "periodic"} | options)


# -- by hand -----------------------------------------------------------------------------------------


def test_a_loose_schedule_is_left_behind() -> None:
    """Scheduled every 10 cycles, the slower processor alone decides."""
    problem = chain()
    found = simulate(problem, by_hand(problem, {"a": (0, 0), "b": (1, 7)}, period=10), iterations=40)
    assert (found.scheduled_cycles, found.reached_cycles, found.ratio) == (10, 3, 0.3)
    assert found.utilisation == pytest.approx((2 / 3, 1.0))
    assert found.links == ()


def test_a_tight_schedule_is_reached() -> None:
    problem = chain()
    found = simulate(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)}, period=5))
    assert (found.reached_cycles, found.utilisation) == (5, (1, 0))


def test_iterations_wait_for_the_weights_they_are_given() -> None:
    """The loop F, W, U and both transfers take 4 + 4 + 5 + 1 + 5 cycles, for D iterations; F and W share a processor."""
    problem = training_problem(1, 2)
    for update, period, reached in ((13, 30, 19), (13, 10, 19 / 2), (14, 10, 19 / 2), (15, 10, 8)):  # D = 1, 2, 2, 3
        schedule = by_hand(problem, {"F(l0)": (0, 0), "W(l0)": (0, 4), "U(l0)": (1, update)}, period=period)
        assert simulate(problem, schedule, iterations=48).reached_cycles == reached


def test_a_bus_lets_one_at_a_time() -> None:
    """Two tensors of 4 cycles each to two readers: without sharing the period is that of the tasks."""
    edges = {("a", "b"): {"bytes": 16}, ("a", "c"): {"bytes": 16}}
    problem = Problem.from_graph(small_graph(dict.fromkeys("abc", 5), edges), platform(3), mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (1, 10), "c": (2, 10)}, period=5)
    assert simulate(problem, schedule).reached_cycles == 5
    bus = simulate(problem, schedule, sharing="bus")
    assert bus.reached_cycles == 8
    assert [(use.name, use.load) for use in bus.links] == [("the bus", 1.0)]
    assert bus.links[0].largest_queue > 2  # the faster sender runs ahead of the bus
    pairs = simulate(problem, schedule, sharing="pairs")
    assert pairs.reached_cycles == 5
    assert [(use.name, use.load, use.largest_queue) for use in pairs.links] == [("the link p0 to p1", 0.8, 0), ("the link p0 to p2", 0.8, 0)]
    ports = simulate(problem, schedule, sharing="ports")
    assert ports.reached_cycles == 8
    assert [use.name for use in ports.links] == ["the sending port of p0", "the receiving port of p1", "the receiving port of p2"]


def test_links_serve_whoever_is_ready_first() -> None:
    """One run: a's tensor is ready at 2, c's at 1 and goes first; the bus is free again at 5."""
    edges = {("a", "b"): {"bytes": 16}, ("c", "d"): {"bytes": 16}}
    problem = Problem.from_graph(small_graph({"a": 2, "b": 1, "c": 1, "d": 1}, edges), platform(4), mode="finite")
    schedule = by_hand(problem, {"a": (0, 0), "b": (1, 7), "c": (2, 0), "d": (3, 6)})
    found = simulate(problem, schedule, sharing="bus")
    names = dict(zip(problem.tasks.names, found.start[0].tolist(), strict=True))
    assert names == {"a": 0, "b": 10, "c": 0, "d": 6}
    assert (found.scheduled_cycles, found.reached_cycles) == (8, 11)
    assert found.links[0].largest_queue == 1


def test_declared_links_keep_the_schedules_order() -> None:
    """The schedule lets a's tensor go first, although c's is ready earlier."""
    edges = {("a", "b"): {"bytes": 16}, ("c", "d"): {"bytes": 16}}
    problem = with_sharing(Problem.from_graph(small_graph({"a": 2, "b": 1, "c": 1, "d": 1}, edges), platform(4), mode="finite"), "bus")
    schedule = replace(by_hand(problem, {"a": (0, 0), "b": (1, 7), "c": (2, 0), "d": (3, 11)}), transfers=np.array([2, 6]))
    assert violations(problem, schedule) == ()
    assert simulate(problem, schedule).start.tolist() == [schedule.start.tolist()]
    assert simulate(problem, schedule, sharing="bus").start.tolist() == [[0, 10, 0, 6]]


def test_zero_cycle_tasks_do_not_hold_the_processor() -> None:
    problem = Problem.from_graph(small_graph({"a": 4, "z": 0}), 1, mode="periodic")
    assert simulate(problem, by_hand(problem, {"a": (0, 0), "z": (0, 2)}, period=4)).reached_cycles == 4


# -- what is refused ---------------------------------------------------------------------------------


def test_wrong_schedules_and_unknowable_results_are_refused() -> None:
    problem = chain()
    with pytest.raises(InputError, match="does not satisfy its problem: precedence"):
        simulate(problem, by_hand(problem, {"a": (0, 0), "b": (1, 2)}, period=9))
    early = Problem.from_graph(small_graph({"a": 2, "b": 3}, {("a", "b"): {"lag": -3}}), 2, mode="periodic")
    with pytest.raises(InputError, match="the edge 'a' -> 'b' has its result before 'a' starts"):
        simulate(early, by_hand(early, {"a": (0, 1), "b": (1, 0)}, period=9))


def test_shares_of_a_sum_that_wait_for_each_other_are_named() -> None:
    """Fine as single messages; over a link the sum goes in one piece, which b and c wait for."""
    graph = small_graph(dict.fromkeys("abcd", 1), {e: {"tensors": {"sum": 4}} for e in (("a", "b"), ("c", "d"))} | {("b", "c"): {}})
    problem = Problem.from_graph(graph, platform(), mode="finite")
    schedule = by_hand(problem, {"a": (0, 0), "b": (1, 3), "c": (0, 4), "d": (1, 7)})
    assert simulate(problem, schedule).reached_cycles == 8
    with pytest.raises(InputError, match="'b' waits for a sum whose shares wait for it"):
        simulate(problem, schedule, sharing="pairs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"iterations": 2.5}, "iterations must be a whole number"),
        ({"iterations": 10**7}, "ask for fewer iterations"),
        ({"jitter": -0.1}, "jitter must be between 0 and 10"),
        ({"jitter": float("inf")}, "jitter must be between 0 and 10"),
        ({"seed": -1}, "seed must not be negative"),
        ({"sharing": "mesh"}, "sharing must be one of none, bus, ports, pairs"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    problem = chain()
    with pytest.raises(InputError, match=message):
        simulate(problem, by_hand(problem, {"a": (0, 0), "b": (0, 2)}, period=5), **options)


# -- jitter ------------------------------------------------------------------------------------------


def test_jitter_is_random_with_mean_one_and_a_seed() -> None:
    """One task alone: the period reached is the mean of its cycles."""
    problem = Problem.from_graph(small_graph({"a": 1000}), 1, mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0)}, period=1000)
    found = simulate(problem, schedule, iterations=4000, jitter=0.2, seed=1)
    assert found.ratio == pytest.approx(1.0, abs=0.02)
    steps = np.diff(found.start[:, 0])[1:]
    assert steps.std() == pytest.approx(200, rel=0.1)
    assert simulate(problem, schedule, iterations=4000, jitter=0.2, seed=1).start.tolist() == found.start.tolist()
    assert simulate(problem, schedule, iterations=4000, jitter=0.2, seed=2).reached_cycles != found.reached_cycles


def test_jitter_costs_more_where_processors_wait_for_each_other() -> None:
    """Two full processors that hand each other every iteration: the slower of two draws counts."""
    graph = small_graph({"a": 100, "b": 100}, {("a", "b"): {}, ("b", "a"): {"distance": 2}})
    problem = Problem.from_graph(graph, 2, mode="periodic")
    schedule = by_hand(problem, {"a": (0, 0), "b": (1, 100)}, period=100)
    assert simulate(problem, schedule).ratio == 1
    assert simulate(problem, schedule, iterations=2000, jitter=0.3).ratio > 1.1


# -- never later than the schedule -------------------------------------------------------------------


def assert_within(problem: Problem, schedule: Schedule, iterations: int = 20) -> None:
    """Every run at or before its time, the period at most the schedule's, and every wait respected."""
    found = simulate(problem, schedule, iterations=iterations)
    assert found.reached_cycles <= found.scheduled_cycles
    periods = np.arange(len(found.start))[:, None]
    assert (found.start <= schedule.start + periods * (schedule.period or 0)).all()
    assert all(0 <= share <= 1 for share in found.utilisation)
    instance, cycles = problem.instance, durations(problem, schedule)
    apart = schedule.processor[instance.source] != schedule.processor[instance.target]
    after = cycles[instance.source] + instance.lag + np.where(apart, instance.transfer, 0)
    for q in range(len(found.start)):
        for e in np.flatnonzero(q >= instance.distance).tolist():
            u, v = int(instance.source[e]), int(instance.target[e])
            assert found.start[q, v] >= found.start[q - int(instance.distance[e]), u] + after[e]
    if problem.unroll == 1:  # the versions that the delays promise
        forward, backward = layer_delays(problem, schedule)
        for e in range(len(instance.delay_edge)):
            u, v, layer = int(instance.delay_source[e]), int(instance.delay_target[e]), int(instance.delay_layer[e])
            delay = int((forward if problem.tasks.kinds[v] == "F" else backward)[layer])
            sent = int(instance.delay_lag[e]) + (int(instance.delay_transfer[e]) if schedule.processor[u] != schedule.processor[v] else 0)
            assert (found.start[delay:, v] >= found.start[: len(found.start) - delay, u] + cycles[u] + sent).all()
    for p in range(len(problem.processors)):
        here = np.flatnonzero((schedule.processor == p) & (cycles > 0))
        runs = sorted((int(found.start[q, v]), int(cycles[v])) for v in here for q in range(len(found.start)))
        assert all(a + c <= b for (a, c), (b, _) in pairwise(runs))


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("name", INSTANCES)
def test_the_schedule_is_reached_on_every_small_instance(name: str, sharing: str) -> None:
    problem = INSTANCES[name]()
    if sharing != "none" and problem.unroll > 1:
        pytest.skip("shared links need unroll=1; the refusal has a test of its own")
    problem = with_sharing(problem, sharing)
    for solver in ("stages", "modulo" if problem.mode == "periodic" else "list"):
        if load_solver(solver).spec.supports(problem) is None:
            found = solve(problem, solver, deterministic_limit=0.01, seed=1)
            if found.schedule is not None:
                assert_within(problem, found.schedule)


@settings(max_examples=100)
@given(scheduled(), st.sampled_from(SHARINGS))
def test_any_feasible_schedule_is_reached(case: tuple[Problem, Schedule], sharing: str) -> None:
    problem, schedule = case
    problem = with_sharing(problem, "none" if problem.unroll > 1 else sharing)
    made = with_links(problem, schedule)
    early = (problem.instance.lag < 0).any() or (problem.instance.delay_lag < 0).any()
    if made is not None and not violations(problem, made) and not early:
        assert_within(problem, made, iterations=7)
