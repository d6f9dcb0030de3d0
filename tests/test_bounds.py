"""Bounds by hand, against brute force, and below everything that any schedule reaches."""

import itertools
import random
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from spikepipe_sched import Interconnect, Limits, Platform, Problem, Schedule, SystolicArray
from spikepipe_sched.bounds import (
    COMBINATORIAL,
    area_bound,
    critical_path,
    delay_bound,
    has_positive_cycle,
    layer_paths,
    makespan_bound,
    memory_bound,
    objective_bound,
    period_bound,
    recurrence_bound,
    sharing_bound,
)
from spikepipe_sched.check import metrics, violations
from spikepipe_sched.result import Status
from spikepipe_solvers.lists import SOLVER as LISTS
from spikepipe_solvers.modulo import SOLVER as MODULO
from spikepipe_solvers.sequential import SOLVER as SEQUENTIAL
from tests.helpers import by_hand, hand_result, in_turn, problems, small_graph, training_problem
from tests.oracle import Oracle, TooLarge, random_problem


def machine(classes: str, memory_bytes: int | None = None) -> Platform:
    """One processor per letter, which is its class; free communication but a cycle per 100 bytes."""
    array = SystolicArray(rows=1, cols=1, memory_bytes=memory_bytes)
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=100)
    return Platform(name="bounds", classes=dict.fromkeys(sorted(set(classes)), array), processors=tuple(classes), interconnect=link, clock_hz=1)


# -- by hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("processors", "bound"), [(1, 14), (2, 7), (3, 5), (4, 4)])
def test_the_area_is_the_work_over_like_processors(processors: int, bound: int) -> None:
    assert area_bound(Problem.from_graph(small_graph({"a": 6, "b": 5, "c": 3, "d": 0}), processors)) == bound


def test_the_area_on_unlike_processors_is_that_of_the_best_fractions() -> None:
    """x of a on p: 2 x + 3 = 6 (1 - x) gives x = 3/8, a load of 3.75; then 3 + 4 x = 6 (1 - x), x = 0.3, 4.2."""
    graph = small_graph({"a": {"p": 2, "q": 6}, "b": {"p": 3}})
    assert area_bound(Problem.from_graph(graph, machine("pq"))) == 4
    graph = small_graph({"a": {"p": 4, "q": 6}, "b": {"p": 3, "q": 9}})
    assert area_bound(Problem.from_graph(graph, machine("pq"))) == 5


def test_the_area_counts_copies_and_micro_batches() -> None:
    graph = small_graph({"F(a)": 3, "U(a)": 1}, [("F(a)", "U(a)")])
    assert area_bound(Problem.from_graph(graph, 2, mode="periodic", unroll=3)) == 6
    assert area_bound(Problem.from_graph(graph, 2, mode="finite", micro_batches=3)) == 5


def test_a_class_that_runs_nothing_adds_nothing() -> None:
    graph = small_graph({"a": {"p": 6}, "b": {"p": 5}})
    assert area_bound(Problem.from_graph(graph, machine("pq"))) == 11


def test_tasks_without_cycles_have_no_area() -> None:
    assert area_bound(Problem.from_graph(small_graph({"a": {"p": 0}, "b": {"q": 0}}), machine("pq"))) == 0


@pytest.mark.parametrize(
    ("cycles", "processors", "bound"),
    [
        ([7], 2, 7),
        ([7, 6, 5, 1], 2, 11),  # two of 7, 6, 5 share: 6 + 5 at least
        ([5, 5, 5, 5, 5], 2, 15),  # three of five share
        ([9, 4, 4, 3, 3, 3], 3, 9),  # 4 + 3 is less than 9
        ([4, 4, 3, 3], 3, 6),
    ],
)
def test_some_of_the_longest_tasks_share_a_processor(cycles: list[int], processors: int, bound: int) -> None:
    graph = small_graph({f"t{i}": c for i, c in enumerate(cycles)})
    assert sharing_bound(Problem.from_graph(graph, processors)) == bound
    if bound > max(cycles):
        for mode in ("periodic", "finite"):
            known = objective_bound(problem := Problem.from_graph(graph, processors, mode=mode), problem.objective[0], 0)
            assert (known.value, known.source) == (bound, "longest tasks: some must share a processor")


@pytest.mark.parametrize("seed", range(20))
def test_the_shared_processor_never_exceeds_the_least_largest_load(seed: int) -> None:
    """Every assignment, also of unlike processors."""
    rng = np.random.default_rng(seed)
    kinds = ("pp", "ppp", "pq")[seed % 3]
    cycles = [{c: int(rng.integers(0, 12)) for c in sorted(set(kinds))} for _ in range(int(rng.integers(1, 8)))]
    problem = Problem.from_graph(small_graph({f"t{i}": row for i, row in enumerate(cycles)}), machine(kinds))
    choices = itertools.product(range(len(kinds)), repeat=len(cycles))
    least = min(max(sum(row[kinds[p]] for row, q in zip(cycles, chosen, strict=True) if q == p) for p in range(len(kinds))) for chosen in choices)
    assert sharing_bound(problem) <= least


def test_no_period_is_shorter_than_the_longest_task() -> None:
    problem = Problem.from_graph(small_graph({"a": {"p": 9, "q": 7}, "b": 1}), machine("pq"), mode="periodic")
    assert (period_bound(problem).value, period_bound(problem).source) == (7, "longest task")


def test_the_least_period_is_one_cycle() -> None:
    problem = Problem.from_graph(small_graph({"a": 0}), 1, mode="periodic")
    assert period_bound(problem).value == 1


@pytest.mark.parametrize(
    ("edges", "unroll", "bound"),
    [
        ({("a", "a"): {"distance": 1}}, 1, 3),
        ({("a", "a"): {"distance": 2}}, 1, 2),
        ({("a", "a"): {"distance": 2}}, 2, 3),
        ({("a", "a"): {"distance": 1}}, 3, 9),
        ({("a", "a"): {"distance": 1, "lag": 5}}, 1, 8),
        ({("a", "a"): {"distance": 1, "lag": -2}}, 1, 1),
        ({("a", "b"): {"lag": 2}, ("b", "a"): {"distance": 1}}, 1, 9),
        ({("a", "b"): {"lag": -2}, ("b", "a"): {"distance": 2}}, 1, 3),
        ({("a", "b"): {}, ("b", "a"): {"distance": 1, "lag": -10}}, 1, 1),
    ],
)
def test_cycles_over_iterations_bound_the_period(edges: dict[tuple[str, str], dict[str, int]], unroll: int, bound: int) -> None:
    """a takes 3 cycles, b 4."""
    assert recurrence_bound(Problem.from_graph(small_graph({"a": 3, "b": 4}, edges), 2, mode="periodic", unroll=unroll)) == bound


def test_staleness_limits_make_cycles() -> None:
    """F, W, U of 4 + 4 + 1 cycles; B of the second layer in between for the first."""
    for unroll in (1, 2):
        for limit, bound in ((1, 17), (2, 9), (3, 6)):
            problem = training_problem(2, 4, limits=Limits(delay=limit), unroll=unroll)
            assert recurrence_bound(problem) in (-(-unroll * 17 // limit), bound * unroll)
    assert recurrence_bound(training_problem(2, 4, limits=Limits(layer_delay=(("l1", 2),)))) == 5
    assert recurrence_bound(training_problem(2, 4)) == 1


def test_cycles_pay_the_transfers_that_no_processor_saves() -> None:
    """a on p, b on q; 3 + 4 cycles, two bytes forth and 250 back, at 100 a cycle."""
    graph = small_graph({"F(a)": {"p": 3}, "U(a)": {"q": 4}}, {("F(a)", "U(a)"): {"bytes": 2}})
    graph.add_edge("U(a)", "F(a)", bytes=250, distance=2)
    assert recurrence_bound(Problem.from_graph(graph, machine("pq"), mode="periodic")) == 6
    del graph.edges["U(a)", "F(a)"]["distance"]
    graph.edges["U(a)", "F(a)"]["delay_layer"] = "a"
    assert recurrence_bound(Problem.from_graph(graph, machine("pq"), limits=Limits(delay=2))) == 6
    assert recurrence_bound(Problem.from_graph(graph, machine("pq"), limits=Limits(delay=2), unroll=3)) == 17


def test_a_limit_beyond_all_delays_changes_nothing() -> None:
    """Times the period it would not fit in 64 bits."""
    assert recurrence_bound(training_problem(2, 4, limits=Limits(delay=2**41))) == 1
    assert not has_positive_cycle(training_problem(2, 4, limits=Limits(delay=2**41)), 2**40)


def test_under_latest_the_backward_delay_has_no_limit() -> None:
    """B reads its newest version, whatever the limit on D_l; only F is held to it."""
    graph = small_graph({"F(a)": 1, "B(a)": 1, "U(a)": 9}, {("B(a)", "U(a)"): {}})
    graph.add_edge("U(a)", "F(a)", delay_layer="a")
    graph.add_edge("U(a)", "B(a)", delay_layer="a")
    problem = Problem.from_graph(graph, 2, weights="latest", limits=Limits(delay=1))
    schedule = by_hand(problem, {"F(a)": (1, 10), "B(a)": (1, 0), "U(a)": (0, 1)}, period=9)
    assert violations(problem, schedule) == ()
    assert period_bound(problem).value == 9
    assert period_bound(replace(problem, weights="stash")).value == 10


def test_the_critical_path_has_lags() -> None:
    graph = small_graph({"a": 3, "b": {"p": 4, "q": 2}, "c": 1}, {("a", "b"): {"lag": 5}, ("b", "c"): {"lag": -1}})
    problem = Problem.from_graph(graph, machine("pq"))
    assert critical_path(problem) == 3 + 5 + 2
    assert makespan_bound(problem).source == "critical path"
    serial = Problem.from_graph(graph, machine("p"))
    assert critical_path(serial) == 12
    assert makespan_bound(serial).value == 13  # c need not wait for b's last cycle, but for its processor
    assert makespan_bound(Problem.from_graph(small_graph({"a": 3, "b": 4}), 1)).source == "area: work / processors"


def test_paths_end_with_the_updates_result() -> None:
    assert layer_paths(training_problem(3, 2)).tolist() == [25, 17, 9]  # F F F B B W U; F F B W U; F W U
    assert layer_paths(training_problem(1, 1)).tolist() == [9]


@pytest.mark.parametrize(("period", "bound"), [(17, 2), (16, 3), (9, 3), (8, 5), (4, 11)])
def test_delays_cover_their_paths(period: int, bound: int) -> None:
    """Paths of 17 and, l1's own, F W U: 9 cycles; at 4 every task needs a processor of its own, and they 11 and 5 cycles of transfers."""
    assert delay_bound(training_problem(2, 2), period).value == bound


@pytest.mark.parametrize(("lag", "bound"), [(0, 2), (-2, 1), (4, 2), (5, 3), (-50, 1)])
def test_a_lag_on_the_way_back_is_part_of_the_path(lag: int, bound: int) -> None:
    graph = small_graph({"F(a)": 6, "U(a)": 2}, [("F(a)", "U(a)")])
    graph.add_edge("U(a)", "F(a)", delay_layer="a", lag=lag)
    problem = Problem.from_graph(graph, 2)
    assert delay_bound(problem, 6).value == bound
    schedule = by_hand(problem, {"F(a)": (0, 0), "U(a)": (1, 6)}, period=6)
    assert metrics(problem, schedule).total_delay == bound


def test_the_bound_on_delays_holds_for_every_period_unless_the_period_comes_first() -> None:
    """A longer period may have smaller delays: only the limit on the period bounds them then."""
    problem = training_problem(2, 2)
    assert objective_bound(problem, "delay", 8).value == 5
    assert objective_bound(replace(problem, objective=("delay", "period")), "delay", 8).value == 2
    assert objective_bound(replace(problem, objective=("delay",), limits=Limits(period_cycles=9)), "delay", 8).value == 3
    pipelined = {"F(l0)": (0, 0), "F(l1)": (1, 7), "B(l1)": (1, 11), "W(l1)": (1, 15), "U(l1)": (1, 19), "W(l0)": (0, 18), "U(l0)": (0, 22)}
    result = hand_result(replace(problem, objective=("delay",)), by_hand(problem, pipelined, 13))
    assert (result.objective, result.bound, result.status) == (3, 2, Status.FEASIBLE)


def test_what_updates_keep_is_always_somewhere() -> None:
    """Three states of 16 bytes on two processors."""
    for options in ({"mode": "finite", "micro_batches": 2}, {}, {"unroll": 2}):
        assert memory_bound(training_problem(3, 2, **options)).value == 24
        assert memory_bound(training_problem(3, 8, **options)).value == 16


def test_a_run_that_takes_no_time_holds_nothing() -> None:
    graph = small_graph({"F(a)": 0, "U(a)": 0}, {("F(a)", "U(a)"): {}, ("U(a)", "U(a)"): {"distance": 1, "bytes": 8}})
    problem = Problem.from_graph(graph, 2, mode="finite")
    assert hand_result(problem).status == Status.OPTIMAL
    assert hand_result(problem).key() == (0, 0, 0)


def test_every_source_is_listed() -> None:
    for mode in ("periodic", "finite"):
        problem = training_problem(mode=mode)
        assert {objective_bound(problem, name, 20).source for name in problem.objective} <= COMBINATORIAL


# -- against other methods ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_the_area_equals_the_linear_programme_rounded_up(seed: int) -> None:
    """min L: loads <= L, every task assigned once, in fractions."""
    rng = np.random.default_rng(seed)
    kinds = "ppqr"[: rng.integers(2, 5)] if seed % 2 else "pq"
    tasks = int(rng.integers(1, 6))
    cycles = {f"t{i}": {c: int(rng.integers(0, 30)) for c in sorted(set(kinds)) if c == "p" or rng.random() < 0.8} for i in range(tasks)}
    table = [[row.get(c) for c in kinds] for row in cycles.values()]
    columns = [(t, p) for t in range(tasks) for p in range(len(kinds)) if table[t][p] is not None]
    loads, once = np.zeros((len(kinds), len(columns) + 1)), np.zeros((tasks, len(columns) + 1))
    for x, (t, p) in enumerate(columns):
        loads[p, x], once[t, x] = table[t][p] or 0, 1
    loads[:, -1] = -1
    optimum = linprog([*[0] * len(columns), 1], A_ub=loads, b_ub=np.zeros(len(kinds)), A_eq=once, b_eq=np.ones(tasks)).fun or 0.0
    assert area_bound(Problem.from_graph(small_graph(cycles), machine(kinds))) == int(np.ceil(optimum - 1e-7))


@pytest.mark.parametrize("seed", range(40))
def test_the_recurrence_equals_the_worst_cycle(seed: int) -> None:
    """Least period with sum(c + lag) <= distance * period on every simple cycle; unrolled, that of K iterations."""
    rng = random.Random(seed)
    n = rng.randint(2, 5)
    graph = small_graph({f"t{i}": rng.randint(0, 9) for i in range(n)})
    for i in range(n):
        for j in range(n):
            if rng.random() < 0.5:
                graph.add_edge(f"t{i}", f"t{j}", distance=rng.randint(int(i >= j), 3), lag=rng.randint(-3, 5))
    for unroll in (1, 2):
        problem = Problem.from_graph(graph, 2, mode="periodic", unroll=unroll)
        needs = [1]
        for cycle in nx.simple_cycles(graph):
            edges = [graph.edges[u, v] for u, v in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
            work, distance = sum(graph.nodes[v]["cycles"] for v in cycle) + sum(e["lag"] for e in edges), sum(e["distance"] for e in edges)
            needs.append(-(-unroll * work // distance))
        assert recurrence_bound(problem) == max(needs)


# -- soundness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["periodic", "finite"])
def test_bounds_never_exceed_the_optimum(mode: str) -> None:
    """Brute force, level by level; delays at the optimal period."""
    compared = 0
    for seed in range(200):
        problem = random_problem(seed, mode)
        oracle = Oracle(problem)
        starts = 3 * sum(max(row) for row in oracle.cycles)
        if np.prod([sum(c >= 0 for c in row) * starts for row in oracle.cycles], dtype=float) > 20_000:
            continue  # quick ones only
        try:
            best = oracle.optimum()
        except TooLarge:
            continue
        if best is None:
            continue
        compared += 1
        for name, value in zip(problem.objective, best, strict=True):
            assert objective_bound(problem, name, best[0]).value <= value, (seed, name)
    assert compared >= 15


@settings(max_examples=20)
@given(problems())
def test_bounds_never_exceed_what_solvers_reach(problem: Problem) -> None:
    """`conclude` refuses a value below its bound, so that reaching a result is the test."""
    from spikepipe_sched import solve

    for solver in (SEQUENTIAL, MODULO, LISTS):
        if solver.spec.supports(problem) is None:
            found = solve(problem, solver, deterministic_limit=0.01, seed=1)
            assert all(level.bound <= level.value for level in found.objectives)


def list_schedule(problem: Problem, rng: random.Random, period: int) -> Schedule | None:
    """Each copy where it fits modulo the period, at or somewhat after it is ready, on a random processor."""
    instance = problem.instance
    processor = np.array([rng.choice(np.flatnonzero(row >= 0).tolist()) for row in instance.duration])
    start, busy = np.zeros(instance.size, dtype=np.int64), [np.zeros(period, dtype=bool) for _ in problem.processors]
    for v in instance.order.tolist():
        p, cycles, ready = int(processor[v]), int(instance.duration[v, processor[v]]), 0
        for e in np.flatnonzero((instance.target == v) & (instance.distance == 0)).tolist():
            u = int(instance.source[e])
            apart = int(instance.transfer[e]) if processor[u] != p else 0
            ready = max(ready, int(start[u] + instance.duration[u, processor[u]] + instance.lag[e]) + apart)
        ready += rng.choice([0, 0, 0, 1, 5])
        if cycles > period:
            return None
        for s in range(ready, ready + period):
            slots = np.arange(s, s + cycles) % period
            if not busy[p][slots].any():
                start[v], busy[p][slots] = s, True
                break
        else:
            return None
    return Schedule(processor=processor, start=start, period=period)


@settings(max_examples=60)
@given(problems(), st.integers(0, 10**6))
def test_bounds_never_exceed_a_random_schedule_under_its_own_limits(problem: Problem, seed: int) -> None:
    """All its delays become limits: the period and the delays must still be allowed by the bounds."""
    rng = random.Random(seed)
    problem = replace(problem, processors=tuple(replace(p, memory_bytes=None) for p in problem.processors))
    schedule: Schedule | None = in_turn(problem)
    if problem.mode == "periodic":
        least = max(period_bound(problem).value, 1)
        schedule = list_schedule(problem, rng, least + rng.randint(0, least))
    if schedule is None or violations(problem, schedule):
        return
    figures = metrics(problem, schedule)
    if figures.delays:
        problem = replace(problem, limits=Limits(layer_delay=figures.delays, period_cycles=schedule.period))
        assert violations(problem, schedule) == ()
    for name in problem.objective:
        assert objective_bound(problem, name, figures.length_cycles).value <= figures.value(name), name
        alone = replace(problem, objective=(name,))
        assert objective_bound(alone, name, figures.length_cycles).value <= figures.value(name), name


@pytest.mark.parametrize("seed", range(30))
def test_bounds_never_exceed_pipelined_training_with_copies(seed: int) -> None:
    rng = random.Random(seed)
    weights = rng.choice(["stash", "latest"])
    problem = training_problem(rng.randint(1, 3), rng.randint(1, 3), unroll=rng.randint(1, 3), weights=weights)
    least = period_bound(problem).value
    schedule = list_schedule(problem, rng, least + rng.randint(0, 20))
    if schedule is None or violations(problem, schedule):
        schedule = in_turn(problem)
    figures = metrics(problem, schedule)
    limited = replace(problem, limits=Limits(layer_delay=figures.delays))
    assert violations(limited, schedule) == ()
    assert period_bound(limited).value <= figures.length_cycles
    for name in problem.objective:
        assert objective_bound(limited, name, figures.length_cycles).value <= figures.value(name)
