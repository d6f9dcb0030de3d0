"""List scheduling of finite problems: a priority rule and a placement rule.

The preset ``heft`` is HEFT (Topcuoglu, Hariri and Wu, IEEE TPDS 13(3), 2002,
doi:10.1109/71.993206): highest upward rank first, on the processor with the earliest finish,
inserted into idle time. All micro-batches of a task go where the first one went.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec
from spikepipe_solvers.finish import finish


def supports(problem: Problem) -> str | None:
    """Finite problems only."""
    return None if problem.mode == "finite" else "it schedules finite problems; use --mode finite, or the solver 'modulo'"


def upward_rank(problem: Problem) -> list[float]:
    """(N,) Longest path from each copy to an exit: mean cycles over processors, full transfers."""
    instance = problem.instance
    able = instance.duration >= 0
    mean = (np.where(able, instance.duration, 0).sum(axis=1) / able.sum(axis=1)).tolist()
    outgoing: list[list[tuple[int, int]]] = [[] for _ in range(instance.size)]
    for u, v, cost in zip(instance.source.tolist(), instance.target.tolist(), (instance.lag + instance.transfer).tolist(), strict=True):
        outgoing[u].append((v, cost))
    rank = [0.0] * instance.size
    for v in reversed(instance.order.tolist()):
        rank[v] = mean[v] + max((rank[w] + cost for w, cost in outgoing[v]), default=0.0)
    return rank


def earliest_gap(begins: list[int], ends: list[int], ready: int, length: int) -> int:
    """Earliest start >= ready of an idle interval of ``length`` between sorted busy intervals."""
    if length == 0:
        return ready
    i = bisect_left(ends, ready + 1)  # the first interval that ends after ready
    begin = ready
    while i < len(begins) and begins[i] < begin + length:
        begin = max(begin, ends[i])
        i += 1
    return begin


def list_schedule(problem: Problem, priority: list[float]) -> Schedule:
    """Earliest finish with insertion, highest priority first among the ready copies."""
    instance, count = problem.instance, len(problem.processors)
    n = instance.size
    outgoing: list[list[int]] = [[] for _ in range(n)]
    incoming: list[list[tuple[int, int, int]]] = [[] for _ in range(n)]
    for u, v, lag, transfer in zip(*(a.tolist() for a in (instance.source, instance.target, instance.lag, instance.transfer)), strict=True):
        outgoing[u].append(v)
        incoming[v].append((u, lag, transfer))
    position = [0] * n
    for i, v in enumerate(instance.order.tolist()):
        position[v] = i
    missing = [len(edges) for edges in incoming]
    heap = [(-priority[v], position[v], v) for v in range(n) if missing[v] == 0]
    heapq.heapify(heap)
    duration, task = instance.duration.tolist(), instance.task.tolist()
    home: dict[int, int] = {}
    begins: list[list[int]] = [[] for _ in range(count)]
    ends: list[list[int]] = [[] for _ in range(count)]
    processor, start, end = [0] * n, [0] * n, [0] * n
    while heap:
        _, _, v = heapq.heappop(heap)
        best: tuple[int, int, int] | None = None
        for p in [home[task[v]]] if task[v] in home else range(count):
            cycles = duration[v][p]
            if cycles < 0:
                continue
            ready = max([0, *(end[u] + lag + (transfer if processor[u] != p else 0) for u, lag, transfer in incoming[v])])
            begin = earliest_gap(begins[p], ends[p], ready, cycles)
            if best is None or (begin + cycles, p) < best[:2]:
                best = (begin + cycles, p, begin)
        assert best is not None  # Problem refuses tasks that no processor can run
        end[v], processor[v], start[v] = best
        home[task[v]] = processor[v]
        if end[v] > start[v]:
            p = processor[v]
            at = bisect_left(begins[p], start[v])
            begins[p].insert(at, start[v])
            ends[p].insert(at, end[v])
        for w in outgoing[v]:
            missing[w] -= 1
            if missing[w] == 0:
                heapq.heappush(heap, (-priority[w], position[w], w))
    return Schedule(processor=np.array(processor), start=np.array(start))


class ListScheduling:
    """Solver ``list``."""

    spec = SolverSpec(
        name="list",
        summary="list scheduling (HEFT: upward rank, earliest finish with insertion)",
        source="doi:10.1109/71.993206",
        exact=False,
        modes=("finite",),
        supports=supports,
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """HEFT; the budget, seed and hint play no part."""
        return finish(problem, [list_schedule(problem, upward_rank(problem))], "list")


SOLVER = ListScheduling()
