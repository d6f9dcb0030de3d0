"""Precedences that limited memories imply: they exclude no makespan, and they raise bounds."""

from __future__ import annotations

import networkx as nx
import pytest

from spikepipe_sched import Problem, solve
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.bounds.slots import interchangeable, order_edges, slot_edges
from spikepipe_sched.readers.pipeline import Pipeline
from tests.oracle import Oracle, TooLarge


def stages(forward: tuple[int, ...], backward: tuple[int, ...], gradient: tuple[int, ...], **options: int) -> Problem:
    """One stage per processor."""
    return Pipeline.of_stages("chain", forward, backward, gradient, **options).problem(objective=("makespan",))  # type: ignore[arg-type]


def test_tensors_take_turns() -> None:
    """With room for two activations, F of micro-batch i + 2 waits for B and W of i, on both stages."""
    problem = stages((1, 1), (1, 1), (1, 1), micro_batches=3, memory=2)
    instance, names = problem.instance, problem.tasks.names
    edges = {
        (names[int(instance.task[u])], int(instance.copy[u]), names[int(instance.task[w])], int(instance.copy[w]))
        for u, w in zip(*slot_edges(problem), strict=True)
    }
    assert edges == {(f"{kind}(l{layer})", 0, f"F(l{layer})", 2) for kind in "BW" for layer in (0, 1)}


@pytest.mark.parametrize("options", [{"micro_batches": 3}, {"micro_batches": 3, "memory": 3}, {"micro_batches": 1, "memory": 1}])
def test_enough_memory_implies_nothing(options: dict[str, int]) -> None:
    """No limit, one for all micro-batches, or only one micro-batch."""
    assert not slot_edges(stages((1, 1), (1, 1), (1, 1), **options))[0].size


def test_layers_that_may_go_anywhere_have_no_slots() -> None:
    """The tensor and its reader need not meet."""
    problem = Pipeline.of_stages("free", (1, 1), (1, 1), (1, 1), micro_batches=3, memory=1, placement="free").problem()
    assert not slot_edges(problem)[0].size


@pytest.mark.parametrize("costs", [((1,), (1,), (1,)), ((1,), (2,), (1,)), ((2,), (1,), (1,))])
@pytest.mark.parametrize("memory", [1, 2])
def test_bounds_hold_by_brute_force(costs: tuple[tuple[int, ...], ...], memory: int) -> None:
    """One stage, two micro-batches: the optimum is reached, never exceeded."""
    problem = stages(*costs, micro_batches=2, memory=memory)
    try:
        best = Oracle(problem).optimum()
    except TooLarge:
        pytest.skip("too many schedules to enumerate")
    assert best is not None
    assert makespan_bound(problem).value <= best[0]


@pytest.mark.parametrize("costs", [((1, 2), (1, 1), (1, 0)), ((2, 1), (0, 1), (1, 1)), ((1, 1), (2, 1), (0, 2))])
@pytest.mark.parametrize("placement", ["stages", "free"])
def test_micro_batches_in_order_exclude_no_makespan(costs: tuple[tuple[int, ...], ...], placement: str) -> None:
    """Two stages, two micro-batches, transfers of one cycle: by brute force."""
    problem = stages(*costs, micro_batches=2, transfer_cycles=1, placement=placement)  # type: ignore[arg-type]
    assert order_edges(problem)[0].size == len(problem.tasks.names)
    try:
        best = Oracle(problem).optimum()
    except TooLarge:
        pytest.skip("too many schedules to enumerate")
    assert best is not None
    assert makespan_bound(problem).value <= best[0]


def test_micro_batches_in_order_raise_the_bound() -> None:
    """Eight slow forwards, one after the other, feed a last stage that is busy for 9 cycles each and has 2 more to do: 5 * 8 before its last forward."""
    problem = stages((5, 1), (1, 1), (1, 1), micro_batches=8)
    assert makespan_bound(problem).value >= 5 * 8 + 1 + 1 + 1
    found = solve(problem, "auto", deterministic_limit=1.0)
    assert found.objective == makespan_bound(problem).value


def test_a_tight_memory_raises_the_bound() -> None:
    """Four equal stages, eight micro-batches, four activations, transfers of one cycle: 39 instead of 30, which schedules reach."""
    assert makespan_bound(stages((1,) * 4, (1,) * 4, (1,) * 4, micro_batches=8, transfer_cycles=1)).value == 30
    assert makespan_bound(stages((1,) * 4, (1,) * 4, (1,) * 4, micro_batches=8, transfer_cycles=1, memory=4)).value == 39


EDGES = {"kept": {}, "lag": {"lag": -1}, "distance": {"distance": 1}, "sum": {"tensors": {"x": 1, "y": 1}}, "read by an update": {"reader": "U"}}


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("objective", [("makespan",), ("makespan", "memory")])
def test_memories_tell_micro_batches_apart(case: str, objective: tuple[str, ...]) -> None:
    """Not where each copy of a tensor has one producer and its own readers only, nor where memory does not count."""
    options = {"tensors": {"x": 1}} | EDGES[case]
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in ("maker", "other", "reader"):
        graph.add_node(name, cycles=1, kind="F", layer="l")
    graph.add_node("update", cycles=1, kind="U", layer="l")
    if options.pop("reader", None):
        graph.add_edge("maker", "update", tensors={"x": 1})
    graph.add_edge("maker", "reader", **options)
    graph.add_edge("other", "reader", tensors={"y": 1})
    graph.add_edge("reader", "update", tensors={"gradient": 1})
    assert interchangeable(Problem.from_graph(graph, 2, mode="finite", micro_batches=2, objective=objective)) is (case == "kept" or "memory" not in objective)
