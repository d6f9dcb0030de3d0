"""Contiguous stages: the literature's way to share layers, and the baseline of speed-up and overhead.

A cut splits the layers, in topological order, into at most P contiguous stages, stage i on
processor i, with the least maximum load, then the least traffic, then the first such cut (shortest
first stage, then second, ...). It is PipeDream's dynamic programme without replication
(Narayanan et al., SOSP 2019, doi:10.1145/3341301.3359646).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]

#: More units than this are not cut: the tables are quadratic.
MAX_UNITS: Final = 512
_INFINITE: Final = 2**61


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """``stage`` (n,) of every task; ``stages`` used; the largest load [cycles] and the traffic [bytes].

    Load and traffic are those of one iteration (periodic) or of the whole finite run.
    """

    stage: Ints
    stages: int
    load_cycles: int
    traffic_bytes: int


def units(problem: Problem) -> tuple[int, Ints]:
    """Number of units to cut between, and the unit of every task (n,), in topological order.

    The layers, where every task has one; else the tasks themselves.
    """
    layer = problem.tasks.layer
    if (layer >= 0).all():
        present, unit = np.unique(layer, return_inverse=True)
        return len(present), unit
    instance = problem.instance
    order = instance.task[instance.order[instance.copy[instance.order] == 0]]
    unit = np.empty(len(order), dtype=np.int64)
    unit[order] = np.arange(len(order))
    return len(order), unit


def contiguous_cut(problem: Problem) -> Cut | None:
    """The best contiguous cut; None if there are too many units or no cut runs every task."""
    count, unit = units(problem)
    if count > MAX_UNITS:
        return None
    processors = min(len(problem.processors), count)
    load = _loads(problem, unit, count)
    least = _least_load(load, processors, count)
    if least >= _INFINITE:
        return None
    received = _received(problem, unit, count)
    # rest[s][i]: least traffic of units i.. on stages s.., each within the least load.
    rest = np.full((processors + 1, count + 1), _INFINITE, dtype=np.int64)
    rest[:, count] = 0
    for s in range(processors - 1, -1, -1):
        for i in range(count - 1, -1, -1):
            rest[s, i] = _options(s, i, load, received, rest, least, count).min()
    borders = [0]
    while borders[-1] < count:
        s, i = len(borders) - 1, borders[-1]
        borders.append(i + 1 + int(_options(s, i, load, received, rest, least, count).argmin()))
    stage = np.searchsorted(np.array(borders), unit, side="right") - 1
    return Cut(stage=stage, stages=len(borders) - 1, load_cycles=least, traffic_bytes=int(rest[0, 0]))


def _options(s: int, i: int, load: Ints, received: Ints, rest: Ints, least: int, count: int) -> Ints:
    """Traffic when stage s takes units i..j-1, for j = i+1 .. count; infinite where it is overloaded."""
    fits = load[s, i + 1 :] - load[s, i] <= least
    return np.where(fits, np.minimum(received[i, i + 1 :] + rest[s + 1, i + 1 :], _INFINITE), _INFINITE)


def _loads(problem: Problem, unit: Ints, count: int) -> Ints:
    """(P, count + 1) Cycles of units 0..j-1 on each processor; unrunnable ones count as infinite."""
    repeats = np.where([kind == "U" for kind in problem.tasks.kinds], 1, problem.micro_batches)
    cycles = problem.tasks.cycles[:, [p.kind for p in problem.processors]]
    work = np.where(cycles < 0, _INFINITE // (2 * len(cycles)), cycles * repeats[:, None])
    table = np.zeros((len(problem.processors), count + 1), dtype=np.int64)
    for p in range(len(problem.processors)):
        np.add.at(table[p], unit + 1, work[:, p])
    return table.cumsum(axis=1)


def _least_load(load: Ints, processors: int, count: int) -> int:
    """Smallest possible largest stage."""
    limit = _INFINITE // 4
    best = load[0].copy()  # units 0..j-1 on stage 0
    for s in range(1, processors):
        step = best.copy()
        for j in range(1, count + 1):
            step[j] = min(int(step[j]), int(np.maximum(best[:j], load[s, j] - load[s, :j]).min()))
        best = step
    return int(best[count]) if best[count] < limit / count else _INFINITE


def _received(problem: Problem, unit: Ints, count: int) -> Ints:
    """(count, count + 1) Bytes that the stage of units i..j-1 receives from outside.

    Each tensor counts once per receiving stage, so the traffic of a cut is the sum over its stages.
    In a finite run all but the summed gradients count once per micro-batch.
    """
    edges = problem.edges
    received = np.zeros((count, count + 1), dtype=np.int64)
    finite = problem.mode == "finite"
    readers: dict[tuple[int, int], set[int]] = {}  # (tensor, producing unit) -> reading units
    for e in range(len(edges.source)):
        u, v = int(edges.source[e]), int(edges.target[e])
        if unit[u] == unit[v] or (finite and problem.tasks.kinds[u] == "U"):
            continue
        for tensor in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
            readers.setdefault((tensor, int(unit[u])), set()).add(int(unit[v]))
    for (tensor, producer), reading in readers.items():
        size = int(problem.tensor_bytes[tensor]) * problem.micro_batches
        ordered = np.array(sorted(reading))
        for i in range(count):
            later = ordered[np.searchsorted(ordered, i) :]
            if not later.size:
                break
            first = int(later[0]) + 1  # the stage must reach its first reader
            if producer < i:
                received[i, first:] += size
            else:  # until the stage takes in the producer too
                received[i, first : producer + 1] += size
    return received
