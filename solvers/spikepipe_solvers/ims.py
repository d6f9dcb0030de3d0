"""Iterative modulo scheduling: a schedule at a given period where more than load decides.

Rau (doi:10.1145/192724.192731): copies are placed in order of their height, the longest path that
still follows, each as early as its placed inputs allow within the next period. Where no slot is free the
copy takes one by force and those in its way, or now too early, are evicted and placed again, until
all lie or the budget of placements is used up.

Here copies hold their processor for many cycles and choose among processors. So slots are looked
for at the ends of placed intervals, never cycle by cycle; a copy goes where it ends first,
preferring slots that leave its placed consumers alone and waste little time before them; and a
forced one goes where what it evicts has been evicted least so far. Edges of any distance count, those
of limited delay with their limit as the distance, and a limit on the span is a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.problem import MAX_DISTANCE, MAX_TIME, Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.balance import own
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.eviction import longest_paths, place

Ints = NDArray[np.int64]

#: Placements per copy before an attempt is given up (Rau finds 2 enough for loops of short operations).
BUDGET_RATIO = 6.0
#: Attempts at a period, each with other priorities and other weights of idle time, in quarters: little
#: serves tight dependences, much a tight load.
ATTEMPTS, WASTES = 8, (0, 1, 4, 8)
#: Spread of the random priorities of later attempts, as a share of the greatest height.
JITTER = 0.15
#: Copies from which the compiled kernels pay for being loaded.
LARGE = 120
#: Deterministic work (about seconds) of a placement, per processor, and per copy that may stand in its way.
PLACE_WORK, SCAN_WORK = 2e-6, 1e-8
#: Share of what the clock has left that one attempt may use.
PATIENCE = 0.25


class ModuloScheduler:
    """A problem's edges, ready for attempts at any period."""

    def __init__(self, problem: Problem) -> None:
        instance, k = problem.instance, problem.unroll
        self.problem = problem
        # A limited delay is an edge of that distance; larger limits bind nothing. Under ``latest`` only F's are limited.
        counted = np.array([problem.weights == "stash" or kind == "F" for kind in problem.tasks.kinds], dtype=bool)
        limits = problem.delay_limits
        limited = np.flatnonzero(counted[instance.delay_target] & (limits[instance.delay_layer] <= MAX_DISTANCE))
        copies = np.arange(k)
        later = copies + limits[instance.delay_layer[limited]][:, None]
        self.source = np.concatenate([instance.source, (instance.delay_source[limited][:, None] * k + copies).ravel()])
        self.target = np.concatenate([instance.target, (instance.delay_target[limited][:, None] * k + later % k).ravel()])
        self.distance = np.concatenate([instance.distance, (later // k).ravel()])
        self.lag = np.concatenate([instance.lag, np.repeat(instance.delay_lag[limited], k)])
        self.transfer = np.concatenate([instance.transfer, np.repeat(instance.delay_transfer[limited], k)])
        self.apart = np.flatnonzero(self.source != self.target)
        self.outgoing, self.incoming = _by(self.source[self.apart], instance.size), _by(self.target[self.apart], instance.size)
        self.shortest = instance.min_duration()
        self.fast = instance.size >= LARGE
        #: Cycles from a copy's start to its last result, which a limit on the span counts.
        self.result = self.shortest.copy()
        np.maximum.at(self.result, instance.source, self.shortest[instance.source] + instance.lag)
        self.position = np.empty(instance.size, dtype=np.int64)
        self.position[instance.order] = np.arange(instance.size)
        # Whose copies wait for each other in turn: updates, for example.
        edges = problem.edges
        self.serial = np.unique(edges.source[(edges.source == edges.target) & (edges.distance > 0)]) if k > 1 else copies[:0]

    def at(self, period: int, *, seed: int, attempt: int = 0, budget_ratio: float = BUDGET_RATIO, clock: Clock, home: Ints | None = None) -> Schedule | None:
        """One attempt at a period; None if it is impossible or the budget runs out.

        Parameters
        ----------
        seed, attempt
            Attempt 0 has plain heights; the seed decides how others disturb them.
        budget_ratio
            Placements allowed per copy.
        home
            (N,) Processors to keep to.
        """
        n, count = self.problem.instance.duration.shape
        budget = int(min(budget_ratio * n, PATIENCE * clock.left() / (count * PLACE_WORK + n * SCAN_WORK)))
        duration, wait = self._table(period)
        found = self._windows(period, wait) if (duration >= 0).any(axis=1).all() and budget >= n else None
        clock.spend(n * PLACE_WORK)
        if found is None:
            return None
        heights, earliest, latest = found
        priority = heights.astype(float)
        if attempt:
            priority += np.random.default_rng((seed, attempt)).uniform(-JITTER, JITTER, n) * priority.max()
        ranked = np.lexsort((self.position, -priority))
        rank = np.empty(n, dtype=np.int64)
        rank[ranked] = np.arange(n)
        zeros, none = np.zeros(n), np.full(n, -1)
        start, processor, taken = self._all(zeros, none, zeros)
        (into, by_target), (out, by_source) = self.incoming, self.outgoing
        source, target, transfer = self.source[self.apart], self.target[self.apart], self.transfer[self.apart]
        wait = wait[self.apart]
        run: Callable[..., int] = place.pick(fast=self.fast)
        left = run(
            period,
            budget,
            (seed + attempt) & 0x7FFFFFFF,
            WASTES[attempt % len(WASTES)],
            count,
            n,
            *self._all(duration.ravel(), none if home is None else home, ranked, earliest, latest),
            *self._all(into, source[by_target], wait[by_target], transfer[by_target]),
            *self._all(out, target[by_source], wait[by_source], transfer[by_source]),
            start,
            processor,
            taken,
            *self._all(zeros, np.zeros(n * count), np.zeros(count), zeros, rank, none),
        )
        clock.spend((budget - max(left, 0)) * (count * PLACE_WORK + n * SCAN_WORK))
        if left < 0:
            return None
        return Schedule(processor=np.array(processor, dtype=np.int64), start=np.array(start, dtype=np.int64), period=period)

    def settle(self, schedule: Schedule) -> Schedule | None:
        """The same phases and processors with the least stages that satisfy all edges; None if no stages do.

        Copies of a task that wait for each other in turn exchange their places first, so that they
        follow one another within a period.
        """
        period = schedule.period
        assert period is not None  # it works on periodic problems
        instance, k = self.problem.instance, self.problem.unroll
        processor, phase = schedule.processor.copy(), schedule.start % period
        for task in self.serial.tolist():
            own_copies = np.arange(task * k, task * k + k)
            turn = own_copies[np.argsort(phase[own_copies], kind="stable")]
            processor[own_copies], phase[own_copies] = processor[turn], phase[turn]
        taken = instance.duration[np.arange(instance.size), processor]
        source, target = self.source, self.target
        ready = phase[source] + taken[source] + self.lag + np.where(processor[source] != processor[target], self.transfer, 0)
        stages = -((phase[target] - ready) // period) - self.distance
        loops = source == target
        if (stages[loops] > 0).any():
            return None
        into, by_target = self.incoming
        stage = self._all(np.zeros(instance.size))[0]
        arrays = self._all(instance.order, into, source[self.apart][by_target], stages[self.apart][by_target])
        longest: Callable[..., bool] = longest_paths.pick(fast=self.fast)
        if not longest(*arrays, stage):
            return None
        return Schedule(processor=processor, start=np.array(stage, dtype=np.int64) * period + phase, period=period)

    def _table(self, period: int) -> tuple[Ints, Ints]:
        """(N, P) Durations, impossible where too slow for a copy's own recurrence; (M,) least time from end to start of every edge."""
        duration, wait = self.problem.instance.duration.copy(), self.lag - self.distance * period
        for e in np.flatnonzero(self.source == self.target).tolist():
            row = duration[self.source[e]]
            row[row + wait[e] > 0] = -1
        return duration, wait

    def _windows(self, period: int, wait: Ints) -> tuple[Ints, Ints, Ints] | None:
        """(N,) Heights, earliest and latest starts by the edges alone; None if a cycle or the span forbids the period."""
        instance = self.problem.instance
        longest: Callable[..., bool] = longest_paths.pick(fast=self.fast)
        source, target = self.source[self.apart], self.target[self.apart]
        after = (wait + self.shortest[self.source])[self.apart]
        (into, by_target), (out, by_source) = self.incoming, self.outgoing
        height, earliest = self._all(self.result, np.zeros(instance.size))
        if not longest(*self._all(instance.order[::-1], out, target[by_source], after[by_source]), height):
            return None
        longest(*self._all(instance.order, into, source[by_target], after[by_target]), earliest)
        heights, begins = np.array(height, dtype=np.int64), np.array(earliest, dtype=np.int64)
        span = self.problem.limits.span_cycles
        ends = np.full(instance.size, MAX_TIME) if span is None else span - heights
        return None if (ends < begins).any() else (heights, begins, ends)

    def _all(self, *arrays: NDArray[Any]) -> list[Any]:
        return [own(array, fast=self.fast) for array in arrays]


def _by(ends: Ints, n: int) -> tuple[Ints, Ints]:
    """(n + 1,) pointers into (m,) edges sorted by one of their ends."""
    edges = np.argsort(ends, kind="stable")
    return np.searchsorted(ends[edges], np.arange(n + 1)), edges


def iterative_modulo_schedule(problem: Problem, period: int, *, seed: int, budget_ratio: float = BUDGET_RATIO, clock: Clock) -> Schedule | None:
    """A schedule of a periodic problem at a given period, or None if no attempt finds one within the clock.

    It satisfies all edges, delay limits and a limit on the span; limits on traffic and memory are the caller's.
    """
    scheduler = ModuloScheduler(problem)
    for attempt in range(ATTEMPTS):
        if clock.expired():
            break
        found = scheduler.at(period, seed=seed, attempt=attempt, budget_ratio=budget_ratio, clock=clock)
        if found is not None:
            return found
    return None
