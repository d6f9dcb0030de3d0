"""Priorities: how urgent every copy is, before anything is placed.

Cycles are means over the processors that can run a task, transfers are counted in full unless a rule
says otherwise. Results are (N,), larger is more urgent.
"""

from __future__ import annotations

import numpy as np

from spikepipe_sched.problem import MAX_TIME
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.graph import Floats, Graph, Indices, Ints
from spikepipe_solvers.lists.placement import in_turn

#: Work (`Graph.work`) from which kernels are worth compiling, or loading compiled.
COMPILE_FROM = 20_000


@Kernel
def longest_path(order: Indices, ptr: Indices, other: Indices, cost: Floats, weight: Floats) -> Floats:
    """(N,) Longest path that ends at each copy, its own weight included; ``order`` puts the far ends of edges first."""
    length = np.empty(len(order), np.float64)
    for i in range(len(order)):
        v = order[i]
        before = 0.0
        for e in range(ptr[v], ptr[v + 1]):
            before = max(before, length[other[e]] + cost[e])
        length[v] = before + weight[v]
    return length


@Kernel
def optimistic_costs(order: Indices, ptr: Indices, other: Indices, lag: Ints, transfer: Ints, task: Indices, cycles: Ints, far: int) -> Ints:
    """(N, C) Least cycles from the end of each copy to the end of all that follow it, if nothing else were there.

    The optimistic cost table of PEFT (Arabnejad and Barbosa, doi:10.1109/TPDS.2013.57, eq. 3):
    every successor goes where it and its own successors cost least. ``order`` is reversed
    topological; ``far`` stands for a class that cannot run a copy.
    """
    classes = cycles.shape[1]
    table = np.zeros((len(order), classes), np.int64)
    for i in range(len(order)):
        v = order[i]
        for e in range(ptr[v], ptr[v + 1]):
            w = other[e]
            away = far
            for c in range(classes):
                if cycles[task[w], c] >= 0:
                    away = min(away, table[w, c] + cycles[task[w], c])
            for c in range(classes):
                here = table[w, c] + cycles[task[w], c] if cycles[task[w], c] >= 0 else far
                table[v, c] = max(table[v, c], lag[e] + min(here, away + transfer[e]))
    return table


def upward(graph: Graph, *, transfers: bool = True, weight: Floats | None = None) -> Floats:
    """Longest path from the start of each copy to the end of any.

    The upward rank of HEFT (Topcuoglu, Hariri and Wu 2002, doi:10.1109/71.993206, eq. 8); without
    transfers the static level of HLFET (Adam, Chandy and Dickson 1974, doi:10.1145/361604.361619).
    """
    return _longest(graph.mirrored(), transfers=transfers, weight=weight)


def downward(graph: Graph) -> Floats:
    """Longest path to the start of each copy: the downward rank (HEFT's paper, eq. 11)."""
    mean = graph.mean_cycles()
    return _longest(graph, transfers=True, weight=mean) - mean


def _longest(graph: Graph, *, transfers: bool, weight: Floats | None) -> Floats:
    links = graph.before
    cost = (links.lag + links.transfer if transfers else links.lag).astype(np.float64)
    run = longest_path.pick(fast=compiles(graph))
    return run(graph.order, links.ptr, links.other, cost, graph.mean_cycles() if weight is None else weight)


def optimistic(graph: Graph) -> tuple[Floats, Ints]:
    """PEFT's rank, the mean of the optimistic cost table over the processors, and the table (N, C)."""
    links = graph.after
    run = optimistic_costs.pick(fast=compiles(graph))
    table = run(np.ascontiguousarray(graph.order[::-1]), links.ptr, links.other, links.lag, links.transfer, graph.task, graph.cycles, 4 * MAX_TIME)
    counts = np.bincount(graph.kind, minlength=graph.cycles.shape[1])
    return table @ (counts / counts.sum()), table


def latest_starts(graph: Graph) -> tuple[Floats, Floats]:
    """Minus the latest start of each copy on a critical path's length (ALAP), and its most urgent successor's.

    MCP (Wu and Gajski 1990, doi:10.1109/71.80160) compares the lists of all successors' latest starts
    where two copies tie; here only the first of each list.
    """
    rank = upward(graph)
    links = graph.after
    owner = np.repeat(np.arange(graph.size), np.diff(links.ptr))
    urgent = np.full(graph.size, -np.inf)
    np.maximum.at(urgent, owner, rank[links.other])
    return rank, urgent


def sequence_of(graph: Graph, *priorities: Floats) -> Indices:
    """(N,) Copies in the sequence of highest priority first among the ready ones.

    Ties go to the next of the ``priorities``, then to the topological order.
    """
    by_rank = np.lexsort((graph.position, *(-priority for priority in reversed(priorities)))).astype(np.int32)
    rank = np.empty(graph.size, dtype=np.int32)
    rank[by_rank] = np.arange(graph.size, dtype=np.int32)
    after = graph.after
    return in_turn.pick(fast=compiles(graph))(rank, by_rank, graph.before.ptr, after.ptr, after.other)


def compiles(graph: Graph, passes: int = 1) -> bool:
    """Whether so many passes over the graph are worth compiled kernels."""
    return passes * graph.work >= COMPILE_FROM
