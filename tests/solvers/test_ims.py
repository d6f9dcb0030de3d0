"""Iterative modulo scheduling and its parts, against naive and exhaustive searches."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import Interconnect, Limits, Platform, Problem, SystolicArray, check, solve
from spikepipe_sched.bounds import has_positive_cycle, period_bound
from spikepipe_sched.check import layer_delays, overlap_violations, precedence_violations
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.decode import schedule_of
from spikepipe_solvers.eviction import first_slot, idle_before
from spikepipe_solvers.ims import ModuloScheduler, iterative_modulo_schedule
from tests.oracle import Oracle, TooLarge, random_problem
from tests.solvers.instances import in_flight, network_problem, ring


def clock(units: float = 5.0) -> Clock:
    """A deterministic one."""
    return Clock(Budget(deterministic_limit=units))


def loop(seed: int) -> Problem:
    """A random loop: unlike units, transfers, lags of either sign, edges from earlier iterations, sometimes a limit on the span."""
    rng = random.Random(seed)
    classes = {name: SystolicArray(rows=1, cols=1) for name in "ab"}
    link = Interconnect(latency_cycles=rng.randint(0, 3), bandwidth_bytes_per_cycle=4)
    machine = Platform(name="loop", classes=classes, processors=("a", "a", "b"), interconnect=link, clock_hz=1)
    graph: nx.DiGraph[int] = nx.DiGraph()
    count = rng.randint(2, 9)
    for v in range(count):
        graph.add_node(v, cycles={name: rng.choice([0, 1, 1, 2, 3, 7]) for name in rng.choice(["a", "b", "ab", "ab"])})
    for _ in range(2 * count):
        u, v = rng.randrange(count), rng.randrange(count)
        distance = rng.randint(0, 2) if u < v else rng.randint(1, 3)
        graph.add_edge(u, v, distance=distance, lag=rng.choice([0, 0, 1, -1]), bytes=rng.choice([0, 4, 8]))
    span = rng.choice([None, None, 20])
    return Problem.from_graph(graph, machine, mode="periodic", unroll=rng.choice([1, 1, 2, 3]), limits=Limits(span_cycles=span))


@settings(max_examples=150)
@given(st.integers(0, 100_000), st.integers(0, 6))
def test_what_is_found_passes_the_check(seed: int, slack: int) -> None:
    """Overlaps, precedence, the span and the bound: whatever the loop and the period."""
    problem = loop(seed)
    period = max(1, period_bound(problem).value - 2 + slack)
    found = iterative_modulo_schedule(problem, period, seed=seed % 5, clock=clock())
    if found is not None:
        assert found.period == period >= period_bound(problem).value
        assert check(problem, found.normalised()) == ()


@settings(max_examples=80)
@given(st.integers(0, 100_000))
def test_recurrences_that_forbid_a_period_are_refused(seed: int) -> None:
    """A positive cycle ends the attempt before anything is placed."""
    problem = loop(seed)
    period = max(1, period_bound(problem).value - 1)
    if has_positive_cycle(problem, period):
        spent = clock()
        assert iterative_modulo_schedule(problem, period, seed=0, clock=spent) is None


def test_a_long_enough_period_is_always_found() -> None:
    """With all work, lags and transfers in one period nothing has to be evicted for good."""
    for seed in range(150):
        problem = loop(seed)
        if problem.limits.span_cycles is None:
            instance = problem.instance
            period = int(instance.duration.max(axis=1).sum() + np.maximum(instance.lag, 0).sum() + instance.transfer.sum()) + 1
            found = iterative_modulo_schedule(problem, period, seed=0, clock=clock())
            assert found is not None, seed
            assert check(problem, found.normalised()) == (), seed


@pytest.mark.parametrize("batch", range(4))
def test_periods_of_small_problems_equal_brute_force_on_most(batch: int) -> None:
    """``modulo`` never goes below the optimum, and reaches it on three of four random problems or more."""
    compared = equal = 0
    for seed in range(2000 + 8 * batch, 2008 + 8 * batch):
        problem = random_problem(seed, "periodic")
        try:
            best = Oracle(problem).optimum()
        except TooLarge:
            continue
        found = solve(problem, "modulo", deterministic_limit=0.1).objective
        if best is None:
            continue
        compared += 1
        assert found is None or found >= best[0], seed
        equal += found == best[0]
    assert compared >= 3
    assert equal >= 0.75 * compared


def naive_slot(busy: list[tuple[int, int]], period: int, ready: int, need: int) -> int:
    """Cycle by cycle."""
    taken = {(begin + i) % period for begin, length in busy for i in range(length)}
    for start in range(ready, ready + period):
        if need <= period and all((start + i) % period not in taken for i in range(need)):
            return start
    return -1


@settings(max_examples=200)
@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 19), st.integers(1, 6)), max_size=6), st.integers(0, 50), st.integers(1, 8))
def test_slots_are_those_found_cycle_by_cycle(period: int, wanted: list[tuple[int, int]], ready: int, need: int) -> None:
    """Only the ends of intervals are looked at, and yet nothing is missed."""
    busy: list[tuple[int, int]] = []
    for begin, length in wanted:
        if naive_slot(busy, period, begin % period, length) == begin % period:
            busy.append((begin % period, length))
    busy.sort()
    phase, taken, slots = [b for b, _ in busy], [c for _, c in busy], list(range(len(busy)))
    found = first_slot(slots, 0, len(busy), phase, taken, period, ready, need)
    assert found == naive_slot(busy, period, ready, need)
    if busy and found >= 0:
        idle = idle_before(slots, 0, len(busy), phase, taken, period, found)
        held = {(b + i) % period for b, c in busy for i in range(c)}
        assert all((found - i) % period not in held for i in range(1, idle + 1))
        assert (found - idle - 1) % period in held


@pytest.mark.parametrize("seed", range(6))
def test_compiled_attempts_equal_plain_ones(seed: int) -> None:
    """The same schedule, whichever way the kernels run."""
    problem = loop(seed)
    scheduler, period = ModuloScheduler(problem), period_bound(problem).value + 3
    plain = [scheduler.at(period, seed=seed, attempt=a, clock=clock()) for a in range(3)]
    scheduler.fast = True
    assert [scheduler.at(period, seed=seed, attempt=a, clock=clock()) for a in range(3)] == plain


def test_eviction_ends_when_the_budget_does() -> None:
    """Two tasks of 3 cycles cannot share a period of 5: every placement evicts the other, and is counted."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=3)
    graph.add_node("b", cycles=3)
    problem = Problem.from_graph(graph, 1, mode="periodic")
    for ratio in (1.0, 50.0):
        spent = clock()
        assert ModuloScheduler(problem).at(5, seed=0, budget_ratio=ratio, clock=spent) is None
    assert ModuloScheduler(problem).at(6, seed=0, clock=clock()) is not None


def test_no_attempt_outlives_the_clock() -> None:
    """With nothing left, nothing is placed."""
    spent = clock(1.0)
    spent.spend(1.0)
    assert ModuloScheduler(ring()).at(6, seed=0, clock=spent) is None
    assert iterative_modulo_schedule(ring(), 6, seed=0, clock=spent) is None


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_limited_delays_are_edges_of_that_distance(limit: int) -> None:
    """Whatever is found respects the limit, on one iteration per period and on two."""
    for unroll in (1, 2):
        problem = network_problem(windows=2, limits=Limits(delay=limit), unroll=unroll)
        found = iterative_modulo_schedule(problem, int(1.3 * period_bound(problem).value), seed=0, clock=clock())
        assert found is not None
        assert layer_delays(problem, found)[0].max() <= limit


def test_settling_keeps_phases_and_repairs_stages() -> None:
    """Starts in the first period, all edges violated: the least stages that satisfy them."""
    problem = in_flight(3)
    phases = schedule_of([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0], 3)
    settled = ModuloScheduler(problem).settle(phases)
    assert settled is not None
    assert (settled.start % 3 == phases.start).all()
    assert precedence_violations(problem, settled) == []
    assert int(settled.start.min()) < 3


def test_settling_puts_copies_that_wait_for_each_other_in_turn() -> None:
    """Three updates of a layer, placed in the order 0, 2, 1: they exchange places and follow one another."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("U", kind="U", layer="l", cycles=2)
    graph.add_edge("U", "U", distance=1)
    problem = Problem.from_graph(graph, 1, unroll=3)
    settled = ModuloScheduler(problem).settle(schedule_of([0, 0, 0], [0, 4, 2], 6))
    assert settled is not None
    assert settled.start.tolist() == [0, 2, 4]
    assert overlap_violations(problem, settled) == []
    assert ModuloScheduler(problem).settle(schedule_of([0, 0, 0], [0, 2, 4], 5)) is None
