"""Contiguous stages: the literature's way to share layers, and the baseline of speed-up and overhead.

A cut splits the layers, in topological order, into at most P contiguous stages, stage i on
processor i, with the least maximum load, then the least traffic, then the first such cut (shortest
first stage, then second, ...). It is PipeDream's dynamic programme without replication
(Narayanan et al., SOSP 2019, doi:10.1145/3341301.3359646). While choosing, it counts a tensor that
several units produce (a sum) once for each of them; the traffic it reports is exact.
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
#: Load of a unit that its processor cannot run: above any real load, and 512 of them stay within int64.
UNABLE: Final = 2**52


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

    The layers, where every task has one; else the tasks themselves. Layers on a loop through time are
    one unit: no pipeline runs them in turn.
    """
    tasks, edges = problem.tasks, problem.edges
    if (tasks.layer >= 0).all():
        forward = np.array([kind == "F" for kind in tasks.kinds])
        inside = (edges.distance == 0) & forward[edges.source] & forward[edges.target]
        unit = joined(np.unique(tasks.layer, return_inverse=True)[1], edges.source[inside], edges.target[inside])
        return int(unit.max()) + 1, unit
    instance = problem.instance
    order = instance.task[instance.order[instance.copy[instance.order] == 0]]
    unit = np.empty(len(order), dtype=np.int64)
    unit[order] = np.arange(len(order))
    return len(order), unit


def joined(unit: Ints, source: Ints, target: Ints) -> Ints:
    """(n,) The units of a chain, joined wherever an edge leads back along it."""
    border = np.ones(int(unit.max()) + 1, dtype=bool)
    for late, early in zip(unit[source].tolist(), unit[target].tolist(), strict=True):
        if early < late:
            border[early + 1 : late + 1] = False
    return (np.cumsum(border) - 1)[unit]


def contiguous_cut(problem: Problem, unit: Ints | None = None, group: Ints | None = None) -> Cut | None:
    """The best contiguous cut; None if there are too many units or no cut runs every task.

    Parameters
    ----------
    unit
        (n,) Place of every task in the chain that is cut, from 0; that of `units` if not given.
    group
        (units,) Ascending; no stage holds units of two groups. All are one group if not given.
    """
    unit = units(problem)[1] if unit is None else unit
    count = int(unit.max()) + 1
    if count > MAX_UNITS:
        return None
    first = np.zeros(count, dtype=np.int64) if group is None else np.searchsorted(group, group)  # of each unit's group
    processors = min(len(problem.processors), count)
    load = loads(problem, unit, count)
    least = _least_load(load, processors, first)
    if least >= UNABLE:
        return None
    received = _received(problem, unit, count)
    # rest[s][i]: least traffic of units i.. on stages s.., each within the least load.
    rest = np.full((processors + 1, count + 1), _INFINITE, dtype=np.int64)
    rest[:, count] = 0
    for s in range(processors - 1, -1, -1):
        for i in range(count - 1, -1, -1):
            rest[s, i] = _options(s, i, load, received, rest, least, first).min()
    borders = [0]
    while borders[-1] < count:
        s, i = len(borders) - 1, borders[-1]
        borders.append(i + 1 + int(_options(s, i, load, received, rest, least, first).argmin()))
    stage = np.searchsorted(np.array(borders), unit, side="right") - 1
    return Cut(stage=stage, stages=len(borders) - 1, load_cycles=least, traffic_bytes=_traffic(problem, stage))


def _options(s: int, i: int, load: Ints, received: Ints, rest: Ints, least: int, first: Ints) -> Ints:
    """Traffic when stage s takes units i..j-1, for j = i + 1, ...; infinite where it is overloaded or holds two groups."""
    fits = (load[s, i + 1 :] - load[s, i] <= least) & (first[i:] <= i)
    return np.where(fits, np.minimum(received[i, i + 1 :] + rest[s + 1, i + 1 :], _INFINITE), _INFINITE)


def loads(problem: Problem, unit: Ints, count: int) -> Ints:
    """(P, count + 1) Cycles of units 0..j-1 on each processor; unrunnable units count as `UNABLE`."""
    repeats = np.where([kind == "U" for kind in problem.tasks.kinds], 1, problem.micro_batches)
    cycles = problem.tasks.cycles[:, [p.kind for p in problem.processors]]
    table = np.zeros((len(problem.processors), count + 1), dtype=np.int64)
    for p in range(len(problem.processors)):
        np.add.at(table[p], unit + 1, np.maximum(cycles[:, p], 0) * repeats)
        table[p, unit[cycles[:, p] < 0] + 1] = UNABLE
    return table.cumsum(axis=1)


def _least_load(load: Ints, processors: int, first: Ints) -> int:
    """Smallest possible largest stage; `UNABLE` or more if every cut has an unrunnable one, or the groups are too many."""
    count = len(first)
    best = np.where(np.append(0, first) == 0, load[0], _INFINITE)  # units 0..j-1 on stages 0..s, none of them empty
    least = int(best[count])
    for s in range(1, processors):
        step = np.full(count + 1, _INFINITE, dtype=np.int64)
        for j in range(s + 1, count + 1):  # stage s takes units i..j-1 of one group; those before it have at least one each
            i = max(s, int(first[j - 1]))
            step[j] = np.maximum(best[i:j], load[s, j] - load[s, i:j]).min(initial=_INFINITE)
        best, least = step, min(least, int(step[count]))
    return least


def _copies_sent(problem: Problem) -> Ints:
    """(m,) How many copies of its tensors an edge carries in an iteration, or in the whole finite run."""
    edges, m = problem.edges, problem.micro_batches
    if problem.mode == "periodic":
        return np.ones(len(edges.source), dtype=np.int64)
    single = np.array([kind == "U" for kind in problem.tasks.kinds])
    once = single[edges.source] | single[edges.target]  # a sum over the micro-batches, or the update's own
    sent = np.where(once, (edges.distance == 0).astype(np.int64), np.maximum(m - edges.distance, 0))
    return np.where(edges.delay_layer >= 0, 0, sent)


def _traffic(problem: Problem, stage: Ints) -> int:
    """Bytes that cross between the stages: each tensor once per sending and receiving stage and copy."""
    edges, sent = problem.edges, _copies_sent(problem).tolist()
    pairs: dict[tuple[int, int, int], int] = {}
    for e in np.flatnonzero(stage[edges.source] != stage[edges.target]).tolist():
        for tensor in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
            key = (tensor, int(stage[edges.source[e]]), int(stage[edges.target[e]]))
            pairs[key] = max(pairs.get(key, 0), sent[e])
    return sum(count * int(problem.tensor_bytes[tensor]) for (tensor, _, _), count in pairs.items())


def _received(problem: Problem, unit: Ints, count: int) -> Ints:
    """(count, count + 1) Bytes that the stage of units i..j-1 receives from outside.

    Each tensor counts once per receiving stage, so the traffic of a cut is the sum over its stages.
    In a finite run all but the summed gradients count once per micro-batch.
    """
    edges, sent = problem.edges, _copies_sent(problem).tolist()
    received = np.zeros((count, count + 1), dtype=np.int64)
    readers: dict[tuple[int, int], dict[int, int]] = {}  # (tensor, producing unit) -> reading unit: copies it gets
    for e in np.flatnonzero(unit[edges.source] != unit[edges.target]).tolist():
        u, v = int(unit[edges.source[e]]), int(unit[edges.target[e]])
        for tensor in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist():
            reading = readers.setdefault((tensor, u), {})
            reading[v] = max(reading.get(v, 0), sent[e])
    for (tensor, producer), reading in readers.items():
        size = int(problem.tensor_bytes[tensor])
        ordered = sorted(reading.items())
        for i in range(count):
            later = [(reader, copies) for reader, copies in ordered if reader >= i]
            most = 0  # copies counted so far: a further reader of the stage adds only what exceeds them
            for reader, copies in later:
                if copies > most:
                    # The stage must reach the reader, and counts only until it takes in the producer too.
                    stop = None if producer < i else producer + 1
                    received[i, reader + 1 : stop] += size * (copies - most)
                    most = copies
    return received
