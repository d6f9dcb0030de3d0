"""The arrays of a finite problem that list scheduling runs on: compressed rows of edges, cycles by processor class.

Indices are int32 and times int64 everywhere, writable and contiguous: every kernel is then compiled
for one signature only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Links:
    """The edges at one end of every copy: those of copy v are ``ptr[v]`` to ``ptr[v + 1]``.

    Attributes
    ----------
    ptr
        (N + 1,).
    other
        (M,) The copy at the far end.
    lag, transfer
        (M,) Cycles; the transfer is due if the ends lie on different processors.
    """

    ptr: Indices
    other: Indices
    lag: Ints
    transfer: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Over N copies of T tasks, C processor classes in use and P processors.

    Attributes
    ----------
    task
        (N,) The task of each copy.
    order, position
        (N,) A topological order, and each copy's place in it.
    before, after
        Edges into and out of every copy.
    cycles
        (T, C), -1 where the class cannot run the task.
    kind
        (P,) The class of each processor, a column of ``cycles``.
    shortest
        The least cycles above 0 of any task: shorter gaps are of no use to anybody.
    """

    task: Indices
    order: Indices
    position: Indices
    before: Links
    after: Links
    cycles: Ints
    kind: Indices
    shortest: int

    @property
    def size(self) -> int:
        """Number N of copies."""
        return len(self.task)

    @property
    def work(self) -> int:
        """How much a pass over all copies, edges and processors has to do."""
        return self.size * (1 + len(self.kind)) + len(self.before.other)

    def mirrored(self) -> Graph:
        """The same graph with time running backwards: every schedule, mirrored, is one of this."""
        order = np.ascontiguousarray(self.order[::-1])
        position = (self.size - 1 - self.position).astype(np.int32)
        return Graph(
            task=self.task, order=order, position=position, before=self.after, after=self.before, cycles=self.cycles, kind=self.kind, shortest=self.shortest
        )

    def mean_cycles(self) -> Floats:
        """(N,) Mean over the processors that can run the copy."""
        counts = np.bincount(self.kind, minlength=self.cycles.shape[1])
        able = self.cycles >= 0
        mean: Floats = (np.where(able, self.cycles, 0) @ counts) / (able @ counts)
        return mean[self.task]


def graph_of(problem: Problem) -> Graph:
    """The arrays of a problem; edges to later iterations of a periodic one are left out."""
    instance = problem.instance
    n = instance.size
    used, kind = np.unique([processor.kind for processor in problem.processors], return_inverse=True)
    source, target, lag, transfer = instance.source, instance.target, instance.lag, instance.transfer
    if problem.mode == "periodic":
        inside = instance.distance == 0
        source, target, lag, transfer = source[inside], target[inside], lag[inside], transfer[inside]
    position = np.empty(n, dtype=np.int32)
    position[instance.order] = np.arange(n, dtype=np.int32)
    cycles = np.array(problem.tasks.cycles[:, used], order="C")
    positive = cycles[cycles > 0]
    return Graph(
        task=instance.task.astype(np.int32),
        order=instance.order.astype(np.int32),
        position=position,
        before=_links(n, target, source, lag, transfer),
        after=_links(n, source, target, lag, transfer),
        cycles=cycles,
        kind=kind.astype(np.int32),
        shortest=int(positive.min()) if positive.size else 1,
    )


def _links(n: int, here: Ints, there: Ints, lag: Ints, transfer: Ints) -> Links:
    by_end = np.argsort(here.astype(np.int32), kind="stable")
    ptr = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(np.bincount(here, minlength=n), out=ptr[1:])
    return Links(ptr=ptr, other=there[by_end].astype(np.int32), lag=lag[by_end], transfer=transfer[by_end])
