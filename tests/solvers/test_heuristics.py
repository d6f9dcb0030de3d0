"""The heuristics against their papers, their formulas and brute force."""

from __future__ import annotations

import networkx as nx
import pytest

from spikepipe_sched import Problem, solve
from tests.solvers.instances import residual_problem
from tests.solvers.worked_examples import heft_example


def test_cpsat_beats_heft_on_its_own_example() -> None:
    """The optimum is known to be below 80; whatever is found is checked and bounded."""
    found = solve(heft_example(), "cpsat", deterministic_limit=5.0)
    assert found.objective is not None
    assert found.bound is not None
    assert found.bound <= found.objective < 80


def equal_stages(count: int, **options: object) -> Problem:
    """One layer per stage: F takes 2 cycles, B with W inside it 4, U none; communication is free."""
    graph: nx.DiGraph[str] = nx.DiGraph(layers=[f"l{i}" for i in range(count)])
    for i in range(count):
        for kind, cycles in (("F", 2), ("W", 4), ("U", 0)):
            graph.add_node(f"{kind}{i}", kind=kind, layer=f"l{i}", cycles=cycles)
        graph.add_edge(f"W{i}", f"U{i}")
        graph.add_edge(f"F{i}", f"W{i}")
        graph.add_edge(f"U{i}", f"F{i}", delay_layer=f"l{i}")
        if i:
            graph.add_edge(f"F{i - 1}", f"F{i}")
            graph.add_edge(f"W{i}", f"W{i - 1}")
    return Problem.from_graph(graph, count, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_asynchronous_stages_have_the_delays_of_1f1b(count: int) -> None:
    """D_l - 1 = stages after l, at a period of one forward and one backward."""
    found = solve(equal_stages(count, mode="periodic"), "stages")
    assert found.objective == 6
    assert found.metrics is not None
    assert [delay - 1 for _, delay in found.metrics.delays] == [count - 1 - i for i in range(count)]


@pytest.mark.parametrize(("count", "micro_batches"), [(2, 1), (3, 3), (4, 8), (4, 12)])
def test_finite_stages_have_the_length_of_1f1b(count: int, micro_batches: int) -> None:
    """(M + P - 1)(F + B) (Narayanan et al., PipeDream-flush; bubble (P - 1) / (M + P - 1))."""
    assert solve(equal_stages(count, mode="finite", micro_batches=micro_batches), "stages").objective == (micro_batches + count - 1) * 6


def test_sequential_has_no_staleness_and_no_traffic() -> None:
    """One processor: D = 1 everywhere."""
    found = solve(residual_problem(), "sequential")
    assert found.metrics is not None
    assert {delay for _, delay in found.metrics.delays} == {1}
    assert found.metrics.traffic_bytes == 0
    assert found.objective == int(found.problem.instance.duration[:, 0].sum())
