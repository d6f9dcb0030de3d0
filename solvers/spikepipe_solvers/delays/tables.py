"""A periodic problem at one period as arrays for the kernels, copies in topological order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem
from spikepipe_sched.traffic import flows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Tables(NamedTuple):
    """What stays the same during a search; N copies, P processors, numbered along a topological order.

    ``duration`` (N, P), -1: impossible. Edges of distance 0 by target (``in_...``) and by source
    (``out_...``; ``out_edge`` is the edge's place in the first list). Edges to later iterations:
    ``far_...``. Delay edges between copies: ``delay_...``; with K copies, reader copy i' of update
    copy i counts ``offset`` = i' - i and belongs to ``slot`` = layer * K + offset mod K. ``anchored``
    (N,): sources of either, which go as early as they can while all others wait for their
    readers. ``limit`` (layers,) largest delays. ``rank`` (N,) cycles from a copy's start to the end of the
    iteration. ``flow_...``: data movements sorted by group; a group crosses once for each pair of
    processors.
    """

    period: int
    copies: int
    duration: Ints
    in_ptr: Ints
    in_source: Ints
    in_lag: Ints
    in_transfer: Ints
    out_ptr: Ints
    out_target: Ints
    out_edge: Ints
    far_source: Ints
    far_target: Ints
    far_distance: Ints
    far_lag: Ints
    far_transfer: Ints
    delay_source: Ints
    delay_target: Ints
    delay_slot: Ints
    delay_offset: Ints
    delay_lag: Ints
    delay_transfer: Ints
    anchored: NDArray[np.bool_]
    limit: Ints
    rank: Ints
    flow_source: Ints
    flow_target: Ints
    flow_group: Ints
    flow_bytes: Ints


class State(NamedTuple):
    """What a search changes; the circular sequence of each processor holds its copies of at least one cycle.

    ``stage`` are the stages found by the last accepted evaluation (as late as the updates allow),
    ``early`` those before copies were moved later, ``late_stage`` and ``early_stage`` those of the trial.
    ``energy``: current and best. ``total``: sum of delays and bytes of the trial, sum of delays of the best
    and the one that is good enough.
    """

    processor: Ints
    phase: Ints
    load: Ints
    sequence: Ints
    filled: Ints
    stage: Ints
    early: Ints
    late_stage: Ints
    early_stage: Ints
    least_stage: Ints
    wrap: Ints
    need: Ints
    late: Floats
    order: Ints
    kept_sequence: Ints
    kept_phase: Ints
    best_processor: Ints
    best_phase: Ints
    best_stage: Ints
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
    anchored = np.zeros(n, dtype=np.bool_)
    anchored[delay_source] = True
    anchored[position[instance.source[far]]] = True

    duration = np.ascontiguousarray(instance.duration[order])
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
    tables = Tables(
        period=period,
        copies=copies,
        duration=duration,
        in_ptr=np.searchsorted(target, np.arange(n + 1)),
        in_source=source,
        in_lag=in_lag,
        in_transfer=instance.transfer[inside],
        out_ptr=np.searchsorted(source[out_edge], np.arange(n + 1)),
        out_target=target[out_edge],
        out_edge=out_edge,
        far_source=position[instance.source[far]],
        far_target=position[instance.target[far]],
        far_distance=instance.distance[far],
        far_lag=instance.lag[far],
        far_transfer=instance.transfer[far],
        delay_source=delay_source,
        delay_target=position[instance.delay_target[row] * copies + reader],
        delay_slot=np.repeat(layer, copies * copies) * copies + offset % copies,
        delay_offset=offset,
        delay_lag=instance.delay_lag[row],
        delay_transfer=instance.delay_transfer[row],
        anchored=anchored,
        limit=problem.delay_limits[layers],
        rank=rank,
        flow_source=position[flow.source[by_group]],
        flow_target=position[flow.target[by_group]],
        flow_group=group[by_group],
        flow_bytes=problem.tensor_bytes[flow.tensor[by_group]],
    )
    return tables._replace(**{name: np.array(value) for name, value in tables._asdict().items() if isinstance(value, np.ndarray)}), order


def make_state(tables: Tables, seed: int) -> State:
    """An empty packing."""
    n, count = tables.duration.shape

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    slots = len(tables.limit) * tables.copies
    return State(
        processor=zeros(n),
        phase=zeros(n),
        load=zeros(count),
        sequence=zeros(count, n + 1),
        filled=zeros(count),
        stage=zeros(n),
        early=zeros(n),
        late_stage=zeros(n),
        early_stage=zeros(n),
        least_stage=zeros(n),
        wrap=zeros(len(tables.in_source)),
        need=zeros(slots),
        late=np.zeros(slots),
        order=zeros(n + 1),
        kept_sequence=zeros(2, n + 1),
        kept_phase=zeros(n),
        best_processor=zeros(n),
        best_phase=zeros(n),
        best_stage=zeros(n),
        stamp=zeros(count * count),
        random=np.array([(seed * 2654435761 + 88172645) % 4294967291 + 1], dtype=np.int64),
        energy=np.zeros(2),
        total=zeros(4),
    )
