"""Links whose transfers take a latency alone, and orders without bytes that take one too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import pytest

from spikepipe_sched import InputError, Interconnect, Problem, Result, simulate, solve
from spikepipe_sched.bounds import objective_bound
from spikepipe_sched.platform import Sharing
from tests.oracle import Oracle, TooLarge, random_problem


def with_links(problem: Problem, **fields: Any) -> Problem:
    return replace(problem, interconnect=Interconnect(**fields))


def chain(link: Interconnect, size: int) -> Problem:
    """Two tasks that only different processors can run, joined by an edge of so many bytes."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_node("a", cycles=2)
    graph.add_node("b", cycles=3)
    graph.add_edge("a", "b", bytes=size)
    problem = Problem.from_graph(graph, 2)
    return replace(problem, interconnect=link)


@pytest.mark.parametrize(
    ("link", "size", "transfer"),
    [
        (Interconnect(latency_cycles=4, bandwidth_bytes_per_cycle=None), 10**9, 4),
        (Interconnect(latency_cycles=4, bandwidth_bytes_per_cycle=10), 25, 7),
        (Interconnect(latency_cycles=4, bandwidth_bytes_per_cycle=10), 0, 0),
        (Interconnect(latency_cycles=4, signal_latency_cycles=3), 0, 3),
        (Interconnect(latency_cycles=4, signal_latency_cycles=3, bandwidth_bytes_per_cycle=None), 1, 4),
    ],
)
def test_a_transfer_takes_its_latency_and_its_bytes(link: Interconnect, size: int, transfer: int) -> None:
    assert chain(link, size).instance.transfer.tolist() == [transfer]


def test_equal_processors_of_ones_own_graph_exchange_data_for_nothing() -> None:
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from([("a", {"cycles": 1}), ("b", {"cycles": 5}), ("c", {"cycles": 5})])
    graph.add_edges_from([("a", "b"), ("a", "c")], bytes=100)
    assert solve(Problem.from_graph(graph, 2), "cpsat", deterministic_limit=1.0).objective == 6


@pytest.mark.parametrize("mode", ["periodic", "finite"])
@pytest.mark.parametrize("signal", [0, 1, 2])
def test_optima_equal_brute_force(mode: str, signal: int) -> None:
    """Values equal in all levels; the first level's bound, known before any search, is below."""
    compared = 0
    for seed in range(14):
        problem = with_links(random_problem(700 + seed, mode), latency_cycles=seed % 3, bandwidth_bytes_per_cycle=None, signal_latency_cycles=signal)
        try:
            best = Oracle(problem).optimum()
        except TooLarge:
            continue
        if best is None:
            continue
        found = solve(problem, "cpsat", deterministic_limit=10.0)
        assert found.key() == best, seed
        assert objective_bound(problem, problem.objective[0], best[0]).value <= best[0]
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("sharing", [None, "none", "bus", "ports"])
def test_a_replay_waits_for_signals(sharing: Sharing | None) -> None:
    problem = chain(Interconnect(signal_latency_cycles=3), 0)
    apart = solve(replace(problem, limits=replace(problem.limits, makespan_cycles=5)), "cpsat", deterministic_limit=1.0)
    assert apart.objective == 5  # on one processor
    assert apart.schedule is not None
    late = replace(apart.schedule, processor=apart.schedule.processor * 0 + [0, 1], start=apart.schedule.start * 0 + [0, 5])
    assert simulate(problem, late, sharing=sharing).reached_cycles == 8


def test_files_keep_both(tmp_path) -> None:
    result = solve(chain(Interconnect(latency_cycles=1, bandwidth_bytes_per_cycle=None, signal_latency_cycles=2), 3), "list")
    result.to_json(tmp_path / "result.json")
    assert Result.from_json((tmp_path / "result.json").read_text(encoding="utf-8")).problem.interconnect == result.problem.interconnect


@pytest.mark.parametrize("fields", [{"bandwidth_bytes_per_cycle": None}, {"signal_latency_cycles": 1}])
def test_shared_links_need_times_to_share(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="need a bandwidth, and no signal latency"):
        Interconnect(sharing="bus", **fields)


@pytest.mark.parametrize("fields", [{"bandwidth_bytes_per_cycle": 0}, {"signal_latency_cycles": -1}, {"latency_cycles": -1}])
def test_impossible_links_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"interconnect: {next(iter(fields))} must"):
        Interconnect(**fields)
