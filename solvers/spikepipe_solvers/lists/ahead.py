"""HEFT with look-ahead: a copy goes where the copies that follow it can end first.

Bittencourt, Sakellariou and Madeira 2010, doi:10.1109/PDP.2010.56: every processor is tried; for each,
the copy's successors are given their earliest finish, counting only predecessors that are placed; the
processor with the least of the latest of those finishes is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.gaps import Gaps, find_gap, gap_start, no_gaps, take_gap
from spikepipe_solvers.lists.graph import Graph, Indices, Ints
from spikepipe_solvers.lists.placement import arrivals
from spikepipe_solvers.lists.ranks import compiles


@Kernel
def earliest_finish(gaps: Gaps, t: int, cycles: Any, kind: Any, only: int, seen: tuple[int, int, int], busy: tuple[int, int, int]) -> int:
    """Least finish of a copy of task t over all processors, or on ``only`` (-1: all).

    ``seen`` as of `arrivals`; ``busy``: a processor and an interval on it that is taken, too.
    """
    latest, near, there = seen
    taken, begin, stop = busy
    least = -1
    for p in range(len(kind)):
        length = cycles[t, kind[p]]
        if length < 0 or (only >= 0 and only != p):
            continue
        at = there if p == near else latest
        if length > 0:
            at = gap_start(gaps, p, find_gap(gaps, p, at, length), at)
            if p == taken and at < stop and begin < at + length:
                at = gap_start(gaps, p, find_gap(gaps, p, stop, length), stop)
        if least < 0 or at + length < least:
            least = at + length
    return least


@Kernel
def place_ahead(
    sequence: Indices,
    task: Any,
    ptr: Indices,
    other: Indices,
    lag: Ints,
    transfer: Ints,
    ptr_out: Indices,
    other_out: Indices,
    cycles: Any,
    kind: Any,
    shortest: int,
    home: Any,
    processor: Any,
    start: Any,
) -> int:
    """Like `place`, with insertion and look-ahead: O(P (indegree + P)) for every edge."""
    gaps = no_gaps(len(sequence), len(kind))
    end: Any = np.zeros(len(task), np.int64)
    processor[:] = -1
    makespan = 0
    for i in range(len(sequence)):
        v = sequence[i]
        t = task[v]
        latest, near, there = arrivals(v, ptr, other, lag, transfer, processor, end)
        best, least, finish, at, where = -1, 0, 0, 0, 0
        for p in range(len(kind)):
            length = cycles[t, kind[p]]
            if length < 0 or (home[t] >= 0 and home[t] != p):
                continue
            ready = there if p == near else latest
            gap = find_gap(gaps, p, ready, length)
            begin = gap_start(gaps, p, gap, ready) if length > 0 else ready
            processor[v], end[v] = p, begin + length
            last = end[v]
            for e in range(ptr_out[v], ptr_out[v + 1]):
                w = other_out[e]
                only = p if task[w] == t else home[task[w]]
                seen = arrivals(w, ptr, other, lag, transfer, processor, end)
                last = max(last, earliest_finish(gaps, task[w], cycles, kind, only, seen, (p, begin, begin + length)))
                if best >= 0 and last > least:
                    break
            if best < 0 or last < least or (last == least and end[v] < finish):
                best, least, finish, at, where = p, last, end[v], gap, begin
        processor[v], start[v], end[v], home[t] = best, where, finish, best
        makespan = max(makespan, finish)
        if finish > where:
            take_gap(gaps, best, at, where, finish, shortest)
    return makespan


def schedule_ahead(graph: Graph, sequence: Indices) -> tuple[int, Indices, Ints]:
    """Makespan, processors and starts."""
    processor, start = np.empty(graph.size, dtype=np.int32), np.empty(graph.size, dtype=np.int64)
    before, after = graph.before, graph.after
    makespan = place_ahead.pick(fast=compiles(graph, len(graph.kind)))(
        sequence,
        graph.task,
        before.ptr,
        before.other,
        before.lag,
        before.transfer,
        after.ptr,
        after.other,
        graph.cycles,
        graph.kind,
        graph.shortest,
        np.full(len(graph.cycles), -1, dtype=np.int32),
        processor,
        start,
    )
    return makespan, processor, start
