"""Proven lower bounds that need no search.

Every function states why no feasible schedule can be below what it returns. All results are exact
integers; floating point only proposes the multipliers of a bound that is then evaluated exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import MAX_DISTANCE, MAX_INT, MAX_TIME

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]

AREA: Final = "area: work / processors"
LONGEST: Final = "longest task"
RECURRENCE: Final = "recurrence: dependence cycles and delay limits"
CRITICAL_PATH: Final = "critical path"
LAYER_PATH: Final = "path: longest F..U over the period"
RESIDENT: Final = "resident weights"
TRIVIAL: Final = "trivial"
#: Sources of the bounds that need no search: whoever has the problem can compute them again.
COMBINATORIAL: Final = frozenset({AREA, LONGEST, RECURRENCE, CRITICAL_PATH, LAYER_PATH, RESIDENT, TRIVIAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """No feasible schedule has an objective below ``value``; ``source`` says why."""

    value: int
    source: str


def best(*bounds: Bound) -> Bound:
    """The largest; the first of equals."""
    return max(bounds, key=lambda bound: bound.value)


def area_bound(problem: Problem) -> int:
    """Total work over all processors, as if tasks could be split at will.

    If a schedule of length L exists then for any weights y_p >= 0 of the processors,
    L * sum(y) >= sum_p y_p load_p >= sum_v min_p y_p c_vp over the processors that can run v. Equal
    weights on like processors give ceil(sum c / P); on unlike ones the best weights are the dual
    of the fractional assignment LP. They are rounded to integers before the bound is evaluated, so
    that it holds exactly.
    """
    duration = problem.instance.duration
    kind = np.array([p.kind for p in problem.processors])
    used, counts = np.unique(kind, return_counts=True)
    by_class = duration[:, [int(np.flatnonzero(kind == c)[0]) for c in used]]  # (N, used classes)
    weights = np.ones(len(used), dtype=object)
    if len(used) > 1 and not (by_class == by_class[:, :1]).all():
        weights = _dual_weights(by_class, counts)
    distinct, repeats = np.unique(by_class, axis=0, return_counts=True)
    total = 0  # Python integers: products of weights and cycles may exceed int64
    for cycles, times in zip(distinct.tolist(), repeats.tolist(), strict=True):
        total += times * min(int(w) * c for w, c in zip(weights.tolist(), cycles, strict=True) if c >= 0)
    whole = sum(int(w) * int(n) for w, n in zip(weights.tolist(), counts.tolist(), strict=True))
    return -(-total // whole) if whole else 0


def _dual_weights(by_class: Ints, counts: Ints) -> NDArray[np.object_]:
    """Integer processor weights near the optimal dual of: min L, loads <= L, each task assigned once.

    The dual is max sum_v u_v with u_v <= c_vp y_p and sum_p y_p = 1 over processors.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    distinct, repeats = np.unique(by_class, axis=0, return_counts=True)
    rows, classes = distinct.shape
    task, cls = np.nonzero(distinct >= 0)
    scale = float(distinct.max()) or 1.0
    count = np.arange(len(task))
    matrix = coo_array(
        (np.concatenate([np.ones(len(task)), -distinct[task, cls] / scale]), (np.concatenate([count, count]), np.concatenate([task, rows + cls]))),
        shape=(len(task), rows + classes),
    )
    solve: Any = linprog  # its type stubs know no sparse arrays
    solution = solve(
        np.concatenate([-repeats.astype(float), np.zeros(classes)]),
        A_ub=matrix.tocsr(),
        b_ub=np.zeros(len(task)),
        A_eq=np.concatenate([np.zeros(rows), counts.astype(float)])[None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * (rows + classes),
        method="highs",
    )
    equal: NDArray[np.object_] = np.array([1] * classes, dtype=object)
    if solution.x is None:  # any weights are valid; equal ones are merely weaker
        return equal
    multipliers: NDArray[np.float64] = np.asarray(solution.x, dtype=np.float64)[rows:]
    weights = np.maximum(np.rint(multipliers * counts.sum() * 2**30), 0)
    whole: NDArray[np.object_] = weights.astype(np.int64).astype(object)
    return whole if weights.any() else equal


def _counted(problem: Problem) -> NDArray[np.bool_]:
    """(m,) The delay edges that D is about: all under ``stash``, those into F under ``latest``."""
    forward = np.array([kind == "F" for kind in problem.tasks.kinds], dtype=bool)
    return forward[problem.instance.delay_target] | (problem.weights == "stash")


def has_positive_cycle(problem: Problem, period: int) -> bool:
    """Whether edges between iterations contradict each other at this period, processors aside.

    Along a cycle, start times return to themselves: the sum of (c + lag - distance * period) must
    not be positive. Delay edges take part at their limits: shifting all starts by one iteration
    gives a schedule again, the mean of the K shifts is one with a single copy, and there a larger
    delay only relaxes. Under ``latest`` only the edges into F are limited. Bellman-Ford on the
    fastest durations, transfers 0.
    """
    instance, limits, k = problem.instance, problem.delay_limits, problem.unroll
    # Limits beyond any sensible delay are dropped, which is safe: times the period they could wrap around.
    limited = np.flatnonzero(_counted(problem) & (limits[instance.delay_layer] <= MAX_DISTANCE))
    copies = np.arange(k)
    later = copies + limits[instance.delay_layer[limited]][:, None]
    source = np.concatenate([instance.source, (instance.delay_source[limited][:, None] * k + copies).ravel()])
    target = np.concatenate([instance.target, (instance.delay_target[limited][:, None] * k + later % k).ravel()])
    distance = np.concatenate([instance.distance, (later // k).ravel()])
    lag = np.concatenate([instance.lag, np.repeat(instance.delay_lag[limited], k)])
    weight = instance.min_duration()[source] + lag - distance * period
    start = np.zeros(instance.size, dtype=np.int64)
    for _ in range(instance.size + 1):
        relaxed = start.copy()
        np.maximum.at(relaxed, target, start[source] + weight)
        if np.array_equal(relaxed, start):
            return False
        start = relaxed
    return True


def recurrence_bound(problem: Problem) -> int:
    """Least period at which no cycle of edges is positive (RecMII; Rau, doi:10.1145/192724.192731).

    Feasible periods must satisfy all edges; raising the period only relaxes them, so bisection
    finds the least. A cycle that no period satisfies (distance 0 in all) was refused before.
    """
    instance = problem.instance
    across = instance.distance > 0
    if not (across & (instance.source != instance.target)).any() and (problem.delay_limits == MAX_INT).all():
        loops = instance.min_duration()[instance.source[across]] + instance.lag[across]
        return int((-(-loops // instance.distance[across])).max(initial=1))
    low, high = 1, max(1, int(instance.min_duration().sum() + np.maximum(instance.lag, 0).sum() + problem.unroll * np.maximum(instance.delay_lag, 0).sum()))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if has_positive_cycle(problem, middle) else (low, middle)
    return low


def period_bound(problem: Problem) -> Bound:
    """Best bound on the period (cycles per ``unroll`` iterations).

    Within one period every copy runs once, so the load of each processor fits in it (area); no
    copy is longer than it; and edges between iterations must be consistent (recurrence).
    """
    longest = int(problem.instance.min_duration().max())
    return best(
        Bound(value=area_bound(problem), source=AREA),
        Bound(value=longest, source=LONGEST),
        Bound(value=recurrence_bound(problem), source=RECURRENCE),
        Bound(value=1, source=TRIVIAL),
    )


def critical_path(problem: Problem) -> int:
    """Longest path over the copies with the fastest durations, transfers 0, edges of distance 0."""
    instance = problem.instance
    duration = instance.min_duration()
    inside = instance.distance == 0
    finish = _longest(instance.order, instance.source[inside], instance.target[inside], instance.lag[inside], duration)
    return int(finish.max())


def _longest(order: Ints, source: Ints, target: Ints, lag: Ints, duration: Ints) -> Ints:
    """(N,) Earliest end of every copy if processors and transfers cost nothing."""
    by_target = np.argsort(target, kind="stable")
    ptr = np.searchsorted(target[by_target], np.arange(len(order) + 1)).tolist()
    sources: list[int] = source[by_target].tolist()
    lags: list[int] = lag[by_target].tolist()
    cycles: list[int] = duration.tolist()
    end = [0] * len(order)
    for v in order.tolist():
        ready = 0
        for e in range(ptr[v], ptr[v + 1]):
            ready = max(ready, end[sources[e]] + lags[e])
        end[v] = ready + cycles[v]
    return np.array(end, dtype=np.int64)


def makespan_bound(problem: Problem) -> Bound:
    """Best bound on the makespan: tasks on a path run one after the other; work fits under the length."""
    return best(Bound(value=critical_path(problem), source=CRITICAL_PATH), Bound(value=area_bound(problem), source=AREA))


def layer_paths(problem: Problem) -> Ints:
    """(layers,) Longest path from a reader of layer l's weights to U(l)'s result for that reader.

    Along edges of distance 0, with the fastest durations and lags, transfers 0; 0 where no reader
    reaches the update. In a schedule of period lambda a reader starts at s, U(l) ends at s + path or
    later (less or more the lag on the way back), and D_l * lambda must cover that:
    D_l >= ceil(path / lambda).
    """
    tasks, edges = problem.tasks, problem.edges
    cycles = np.where(tasks.cycles < 0, np.iinfo(np.int64).max, tasks.cycles)
    present = sorted({p.kind for p in problem.processors})
    duration = cycles[:, present].min(axis=1).tolist()
    successors: list[list[tuple[int, int]]] = [[] for _ in duration]
    for e in np.flatnonzero((edges.distance == 0) & (edges.delay_layer < 0)).tolist():
        successors[int(edges.source[e])].append((int(edges.target[e]), int(edges.lag[e])))
    first = problem.instance.copy == 0
    order = [int(problem.instance.task[v]) for v in problem.instance.order.tolist() if first[v]]
    paths = np.zeros(len(problem.layers), dtype=np.int64)
    readers: dict[tuple[int, int], set[tuple[int, int]]] = {}  # (layer, update) -> (reader, lag)
    for e in np.flatnonzero(edges.delay_layer >= 0).tolist():
        if problem.weights == "latest" and tasks.kinds[int(edges.target[e])] != "F":
            continue
        readers.setdefault((int(edges.delay_layer[e]), int(edges.source[e])), set()).add((int(edges.target[e]), int(edges.lag[e])))
    for (layer, update), starts in readers.items():
        to_update = [-MAX_INT] * len(duration)
        to_update[update] = duration[update]
        for v in reversed(order):
            for w, lag in successors[v]:
                if to_update[w] > -MAX_INT:
                    to_update[v] = max(to_update[v], duration[v] + lag + to_update[w])
        paths[layer] = max(int(paths[layer]), *(to_update[v] + lag for v, lag in starts if to_update[v] > -MAX_INT), 0)
    return paths


def delay_bound(problem: Problem, period: int) -> Bound:
    """Best bound on the sum of D_l at a given period: each D_l >= max(1, ceil(K * path_l / period))."""
    paths = layer_paths(problem)[np.unique(problem.instance.delay_layer)]
    each = np.maximum(1, -(-paths * problem.unroll // period))
    return Bound(value=int(each.sum()), source=LAYER_PATH)


def traffic_bound(problem: Problem) -> Bound:  # noqa: ARG001  (all bounds are called alike)
    """Nothing need cross where one processor can run everything; no better bound without search."""
    return Bound(value=0, source=TRIVIAL)


def memory_bound(problem: Problem) -> Bound:
    """What an update keeps for its own next run (weights, optimizer state) is always somewhere.

    Those bytes lie on the update's processor all the time, so the fullest processor holds at least
    their mean, and at least the largest of them. A finite run that may take no time holds nothing.
    """
    edges, kinds = problem.edges, problem.tasks.kinds
    kept = (edges.source == edges.target) & (edges.distance == 1)
    if problem.mode == "finite":  # only an update's state outlives the micro-batches
        kept &= np.array([kinds[u] == "U" for u in edges.source.tolist()], dtype=bool)
        kept &= bool(problem.instance.min_duration().any())
    tensors = {t for e in np.flatnonzero(kept).tolist() for t in edges.tensor[edges.tensor_ptr[e] : edges.tensor_ptr[e + 1]].tolist()}
    sizes = [int(problem.tensor_bytes[t]) for t in sorted(tensors)]
    return Bound(value=max([0, -(-sum(sizes) // len(problem.processors)), *sizes]), source=RESIDENT)


def objective_bound(problem: Problem, objective: str, length: int) -> Bound:
    """The best bound of this module on one objective; ``length`` is the schedule's own period.

    Where the period ranks above the delays, their bound is for this period; else for all periods allowed.
    """
    if objective == "period":
        return period_bound(problem)
    if objective == "makespan":
        return makespan_bound(problem)
    if objective == "delay":
        levels = problem.objective
        above = "period" in levels and levels.index("period") < levels.index("delay")
        return delay_bound(problem, length if above else problem.limits.period_cycles or MAX_TIME)
    return traffic_bound(problem) if objective == "traffic" else memory_bound(problem)
