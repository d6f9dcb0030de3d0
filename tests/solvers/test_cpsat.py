"""The parts of the CP-SAT models, each on a model of its own."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import textwrap

import networkx as nx
import numpy as np
import pytest
from ortools.sat.python import cp_model

from spikepipe_sched import Interconnect, Limits, Platform, Problem, Status, SystolicArray, check, metrics, solve
from spikepipe_sched.problem import MAX_DISTANCE, MAX_INT
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.balance import balance_exactly
from spikepipe_solvers.cpsat.constraints import Constraints
from spikepipe_solvers.cpsat.limits import contradiction, limit_names
from spikepipe_solvers.cpsat.memory import MemoryModel
from spikepipe_solvers.cpsat.model import ScheduleModel, stretched
from spikepipe_solvers.cpsat.run import run
from spikepipe_solvers.cpsat.size import affordable, model_size
from spikepipe_solvers.cpsat.traffic import traffic_expression
from spikepipe_solvers.cpsat.variables import Variables, make_variables
from tests.helpers import hear_interrupts
from tests.solvers.instances import INSTANCES, arrays, network_problem


def pair(*, first: int = 3, second: int = 2, size: int = 4, mode: str = "periodic", **edge: int) -> Problem:
    """Two tasks on two processors, 1 byte a cycle: a -> b."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=first)
    graph.add_node("b", cycles=second)
    graph.add_edge("a", "b", bytes=size, **edge)
    link = Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=1)
    platform = Platform(name="pair", classes={"x": SystolicArray(rows=1, cols=1)}, processors=("x", "x"), interconnect=link, clock_hz=1)
    return Problem.from_graph(graph, platform, mode=mode)


class Case:
    """A model with variables in which copies can be fixed."""

    def __init__(self, problem: Problem, period: int | None, *, horizon: int = 40) -> None:
        self.model = cp_model.CpModel()
        self.variables: Variables = make_variables(problem, self.model, period=period, horizon=horizon)
        self.constraints = Constraints(self.variables)

    def fix(self, *places: tuple[int, int]) -> Case:
        """(processor, start) of the copies, in order."""
        for v, (processor, start) in enumerate(places):
            literal = self.variables.place[v][processor]
            assert literal is not None
            self.model.add(literal == 1)
            self.model.add(self.variables.start[v] == start)
        return self

    def feasible(self) -> bool:
        """Whether the model has a solution."""
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        return solver.solve(self.model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)

    def least(self, expression: cp_model.LinearExprT) -> int:
        """The least value of an expression."""
        self.model.minimize(expression)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        assert solver.solve(self.model) == cp_model.OPTIMAL
        return int(solver.objective_value)


@pytest.mark.parametrize(
    ("starts", "period", "fits"),
    [((0, 3), 5, True), ((0, 3), 4, False), ((3, 1), 5, True), ((3, 0), 5, False), ((0, 8), 5, True), ((0, 2), None, False), ((0, 3), None, True)],
)
def test_no_overlap_modulo_the_period(starts: tuple[int, int], period: int | None, fits: bool) -> None:
    """A task that runs over the end of the period meets those that begin the next."""
    case = Case(pair(mode="periodic" if period else "finite"), period)
    case.constraints.no_overlap()
    assert case.fix((0, starts[0]), (0, starts[1])).feasible() is fits


@pytest.mark.parametrize(("place", "start", "holds"), [(0, 3, True), (0, 2, False), (1, 8, True), (1, 7, False)])
def test_precedence_charges_transfers_between_processors(place: int, start: int, holds: bool) -> None:
    """3 cycles of a, then 1 + 4 of transfer if b lies elsewhere."""
    case = Case(pair(), 20)
    case.constraints.precedence()
    assert case.fix((0, 0), (place, start)).feasible() is holds


@pytest.mark.parametrize(("place", "start", "holds"), [(0, 3, True), (0, 2, False), (1, 308, True), (1, 307, False)])
def test_transfers_of_many_periods_are_charged_in_full(place: int, start: int, holds: bool) -> None:
    """3 cycles of a, then 1 + 304 of a transfer that lasts 61 periods if b lies elsewhere."""
    case = Case(pair(size=304), 5, horizon=400)
    case.constraints.precedence()
    assert case.fix((0, 0), (place, start)).feasible() is holds


def test_models_of_very_long_transfers_stay_small() -> None:
    """A literal for each of 10^9 periods would not fit in any memory."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=3)
    graph.add_node("b", cycles=2)
    graph.add_edge("a", "b", bytes=4)
    link = Interconnect(latency_cycles=10**10, bandwidth_bytes_per_cycle=1)
    platform = Platform(name="far", classes={"x": SystolicArray(rows=1, cols=1)}, processors=("x", "x"), interconnect=link, clock_hz=1)
    found = solve(Problem.from_graph(graph, platform, mode="periodic", objective=("period", "traffic")), "cpsat", deterministic_limit=5.0)
    assert [(level.value, level.bound) for level in found.objectives] == [(3, 3), (4, 4)]


def test_precedence_over_iterations() -> None:
    """An edge of distance 1 gives a period more."""
    case = Case(pair(distance=1), 5)
    case.constraints.precedence()
    assert case.fix((0, 2), (0, 0)).feasible()
    case = Case(pair(distance=1), 4)
    case.constraints.precedence()
    assert not case.fix((0, 2), (0, 0)).feasible()


def test_periods_shorter_than_a_task_are_refused() -> None:
    """Every copy fits in the period."""
    case = Case(pair(), 2)
    case.constraints.fits_period()
    assert not case.feasible()


def test_loads_fit_the_period() -> None:
    """3 + 2 cycles on one processor need a period of 5."""
    for period, fits in ((4, False), (5, True)):
        case = Case(pair(), period)
        case.constraints.loads()
        assert case.fix((0, 0), (0, 3)).feasible() is fits


def test_symmetry_keeps_one_of_equal_placements() -> None:
    """The longest copy stays on the first of two like processors."""
    case = Case(pair(), 10)
    case.constraints.symmetry()
    literal = case.variables.place[0][1]
    assert literal is not None
    case.model.add(literal == 1)
    assert not case.feasible()


def test_traffic_counts_what_crosses() -> None:
    """4 bytes if the two lie apart, none together."""
    for place, expected in ((0, 0), (1, 4)):
        case = Case(pair(), 20)
        case.fix((0, 0), (place, 10))
        assert case.least(traffic_expression(case.variables)) == expected


def test_memory_counts_every_iteration_in_flight() -> None:
    """A tensor that lives 12 cycles at a period of 5 is held three times at its peak."""
    for capacity, fits in ((8, False), (12, True)):
        case = Case(pair(), 5)
        case.fix((0, 0), (0, 10))
        MemoryModel(case.variables).limit(0, capacity, capacity)
        assert case.feasible() is fits


@pytest.mark.parametrize("distance", [10, 100])
def test_tensors_read_many_iterations_later_are_held_no_longer_than_needed(distance: int) -> None:
    """The producer may run just before the reader of a much later iteration: one copy is enough."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=1)
    graph.add_node("b", cycles=1)
    graph.add_edge("a", "b", bytes=100, distance=distance)
    found = solve(Problem.from_graph(graph, 1, objective=("period", "memory")), "cpsat", deterministic_limit=5.0)
    assert found.key() == (2, 100)


def test_exact_balancing_proves_the_least_load() -> None:
    """3, 3, 2, 2, 2 on two processors: longest first gives 7, the optimum is 6."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for i, cycles in enumerate([3, 3, 2, 2, 2]):
        graph.add_node(f"t{i}", cycles=cycles)
    problem = Problem.from_graph(graph, 2, mode="periodic")
    clock = Clock(Budget(deterministic_limit=5.0))
    processor, bound, outcome = balance_exactly(problem, np.array([0, 1, 0, 1, 0]), 6, clock, seed=0, share=1.0)
    assert np.bincount(processor, weights=[3, 3, 2, 2, 2]).max() == bound == 6
    assert not outcome.interrupted


def test_shortest_period_under_a_delay_limit() -> None:
    """Synchronous training (D = 1) cannot repeat before the longest path F..U is through."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=["l"])
    for kind, cycles in (("F", 3), ("W", 4), ("U", 1)):
        graph.add_node(kind, kind=kind, layer="l", cycles=cycles)
    graph.add_edges_from([("F", "W"), ("W", "U")])
    graph.add_edge("U", "F", delay_layer="l")
    for limit, period in ((1, 8), (2, 4)):
        found = solve(Problem.from_graph(graph, 3, limits=Limits(delay=limit)), "cpsat", deterministic_limit=5.0)
        assert (found.objective, found.bound) == (period, period)


def test_span_limit_makes_short_periods_impossible() -> None:
    """Two tasks of 3 cycles in sequence: a span of 6 fits any period on two processors, 5 none."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("a", cycles=3)
    graph.add_node("b", cycles=3)
    graph.add_edge("a", "b")
    within = solve(Problem.from_graph(graph, 2, mode="periodic", limits=Limits(span_cycles=6)), "cpsat", deterministic_limit=5.0)
    assert within.objective == 3
    beyond = solve(Problem.from_graph(graph, 2, mode="periodic", limits=Limits(span_cycles=5)), "cpsat", deterministic_limit=5.0)
    assert beyond.status is Status.INFEASIBLE


def test_interruption_returns_the_best_schedule_so_far() -> None:
    """SIGINT during a long search: a checked schedule, marked as interrupted, without a traceback."""
    script = textwrap.dedent(
        """
        import sys
        from spikepipe_sched import solve
        from tests.solvers.instances import network_problem, arrays
        problem = network_problem("nmnist_cnn", windows=4, platform=arrays(5))
        def observer(progress):
            if progress.objective == "delay":
                print("searching", flush=True)
        result = solve(problem, "cpsat", time_limit_s=120, workers=1, observer=observer)
        print(result.status, result.provenance.interrupted, result.provenance.runtime_s < 100, flush=True)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "searching"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert out.strip().splitlines()[-1] == "feasible True True"
    assert "Traceback" not in err


def test_unrolling_reaches_fractions_of_a_cycle() -> None:
    """A loop of 13 cycles over 3 iterations: 13 cycles for 3 of them, where single ones take 5."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, cycles in (("x", 4), ("y", 4), ("z", 5)):
        graph.add_node(name, cycles=cycles)
    graph.add_edge("x", "y")
    graph.add_edge("y", "z")
    graph.add_edge("z", "x", distance=3)
    for unroll, period in ((1, 5), (3, 13)):
        found = solve(Problem.from_graph(graph, 3, unroll=unroll, objective=("period",)), "cpsat", deterministic_limit=10.0)
        assert (found.objective, found.bound) == (period, period)


def test_unrolled_copies_share_one_delay() -> None:
    """With one processor and two copies an update is used by the very next iteration: D = 1, however the copies are cut."""
    found = solve(network_problem(unroll=2, platform=arrays(1)), "cpsat", deterministic_limit=5.0)
    assert found.metrics is not None
    assert {delay for _, delay in found.metrics.delays} == {1}


def unequal(*objective: str, **limits: object) -> Problem:
    """3, 3, 2, 2, 2 cycles: a period of 6 parts both pairs that share 5 bytes."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=["l"])
    for name, cycles in {"a": 3, "b": 3, "c": 2, "d": 2, "e": 2}.items():
        graph.add_node(name, cycles=cycles, kind="F", layer="l")
    graph.add_node("u", cycles=0, kind="U", layer="l")
    graph.add_edge("a", "c", bytes=5)
    graph.add_edge("b", "d", bytes=5)
    graph.add_edge("e", "u")
    graph.add_edge("u", "e", delay_layer="l")
    return Problem.from_graph(graph, arrays(2, memory_bytes=1000), mode="periodic", objective=objective or ("period", "delay"), limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", [("period", "delay"), ("traffic",)])
def test_limits_that_contradict_each_other_are_named_and_no_others(objective: tuple[str, ...]) -> None:
    """Of five limits the period and the traffic: without one of them there is a schedule."""
    limits = {"period_cycles": 6, "delay": 9, "layer_delay": (("l", 8),)}
    found = solve(unequal(*objective, **limits, traffic_bytes=5), "cpsat", deterministic_limit=10.0)
    assert found.status is Status.INFEASIBLE
    assert found.infeasibility is not None
    assert set(found.infeasibility.loosen) == {"period_cycles", "traffic_bytes"}
    assert "without any one of them there is a schedule" in found.infeasibility.bound
    assert solve(unequal(**limits, traffic_bytes=10), "cpsat", deterministic_limit=10.0).schedule is not None


def test_contradictions_are_thinned_out_to_what_is_needed() -> None:
    """Any oracle: limits x and y conflict wherever both are kept; an open question keeps a limit, and is admitted."""
    problem = unequal(period_cycles=6, delay=9, layer_delay=(("l", 8),), traffic_bytes=5)
    names = limit_names(problem)
    assert names == ("period_cycles", "delay", "traffic_bytes", "delay of layer 'l'", "memory_bytes")
    for first, second in itertools.combinations(names, 2):

        def both(part: Problem, needed: tuple[str, str] = (first, second)) -> bool:
            return set(needed) <= set(limit_names(part))

        assert contradiction(problem, both) == ((first, second), True)
    assert contradiction(problem, lambda _: None) == (names, False)


@pytest.mark.parametrize(
    "name", ["tiny", "tiny, windows 4", "tiny, unlike arrays", "tiny, latest weights", "tiny, finite", "residual, finite", "unrolled", "ring"]
)
def test_hints_are_accepted_with_the_value_they_have(name: str) -> None:
    """Renamed to satisfy the symmetry constraints, and completed, a schedule is the model's first solution; memories, which take a search, apart."""
    problem = INSTANCES[name]()
    schedule = solve(problem, "sequential" if problem.unroll > 1 or name == "ring" else "stages").schedule
    assert schedule is not None
    figures = metrics(problem, schedule)
    clock = Clock(Budget(deterministic_limit=20.0))
    for level in problem.objective:
        if level in ("period", "memory"):
            continue
        model = ScheduleModel(problem, period=schedule.period, ceilings={level: figures.value(level)}, hint=schedule)
        assert model.complete_hint(clock), level
        model.model.minimize(model.objective.level(level))
        first = run(model.model, clock, seed=0, fixed=True)
        assert first.solver.objective_value == figures.value(level)


@pytest.mark.parametrize("name", ["tiny", "tiny, windows 4", "tiny, little memory", "residual", "random periodic 3", "random periodic 5", "unrolled"])
@pytest.mark.parametrize("longer", [1, 7, 1000])
def test_stretched_schedules_are_no_worse(name: str, longer: int) -> None:
    """At a longer period delays, traffic and memory are at most what they were: what a bound from a longer period rests on."""
    problem = INSTANCES[name]()
    schedule = solve(problem, "cpsat", deterministic_limit=0.5).schedule
    if schedule is None:
        pytest.skip("nothing to stretch")
    assert schedule.period is not None
    longer_schedule = stretched(schedule, problem, schedule.period + longer)
    assert check(problem, longer_schedule.normalised()) == ()
    before, after = metrics(problem, schedule), metrics(problem, longer_schedule)
    assert all(b >= a for (_, b), (_, a) in zip(before.delays, after.delays, strict=True))
    assert before.traffic_bytes >= after.traffic_bytes
    assert all(b >= a for b, a in zip(before.peak_memory_bytes, after.peak_memory_bytes, strict=True))


def test_models_too_large_for_the_time_are_not_built() -> None:
    """A second is enough for tiny, a millisecond for nothing; memories and levels add to the size."""
    problem = INSTANCES["tiny, little memory"]()
    assert affordable(problem, Clock(Budget(time_limit_s=5.0)), {"traffic"})
    assert not affordable(problem, Clock(Budget(time_limit_s=1e-3)))
    assert model_size(problem, memories=False) < model_size(problem, memories=False, levels=frozenset({"traffic"})) < model_size(problem)


def test_models_with_numbers_beyond_64_bits_are_not_built() -> None:
    """Tasks of the longest cycles with memories, and an edge over the most iterations: no proof, and no overflow either."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for i in range(5):
        graph.add_node(f"t{i}", cycles=MAX_INT)
    graph.add_edge("t0", "t1", bytes=4)
    graph.add_edge("t1", "t0", bytes=5, distance=MAX_DISTANCE)
    problem = Problem.from_graph(graph, arrays(3, memory_bytes=100), mode="periodic")
    assert not affordable(problem, Clock(Budget(time_limit_s=5.0)), period=2 * MAX_INT)
    found = solve(problem, "cpsat", deterministic_limit=1.0)
    assert (found.status, found.schedule) == (Status.UNKNOWN, None)


def test_clocks_for_parts_spend_the_time_of_the_whole() -> None:
    """Deterministic work of a part is missing from the rest."""
    whole = Clock(Budget(deterministic_limit=10.0))
    part = whole.part(0.5)
    part.spend(3.0)
    assert (part.left(), whole.left()) == (2.0, 7.0)
    assert whole.part(1.0, most_s=1.5).left() == 1.5
    part.spend(3.0)
    assert part.expired()
    assert not whole.expired()
