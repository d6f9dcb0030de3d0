"""Critical paths with transfers: by hand, one care at a time, and against all sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from spikepipe_sched import Interconnect, Platform, Problem, SystolicArray
from spikepipe_sched.bounds import critical_path, length_bound, makespan_bound
from spikepipe_sched.bounds import makespan as makespan_module
from spikepipe_sched.bounds.area import area_bound
from spikepipe_sched.bounds.heads import DEEPEST, iteration_graph, plain_waits, waits
from tests.bounds.exhaustive import least_length, rich_problem
from tests.helpers import small_graph


def machine(classes: str) -> Platform:
    """One processor per letter, which is its class; a byte takes a cycle."""
    array = SystolicArray(rows=1, cols=1)
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    return Platform(name="bounds", classes=dict.fromkeys(sorted(set(classes)), array), processors=tuple(classes), interconnect=link, clock_hz=1)


def join(transfers: dict[str, int], cycles: Mapping[str, Any] | None = None, *, lag: int = 0, turned: bool = False) -> nx.DiGraph[str]:
    """Tasks of 4 cycles that all feed (or, turned, all follow) one of 1 cycle."""
    graph = small_graph({name: (cycles or {}).get(name, 4) for name in transfers} | {"last": (cycles or {}).get("last", 1)})
    for name, size in transfers.items():
        ends = ("last", name) if turned else (name, "last")
        graph.add_edge(*ends, bytes=size, lag=lag)
    return graph


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("transfers", "length"),
    [
        ({"a": 10}, 5),  # beside its only neighbour nothing is sent
        ({"a": 2, "b": 2}, 7),  # one of them is sent
        ({"a": 10, "b": 10}, 9),  # both share the processor of the last
        ({"a": 3, "b": 10, "c": 10}, 9),  # a is sent, b and c follow one another
        ({"a": 5, "b": 10, "c": 10}, 10),
        ({"a": 10, "b": 10, "c": 10}, 13),
    ],
)
def test_a_join_waits_for_transfers_or_for_its_own_processor(transfers, length, turned) -> None:
    problem = Problem.from_graph(join(transfers, turned=turned), machine("ppp"))
    assert critical_path(problem) == length == least_length(problem)


@pytest.mark.parametrize("transfers", [{"a": 10}, {"a": 10, "b": 10}])
def test_one_processor_never_pays_a_transfer(transfers) -> None:
    problem = Problem.from_graph(join(transfers), machine("p"))
    assert critical_path(problem) == 4 * len(transfers) + 1 == least_length(problem)


def test_tasks_without_cycles_share_a_processor_at_no_cost() -> None:
    """b, c and d take no time; c is ready in the middle of a."""
    graph = join({"a": 10, "b": 10, "c": 10}, {"b": 0, "c": 0})
    graph.add_node("d", cycles=2)
    graph.add_edge("d", "c", bytes=0)
    problem = Problem.from_graph(graph, machine("pp"))
    assert critical_path(problem) == 5 == least_length(problem)


@pytest.mark.parametrize(("lag", "length"), [(-3, 6), (3, 12), (-20, 4)])
def test_those_on_one_processor_run_in_turn_before_the_least_lag(lag: int, length: int) -> None:
    """a and b end at 4 and 8 on the processor of the last; lags let it begin 3 earlier, or 3 later."""
    problem = Problem.from_graph(join({"a": 30, "b": 30}, lag=lag), machine("pp"))
    assert critical_path(problem) == length
    assert critical_path(problem) <= (least_length(problem) or 0)


def test_lags_that_differ_count_one_by_one() -> None:
    """a must be over by the start, b may end 4 later: both in turn, but a first, is 4 and not 8."""
    graph = join({"a": 30, "b": 30})
    graph.edges["b", "last"]["lag"] = -4
    problem = Problem.from_graph(graph, machine("pp"))
    assert critical_path(problem) == 5
    graph.edges["b", "last"]["lag"] = 4
    problem = Problem.from_graph(graph, machine("pp"))
    assert critical_path(problem) == 9 == least_length(problem)


def test_tasks_that_no_class_runs_both_pay_their_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = small_graph({"a": {"p": 4}, "b": {"q": 1}}, {("a", "b"): {"bytes": 10}})
    problem = Problem.from_graph(graph, machine("pq"))
    assert critical_path(problem) == 15 == least_length(problem)
    with monkeypatch.context() as patch:  # also where there are too many edges to choose
        patch.setattr(makespan_module, "MOST_CHOICES", 0)
        assert critical_path(problem) == 15
    graph.nodes["b"]["cycles"] = {"p": 7, "q": 1}
    problem = Problem.from_graph(graph, machine("pq"))
    assert critical_path(problem) == 11 == least_length(problem)  # on p, slower, it pays none


def test_the_only_processor_of_a_class_is_shared() -> None:
    """a, b and last run on p alone: with one p they follow one another, with two b is sent."""
    graph = join({"a": 1, "b": 1}, {"a": {"p": 4}, "b": {"p": 4}, "last": {"p": 1}})
    assert critical_path(Problem.from_graph(graph, machine("pqq"))) == 9
    assert critical_path(Problem.from_graph(graph, machine("ppq"))) == 6


def test_micro_batches_of_a_task_share_its_processor() -> None:
    """Three copies of a in a row, by an edge to the next: no transfer, however large."""
    graph = small_graph({"a": 4}, {("a", "a"): {"distance": 1, "bytes": 50}})
    problem = Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=3)
    assert critical_path(problem) == 12 == least_length(problem)


def test_the_copy_before_is_on_the_same_processor_with_whatever_else_is() -> None:
    """The second a waits for the first, and for b beside it, although sending nothing would cost nothing."""
    graph = small_graph({"a": 4, "b": 4}, {("a", "a"): {"distance": 1}, ("b", "a"): {"distance": 1, "bytes": 50}})
    problem = Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=2)
    assert critical_path(problem) == 12
    assert least_length(problem) == 16  # the second b needs that processor, too


def test_an_update_waits_for_all_micro_batches_in_turn() -> None:
    """The copies of W run one after the other, on the update's processor or on another."""
    graph = small_graph({"W(a)": 4, "U(a)": 1}, {("W(a)", "U(a)"): {"bytes": 2}})
    problem = Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=3)
    assert critical_path(problem) == 13 == least_length(problem)
    apart = small_graph({"W(a)": {"p": 4}, "U(a)": {"q": 1}}, {("W(a)", "U(a)"): {"bytes": 2}})
    problem = Problem.from_graph(apart, machine("pq"), mode="finite", micro_batches=3)
    assert critical_path(problem) == 15 == least_length(problem)


def test_unrolled_copies_need_not_share_a_processor() -> None:
    """Micro-batches do."""
    graph = small_graph({"a": 4})
    assert length_bound(Problem.from_graph(graph, machine("pp"), mode="periodic", unroll=2)).value == 4
    assert length_bound(Problem.from_graph(graph, machine("pp"), mode="finite", micro_batches=2)).value == 8


def test_parallel_edges_are_one() -> None:
    """The stricter of two edges counts; their task runs once."""
    problem = Problem.from_graph(join({"a": 9}), machine("pp"))
    edges = problem.edges
    doubled = replace(
        edges,
        source=np.repeat(edges.source, 2),
        target=np.repeat(edges.target, 2),
        distance=np.repeat(edges.distance, 2),
        delay_layer=np.repeat(edges.delay_layer, 2),
        lag=np.array([1, 3]),
        tensor_ptr=np.array([0, 1, 2]),
        tensor=np.repeat(edges.tensor, 2),
    )
    assert critical_path(replace(problem, edges=doubled)) == 4 + 3 + 1


def test_very_many_predecessors_are_cut_short() -> None:
    """70 tasks of 4 cycles on the processor of the last; the bound stops counting."""
    problem = Problem.from_graph(join({f"t{i}": 1000 for i in range(70)}), machine("pp"))
    assert critical_path(problem) == 4 * DEEPEST + 1


def test_the_choice_is_never_below_the_plain_path() -> None:
    raised = 0
    for seed in range(200):
        problem = rich_problem(seed, "finite", tasks=8)
        graph = iteration_graph(problem)
        for some in (graph, graph.reversed()):
            release = np.zeros(problem.instance.size, dtype=np.int64)
            plain, chosen = plain_waits(some, release), waits(some, release)
            assert (chosen >= plain).all(), seed
            raised += int((chosen > plain).any())
    assert raised >= 100


@pytest.mark.parametrize("choices", [makespan_module.MOST_CHOICES, 0])
def test_the_makespan_bound_never_exceeds_the_best_sequence(choices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 100 problems with everything; with the choice of processors it is mostly exact."""
    monkeypatch.setattr(makespan_module, "MOST_CHOICES", choices)
    compared = exact = 0
    for seed in range(100):
        problem = rich_problem(seed, "finite")
        best = least_length(problem)
        if best is None:
            continue
        graph = iteration_graph(problem)
        plain = plain_waits(graph, np.zeros(problem.instance.size, dtype=np.int64)).min(axis=1) + graph.fastest
        bound = makespan_bound(problem).value
        assert max(int(plain.max()), area_bound(problem)) <= bound <= best, seed
        compared, exact = compared + 1, exact + (bound == best)
    assert compared >= 90
    assert exact >= (0.75 if choices else 0.5) * compared


def test_the_critical_path_bounds_iterations_of_periodic_schedules_too() -> None:
    compared = 0
    for seed in range(50):
        problem = rich_problem(seed, "periodic", tasks=3)
        best = least_length(problem)
        if best is not None:
            compared += 1
            assert critical_path(problem) <= best, seed
    assert compared >= 40
