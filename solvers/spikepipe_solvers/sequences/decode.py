"""Copies placed one after the other, each as early as its processor, its data and the memories allow.

Every task has its processor (its home) already, and nothing goes before what its processor has been given:
a schedule is a sequence. `replay` takes a given one; `greedy` makes one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import MAX_TIME
from spikepipe_solvers.kernel import Kernel
from spikepipe_solvers.lists.graph import Graph
from spikepipe_solvers.sequences.memory import LAST, MADE, NEED, ROOM, TOTAL, Held, Live, Tensors, clear, earliest, no_live, occupy

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]

#: Later than every time of a schedule that is being made.
LATE = 2 * MAX_TIME


class Jobs(NamedTuple):
    """The arrays of a `Graph` that kernels need: ``task``, edges in and out, ``cycles`` (T, C), ``kind`` (P,)."""

    task: Indices
    ptr: Indices
    other: Indices
    lag: Ints
    transfer: Ints
    ptr_out: Indices
    other_out: Indices
    cycles: Ints
    kind: Indices


def jobs_of(graph: Graph) -> Jobs:
    """Of a graph."""
    before, after = graph.before, graph.after
    return Jobs(graph.task, before.ptr, before.other, before.lag, before.transfer, after.ptr, after.other, graph.cycles, graph.kind)


@Kernel
def arrival(jobs: Jobs, v: int, home: Any, end: Any) -> int:
    """When all that v waits for is there."""
    at, p = 0, home[jobs.task[v]]
    for e in range(jobs.ptr[v], jobs.ptr[v + 1]):
        u = jobs.other[e]
        at = max(at, end[u] + jobs.lag[e] + (0 if home[jobs.task[u]] == p else jobs.transfer[e]))
    return at


@Kernel
def replay(jobs: Jobs, tensors: Tensors, held: Held, live: Live, sequence: Indices, home: Any, start: Any, end: Any, free: Any) -> int:
    """Place the copies in a topological ``sequence``; fills ``start``, ``end`` (N,) and ``free`` (P,). The makespan; -1: one does not fit."""
    clear(tensors, held, live, jobs.task, home)
    free[:] = 0
    makespan: Any = 0
    limited = len(tensors.size) > 0
    for i in range(len(sequence)):
        v = sequence[i]
        p = home[jobs.task[v]]
        length = jobs.cycles[jobs.task[v], jobs.kind[p]]
        at = arrival(jobs, v, home, end)
        if length > 0:
            at = max(at, free[p])
        if tensors.ptr[v, MADE] < tensors.ptr[v + 1, MADE]:
            at = earliest(tensors, live, v, length, at, jobs.task, home)
            if at < 0:
                return -1
        start[v], end[v] = at, at + length
        if length > 0:
            free[p] = at + length
        if limited:
            occupy(tensors, live, v, at, at + length, jobs.task, home)
        makespan = max(makespan, at + length)
    return makespan


@Kernel
def finishes(jobs: Jobs, tensors: Tensors, live: Live, trial: Live, v: int, safe: Indices, first: int, last: int, placed: Any, home: Any) -> bool:
    """Whether, after v, what is unplaced of ``safe[first:last]`` still fits in the memories, one copy after the other."""
    for p in range(live.state.shape[1]):  # loops compile much faster than slices
        for layer in range(live.table.shape[0]):
            for k in range(live.table.shape[1]):
                trial.table[layer, k, p] = live.table[layer, k, p]
        trial.state[ROOM, p], trial.state[TOTAL, p], trial.state[NEED, p] = live.state[ROOM, p], live.state[TOTAL, p], live.state[NEED, p]
        trial.state[LAST, p] = -1  # all is in the past
    trial.top[0] = 0
    if earliest(tensors, trial, v, 0, LATE, jobs.task, home) < 0:
        return False
    occupy(tensors, trial, v, LATE, LATE, jobs.task, home)
    for i in range(first, last):
        u = safe[i]
        if placed[u] or u == v:
            continue
        if tensors.ptr[u, MADE] < tensors.ptr[u + 1, MADE] and earliest(tensors, trial, u, 0, LATE, jobs.task, home) < 0:
            return False
        occupy(tensors, trial, u, LATE, LATE, jobs.task, home)
    return True


@Kernel
def greedy(jobs: Jobs, tensors: Tensors, held: Held, first: Indices, key: Any, safe: Indices, home: Any, start: Any, sequence: Any) -> int:
    """Next the copy that can start first; of several the one of least ``key`` (N,).

    The copies of a task go in order. One that puts a tensor into a limited memory goes only if
    afterwards all micro-batches that have begun can still be finished, in the sequence ``safe``: so that no schedule
    gets stuck that fits at all (Dijkstra's banker's algorithm). Fills ``start`` and ``sequence`` (N,).

    Parameters
    ----------
    first
        (T + 1,) First copy of every task; the copies of a task are consecutive.
    safe
        (N,) A topological order that fits in the memories, one copy after the other; empty: none is known.

    Returns
    -------
    The makespan; -1 if at some point nothing fits.
    """
    n, tasks = len(jobs.task), len(first) - 1
    live, trial = no_live(tensors, held), no_live(tensors, held)
    clear(tensors, held, live, jobs.task, home)
    free, end, following = np.zeros(len(jobs.kind), np.int64), np.zeros(n, np.int64), first[:-1].copy()
    placed, missing, ready = np.zeros(n, np.int8), np.empty(n, np.int64), np.zeros(n, np.int64)
    refused, place = np.zeros(tasks, np.int8), np.zeros(n, np.int64)
    for v in range(n):
        missing[v] = jobs.ptr[v + 1] - jobs.ptr[v]
    for i in range(len(safe)):
        place[safe[i]] = i
    begun, finished, makespan = 0, 0, 0  # safe[:finished] is placed, safe[begun:] is not
    for step in range(n):
        refused[:] = 0
        while True:
            best = -1
            least: Any = LATE
            for t in range(tasks):
                v, p = following[t], home[t]
                if v == first[t + 1] or missing[v] > 0 or refused[t]:
                    continue
                length, at = jobs.cycles[t, jobs.kind[p]], ready[v]
                if length > 0:
                    at = max(at, free[p])
                if tensors.ptr[v, MADE] < tensors.ptr[v + 1, MADE] and at <= least:
                    at = earliest(tensors, live, v, length, at, jobs.task, home)
                if at >= 0 and (at < least or (at == least and key[v] < key[best])):
                    best, least = v, at
            if best < 0:
                return -1
            v = best
            if tensors.ptr[v, MADE] == tensors.ptr[v + 1, MADE] or len(safe) == 0:
                break
            if finishes(jobs, tensors, live, trial, v, safe, finished, max(begun, place[v] + 1), placed, home):
                break
            refused[jobs.task[v]] = 1
        t = jobs.task[v]
        length = jobs.cycles[t, jobs.kind[home[t]]]
        start[v], end[v] = least, least + length
        if length > 0:
            free[home[t]] = end[v]
        occupy(tensors, live, v, least, end[v], jobs.task, home)
        sequence[step], placed[v], following[t] = v, 1, v + 1
        makespan, begun = max(makespan, end[v]), max(begun, place[v] + 1)
        while finished < len(safe) and placed[safe[finished]]:
            finished += 1
        for e in range(jobs.ptr_out[v], jobs.ptr_out[v + 1]):
            w = jobs.other_out[e]
            missing[w] -= 1
            if missing[w] == 0:
                ready[w] = arrival(jobs, w, home, end)
    return makespan
