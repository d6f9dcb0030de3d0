"""A periodic problem at one period as arrays for the kernels, copies in topological order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.traffic import flows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


#: Columns of all tables of edges, of edges to later iterations, of delay edges and of data movements.
SOURCE, TARGET, LAG, TRANSFER = range(4)
DISTANCE = 4
SLOT, OFFSET = 4, 5
GROUP, BYTES = 2, 3
#: Columns of `Tables.node`.
IN, OUT, RANK, ANCHORED = range(4)
#: Columns of `State.copy`.
PROCESSOR, PHASE, STAGE, EARLY, LATE_STAGE, EARLY_STAGE, LEAST_STAGE, KEPT_PHASE, BEST_PROCESSOR, BEST_PHASE, BEST_STAGE = range(11)


class Tables(NamedTuple):
    """What stays the same during a search; N copies, P processors, numbered along a topological order.

    Few arrays with many columns, for numba takes long to compile functions of many arrays. ``duration``
    (N, P), -1: impossible. ``node`` (N + 1, 4): where a copy's edges of distance 0 begin in ``into`` and in
    ``out``; its rank, the cycles from its start to the end of the iteration; and whether it is anchored: a
    source of an edge to a later iteration or of a delay edge, which goes as early as it can while all others
    wait for their readers. ``into``: edges of distance 0 by target; ``out``: places in ``into``, by source.
    ``far``: edges to later iterations. ``delay``: delay edges between copies; with K copies, reader copy i' of
    update copy i counts offset = i' - i and belongs to slot = layer * K + offset mod K. ``limit`` (layers,)
    largest delays. ``flow``: data movements sorted by group; a group crosses once for each pair of processors.
    """

    period: int
    copies: int
    duration: Ints
    node: Ints
    into: Ints
    out: Ints
    far: Ints
    delay: Ints
    limit: Ints
    flow: Ints


class State(NamedTuple):
    """What a search changes; the circular sequence of each processor holds its copies of at least one cycle.

    ``copy`` (N, columns): the stages are those of the last accepted evaluation (as late as the updates
    allow), early ones those before copies were moved later; ``LATE_STAGE`` and ``EARLY_STAGE`` are those of the
    trial. Rows of ``sequence`` beyond the processors': two that are kept for undoing, and a new order.
    ``need`` and ``late``: delays of every slot, whole and exact. ``energy``: current and best. ``total``: sum of
    delays and bytes of the trial, sum of delays of the best and the one that is good enough.
    """

    copy: Ints
    sequence: Ints
    filled: Ints
    load: Ints
    wrap: Ints
    need: Ints
    late: Floats
    stamp: Ints
    random: Ints
    energy: Floats
    total: Ints


def make_tables(problem: Problem, period: int) -> tuple[Tables, Ints]:
    """The arrays, and the (N,) copies in the order in which they are numbered."""
    instance, copies = problem.instance, problem.unroll
    n, order = instance.size, instance.order
    position = np.empty(n, dtype=np.int64)
    position[order] = np.arange(n)
    inside = np.flatnonzero(instance.distance == 0)
    inside = inside[np.argsort(position[instance.target[inside]], kind="stable")]
    source, target = position[instance.source[inside]], position[instance.target[inside]]
    out_edge = np.argsort(source, kind="stable")
    far = np.flatnonzero((instance.distance > 0) & (instance.source != instance.target))

    forward = np.array([kind == "F" for kind in problem.tasks.kinds], dtype=bool)
    paid = np.flatnonzero(forward[instance.delay_target] | (problem.weights == "stash"))
    layers, layer = np.unique(instance.delay_layer[paid], return_inverse=True)
    update, reader = (grid.ravel() for grid in np.meshgrid(np.arange(copies), np.arange(copies), indexing="ij"))
    row = np.repeat(paid, copies * copies)
    update, reader = np.tile(update, len(paid)), np.tile(reader, len(paid))
    offset = reader - update
    delay_source = position[instance.delay_source[row] * copies + update]
    anchored = np.zeros(n, dtype=np.int64)
    anchored[delay_source] = 1
    anchored[position[instance.source[far]]] = 1

    duration = np.array(instance.duration[order], order="C")
    least = instance.min_duration()[order]
    in_lag = instance.lag[inside]
    rank = least.copy()
    for e in reversed(range(len(inside))):  # targets in reverse order: their ranks are final
        u, v = int(source[e]), int(target[e])
        rank[u] = max(int(rank[u]), int(least[u] + in_lag[e] + rank[v]))

    none = np.zeros(len(problem.layers), dtype=np.int64)
    flow = flows(problem, none, none)
    _, group = np.unique(np.stack([flow.tensor, flow.copy]), axis=1, return_inverse=True)
    by_group = np.argsort(group, kind="stable")
    into = (source, target, in_lag, instance.transfer[inside])
    later = (position[instance.source[far]], position[instance.target[far]], instance.lag[far], instance.transfer[far], instance.distance[far])
    paid_edges = (delay_source, position[instance.delay_target[row] * copies + reader], instance.delay_lag[row], instance.delay_transfer[row])
    slots = (np.repeat(layer, copies * copies) * copies + offset % copies, offset)
    moves = (position[flow.source[by_group]], position[flow.target[by_group]], group[by_group], problem.tensor_bytes[flow.tensor[by_group]])
    ends = np.arange(n + 1)
    nodes = (np.searchsorted(target, ends), np.searchsorted(source[out_edge], ends), np.append(rank, 0), np.append(anchored, 0))
    tables = Tables(
        period=period,
        copies=copies,
        duration=duration,
        node=_columns(*nodes),
        into=_columns(*into),
        out=out_edge.astype(np.int64),
        far=_columns(*later),
        delay=_columns(*paid_edges, *slots),
        limit=np.array(problem.delay_limits[layers]),
        flow=_columns(*moves),
    )
    return tables, order


def _columns(*columns: Ints) -> Ints:
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.int64)


def make_state(tables: Tables, seed: int) -> State:
    """An empty packing."""
    n, count = tables.duration.shape

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    slots = len(tables.limit) * tables.copies
    return State(
        copy=zeros(n, BEST_STAGE + 1),
        sequence=zeros(count + 3, n + 1),
        filled=zeros(count),
        load=zeros(count),
        wrap=zeros(len(tables.into)),
        need=zeros(slots),
        late=np.zeros(slots),
        stamp=zeros(count * count),
        random=np.array([(seed * 2654435761 + 88172645) % 4294967291 + 1], dtype=np.int64),
        energy=np.zeros(2),
        total=zeros(4),
    )
