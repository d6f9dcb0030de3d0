"""Tasks of which one may always come first, so that a proof need not try both orders; where only time counts."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule

#: Most tasks that are compared with each other.
MOST_TASKS = 500

#: Edges at one end of a task: the task at the far end -> (lag, lag + transfer).
Ends = dict[int, tuple[int, int]]


def only_time_counts(problem: Problem) -> bool:
    """Whether nothing but starts and processors decides what is feasible, and every task runs once."""
    limits = problem.limits
    limited = limits.traffic_bytes is not None or limits.span_cycles is not None or any(p.memory_bytes is not None for p in problem.processors)
    return problem.mode == "finite" and problem.micro_batches == 1 and not limited


def first_pairs(problem: Problem) -> list[tuple[int, int]]:
    """Pairs (a, b): some shortest schedule has start[a] <= start[b], for all pairs at once.

    Take a schedule with start[b] < start[a] of two tasks of equal cycles on every processor, and let them
    change places: a runs when and where b did. Other tasks stay. That is a schedule again if

    - a, now earlier, does not wait longer than b did: every edge into a has one from the same task into b,
      of no smaller lag and no smaller lag + transfer;
    - b, now later, may have to pay a transfer that its old processor saved: every edge into b that has one
      comes with an edge from the same task into a, of no smaller lag + transfer, which a has paid there;
    - the same holds for the edges out, with time running backwards and a and b in each other's roles. On
      processors of unlike speed b may have ended after a for all that it started before: there the two
      have equal edges out.

    The conditions are transitive, so that the pairs (of two that meet them both ways, the one of
    smaller index first) agree with some order of all tasks. Of the shortest schedules take the one with
    the least starts in that order, read lexicographically: any pair out of order in it could be
    swapped, which would give a lesser one.
    """
    instance = problem.instance
    if instance.size > MOST_TASKS:
        return []
    before: list[Ends] = [{} for _ in range(instance.size)]
    after: list[Ends] = [{} for _ in range(instance.size)]
    columns = (instance.source, instance.target, instance.lag, instance.transfer)
    for u, v, lag, transfer in zip(*(column.tolist() for column in columns), strict=True):
        for ends, here, there in ((after, u, v), (before, v, u)):
            known = ends[here].get(there, (lag, lag + transfer))
            ends[here][there] = (max(lag, known[0]), max(lag + transfer, known[1]))
    equal: dict[tuple[int, ...], list[int]] = {}
    for v, cycles in enumerate(map(tuple, instance.duration.tolist())):
        equal.setdefault(cycles, []).append(v)
    may = {
        (a, b)
        for cycles, group in equal.items()
        for a, b in permutations(group, 2)
        if b not in after[a]
        and _within(before[a], before[b])
        and _within(after[b], after[a])
        and (after[a] == after[b] or len({c for c in cycles if c >= 0}) == 1)
    }
    return sorted((a, b) for a, b in may if a < b or (b, a) not in may)


def _within(fewer: Ends, more: Ends) -> bool:
    """Whether every edge of ``fewer`` has one in ``more`` that waits no shorter, and every transfer in ``more`` one in ``fewer`` that waits no shorter."""
    for there, (lag, apart) in fewer.items():
        if there not in more or more[there][0] < lag or more[there][1] < apart:
            return False
    return all(apart <= lag or (there in fewer and fewer[there][1] >= apart) for there, (lag, apart) in more.items())


def in_order(schedule: Schedule, pairs: list[tuple[int, int]]) -> Schedule:
    """The schedule with tasks swapped until all pairs are in order; each swap lessens the starts in the order of `first_pairs`."""
    processor, start = np.array(schedule.processor), np.array(schedule.start)
    swapped = True
    while swapped:
        swapped = False
        for a, b in pairs:
            if start[b] < start[a]:
                start[[a, b]], processor[[a, b]] = start[[b, a]], processor[[b, a]]
                swapped = True
    return Schedule(processor=processor, start=start, period=schedule.period)
