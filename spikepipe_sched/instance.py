"""A problem with its copies written out: what schedules assign and solvers work on.

Periodic mode makes ``unroll`` copies of every task, each with a processor of its own; copy i of
u feeds copy (i + d) mod K of v at distance floor((i + d) / K). Finite mode makes one copy per
micro-batch, all on one processor, and a single copy of every U; edges that would come from before
the first micro-batch vanish, those with a delay among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.errors import InputError
from spikepipe_sched.order import ready_in_turn, topological_order

if TYPE_CHECKING:
    from spikepipe_sched.platform import Interconnect
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """Arrays over N task copies and their edges; int64, read-only.

    Attributes
    ----------
    task, copy
        (N,) The task and which copy of it.
    duration
        (N, P) Cycles on every processor, -1 where it cannot run; where all processors are alike, a view
        of one column (a million tasks on 64 processors would take half a gigabyte).
    source, target, distance, lag, transfer, edge
        (M,) Edges of fixed distance between copies. ``transfer``: cycles if the ends lie on
        different processors. ``edge``: the problem's edge it comes from.
    delay_source, delay_target, delay_layer, delay_lag, delay_transfer, delay_edge
        (m,) Edges whose distance is a layer's delay, between tasks (not copies); empty in finite
        mode.
    order
        (N,) A topological order of the copies along edges of distance 0.
    """

    task: Ints
    copy: Ints
    duration: Ints
    source: Ints
    target: Ints
    distance: Ints
    lag: Ints
    transfer: Ints
    edge: Ints
    delay_source: Ints
    delay_target: Ints
    delay_layer: Ints
    delay_lag: Ints
    delay_transfer: Ints
    delay_edge: Ints
    order: Ints

    @property
    def size(self) -> int:
        """Number N of copies."""
        return len(self.task)

    def copies(self, task: int) -> Ints:
        """Indices of the copies of a task, in order."""
        return np.flatnonzero(self.task == task)

    def min_duration(self) -> Ints:
        """(N,) Cycles on the fastest processor that can run the copy."""
        columns = self.duration[:, :1] if self.duration.strides[1] == 0 else self.duration
        masked = np.where(columns < 0, np.iinfo(np.int64).max, columns)
        return masked.min(axis=1)


def edge_bytes(problem: Problem) -> Ints:
    """(m,) Bytes of all tensors of every edge."""
    edges = problem.edges
    sizes = problem.tensor_bytes[edges.tensor] if len(edges.tensor) else np.zeros(0, dtype=np.int64)
    total = np.concatenate([[0], np.cumsum(sizes)])
    return total[edges.tensor_ptr[1:]] - total[edges.tensor_ptr[:-1]]


def transfer_cycles(link: Interconnect, size: Ints) -> Ints:
    """Cycles between the ends of edges of ``size`` bytes that lie on different processors."""
    return np.where(size > 0, link.latency_cycles + link.holding_cycles(size), link.signal_latency_cycles)


def expand(problem: Problem) -> Instance:
    """Write out the copies of a problem.

    Raises
    ------
    InputError
        If edges of distance 0 form a cycle; the message names a task on it.
    """
    tasks, edges = problem.tasks, problem.edges
    n, copies = len(tasks.names), problem.unroll if problem.mode == "periodic" else problem.micro_batches
    periodic = problem.mode == "periodic"
    single = np.array([not periodic and kind == "U" for kind in tasks.kinds])
    counts = np.where(single, 1, copies)
    first = np.concatenate([[0], np.cumsum(counts)])
    task = np.repeat(np.arange(n), counts)
    copy = np.arange(len(task)) - first[task]

    size = edge_bytes(problem)
    transfer = transfer_cycles(problem.interconnect, size)
    fixed = np.flatnonzero(edges.delay_layer < 0)
    u, v, distance = edges.source[fixed], edges.target[fixed], edges.distance[fixed]
    columns: list[tuple[Ints, Ints, Ints, Ints]] = []  # source, target, distance, edge
    for i in range(copies):
        if periodic:
            columns.append((first[u] + i, first[v] + (i + distance) % copies, (i + distance) // copies, fixed))
            continue
        # Finite: copy i of u feeds copy i + distance of v, while there is one.
        to_single, from_single = single[v], single[u]
        keep = np.where(to_single, (distance == 0) & (~from_single | (i == 0)), ~from_single & (i + distance < copies))
        target = np.where(to_single, first[v], first[v] + i + distance)
        columns.append((first[u][keep] + i, target[keep], np.zeros(int(keep.sum()), dtype=np.int64), fixed[keep]))
    source, target, copy_distance, edge = (np.concatenate(part) for part in zip(*columns, strict=True))

    inside = copy_distance == 0
    order = topological_order(len(task), source[inside], target[inside])
    if order is None:
        raise InputError(
            f"problem: edges of distance 0 form a cycle through task '{_on_cycle(problem, task, source[inside], target[inside])}'; an edge to a later iteration needs distance >= 1"
        )
    delayed = np.flatnonzero(edges.delay_layer >= 0) if periodic else np.zeros(0, dtype=np.int64)
    kind = np.array([p.kind for p in problem.processors])
    arrays = {
        "task": task,
        "copy": copy,
        "duration": np.broadcast_to(tasks.cycles[task, kind[0]][:, None], (len(task), len(kind))) if (kind == kind[0]).all() else tasks.cycles[task][:, kind],
        "source": source,
        "target": target,
        "distance": copy_distance,
        "lag": edges.lag[edge],
        "transfer": transfer[edge],
        "edge": edge,
        "delay_source": edges.source[delayed],
        "delay_target": edges.target[delayed],
        "delay_layer": edges.delay_layer[delayed],
        "delay_lag": edges.lag[delayed],
        "delay_transfer": transfer[delayed],
        "delay_edge": delayed,
        "order": order,
    }
    for array in arrays.values():
        array.flags.writeable = False
    return Instance(**arrays)


def _on_cycle(problem: Problem, task: Ints, source: Ints, target: Ints) -> str:
    """Name of a task on a cycle: walk backwards among tasks that never become ready."""
    waiting = np.ones(len(task), dtype=bool)
    waiting[ready_in_turn(len(task), source, target)] = False
    kept = waiting[source] & waiting[target]
    before = dict(zip(target[kept].tolist(), source[kept].tolist(), strict=True))  # one of them is enough
    node, seen = int(np.flatnonzero(waiting)[0]), set[int]()
    while node not in seen:
        seen.add(node)
        node = before[node]
    return problem.tasks.names[int(task[node])]
