"""The critical path of CPOP, and the one processor it goes to (Topcuoglu, Hariri and Wu 2002, doi:10.1109/71.993206, section 4.3)."""

from __future__ import annotations

import math

import numpy as np

from spikepipe_solvers.lists.graph import Floats, Graph, Indices


def critical_path(graph: Graph, through: Floats) -> list[int]:
    """Copies from an entry on, whose longest path ``through`` them (N,) is the longest of all."""
    longest, after = float(through.max()), graph.after
    entries = np.flatnonzero(np.diff(graph.before.ptr) == 0)
    path = [int(entries[through[entries].argmax()])]
    while True:
        row = after.other[after.ptr[path[-1]] : after.ptr[path[-1] + 1]].tolist()
        critical = [w for w in row if math.isclose(through[w], longest)]
        if not critical:
            return path
        path.append(critical[0])


def critical_home(graph: Graph, through: Floats) -> Indices:
    """(T,) The processor that can run most of the critical path, and that fastest, for its tasks; -1 for others."""
    tasks = np.unique(graph.task[critical_path(graph, through)])
    cycles = graph.cycles[tasks]
    able = cycles >= 0
    kinds = np.lexsort((np.where(able, cycles, 0).sum(axis=0), -able.sum(axis=0)))
    processor = int(np.flatnonzero(graph.kind == kinds[0])[0])
    home = np.full(len(graph.cycles), -1, dtype=np.int32)
    home[tasks[able[:, kinds[0]]]] = processor
    return home
