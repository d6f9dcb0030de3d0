"""Bounds on the period."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.bounds.area import area_bound, sharing_bound
from spikepipe_sched.bounds.bound import AREA, DELAY_LIMIT, LONGEST, RECURRENCE, SHARING, TRIVIAL, Bound, best, once
from spikepipe_sched.bounds.delay import certain_lags, counted, layer_lengths
from spikepipe_sched.problem import MAX_DISTANCE, MAX_INT

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

Ints = NDArray[np.int64]


def has_positive_cycle(problem: Problem, period: int) -> bool:
    """Whether edges between iterations contradict each other at this period, processors aside.

    Along a cycle, start times return to themselves: the sum of (c + lag - distance * period) must
    not be positive. Delay edges take part at their limits: shifting all starts by one iteration
    gives a schedule again, the mean of the K shifts is one with a single copy, and there a larger
    delay only relaxes. Under ``latest`` only the edges into F are limited. Bellman-Ford on the
    fastest durations, with the transfers between tasks that no class of processor can both run.
    """
    instance, limits, k = problem.instance, problem.delay_limits, problem.unroll
    # Limits beyond any sensible delay are dropped, which is safe: times the period they could wrap around.
    limited = np.flatnonzero(counted(problem) & (limits[instance.delay_layer] <= MAX_DISTANCE))
    copies = np.arange(k)
    later = copies + limits[instance.delay_layer[limited]][:, None]
    source = np.concatenate([instance.source, (instance.delay_source[limited][:, None] * k + copies).ravel()])
    target = np.concatenate([instance.target, (instance.delay_target[limited][:, None] * k + later % k).ravel()])
    distance = np.concatenate([instance.distance, (later // k).ravel()])
    fixed, delayed = certain_lags(problem)
    lag = np.concatenate([fixed, np.repeat(delayed[limited], k)])
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
    across, (fixed, delayed) = instance.distance > 0, certain_lags(problem)
    if not (across & (instance.source != instance.target)).any() and (problem.delay_limits == MAX_INT).all():
        loops = instance.min_duration()[instance.source[across]] + instance.lag[across]
        return int((-(-loops // instance.distance[across])).max(initial=1))
    low, high = 1, max(1, int(instance.min_duration().sum() + np.maximum(fixed, 0).sum() + problem.unroll * np.maximum(delayed, 0).sum()))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if has_positive_cycle(problem, middle) else (low, middle)
    return low


def delay_limit_bound(problem: Problem) -> int:
    """Least period at which every limited delay covers what lies between its readers and its update.

    D_l * period >= K * T for the T of `spikepipe_sched.bounds.delay.layer_lengths`, and D_l is at most its limit.
    """
    if (problem.delay_limits == MAX_INT).all():
        return 1
    return int((-(-problem.unroll * layer_lengths(problem) // problem.delay_limits)).max(initial=1))


@once
def period_bound(problem: Problem) -> Bound:
    """Best bound on the period (cycles per ``unroll`` iterations).

    Within one period every copy runs once, so the load of each processor fits in it (area, and that
    of the longest that must share one); no copy is longer than it; edges between iterations must be
    consistent (recurrence); and limited delays must cover what lies between.
    """
    longest = int(problem.instance.min_duration().max())
    return best(
        Bound(value=area_bound(problem), source=AREA),
        Bound(value=longest, source=LONGEST),
        Bound(value=sharing_bound(problem), source=SHARING),
        Bound(value=recurrence_bound(problem), source=RECURRENCE),
        Bound(value=delay_limit_bound(problem), source=DELAY_LIMIT),
        Bound(value=1, source=TRIVIAL),
    )
