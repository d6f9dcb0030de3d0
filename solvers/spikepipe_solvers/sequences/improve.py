"""Anytime improvement of the makespan of several micro-batches, or under memory limits: starts, then search in the sequence and the homes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.sequences.chart import Chart, Line
from spikepipe_solvers.sequences.search import late_acceptance
from spikepipe_solvers.sequences.starts import homes, lines

#: Deterministic work (about seconds) per unit of `Chart.work`, in plain steps and under memory limits.
WORK, LIMITED_WORK = 2e-8, 5e-8
#: Work of one search.
ROUND = 0.4
#: How far back a search compares: one of these.
LATE = (20, 50, 200, 1000)
#: Searches in a row without news after which they end.
FRUITLESS = 8
#: Schedules that compete for the search's favour, and searches that each has before only the best is left.
COMPETING, HEATS = 4, 2
#: Most copies times tasks: `greedy` looks at all tasks for every copy.
PLACED_UP_TO = 5_000_000
#: Smallest problems whose sequences are searched, by compiled kernels: CP-SAT alone is quicker below.
SEARCHED_FROM = 50


def sequenced(problem: Problem) -> bool:
    """Whether the order of micro-batches, or memories, make sequences worth their time; task graphs of one iteration have better heuristics."""
    limited = any(p.memory_bytes is not None for p in problem.processors)
    return problem.mode == "finite" and (problem.micro_batches > 1 or limited) and problem.instance.size * len(problem.tasks.names) <= PLACED_UP_TO


def sequence_schedules(problem: Problem, left_s: float = math.inf) -> Iterator[Schedule]:
    """The best schedule of each placement; none if those of one would take longer than ``left_s`` seconds."""
    chart = Chart.of(problem, left_s)
    for home in homes(chart) if chart.placeable else ():
        line = min(lines(chart, home), key=lambda line: line.makespan, default=None)
        if line is not None:
            yield chart.schedule(line)


def improve_sequences(incumbent: Incumbent, clock: Clock, seed: int, *, bound: int) -> None:
    """Offer shorter and shorter finite schedules until one meets the bound, the clock runs out, or nothing helps any more.

    Several placements compete at first, the incumbent's among them; memories are respected throughout. Nothing is done
    where compiling the search would take too much of the time.

    Parameters
    ----------
    seed
        Same seed and deterministic limit: same schedules.
    bound
        A proven bound of the makespan: what meets it ends the search.
    """
    chart, rng = Chart.of(incumbent.problem, clock.left_s), np.random.default_rng(seed)
    if chart.graph.size < SEARCHED_FROM or not chart.searchable:
        return
    field = _starts(chart, clock)
    if incumbent.schedule is not None and (line := chart.line(incumbent.schedule)) is not None:
        field.append(line)
    field = sorted(field, key=lambda line: line.makespan)[:COMPETING]
    steps, idle, turn = max(10, int(ROUND / _rate(chart))), 0, 0
    if field:
        incumbent.offer(chart.schedule(field[0]), "sequences")
    while field and not clock.expired() and idle < FRUITLESS and field[0].makespan > bound:
        which, best = turn % len(field), field[0].makespan
        line = field[which]
        sequence, home, start = line.sequence.copy(), line.home.copy(), line.start.copy()
        makespan = late_acceptance.compiled(
            steps,
            int(rng.integers(1, 2**31 - 1)),
            int(rng.choice(LATE)),
            bool(rng.integers(2)),
            bound,
            chart.jobs,
            chart.tensors,
            chart.held,
            chart.first,
            chart.able,
            sequence,
            home,
            start,
        )
        clock.spend(steps * _rate(chart))
        turn += 1
        idle += 1
        if makespan < line.makespan:
            field[which] = Line(makespan=int(makespan), start=start, sequence=sequence, home=home)
            field.sort(key=lambda line: line.makespan)
        if field[0].makespan < best:
            idle = 0
            incumbent.offer(chart.schedule(field[0]), "sequences")
        if turn >= HEATS * COMPETING:
            del field[1:]


def _starts(chart: Chart, clock: Clock) -> list[Line]:
    """The two best schedules of each placement."""
    field: list[Line] = []
    for home in homes(chart):
        if clock.expired():
            break
        made = list(lines(chart, home))
        field += sorted(made, key=lambda line: line.makespan)[:2]
        clock.spend(len(made) * _rate(chart))
    return field


def _rate(chart: Chart) -> float:
    """Work of placing all copies once."""
    return chart.work * (LIMITED_WORK if chart.limited else WORK)
