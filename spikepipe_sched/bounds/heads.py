"""Earliest starts and latest ends in a task graph whose transfers are paid between processors only.

A successor pays no transfer from the predecessors on its own processor, but those run there one after
the other: either way it waits. `waits` works this out for a whole graph; on the reversed graph the
same function bounds what must still follow a task.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds.slots import order_edges, slot_edges
from spikepipe_sched.order import topological_order

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]

#: Beyond every time of a problem: "never". Sums of a few of them fit in int64.
NEVER: Final = 2**60
#: Most predecessors of a task that are considered to share its processor.
DEEPEST: Final = 64

#: A job on one processor: earliest start, cycles, and how long its end is waited for.
Job = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """An acyclic task graph and the machines that run it; N tasks, M edges, C processor classes.

    Attributes
    ----------
    order
        (N,) A topological order.
    source, target, lag, apart
        (M,) Edges, at most one between two tasks: cycles from the end of the source to the start of
        the target on one processor (``lag``), and on two (``apart``).
    cycles
        (N, C) Cycles by processor class, -1: cannot run.
    processors
        (C,) Number of processors of each class.
    group
        (N,) Tasks of equal numbers share a processor, whichever it is.
    """

    order: Ints
    source: Ints
    target: Ints
    lag: Ints
    apart: Ints
    cycles: Ints
    processors: Ints
    group: Ints

    @property
    def fastest(self) -> Ints:
        """(N,) Cycles on the fastest class."""
        return np.where(self.cycles < 0, NEVER, self.cycles).min(axis=1)

    @property
    def certain(self) -> Ints:
        """(M,) Cycles that every schedule has between the ends of an edge: with the transfer if no class runs both."""
        able = self.cycles >= 0
        return np.where((able[self.source] & able[self.target]).any(axis=1), self.lag, self.apart)

    def reversed(self) -> Graph:
        """Every edge turned round."""
        return Graph(
            order=self.order[::-1],
            source=self.target,
            target=self.source,
            lag=self.lag,
            apart=self.apart,
            cycles=self.cycles,
            processors=self.processors,
            group=self.group,
        )


def simple(source: Ints, target: Ints, lag: Ints, transfer: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Edges sorted by target and source, ``lag`` and ``lag + transfer``; of parallel ones the larger of each."""
    order = np.lexsort((source, target))
    source, target, lag, apart = source[order], target[order], lag[order], (lag + transfer)[order]
    new = np.ones(len(source), dtype=bool)
    new[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    first = np.flatnonzero(new)
    if len(first) < len(source):
        lag, apart = np.maximum.reduceat(lag, first), np.maximum.reduceat(apart, first)
    return source[first], target[first], lag, apart


def machines(problem: Problem) -> tuple[list[int], Ints]:
    """The classes that have processors, and how many each."""
    kinds, counts = np.unique(np.array([p.kind for p in problem.processors]), return_counts=True)
    return kinds.tolist(), counts


def iteration_graph(problem: Problem) -> Graph:
    """All copies of a problem and their edges of distance 0, and those that may be assumed of micro-batches: `order_edges`, `slot_edges`."""
    instance, (kinds, counts) = problem.instance, machines(problem)
    inside, order = np.flatnonzero(instance.distance == 0), instance.order
    first, then = (np.concatenate(ends) for ends in zip(order_edges(problem), slot_edges(problem), strict=True))
    columns = (instance.source[inside], instance.target[inside], instance.lag[inside], instance.transfer[inside])
    if len(first):
        none = np.zeros_like(first)
        more = tuple(np.concatenate(pair) for pair in zip(columns, (first, then, none, none), strict=True))
        turned = topological_order(instance.size, more[0], more[1])
        if turned is not None:  # else no schedule fits, which is not for a bound to say
            columns, order = more, turned
    source, target, lag, apart = simple(*columns)
    together = problem.mode == "finite"  # micro-batches of a task share its processor, unrolled iterations need not
    return Graph(
        order=order,
        source=source,
        target=target,
        lag=lag,
        apart=apart,
        cycles=problem.tasks.cycles[:, kinds][instance.task],
        processors=counts,
        group=instance.task if together else np.arange(instance.size),
    )


def plain_waits(graph: Graph, release: Ints) -> Ints:
    """(N, C) Earliest starts without a choice of processors: fastest durations, transfers where they are certain."""
    by_target = np.argsort(graph.target, kind="stable")
    ptr = np.searchsorted(graph.target[by_target], np.arange(len(graph.order) + 1)).tolist()
    sources: list[int] = graph.source[by_target].tolist()
    lags: list[int] = graph.certain[by_target].tolist()
    cycles: list[int] = graph.fastest.tolist()
    start: list[int] = release.tolist()
    end = [0] * len(start)
    order: list[int] = graph.order.tolist()
    for v in order:
        ready = start[v]
        for e in range(ptr[v], ptr[v + 1]):
            arrival = end[sources[e]] + lags[e]
            if arrival > ready:  # noqa: PLR1730  (max() would cost a call per edge)
                ready = arrival
        start[v], end[v] = ready, ready + cycles[v]
    return np.where(graph.cycles < 0, NEVER, np.array(start, dtype=np.int64)[:, None])


def waits(graph: Graph, release: Ints) -> Ints:
    """(N, C) Earliest start of every task on every class, `NEVER` where it cannot run.

    ``release`` (N,) bounds the starts from below to begin with. Take any schedule (in which no two
    tasks of a processor overlap; those of zero cycles may) and a task v of class k in it. Let S be
    its predecessors on its own processor, by induction with valid earliest starts.

    - Every u outside S runs on another processor, of whatever class, and v starts at its remote
      arrival at the earliest: the least end of u on a class with a processor that is not v's, plus
      ``apart``. If there is none, u is in S; if k cannot run u, it is not.
    - Those in S run one after the other, with their cycles on k and not before their earliest
      starts, and v starts after each has ended and its ``lag`` has passed. So serial(Q) bounds the
      start of v for every Q within S: the end of 1|r_j|C_max of Q (earliest first is optimal)
      plus the least lag of Q, and the local arrival of each alone. Zero-cycle tasks add nothing to
      the work, and being ready before the others they put nothing off.

    Sort the predecessors by falling remote arrival, and let A be the largest outside S. All that
    arrive after A are in S: they are a prefix, the next after them arrives at A, and v starts at
    max(serial(prefix), A) or later. The least of this over all prefixes therefore bounds the start,
    whatever S is. As serial bounds grow with the prefix (the largest so far is taken), the search ends
    where they pass the next arrival, and after `DEEPEST` predecessors with what is certain by then.

    Tasks of one ``group`` are on one processor: they are in S together or not at all, remote ones
    arrive no earlier than their serial end plus the least ``apart``, and v's own group is in S.

    On the reversed graph the argument is the same with time running backwards: the result then
    bounds the time from the end of a task to the end of everything (``release``: 0).
    """
    classes = range(len(graph.processors))
    elsewhere = [[j for j in classes if j != k or graph.processors[j] > 1] for k in classes]  # classes of processors other than one of k
    by_target = np.argsort(graph.target, kind="stable")
    ptr = np.searchsorted(graph.target[by_target], np.arange(len(graph.order) + 1)).tolist()
    sources: list[int] = graph.source[by_target].tolist()
    lags: list[int] = graph.lag[by_target].tolist()
    aparts: list[int] = graph.apart[by_target].tolist()
    group: list[int] = graph.group.tolist()
    cycles: list[list[int]] = graph.cycles.tolist()
    start: list[list[int]] = np.where(graph.cycles < 0, NEVER, release[:, None]).tolist()
    away: list[list[int]] = [[NEVER] * len(classes) for _ in cycles]  # least end on a processor that is not one of class k

    def remote(members: list[int], k: int) -> int:
        """Arrival of a group, given by its edges, from a processor that is not one of class k."""
        if len(members) == 1:
            return away[sources[members[0]]][k] + aparts[members[0]]
        least = NEVER
        for j in elsewhere[k]:
            if cycles[sources[members[0]]][j] >= 0:
                jobs = [(start[sources[e]][j], cycles[sources[e]][j], aparts[e]) for e in members]
                least = min(least, _serial(sorted(jobs)))
        return least

    def quick(edges: range, k: int) -> int | None:
        """The result where at most the last arrival decides, as mostly; None: more need be looked at."""
        last = second = -NEVER
        which = ptr[-1]
        for e in edges:
            arrival = away[sources[e]][k] + aparts[e]
            if arrival > last:
                last, second, which = arrival, last, e
            elif arrival > second:
                second = arrival
        if which == ptr[-1]:
            return last
        u = sources[which]
        local = start[u][k] + cycles[u][k] + lags[which]  # never, if the class cannot run it
        return min(last, local) if local >= second else None

    def full(edges: range, v: int, k: int) -> int:
        """The result from all predecessors, by groups."""
        members: dict[int, list[int]] = {}
        for e in edges:
            members.setdefault(group[sources[e]], []).append(e)
        items: list[tuple[int, list[Job]]] = []
        for which, some in members.items():
            jobs = [(start[sources[e]][k], cycles[sources[e]][k], lags[e]) for e in some]
            items.append((NEVER if which == group[v] else remote(some, k), jobs))
        return _ready(items)

    distinct = len(np.unique(graph.group)) == len(group)
    order: list[int] = graph.order.tolist()
    for v in order:
        edges = range(ptr[v], ptr[v + 1])
        mine, own = start[v], cycles[v]
        for k in classes:
            if own[k] < 0:
                continue
            ready = quick(edges, k) if distinct else None
            mine[k] = max(mine[k], full(edges, v, k) if ready is None else ready)
        end = [s + c if c >= 0 else NEVER for s, c in zip(mine, own, strict=True)]
        away[v] = [min((end[j] for j in elsewhere[k]), default=NEVER) for k in classes]
    return np.minimum(np.array(start, dtype=np.int64), NEVER)


def _serial(jobs: list[Job]) -> int:
    """When jobs, sorted, have run on one processor and been waited for."""
    clock, least, alone = -NEVER, NEVER, -NEVER
    for start, cycles, wait in jobs:
        clock = max(clock, start) + cycles
        least = min(least, wait)
        alone = max(alone, start + cycles + wait)
    return max(clock + least, alone)


def _ready(items: list[tuple[int, list[Job]]]) -> int:
    """Least over the prefixes, by falling remote arrival, of max(serial(prefix), next arrival); see `waits`.

    What cannot be local starts there at `NEVER`, which ends the search.
    """
    if not items:
        return -NEVER
    items.sort(key=lambda item: -item[0])
    least, serial, chosen = NEVER, -NEVER, list[Job]()
    for arrival, local in items:
        least = min(least, max(serial, arrival))
        if serial >= arrival:  # no longer prefix is better
            return least
        if len(chosen) >= DEEPEST:
            break
        for job in local:
            insort(chosen, job)
        serial = max(serial, _serial(chosen))
    return min(least, serial)
