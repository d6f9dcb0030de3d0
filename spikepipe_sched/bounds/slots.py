"""Precedences that may be assumed between micro-batches: the copies of a task start in order, and their tensors take turns in the slots of a limited memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


def interchangeable(problem: Problem) -> bool:
    """Whether the micro-batches of any schedule can be renamed task by task so that every task's start in order.

    The copies of a task have one processor and one duration, so handing the i-th earliest start of every task to
    its copy i occupies processors as before; if v's copies start at least a after u's, so do the sorted
    ones (order statistics are monotone), over a distance too.

    Memories hold no more of a tensor with one producer whose copy i is read by copies i alone: at any time as
    many copies have been produced, and no fewer have been read. That is not so of

    - several producers: what is received of a sum begins with the last of them, and may come earlier;
    - readers at a distance: the last copies are not read and take no room, and might have come first;
    - updates among the readers: they keep copy 0, so that any other copy should come and go quickly;
    - negative lags, which end lifetimes before they begin.

    Where memory counts there must be none of these. Tensors that only updates read are summed into one copy, and
    what updates produce lies there all the time: renaming changes neither.
    """
    if problem.mode != "finite" or problem.micro_batches == 1:
        return False
    if "memory" not in problem.objective and all(p.memory_bytes is None for p in problem.processors):
        return True
    edges = problem.edges
    update = np.array([kind == "U" for kind in problem.tasks.kinds], dtype=bool)
    edge = np.repeat(np.arange(len(edges.source)), np.diff(edges.tensor_ptr))
    edge, tensor = edge[~update[edges.source[edge]]], edges.tensor[~update[edges.source[edge]]]
    copied = np.isin(tensor, tensor[~update[edges.target[edge]]])  # with a reader in every micro-batch
    edge, tensor = edge[copied], tensor[copied]
    return not (
        (edges.lag < 0).any()
        or (edges.distance[edge] > 0).any()
        or update[edges.target[edge]].any()
        or len(np.unique(np.stack([tensor, edges.source[edge]]), axis=1)[0]) > len(np.unique(tensor))
    )


def order_edges(problem: Problem) -> tuple[Ints, Ints]:
    """(x,) Each copy of a task that has a next one, and that: it starts when the first has ended or later, once micro-batches are renamed (`interchangeable`)."""
    task = problem.instance.task
    first = np.flatnonzero(task[1:] == task[:-1]) if interchangeable(problem) else np.zeros(0, dtype=np.int64)  # copies of a task are consecutive
    return first, first + 1


def slot_edges(problem: Problem) -> tuple[Ints, Ints]:
    """(x,) Copies u and w such that w starts when u has ended or later, in some schedule of every makespan that any has.

    Let a task of positive cycles and a reader of its tensor, of s bytes, have one and the same processor that can run them, with a
    memory of m bytes: no more than floor(m / s) of the tensor's copies lie there at a time. Rename the micro-batches
    so that every task's start in order (`interchangeable`). When the producer's copy i + floor(m / s) starts, i + floor(m / s)
    + 1 copies have been made, so i + 1 have gone at least, and were read by then: as the reader's copies end
    in order, its copy i has ended.
    """
    instance, edges, tasks = problem.instance, problem.edges, problem.tasks
    pairs: list[tuple[Ints, Ints]] = []
    limits = [p.memory_bytes for p in problem.processors]
    if interchangeable(problem) and any(limit is not None for limit in limits):
        able = tasks.cycles[:, [p.kind for p in problem.processors]] >= 0
        home = np.where(able.sum(axis=1) == 1, able.argmax(axis=1), -1)
        single = np.array([kind == "U" for kind in tasks.kinds])
        for e in np.flatnonzero((home[edges.source] >= 0) & (home[edges.source] == home[edges.target]) & (edges.distance == 0)).tolist():
            u, v = int(edges.source[e]), int(edges.target[e])
            limit = limits[int(home[u])]
            sizes = problem.tensor_bytes[edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]]]
            largest = int(sizes.max(initial=0))
            if single[u] or single[v] or not tasks.cycles[u].max() > 0 or limit is None or not largest or limit // largest >= problem.micro_batches:
                continue
            slots = limit // largest
            pairs.append((instance.copies(v)[: problem.micro_batches - slots], instance.copies(u)[slots:]))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *(u for u, _ in pairs)]), np.concatenate([empty, *(w for _, w in pairs)])
