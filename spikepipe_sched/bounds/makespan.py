"""Bounds on the length of one iteration: the makespan, and the span of a periodic schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from spikepipe_sched.bounds.area import area_bound, sharing_bound
from spikepipe_sched.bounds.bound import AREA, CRITICAL_PATH, LOAD, SHARING, Bound, best
from spikepipe_sched.bounds.heads import Graph, Ints, iteration_graph, plain_waits, waits
from spikepipe_sched.bounds.load import load_length

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

#: Edges times classes up to which the critical path weighs transfers against sharing a processor.
MOST_CHOICES: Final = 200_000


def heads_and_tails(graph: Graph, release: Ints, deadline: Ints) -> tuple[Ints, Ints]:
    """(N, C) each: earliest starts, and least times from an end to the end of everything.

    Up to `MOST_CHOICES` edges times classes with the choice between a transfer and a shared processor
    (`spikepipe_sched.bounds.heads.waits`); larger graphs without transfers but those that are certain.
    """
    rule = waits if len(graph.source) * len(graph.processors) <= MOST_CHOICES else plain_waits
    return rule(graph, release), rule(graph.reversed(), deadline)


def longest(graph: Graph, head: Ints, tail: Ints) -> int:
    """Largest head + cycles + tail of a task on the class where that is least."""
    return int((head + np.maximum(graph.cycles, 0) + tail).min(axis=1).max())


def critical_path(problem: Problem) -> int:
    """Longest path over the copies of an iteration along edges of distance 0, transfers included.

    A transfer that a shared processor saves is not paid, but sharing has its own price: see
    `spikepipe_sched.bounds.heads.waits`. It holds from the first start to the last end of finite
    schedules, and of the iterations of periodic ones: tasks of a processor do not overlap modulo the
    period, hence not at all.
    """
    graph = iteration_graph(problem)
    nothing = np.zeros(problem.instance.size, dtype=np.int64)
    return longest(graph, *heads_and_tails(graph, nothing, nothing))


def length_bound(problem: Problem) -> Bound:
    """Best bound on the time from the first start to the last end of an iteration (or of a finite run).

    The largest of the critical path, the area and the longest tasks that share a processor (in one
    iteration, too, no processor does two things at a time), and the loads of intervals.
    """
    graph = iteration_graph(problem)
    nothing = np.zeros(problem.instance.size, dtype=np.int64)
    head, tail = heads_and_tails(graph, nothing, nothing)
    known = best(
        Bound(value=longest(graph, head, tail), source=CRITICAL_PATH),
        Bound(value=area_bound(problem), source=AREA),
        Bound(value=sharing_bound(problem), source=SHARING),
    )
    return best(known, Bound(value=load_length(graph, head, tail, known.value), source=LOAD))


def makespan_bound(problem: Problem) -> Bound:
    """Best bound on the makespan: `length_bound`, as nothing starts before 0."""
    return length_bound(problem)
