"""The parts of the CP-SAT models, each on a model of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import networkx as nx
import numpy as np
import pytest
from ortools.sat.python import cp_model

from spikepipe_sched import Interconnect, Limits, Platform, Problem, Status, SystolicArray, solve
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.cpsat.balance import balance_exactly
from spikepipe_solvers.cpsat.constraints import Constraints
from spikepipe_solvers.cpsat.memory import MemoryModel
from spikepipe_solvers.cpsat.traffic import traffic_expression
from spikepipe_solvers.cpsat.variables import Variables, make_variables
from tests.helpers import hear_interrupts


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

    def __init__(self, problem: Problem, period: int | None) -> None:
        self.model = cp_model.CpModel()
        self.variables: Variables = make_variables(problem, self.model, period=period, horizon=40)
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
