"""What proves makespans: window loads, tasks that may change places, starts without processors; against brute force."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.sat.python import cp_model

from spikepipe_sched import Interconnect, Limits, Platform, Problem, Status, SystolicArray, check, solve
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.model import ScheduleModel
from spikepipe_solvers.cpsat.starts import StartModel, coloured, placement_is_free
from spikepipe_solvers.cpsat.swaps import first_pairs, in_order, only_time_counts
from spikepipe_solvers.cpsat.variables import make_variables
from spikepipe_solvers.cpsat.windows import window_loads
from spikepipe_solvers.lists import SOLVER
from spikepipe_solvers.lists.graph import graph_of
from spikepipe_solvers.lists.solver import schedule_of
from spikepipe_solvers.portfolio import heuristic_schedules
from tests.benchmarks.graphs import published
from tests.structures import STRUCTURES, like_platform, structured_graph, structured_problem

seeds = st.integers(0, 100_000)


def small_problem(seed: int, *, most: int = 5, transfers: bool = True) -> Problem:
    """Few different numbers, so that much is alike; lags of both signs, and with transfers now and then an unlike processor."""
    rng = random.Random(seed)
    n, unlike = rng.randint(2, most), transfers and rng.random() < 0.3
    graph: nx.DiGraph[int] = nx.DiGraph()
    for v in range(n):
        graph.add_node(v, cycles={"a": rng.choice([0, 1, 2, 2, 2, 3]), **({"b": rng.choice([1, 2])} if unlike and rng.random() < 0.8 else {})})
        for u in range(v):
            if rng.random() < 0.4:
                graph.add_edge(u, v, bytes=rng.choice([0, 1, 1, 3]) if transfers else 0, lag=rng.choice([0, 0, 0, 1, -1]))
    classes = {c: SystolicArray(rows=1, cols=1) for c in ("ab" if unlike else "a")}
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    processors = ("a", "b") if unlike else ("a",) * rng.randint(1, 3)
    return Problem.from_graph(graph, Platform(name="small", classes=classes, processors=processors, interconnect=link, clock_hz=1), mode="finite")


def shortest(problem: Problem) -> int:
    """The least makespan over all placements and orders: longest paths, processor by processor in order."""
    instance = problem.instance
    n = instance.size
    edges = list(zip(*(a.tolist() for a in (instance.source, instance.target, instance.lag, instance.transfer)), strict=True))
    cycles = instance.duration.tolist()
    least = 10**9
    for place in itertools.product(range(len(problem.processors)), repeat=n):
        length = [row[p] for row, p in zip(cycles, place, strict=True)]
        if min(length) < 0:
            continue
        waits = [(u, v, length[u] + lag + (0 if place[u] == place[v] else transfer)) for u, v, lag, transfer in edges]
        orders = {tuple(tuple(v for v in order if place[v] == p and length[v]) for p in set(place)) for order in itertools.permutations(range(n))}
        for order in orders:
            rows = waits + [(u, v, length[u]) for row in order for u, v in itertools.pairwise(row)]
            start = [0] * n
            for _ in range(n):
                for u, v, wait in rows:
                    start[v] = max(start[v], start[u] + wait)
            if all(start[v] >= start[u] + wait for u, v, wait in rows):
                least = min(least, *(max(s + c for s, c in zip(start, length, strict=True)),) * 2)
    return least


def least(model: ScheduleModel | StartModel) -> tuple[int, Any]:
    """The optimum of a model, proven, and its schedule."""
    outcome, schedule = model.solve("makespan", Clock(Budget(deterministic_limit=50.0)), seed=0)
    assert outcome.optimal
    assert schedule is not None
    return outcome.bound, schedule


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_models_with_window_loads_and_swaps_have_the_optimum_of_brute_force(seed: int) -> None:
    """Without a hint or a bound: nothing but the model decides."""
    problem = small_problem(seed)
    value, schedule = least(ScheduleModel(problem, period=None, ceilings={}, shortest=True))
    assert value == shortest(problem)
    assert check(problem, schedule) == ()


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_starts_alone_have_the_optimum_of_brute_force(seed: int) -> None:
    """And processors can be handed out afterwards."""
    problem = small_problem(seed, transfers=False)
    assert placement_is_free(problem)
    value, schedule = least(StartModel(problem))
    assert value == shortest(problem)
    assert check(problem, schedule) == ()


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("ccr", [0.2, 2.0])
def test_structures_have_the_optimum_of_brute_force(structure: str, ccr: float) -> None:
    """Forks, joins, trees and the others, of five tasks."""
    problem = structured_problem(structure, 5, ccr, 2, seed=3)
    assert least(ScheduleModel(problem, period=None, ceilings={}, shortest=True))[0] == shortest(problem)


# -- window loads -------------------------------------------------------------------------------------


def fork(*, join: bool = False) -> Problem:
    """A root of 2 cycles and two children of 3 cycles, 4 cycles away; or time running backwards."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles in {"root": 2, "a": 3, "b": 3}.items():
        graph.add_node(name, cycles=cycles)
    for child in "ab":
        graph.add_edge(*((child, "root") if join else ("root", child)), bytes=4)
    return Problem.from_graph(graph, like_platform(2), mode="finite")


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize(("places", "makespan"), [((0, 0, 0), 8), ((0, 1, 1), 12), ((0, 0, 1), 9)])
def test_window_loads_bound_the_makespan_by_placements_alone(places: tuple[int, ...], makespan: int, join: bool) -> None:
    """2 + 3 + 3 on one processor; 2 + 4 and then what lies elsewhere; forks and joins alike."""
    problem = fork(join=join)
    model = cp_model.CpModel()
    variables = make_variables(problem, model, period=None, horizon=40)
    length = model.new_int_var(0, 40, "")
    window_loads(variables, length)
    for v, p in enumerate(places):
        literal = variables.place[v][p]
        assert literal is not None
        model.add(literal == 1)
    model.minimize(length)
    solver = cp_model.CpSolver()
    assert solver.solve(model) == cp_model.OPTIMAL
    assert solver.objective_value == makespan


def test_wide_forks_are_proven() -> None:
    """Every order of the children on every processor is equally good: propagation over intervals has to try them all."""
    found = solve(structured_problem("fork", 30, 10, 2, seed=99), "cpsat", deterministic_limit=5.0)
    assert found.status is Status.OPTIMAL
    assert found.objectives[0].bound_source == "CP-SAT"


# -- tasks that may change places -----------------------------------------------------------------------


def test_equal_tasks_and_those_with_less_before_and_more_behind_come_first() -> None:
    """Of three children a and b are equal; c is as long, and nothing reads it."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles in {"root": 1, "a": 2, "b": 2, "c": 2, "d": 3, "sink": 4}.items():
        graph.add_node(name, cycles=cycles)
    graph.add_edges_from([("root", name) for name in "abcd"] + [(name, "sink") for name in "abd"])
    assert first_pairs(Problem.from_graph(graph, 2)) == [(1, 2), (1, 3), (2, 3)]


def test_transfers_that_only_one_of_two_tasks_pays_keep_them_apart() -> None:
    """On the root's processor the child with the longer transfer may well come first."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in ("root", "near", "far"):
        graph.add_node(name, cycles=2)
    graph.add_edge("root", "near", bytes=1)
    graph.add_edge("root", "far", bytes=5)
    assert first_pairs(Problem.from_graph(graph, like_platform(2))) == []


def test_on_processors_of_unlike_speed_an_earlier_start_may_be_a_later_end() -> None:
    """b is best on the slow processor at once, while a waits for the fast one, where its reader must follow."""
    classes = {c: SystolicArray(rows=1, cols=1) for c in ("fast", "slow", "other")}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles in {"a": {"fast": 1, "slow": 10}, "b": {"fast": 1, "slow": 10}, "first": {"fast": 5}, "then": {"other": 5}, "reader": {"fast": 4}}.items():
        graph.add_node(name, cycles=cycles)
    graph.add_edges_from([("first", "then"), ("a", "reader")])
    machine = Platform(name="unlike", classes=classes, processors=tuple(classes), interconnect=Interconnect(), clock_hz=1)
    problem = Problem.from_graph(graph, machine, mode="finite")
    assert first_pairs(problem) == []
    assert least(ScheduleModel(problem, period=None, ceilings={}, shortest=True))[0] == shortest(problem) == 10
    graph.add_edge("b", "reader")
    assert first_pairs(Problem.from_graph(graph, machine, mode="finite")) == [(0, 1)]


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_swapped_schedules_stay_feasible_and_as_short(seed: int) -> None:
    """Whatever was out of order."""
    problem = small_problem(seed, most=9)
    schedule = schedule_of(SOLVER.preset("random").run(graph_of(problem), seed))
    pairs = first_pairs(problem)
    found = in_order(schedule, pairs)
    ends = [int((s.start + problem.instance.duration[np.arange(problem.instance.size), s.processor]).max()) for s in (schedule, found)]
    assert check(problem, found) == ()
    assert ends[1] == ends[0]
    assert all(found.start[a] <= found.start[b] for a, b in pairs)


def test_more_than_time_counts_under_limits_and_with_micro_batches() -> None:
    """Bytes and memories tell equal tasks apart; micro-batches share a processor."""
    graph = structured_graph("fork", 5, 1, 0)
    assert only_time_counts(Problem.from_graph(graph, 2))
    assert not only_time_counts(Problem.from_graph(graph, 2, micro_batches=2))
    assert not only_time_counts(Problem.from_graph(graph, 2, limits=Limits(traffic_bytes=10)))
    assert not only_time_counts(Problem.from_graph(graph, 2, mode="periodic"))


def test_the_last_copies_of_what_is_read_a_micro_batch_later_take_no_room() -> None:
    """So they may come first: with all copies in order the least memory was missed."""
    classes = {c: SystolicArray(rows=1, cols=1) for c in "ab"}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles, kind in (("x", (4, 7), "W"), ("y", (4, 2), "W"), ("z", (4, 2), "W"), ("u", (4, 7), "U")):
        graph.add_node(name, cycles=dict(zip("ab", cycles, strict=True)), kind=kind, layer="l")
    graph.add_edge("x", "y", distance=1, lag=2)
    graph.add_edge("x", "z", distance=1, tensors={"xz": 3})
    graph.add_edge("y", "u", tensors={"yu": 1})
    graph.add_edge("z", "u", tensors={"zu": 2}, lag=1)
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    machine = Platform(name="unlike", classes=classes, processors=("a", "b"), interconnect=link, clock_hz=1)
    problem = Problem.from_graph(graph, machine, mode="finite", micro_batches=3, limits=Limits(traffic_bytes=2), objective=("makespan", "memory"))
    ceilings, found = {"makespan": least(ScheduleModel(problem, period=None, ceilings={}, symmetric=False))[0]}, list[int]()
    for symmetric in (False, True):
        outcome, _ = ScheduleModel(problem, period=None, ceilings=ceilings, symmetric=symmetric).solve(
            "memory", Clock(Budget(deterministic_limit=50.0)), seed=0
        )
        assert outcome.optimal
        found.append(outcome.bound)
    assert found[0] == found[1]


# -- starts alone -------------------------------------------------------------------------------------------


def test_transfers_and_unlike_processors_need_placements() -> None:
    """A fork whose children are far away."""
    assert not placement_is_free(fork())
    assert placement_is_free(Problem.from_graph(structured_graph("fork", 5, 1, 0), 2))


@given(seeds)
@settings(max_examples=40)
def test_intervals_are_coloured_with_as_many_processors_as_overlap(seed: int) -> None:
    """At every time at most P run: none of them is given to two."""
    rng = np.random.default_rng(seed)
    start, cycles = rng.integers(0, 20, 12), rng.integers(0, 6, 12)
    count = max(1, *(int(((start <= t) & (t < start + cycles)).sum()) for t in range(30)))
    placed = coloured(start, cycles, count)
    assert placed.max() < count
    for a, b in itertools.combinations(np.flatnonzero(cycles).tolist(), 2):
        assert placed[a] != placed[b] or start[a] >= start[b] + cycles[b] or start[b] >= start[a] + cycles[a]


# -- published lengths ----------------------------------------------------------------------------------------


@pytest.mark.reference
def test_rules_come_near_published_optima_of_graphs_with_transfers(reference_data: Path) -> None:
    """Within 3 % in the mean (HEFT alone: 13 %), and never below; no bound is above."""
    gaps: list[float] = []
    for problem, length in published(reference_data / "sinnen"):
        cycles = problem.instance.duration[:, 0]
        rules = min(int((schedule.start + cycles).max()) for _, schedule in heuristic_schedules(problem))
        assert makespan_bound(problem).value <= length <= rules, problem.name
        gaps.append(rules / length - 1)
    assert sum(gaps) / len(gaps) < 0.03


@pytest.mark.reference
def test_published_optima_on_two_processors_are_proven(reference_data: Path) -> None:
    """All of them, wide forks with long transfers among them."""
    for problem, length in published(reference_data / "sinnen"):
        if len(problem.processors) == 2:
            found = solve(problem, "cpsat", deterministic_limit=1.0).objectives[0]
            assert (found.bound, found.value) == (length, length), problem.name
