"""Topological order of a graph given by arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def topological_order(n: int, source: Ints, target: Ints) -> Ints | None:
    """Kahn's algorithm level by level, smallest index first within a level; None if there is a cycle."""
    ready = ready_in_turn(n, source, target)
    return ready if len(ready) == n else None


def ready_in_turn(n: int, source: Ints, target: Ints) -> Ints:
    """The nodes that no cycle keeps waiting, in topological order."""
    waits = np.bincount(target, minlength=n)
    by_source = np.argsort(source, kind="stable")
    start = np.searchsorted(source[by_source], np.arange(n + 1)).tolist()
    successors = target[by_source].tolist()
    level: list[int] = np.flatnonzero(waits == 0).tolist()
    # Plain lists: task graphs are narrow, and NumPy's cost per call would dominate.
    degree: list[int] = waits.tolist()
    order: list[int] = []
    while level:
        order += level
        reached: list[int] = []
        for v in level:
            for w in successors[start[v] : start[v + 1]]:
                degree[w] -= 1
                if not degree[w]:
                    reached.append(w)
        level = sorted(reached)
    return np.array(order, dtype=np.int64)
