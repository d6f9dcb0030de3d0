"""Sequences that cost little: what the search in them starts from.

Two families, for given homes. ``greedy``: of the copies that can start first, old micro-batches go before
young ones, and what nobody waits for (weight gradients) fills the rest: this is how the zero-bubble schedules
come about (Qi et al., arXiv:2401.10241), whatever the stages cost. ``patterns``: all micro-batches run alike, one
every so many cycles, each task at an offset of its own: the building blocks of Qi et al. (Pipeline Parallelism with
Controllable Memory, arXiv:2405.15362), which are what tight memories call for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.cut import MAX_UNITS, contiguous_cut, units
from spikepipe_solvers.lists.ranks import upward
from spikepipe_solvers.sequences.chart import Chart, Indices, Ints, Line

#: Keys of `greedy`: how much older micro-batches go before younger ones, and how long what nobody waits for is put off, both in
#: multiples of the largest load; and whether as many micro-batches as processors go together, which
#: interleaved chunks need (Narayanan et al., arXiv:2104.04473).
KEYS = (*((pace, delay, False) for delay in (np.inf, 0.0, 1.0, 4.0) for pace in (1.0, 0.5, 2.0, np.inf)), (2.0, 0.0, True), (2.0, np.inf, True))
#: Most copies times tasks for all of those; beyond, the first will do.
ALL_UP_TO = 200_000
#: Largest number of distances between micro-batches that patterns try, and how many tasks' lengths longer transfers are made.
INTERVALS, STRETCHES = 24, (0, 1, 2)
#: Keys are in so many parts of a cycle.
FINE = 16


def homes(chart: Chart) -> Iterator[Indices]:
    """(T,) Processors of the tasks: the only ones able; or contiguous stages, and chunks of the chain that are dealt out, in turn or there and back."""
    able, count = chart.graph.cycles[:, chart.graph.kind] >= 0, len(chart.graph.kind)
    if (chart.able == 1).all():
        yield able.argmax(axis=1).astype(np.int32)
        return
    cut = contiguous_cut(chart.problem)
    if cut is not None:
        yield cut.stage.astype(np.int32)
    size, unit = units(chart.problem)
    if count == 1 or size > MAX_UNITS:
        return
    load = np.bincount(unit, weights=chart.graph.mean_cycles()[chart.first[:-1]], minlength=size).astype(np.float64)
    middle = (np.cumsum(load) - load / 2) / max(float(load.sum()), 1.0)
    rounds = 2
    while rounds * count <= size:
        by_load = np.minimum((middle * rounds * count).astype(np.int64), rounds * count - 1)
        for chunk in (by_load, np.arange(size) * rounds * count // size):
            turn, p = np.divmod(chunk[unit], count)
            for dealt in (np.where(turn % 2 == 0, p, count - 1 - p), p):
                if able[np.arange(len(dealt)), dealt].all():
                    yield dealt.astype(np.int32)
        rounds *= 2
    even = _dealt_evenly(load, count)[unit]
    if able[np.arange(len(even)), even].all():
        yield even.astype(np.int32)


def _dealt_evenly(load: NDArray[np.float64], count: int) -> Ints:
    """(units,) Of every P units in a row the heaviest goes to the processor with the least load, the next to the next."""
    dealt, total = np.empty(len(load), dtype=np.int64), np.zeros(count)
    for begin in range(0, len(load), count):
        heavy = begin + np.argsort(-load[begin : begin + count], kind="stable")
        dealt[heavy] = np.argsort(total, kind="stable")[: len(heavy)]
        total[dealt[heavy]] += load[heavy]
    return dealt


def _idle_leaf(chart: Chart) -> NDArray[np.bool_]:
    """(N,) Copies that nothing waits for but updates."""
    update = np.array([kind == "U" for kind in chart.problem.tasks.kinds])
    instance = chart.problem.instance
    leaf = np.ones(instance.size, dtype=np.bool_)
    leaf[instance.source[~update[instance.task[instance.target]]]] = False
    return leaf & ~update[instance.task]


def greedy_lines(chart: Chart, home: Indices) -> Iterator[Line]:
    """Schedules of `greedy` under several keys, the best of them mostly first."""
    load, rank, copy = max(1, int(chart.loads(home).max())), upward(chart.graph), chart.problem.instance.copy  # 1: infinitely often nothing is no number
    longest, leaf = float(rank.max()), _idle_leaf(chart)
    for pace, delay, together in KEYS if chart.graph.size * len(chart.first) <= ALL_UP_TO else KEYS[:1]:
        late = min(delay * load, longest * (int(copy.max()) + 2)) if delay else 0.0
        age = copy // len(chart.graph.kind) * len(chart.graph.kind) if together else copy
        key = age * min(pace * load, 2 * longest) - rank + leaf * late
        line = chart.greedy(np.rint(FINE * key).astype(np.int64), home)
        if line is not None:
            yield line


def offsets(chart: Chart, home: Indices, stretch: tuple[int, int]) -> Ints:
    """(T,) Earliest starts within one micro-batch alone, all transfers longer by ``stretch``: in its first half, and in its second."""
    instance = chart.problem.instance
    inside = np.flatnonzero((instance.copy[instance.source] == 0) & (instance.copy[instance.target] == 0))
    inside = inside[np.argsort(chart.graph.position[instance.source[inside]], kind="stable")]
    cycles = chart.graph.cycles[np.arange(len(home)), chart.graph.kind[home]]
    source, target = instance.task[instance.source[inside]], instance.task[instance.target[inside]]
    apart = home[source] != home[target]
    wait = (cycles[source] + instance.lag[inside] + np.where(apart, instance.transfer[inside], 0)).tolist()
    start = [0] * len(home)
    edges = list(zip(source.tolist(), target.tolist(), wait, apart.tolist(), strict=True))
    for u, v, cost, _ in edges:
        start[v] = max(start[v], start[u] + cost)
    half, plain = max(start) / 2, list(start)
    for u, v, cost, away in edges if any(stretch) else []:
        start[v] = max(start[v], start[u] + cost + (stretch[plain[v] > half] if away else 0))
    return np.array(start, dtype=np.int64)


def pattern_lines(chart: Chart, home: Indices) -> Iterator[Line]:
    """Schedules in which micro-batches follow each other at one distance."""
    instance = chart.problem.instance
    load, each = int(chart.loads(home).max()), int(chart.graph.cycles.max(axis=1).mean())
    for before in STRETCHES:
        for after in STRETCHES:
            offset = offsets(chart, home, (before * each, after * each))
            for interval in np.unique(np.linspace(load // 2, max(load, min(3 * load, int(offset.max()))), INTERVALS).astype(np.int64)).tolist():
                line = chart.replayed(chart.ordered(offset[instance.task] + interval * instance.copy), home)
                if line is not None:
                    yield line


def lines(chart: Chart, home: Indices) -> Iterator[Line]:
    """All schedules of a placement that are worth their time; the one that fits wherever any does is the last."""
    yield from greedy_lines(chart, home)
    if chart.limited:
        yield from pattern_lines(chart, home)
        last = chart.replayed(chart.one_by_one, home)
        if last is not None:
            yield last
