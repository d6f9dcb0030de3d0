"""Rules that choose a copy and a processor together, anew after every placement; without insertion.

ETF takes the pair that can start first (Hwang, Chow, Anger and Lee 1989, doi:10.1137/0218016), DLS the
pair of the highest dynamic level (Sih and Lee 1993, doi:10.1109/71.207593): static level - earliest
start + (median cycles - cycles on that processor).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.graph import Floats, Graph, Indices, Ints
from spikepipe_solvers.lists.placement import arrivals
from spikepipe_solvers.lists.ranks import compiles, upward


@Kernel
def best_pair(v: int, task: Any, cycles: Any, kind: Any, offset: Floats, home: Any, free: Ints, seen: Any) -> tuple[float, int]:
    """Least earliest start plus ``offset`` (N, C) of copy v, and its processor; ``seen`` (3,) as of `arrivals`."""
    best, least = -1, 0.0
    for p in range(len(kind)):
        length = cycles[task[v], kind[p]]
        if length < 0 or (home[task[v]] >= 0 and home[task[v]] != p):
            continue
        begin = seen[2] if p == seen[1] else seen[0]
        if length > 0:
            begin = max(begin, free[p])
        value = begin + offset[v, kind[p]]
        if best < 0 or value < least:
            best, least = p, value
    return least, best


@Kernel
def place_pairs(
    task: Any,
    position: Indices,
    ptr: Indices,
    other: Indices,
    lag: Ints,
    transfer: Ints,
    ptr_out: Indices,
    other_out: Indices,
    cycles: Any,
    kind: Any,
    offset: Floats,
    level: Floats,
    home: Any,
    processor: Any,
    start: Any,
) -> int:
    """The pair of least earliest start plus ``offset``, one after the other; ties: higher ``level``, earlier ``position``.

    A ready copy's best pair changes only when its processor is taken (starts only get later), so a step
    costs O(ready) and O(P) for each ready copy that wanted the processor just taken.
    """
    n = len(task)
    end: Any = np.zeros(n, np.int64)
    free, seen = np.zeros(len(kind), np.int64), np.zeros((n, 3), np.int64)
    missing, ready, wanted, value = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float64)
    processor[:] = -1
    size, makespan = 0, 0
    for v in range(n):
        missing[v] = ptr[v + 1] - ptr[v]
        if missing[v] == 0:
            seen[v, 1] = -1
            value[v], wanted[v] = best_pair(v, task, cycles, kind, offset, home, free, seen[v])
            ready[size] = v
            size += 1
    for _ in range(n):
        at = 0
        for i in range(1, size):
            v, w = ready[i], ready[at]
            if value[v] < value[w] or (value[v] == value[w] and (level[v] > level[w] or (level[v] == level[w] and position[v] < position[w]))):
                at = i
        v = ready[at]
        size -= 1
        ready[at] = ready[size]
        p = wanted[v]
        length = cycles[task[v], kind[p]]
        begin = seen[v, 2] if p == seen[v, 1] else seen[v, 0]
        if length > 0:
            begin = max(begin, free[p])
            free[p] = begin + length
        processor[v], start[v], end[v], home[task[v]] = p, begin, begin + length, p
        makespan = max(makespan, end[v])
        for i in range(size):
            w = ready[i]
            if (wanted[w] == p and length > 0) or task[w] == task[v]:
                value[w], wanted[w] = best_pair(w, task, cycles, kind, offset, home, free, seen[w])
        for e in range(ptr_out[v], ptr_out[v + 1]):
            w = other_out[e]
            missing[w] -= 1
            if missing[w] == 0:
                seen[w, 0], seen[w, 1], seen[w, 2] = arrivals(w, ptr, other, lag, transfer, processor, end)
                value[w], wanted[w] = best_pair(w, task, cycles, kind, offset, home, free, seen[w])
                ready[size] = w
                size += 1
    return makespan


def median_cycles(graph: Graph) -> Floats:
    """(T,) Median over the processors that can run the task."""
    wide = graph.cycles[:, graph.kind].astype(np.float64)
    wide[wide < 0] = np.nan
    return np.nanmedian(wide, axis=1)


def schedule_pairs(graph: Graph, *, dynamic_level: bool) -> tuple[int, Indices, Ints]:
    """Makespan, processors and starts under ETF, or DLS."""
    if not dynamic_level:
        return _schedule(graph, np.zeros((graph.size, graph.cycles.shape[1])), upward(graph, transfers=False))
    middle = median_cycles(graph)
    level = upward(graph, transfers=False, weight=middle[graph.task])
    return _schedule(graph, graph.cycles[graph.task] - (level + middle[graph.task])[:, None], level)


def schedule_early(graph: Graph, share: float) -> tuple[int, Indices, Ints]:
    """Between ETF and HEFT: the pair of the least earliest start less ``share`` times the upward rank; then the higher rank."""
    rank = upward(graph)
    return _schedule(graph, np.repeat(-share * rank[:, None], graph.cycles.shape[1], axis=1), rank)


def _schedule(graph: Graph, offset: Floats, level: Floats) -> tuple[int, Indices, Ints]:
    processor, start = np.empty(graph.size, dtype=np.int32), np.empty(graph.size, dtype=np.int64)
    before, after = graph.before, graph.after
    makespan = place_pairs.pick(fast=compiles(graph))(
        graph.task,
        graph.position,
        before.ptr,
        before.other,
        before.lag,
        before.transfer,
        after.ptr,
        after.other,
        graph.cycles,
        graph.kind,
        offset,
        level,
        np.full(len(graph.cycles), -1, dtype=np.int32),
        processor,
        start,
    )
    return makespan, processor, start
