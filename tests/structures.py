"""Task graphs of the structures that the field measures schedulers on, with transfers: reproducible from their names.

Tasks and edges weigh 2 to 10, at random; then one of both is stretched so that edges weigh ``ccr`` times
as much as tasks in all (the communication-to-computation ratio). Structures and weights are those of
Sinnen, Task Scheduling for Parallel Systems, 2007, doi:10.1002/0470121173, section 6.3.1 on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import networkx as nx

from spikepipe_sched import Interconnect, Platform, Problem, SystolicArray

Edges = list[tuple[int, int]]


def _fork(n: int, _: random.Random) -> Edges:
    return [(0, v) for v in range(1, n)]


def _join(n: int, _: random.Random) -> Edges:
    return [(v, n - 1) for v in range(n - 1)]


def _fork_join(n: int, _: random.Random) -> Edges:
    return [(0, v) for v in range(1, n - 1)] + [(v, n - 1) for v in range(1, n - 1)]


def _out_tree(n: int, rng: random.Random) -> Edges:
    """Level by level, each task with 1 to 3 children."""
    edges: Edges = []
    parent = 0
    while len(edges) < n - 1:
        for _ in range(min(rng.randint(1, 3), n - 1 - len(edges))):
            edges.append((parent, len(edges) + 1))
        parent += 1
    return edges


def _in_tree(n: int, rng: random.Random) -> Edges:
    return [(n - 1 - v, n - 1 - u) for u, v in _out_tree(n, rng)]


def _stencil(n: int, _: random.Random) -> Edges:
    """Rows as wide as they are many; each task reads three neighbours of the row before."""
    width = max(2, math.isqrt(n))
    return [(u, v) for v in range(width, n) for u in (v - width - 1, v - width, v - width + 1) if u // width == v // width - 1 and u >= 0]


def _series_parallel(n: int, rng: random.Random) -> Edges:
    """An edge at a time becomes two in series, or gets a parallel branch."""
    edges: Edges = [(0, 1)]
    for v in range(2, n):
        u, w = rng.choice(edges)
        if rng.random() < 0.5 and u:
            edges.remove((u, w))
        edges += [(u, v), (v, w)]
    return edges


def _random(n: int, rng: random.Random) -> Edges:
    """Density 0.5 to 3 edges a task."""
    pairs = [(u, v) for v in range(n) for u in range(v)]
    return rng.sample(pairs, min(len(pairs), round(n * rng.uniform(0.5, 3))))


def _independent(n: int, _: random.Random) -> Edges:
    return []


STRUCTURES: dict[str, Callable[[int, random.Random], Edges]] = {
    "fork": _fork,
    "join": _join,
    "fork-join": _fork_join,
    "out-tree": _out_tree,
    "in-tree": _in_tree,
    "stencil": _stencil,
    "series-parallel": _series_parallel,
    "random": _random,
    "independent": _independent,
}


def structured_graph(structure: str, n: int, ccr: float, seed: int) -> nx.DiGraph[int]:
    """``n`` tasks with ``cycles``, and edges whose ``bytes`` are the cycles of a transfer."""
    rng = random.Random(f"{structure}-{n}-{ccr}-{seed}")
    edges = STRUCTURES[structure](n, rng)
    tasks, transfers = [rng.randint(2, 10) for _ in range(n)], [rng.randint(2, 10) for _ in edges]
    stretch = ccr * sum(tasks) / max(1, sum(transfers))
    graph: nx.DiGraph[int] = nx.DiGraph()
    for v, cycles in enumerate(tasks):
        graph.add_node(v, cycles=cycles if stretch >= 1 else round(cycles / stretch) if edges else cycles)
    for (u, v), size in zip(edges, transfers, strict=True):
        graph.add_edge(u, v, bytes=round(size * stretch) if stretch >= 1 else size)
    return graph


def like_platform(processors: int) -> Platform:
    """Like processors; a transfer takes a cycle for each byte."""
    link = Interconnect(latency_cycles=0, bandwidth_bytes_per_cycle=1)
    return Platform(name="like", classes={"array": SystolicArray(rows=1, cols=1)}, processors=("array",) * processors, interconnect=link, clock_hz=1)


def structured_problem(structure: str, n: int, ccr: float, processors: int, seed: int, *, objective: tuple[str, ...] = ("makespan",)) -> Problem:
    """A finite problem on like processors."""
    graph = structured_graph(structure, n, ccr, seed)
    return Problem.from_graph(graph, like_platform(processors), mode="finite", objective=objective, name=f"{structure}-{n}-{ccr:g}-{seed}-{processors}")
