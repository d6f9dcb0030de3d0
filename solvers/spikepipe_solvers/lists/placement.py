"""Placing copies one after the other, in a given sequence: each on the processor that is best for it.

Links are uniform, so all processors but one see a copy's data at the same time: that of the latest
arrival from elsewhere. Only the processor that the latest arrival comes from may see it earlier.
Ready times over P processors thus cost O(indegree + P).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.gaps import Gaps, find_gap, gap_start, no_gaps, take_gap

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]


@Kernel
def in_turn(rank: Indices, by_rank: Indices, ptr_in: Indices, ptr: Indices, other: Indices) -> Indices:
    """(N,) The sequence in which copies become ready and are taken, least rank first among the ready ones.

    ``rank`` (N,) is a permutation and ``by_rank`` its inverse; ``ptr_in``: rows of the edges in,
    ``ptr``, ``other``: those of the edges out. A binary heap of ranks.
    """
    n = len(rank)
    missing, heap, sequence = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    size = 0
    for r in range(n):
        v = by_rank[r]
        missing[v] = ptr_in[v + 1] - ptr_in[v]
        if missing[v] == 0:  # ranks come in rising order: the array is a heap already
            heap[size] = r
            size += 1
    for i in range(n):
        v = by_rank[heap[0]]
        sequence[i] = v
        size -= 1
        last, hole = heap[size], 0
        while 2 * hole + 1 < size:
            child = 2 * hole + 1
            if child + 1 < size and heap[child + 1] < heap[child]:
                child += 1
            if last <= heap[child]:
                break
            heap[hole] = heap[child]
            hole = child
        heap[hole] = last
        for e in range(ptr[v], ptr[v + 1]):
            w = other[e]
            missing[w] -= 1
            if missing[w] == 0:
                hole = size
                size += 1
                while hole > 0 and rank[w] < heap[(hole - 1) // 2]:
                    heap[hole] = heap[(hole - 1) // 2]
                    hole = (hole - 1) // 2
                heap[hole] = rank[w]
    return sequence


@Kernel
def arrivals(v: int, ptr: Indices, other: Indices, lag: Ints, transfer: Ints, processor: Any, end: Any) -> tuple[int, int, int]:
    """When the data of v is there: on every processor but one, that one, and when on it.

    Copies whose ``processor`` is -1 are not placed yet and do not count.
    """
    latest, near = 0, -1
    for e in range(ptr[v], ptr[v + 1]):
        u = other[e]
        arrival = end[u] + lag[e] + transfer[e]
        if processor[u] >= 0 and (near < 0 or arrival > latest):
            latest, near = max(arrival, 0), processor[u]
    there = 0
    for e in range(ptr[v], ptr[v + 1]):
        u = other[e]
        if processor[u] >= 0:
            there = max(there, end[u] + lag[e] + (0 if processor[u] == near else transfer[e]))
    return latest, near, there


@Kernel
def place_some(
    sequence: Indices,
    first: int,
    stop: int,
    gaps: Gaps,
    end: Any,
    task: Any,
    ptr: Indices,
    other: Indices,
    lag: Ints,
    transfer: Ints,
    cycles: Any,
    kind: Any,
    shortest: int,
    bias: Any,
    insert: bool,
    home: Any,
    processor: Any,
    start: Any,
) -> int:
    """Place ``sequence[first:stop]`` behind what is placed already; returns the latest end of the new ones.

    Updates ``gaps``, ``end``, ``home``, ``processor`` and ``start``; for the rest see `place`.
    """
    latest_end, biased = 0, len(bias) > 0
    for i in range(first, stop):
        v = sequence[i]
        t = task[v]
        latest, near, there = arrivals(v, ptr, other, lag, transfer, processor, end)
        best, least, at, where = -1, 0, 0, 0
        low, high = (home[t], home[t] + 1) if home[t] >= 0 else (0, len(kind))
        for p in range(low, high):
            length = cycles[t, kind[p]]
            if length < 0:
                continue
            ready = there if p == near else latest
            extra = length + (bias[v, kind[p]] if biased else 0)
            if best >= 0 and ready + extra >= least:
                continue
            gap = gaps.at[p] + gaps.held[p]
            if insert and length > 0:
                gap = find_gap(gaps, p, ready, length)
            begin = gap_start(gaps, p, gap, ready) if length > 0 else ready
            if best < 0 or begin + extra < least:
                best, least, at, where = p, begin + extra, gap, begin
        length = cycles[t, kind[best]]
        processor[v], start[v], end[v] = best, where, where + length
        home[t] = best
        latest_end = max(latest_end, end[v])
        if length > 0:
            take_gap(gaps, best, at, where, where + length, shortest)
    return latest_end


@Kernel
def place(
    sequence: Indices,
    task: Any,
    ptr: Indices,
    other: Indices,
    lag: Ints,
    transfer: Ints,
    cycles: Any,
    kind: Any,
    shortest: int,
    bias: Any,
    insert: bool,
    home: Any,
    processor: Any,
    start: Any,
) -> int:
    """Least finish (plus ``bias``) of every copy in turn; fills ``processor`` and ``start`` (N,), returns the makespan.

    Parameters
    ----------
    sequence
        (N,) A topological order.
    task, ptr, other, lag, transfer, cycles, kind, shortest
        As in `Graph`, with the edges into every copy.
    bias
        (N, C) Added to the finish on a processor of the class before processors are compared; no
        rows: nothing is added.
    insert
        Whether a copy may go between others; else only behind them.
    home
        (T,) Where a task must go, -1: anywhere. The first copy of a task decides for the others.
    """
    n = len(sequence)
    processor[:] = -1
    gaps, end = no_gaps(n, len(kind)), np.zeros(n, np.int64)
    return place_some(sequence, 0, n, gaps, end, task, ptr, other, lag, transfer, cycles, kind, shortest, bias, insert, home, processor, start)
