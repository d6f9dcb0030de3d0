"""Everything on one processor, one iteration after the other: the reference for speed-up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.finish import finish


def supports(problem: Problem) -> str | None:
    """Needs a processor that can run every task."""
    if not (problem.instance.duration >= 0).all(axis=0).any():
        return "no processor can run every task"
    return None


def micro_batch_order(problem: Problem) -> list[int]:
    """A topological order that finishes one copy of the iteration before the next: it stores least."""
    instance = problem.instance
    position = np.empty(instance.size, dtype=np.int64)
    position[instance.order] = np.arange(instance.size)
    last = problem.unroll + problem.micro_batches
    single = np.array([problem.mode == "finite" and kind == "U" for kind in problem.tasks.kinds])[instance.task]
    return np.lexsort((position, np.where(single, last, instance.copy))).tolist()


def sequential_schedules(problem: Problem) -> Iterator[Schedule]:
    """One schedule per processor that can run everything, fastest first."""
    instance = problem.instance
    able = np.flatnonzero((instance.duration >= 0).all(axis=0))
    if instance.duration.strides[1] == 0 and len({p.memory_bytes for p in problem.processors}) == 1:
        able = able[:1]  # one column for all
    incoming: list[list[tuple[int, int, int]]] = [[] for _ in range(instance.size)]
    for u, v, lag, distance in zip(*(a.tolist() for a in (instance.source, instance.target, instance.lag, instance.distance)), strict=True):
        incoming[v].append((u, lag, distance))
    seen = set[tuple[int, ...]]()
    for p in able[np.argsort(instance.duration[:, able].sum(axis=0), kind="stable")].tolist():
        key = (*instance.duration[:, p].tolist(), problem.processors[p].memory_bytes or -1)
        if key in seen:  # a like processor gives the same schedule
            continue
        seen.add(key)
        cycles, start, clock = instance.duration[:, p].tolist(), [0] * instance.size, 0
        for v in micro_batch_order(problem):
            start[v] = max([clock, *(start[u] + cycles[u] + lag for u, lag, distance in incoming[v] if distance == 0)])
            clock = start[v] + cycles[v]
        period = None
        if problem.mode == "periodic":
            period = max(1, clock)
            for v, edges in enumerate(incoming):  # results that come late stretch the period
                for u, lag, distance in edges:
                    if distance:
                        period = max(period, -(-(start[u] + cycles[u] + lag - start[v]) // distance))
        yield Schedule(processor=np.full(instance.size, p), start=np.array(start), period=period)


class Sequential:
    """Solver ``sequential``."""

    spec = SolverSpec(
        name="sequential",
        summary="everything on one processor, in topological order",
        source="",
        exact=False,
        modes=("periodic", "finite"),
        supports=supports,
        optimises="the choice of the one processor, by the problem's objectives",
        ignores="every other processor, and limits",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """One processor; the budget, seed and hint play no part."""
        return finish(problem, sequential_schedules(problem), "sequential")


SOLVER = Sequential()
