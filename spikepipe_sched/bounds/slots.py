"""Precedences that a limited memory implies between micro-batches: their tensors take turns in its slots."""

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
    ones (order statistics are monotone), over a distance too. Of a tensor with one producer no
    fewer copies have been read, and as many produced, at any time, so no memory grows; a received sum
    begins with the last of its producers, and may come earlier: where memory counts there must be none, nor negative lags.
    """
    if problem.mode != "finite" or problem.micro_batches == 1:
        return False
    remembered = "memory" in problem.objective or any(p.memory_bytes is not None for p in problem.processors)
    edges = problem.edges
    update = np.array([kind == "U" for kind in problem.tasks.kinds], dtype=bool)
    producer = np.repeat(edges.source, np.diff(edges.tensor_ptr))
    inside = ~update[np.repeat(edges.target, np.diff(edges.tensor_ptr))]  # sums for an update have one copy only
    pairs = np.unique(np.stack([edges.tensor, producer])[:, inside], axis=1)
    return not remembered or ((not len(pairs[0]) or int(np.bincount(pairs[0]).max()) == 1) and not bool((edges.lag < 0).any()))


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
