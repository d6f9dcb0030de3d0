"""Bytes that cross between processors.

A tensor is sent once to every processor that reads it, however many tasks read it there and in
whatever iteration. A tensor that several tasks produce is their sum: what one processor holds of
it is sent together, so it counts once per (sending, receiving) pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.rows import distinct

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependences:
    """All edges between copies, x rows: those of fixed distance in the instance's order, then the delayed ones.

    ``source``, ``target`` (x,) task copies; ``distance`` (x,) in periods; ``lag``, ``transfer`` (x,)
    in cycles, the transfer if the ends lie apart; ``edge`` (x,) the problem's edge.
    """

    source: Ints
    target: Ints
    distance: Ints
    lag: Ints
    transfer: Ints
    edge: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows:
    """Data movements of an instance: one row per (edge between copies, tensor); f rows.

    ``source``, ``target`` (f,) task copies; ``tensor`` (f,) its index; ``copy`` (f,) which copy of
    the tensor; ``arrival`` (f,) cycles from the end of the source to the tensor's arrival on another
    processor, if no link is shared; ``lag`` (f,) cycles from the end of the source to its result;
    ``distance`` (f,) in periods; ``summed`` (f,) whether producers share the tensor; ``dependence``
    (f,) the row of `Dependences` that it belongs to.
    """

    source: Ints
    target: Ints
    tensor: Ints
    copy: Ints
    arrival: Ints
    lag: Ints
    distance: Ints
    summed: NDArray[np.bool_]
    dependence: Ints


def dependences(problem: Problem, forward_delay: Ints, backward_delay: Ints) -> Dependences:
    """All edges between copies under the given delays, (layers,) each.

    Update copy i is read by reader copy (i + D) mod K, floor((i + D) / K) periods later, with the
    backward delay for readers other than F.
    """
    instance, k = problem.instance, problem.unroll
    copies = np.arange(k)
    is_forward = np.array([problem.tasks.kinds[t] == "F" for t in instance.delay_target.tolist()], dtype=bool)
    delay = np.where(is_forward, forward_delay[instance.delay_layer], backward_delay[instance.delay_layer])
    later = copies + delay[:, None]  # (m, K)
    source = np.concatenate([instance.source, (instance.delay_source[:, None] * k + copies).ravel()])
    target = np.concatenate([instance.target, (instance.delay_target[:, None] * k + later % k).ravel()])
    distance = np.concatenate([instance.distance, (later // k).ravel()])
    return Dependences(
        source=source,
        target=target,
        distance=distance,
        lag=np.concatenate([instance.lag, np.repeat(instance.delay_lag, k)]),
        transfer=np.concatenate([instance.transfer, np.repeat(instance.delay_transfer, k)]),
        edge=np.concatenate([instance.edge, np.repeat(instance.delay_edge, k)]),
    )


def flows(problem: Problem, forward_delay: Ints, backward_delay: Ints) -> Flows:
    """All data movements, weights included, under the given delays, (layers,) each."""
    instance, edges = problem.instance, problem.edges
    rows = dependences(problem, forward_delay, backward_delay)
    per_edge = edges.tensor_ptr[rows.edge + 1] - edges.tensor_ptr[rows.edge]
    row = np.repeat(np.arange(len(rows.edge)), per_edge)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(per_edge) - per_edge, per_edge)
    tensor = edges.tensor[edges.tensor_ptr[rows.edge[row]] + offset]
    # In finite mode the one update sums over micro-batches: one gradient, not one per copy.
    single = np.array([problem.mode == "finite" and kind == "U" for kind in problem.tasks.kinds], dtype=bool)
    source, target = rows.source[row], rows.target[row]
    to_single = single[instance.task[target]]
    return Flows(
        source=source,
        target=target,
        tensor=tensor,
        copy=np.where(to_single, 0, instance.copy[source]),
        arrival=np.maximum(rows.lag + rows.transfer, 0)[row],
        lag=rows.lag[row],
        distance=rows.distance[row],
        summed=to_single | _shared(problem)[tensor],
        dependence=row,
    )


def _shared(problem: Problem) -> NDArray[np.bool_]:
    """(tensors,) Whether more than one task produces the tensor."""
    edges = problem.edges
    producer = np.repeat(edges.source, np.diff(edges.tensor_ptr))
    pairs, _ = distinct(edges.tensor, producer)
    return np.bincount(pairs[0], minlength=len(problem.tensors)) > 1


def crossings(flow: Flows, processor: Ints) -> Ints:
    """(3, x) Tensor, sending and receiving processor of every transfer under a placement (N,)."""
    sender, receiver = processor[flow.source], processor[flow.target]
    apart = sender != receiver
    groups, _ = distinct(flow.tensor[apart], flow.copy[apart], sender[apart], receiver[apart])
    return groups[[0, 2, 3]]


def traffic_bytes(problem: Problem, flow: Flows, processor: Ints) -> int:
    """Bytes that cross, per ``unroll`` iterations or in the whole finite run."""
    return int(problem.tensor_bytes[crossings(flow, processor)[0]].sum())


def traffic_matrix(problem: Problem, flow: Flows, processor: Ints) -> Ints:
    """(P, P) Bytes from each processor (row) to each other one (column), in all as many as `traffic_bytes` counts."""
    tensor, sender, receiver = crossings(flow, processor)
    matrix = np.zeros((len(problem.processors),) * 2, dtype=np.int64)
    np.add.at(matrix, (sender, receiver), problem.tensor_bytes[tensor])
    return matrix


def link_loads(problem: Problem, flow: Flows, processor: Ints, length_cycles: int) -> tuple[tuple[str, str, float], ...]:
    """(from, to, load): cycles the link's transfers take, ceil(bytes / bandwidth) each, / length (at least 1)."""
    tensor, sender, receiver = crossings(flow, processor)
    cycles = problem.interconnect.holding_cycles(problem.tensor_bytes[tensor])
    count = len(problem.processors)
    links, which = np.unique(sender * count + receiver, return_inverse=True)  # few of the P^2 links are used
    load: list[float] = np.bincount(which, weights=cycles, minlength=len(links)).tolist()
    used: list[int] = links.tolist()
    names = [p.name for p in problem.processors]
    return tuple((names[link // count], names[link % count], total / max(length_cycles, 1)) for link, total in zip(used, load, strict=True))


def moved_bytes(problem: Problem) -> int:
    """Bytes that the tasks of one iteration read and write: the denominator of the overhead."""
    edges = problem.edges
    per_edge = np.diff(edges.tensor_ptr)
    read = int(problem.tensor_bytes[edges.tensor].sum())
    written, _ = distinct(edges.tensor, np.repeat(edges.source, per_edge))
    return read + int(problem.tensor_bytes[written[0]].sum())
