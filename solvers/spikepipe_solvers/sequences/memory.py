"""What lies in the memories while copies are placed one after the other.

A tensor lies, as `spikepipe_sched.memory` says, on its producer's processor from the producer's
start and on a receiving one from the producer's end; when its last reader is placed, it is known when it
goes. Until then it counts for good: a further tensor fits from the time on after which, with all that
is known to come and to go, there is room for it for ever. That is on the safe side: a copy may wait
longer than it must, but what has been placed stays feasible, and a sequence whose copies would fit one after the
other never gets stuck. Weights and optimizer states count all the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.rows import distinct
from spikepipe_sched.traffic import flows
from spikepipe_solvers.kernel import Kernel

Ints = NDArray[np.int64]

#: Stands for an unlimited memory.
UNLIMITED = 2**62
#: Columns of ``Tensors.ptr``, ``out`` and ``into``.
MADE, OUT, IN = range(3)
TENSOR, OTHER, ARRIVAL = range(3)
#: Layers of ``Live.table``: rows still to be read of the tensor made here, and when it goes at the earliest; the same of
#: what was received; producers here that are not placed; how many times it lies here as made, and as
#: received; by whom last.
UNREAD, UNTIL, UNREAD_AWAY, UNTIL_AWAY, UNMADE, KEPT, SHARES, SENDER = range(8)
#: Rows of ``Live.state`` and columns of ``Live.event``.
ROOM, TOTAL, NEED, LAST = range(4)
TIME, CHANGE, BEFORE = range(3)


class Tensors(NamedTuple):
    """The K tensors of a finite problem with limited memories, each micro-batch's apart, and the rows that move them.

    ``size``, ``summed`` (K,): bytes, and 1 where producers share it. ``ptr`` (N + 1, 3): where each copy's part begins of
    ``made`` (the tensors it produces), ``out`` (x, 3) and ``into`` (x, 2): a tensor, the reader or the producer, and the
    cycles from a producer's end to the arrival on another processor. Without limits all are empty.
    """

    size: Ints
    summed: Ints
    ptr: Ints
    made: Ints
    out: Ints
    into: Ints


class Held(NamedTuple):
    """``limit`` (P,) bytes, and what lies there all the time: ``size`` (R,) on every processor of a task of ``task[ptr[r]:ptr[r + 1]]``."""

    limit: Ints
    size: Ints
    ptr: Ints
    task: Ints


class Live(NamedTuple):
    """The state: what lies where, and the times at which that changes.

    ``table`` (8, K, P) by tensor and processor. ``state`` (4, P): bytes that resident tensors leave, bytes that
    will lie there in the end as far as placed, one for work, and the last event. ``event`` (x, 3): a time, a
    change in bytes, and the event before it on the processor; ``top`` (1,) of them are used.
    """

    table: Ints
    state: Ints
    event: Ints
    top: Ints


@Kernel
def no_live(tensors: Tensors, held: Held) -> Live:
    """Room for the state of one schedule; `clear` makes it empty."""
    count = len(held.limit)
    return Live(
        np.zeros((8, len(tensors.size), count), np.int64),
        np.zeros((4, count), np.int64),
        np.zeros((4 * len(tensors.out), 3), np.int64),
        np.zeros(1, np.int64),
    )


@Kernel
def clear(tensors: Tensors, held: Held, live: Live, task: Any, home: Any) -> None:
    """Nothing is placed; tasks will go to their ``home`` (T,)."""
    live.top[0] = 0
    live.table[:] = 0
    live.state[:] = 0
    for p in range(len(held.limit)):
        live.state[ROOM, p], live.state[LAST, p] = held.limit[p], -1
    if len(tensors.size) == 0:
        return
    for v in range(len(task)):
        p = home[task[v]]
        for i in range(tensors.ptr[v, MADE], tensors.ptr[v + 1, MADE]):
            live.table[UNMADE, tensors.made[i], p] += 1
        for i in range(tensors.ptr[v, OUT], tensors.ptr[v + 1, OUT]):
            k, q = tensors.out[i, TENSOR], home[task[tensors.out[i, OTHER]]]
            if q == p or tensors.summed[k]:
                live.table[UNREAD, k, p] += 1
            if q != p:
                live.table[UNREAD_AWAY, k, q] += 1
    live.table[SENDER] = -1
    for r in range(len(held.size)):
        for i in range(held.ptr[r], held.ptr[r + 1]):
            p, new = home[held.task[i]], True
            for j in range(held.ptr[r], i):
                new = new and home[held.task[j]] != p
            if new:
                live.state[ROOM, p] -= held.size[r]


@Kernel
def note(live: Live, p: int, when: int, size: Any) -> None:
    """From ``when`` on, ``size`` bytes more lie on p."""
    e, later, at = live.top[0], -1, live.state[LAST, p]
    while at >= 0 and live.event[at, TIME] > when:
        later = at
        at = live.event[at, BEFORE]
    live.event[e, TIME], live.event[e, CHANGE], live.event[e, BEFORE] = when, size, at
    if later >= 0:
        live.event[later, BEFORE] = e
    else:
        live.state[LAST, p] = e
    live.top[0] = e + 1
    live.state[TOTAL, p] += size


@Kernel
def fits_from(live: Live, p: int, size: Any) -> int:
    """Time from which on ``size`` bytes more fit on p for ever; -1: never."""
    use, most, e = live.state[TOTAL, p], live.state[ROOM, p] - size, live.state[LAST, p]
    if use > most:
        return -1
    while e >= 0:
        use -= live.event[e, CHANGE]
        b = live.event[e, BEFORE]
        if use > most and (b < 0 or live.event[b, TIME] < live.event[e, TIME]):  # changes at one time are one change
            return live.event[e, TIME]
        e = b
    return 0


@Kernel
def earliest(tensors: Tensors, live: Live, v: int, length: Any, ready: int, task: Any, home: Any) -> int:
    """Earliest start from ``ready`` on of v, which makes tensors, as far as memories are concerned; -1: it never fits."""
    p, own, away = home[task[v]], 0, False
    for i in range(tensors.ptr[v, MADE], tensors.ptr[v + 1, MADE]):
        if live.table[KEPT, tensors.made[i], p] == 0:
            own += tensors.size[tensors.made[i]]
    at = fits_from(live, p, own)
    if at < 0:
        return -1
    ready = max(ready, at)
    for i in range(tensors.ptr[v, OUT], tensors.ptr[v + 1, OUT]):
        k, q = tensors.out[i, TENSOR], home[task[tensors.out[i, OTHER]]]
        fresh = live.table[SHARES, k, q] == 0 if tensors.summed[k] == 0 else live.table[UNMADE, k, p] == 1
        if q != p and fresh and live.table[SENDER, k, q] != v:
            live.table[SENDER, k, q], away = v, True  # once for each tensor
            live.state[NEED, q] += tensors.size[k]
    if not away:
        return ready
    for q in range(live.state.shape[1]):
        if live.state[NEED, q] > 0:
            at = fits_from(live, q, live.state[NEED, q])
            ready = max(ready, at - length) if at >= 0 and ready >= 0 else -1
            live.state[NEED, q] = 0
    for i in range(tensors.ptr[v, OUT], tensors.ptr[v + 1, OUT]):
        live.table[SENDER, tensors.out[i, TENSOR], home[task[tensors.out[i, OTHER]]]] = -1
    return ready


@Kernel
def occupy(tensors: Tensors, live: Live, v: int, start: int, end: Any, task: Any, home: Any) -> None:
    """Place v: what it makes comes, and what it is the last to read goes."""
    p = home[task[v]]
    for i in range(tensors.ptr[v, MADE], tensors.ptr[v + 1, MADE]):
        k = tensors.made[i]
        live.table[UNMADE, k, p] -= 1
        if live.table[KEPT, k, p] == 0:
            live.table[KEPT, k, p] = 1
            note(live, p, start, tensors.size[k])
    for i in range(tensors.ptr[v, OUT], tensors.ptr[v + 1, OUT]):
        k, q = tensors.out[i, TENSOR], home[task[tensors.out[i, OTHER]]]
        if q == p:
            continue
        if tensors.summed[k] == 0:
            live.table[UNTIL, k, p] = max(live.table[UNTIL, k, p], end + tensors.out[i, ARRIVAL])
        fresh = live.table[SHARES, k, q] == 0 if tensors.summed[k] == 0 else live.table[UNMADE, k, p] == 0
        if fresh and live.table[SENDER, k, q] != v:
            live.table[SENDER, k, q] = v
            live.table[SHARES, k, q] += 1
            note(live, q, end, tensors.size[k])
    for i in range(tensors.ptr[v, MADE], tensors.ptr[v + 1, MADE]):
        k = tensors.made[i]
        if live.table[UNREAD, k, p] == 0:  # nobody reads it here
            note(live, p, live.table[UNTIL, k, p], -tensors.size[k])
    for i in range(tensors.ptr[v, IN], tensors.ptr[v + 1, IN]):
        k, q = tensors.into[i, TENSOR], home[task[tensors.into[i, OTHER]]]
        if q == p or tensors.summed[k]:
            live.table[UNREAD, k, q] -= 1
            live.table[UNTIL, k, q] = max(live.table[UNTIL, k, q], end)
            if live.table[UNREAD, k, q] == 0:
                note(live, q, live.table[UNTIL, k, q], -tensors.size[k])
        if q != p:
            live.table[UNREAD_AWAY, k, p] -= 1
            live.table[UNTIL_AWAY, k, p] = max(live.table[UNTIL_AWAY, k, p], end)
            if live.table[UNREAD_AWAY, k, p] == 0:
                note(live, p, live.table[UNTIL_AWAY, k, p], -tensors.size[k] * live.table[SHARES, k, p])


def tensors_of(problem: Problem) -> tuple[Tensors, Held]:
    """The tensors of a finite problem; none where no memory is limited."""
    size, summed, made, out, into = (
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros((2, 0), np.int64),
        np.zeros((4, 0), np.int64),
        np.zeros((3, 0), np.int64),
    )
    limits, resident = [p.memory_bytes for p in problem.processors], dict[tuple[int, int], set[int]]()
    if any(limit is not None for limit in limits):
        zero = np.zeros(len(problem.layers), dtype=np.int64)
        flow, edges = flows(problem, zero, zero), problem.edges
        some = problem.tensor_bytes[flow.tensor] > 0
        source, target, arrival = flow.source[some], flow.target[some], flow.arrival[some]
        pairs, tensor = distinct(flow.tensor[some], flow.copy[some])
        size, summed = problem.tensor_bytes[pairs[0]], np.zeros(pairs.shape[1], dtype=np.int64)
        summed[tensor] = flow.summed[some]
        made = distinct(source, tensor)[0]
        out = np.stack([source, tensor, target, arrival])[:, np.argsort(source, kind="stable")]
        into = np.stack([target, tensor, source])[:, np.argsort(target, kind="stable")]
        updates = np.array([kind == "U" for kind in problem.tasks.kinds])
        for e in np.flatnonzero(updates[edges.source]).tolist():
            u, v = int(edges.source[e]), int(edges.target[e])
            for which in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
                resident.setdefault((which, u), set()).update((u, v))
    ptr = np.stack([np.searchsorted(part[0], np.arange(problem.instance.size + 1)) for part in (made, out, into)], axis=1)
    counts = [len(tasks) for tasks in resident.values()]
    return (
        Tensors(size, summed, np.ascontiguousarray(ptr), made[1].copy(), np.ascontiguousarray(out[1:].T), np.ascontiguousarray(into[1:].T)),
        Held(
            np.array([UNLIMITED if limit is None else limit for limit in limits], dtype=np.int64),
            np.array([int(problem.tensor_bytes[which]) for which, _ in resident], dtype=np.int64),
            np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
            np.array([task for tasks in resident.values() for task in sorted(tasks)], dtype=np.int64),
        ),
    )
