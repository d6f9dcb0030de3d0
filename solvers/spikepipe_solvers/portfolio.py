"""Schedules that cost little: what every search starts from."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.lists import list_schedules
from spikepipe_solvers.lists.improve import cheap_presets
from spikepipe_solvers.pipelines import pipeline_schedules
from spikepipe_solvers.sequences.improve import sequence_schedules, sequenced
from spikepipe_solvers.sequential import sequential_schedules
from spikepipe_solvers.stages import stage_schedule


def heuristic_schedules(problem: Problem, left_s: float = math.inf) -> Iterator[tuple[str, Schedule]]:
    """(solver, schedule) of the one-processor, the literature's pipelines', the sequence, the list (finite) and the contiguous-stage schedules that the size allows.

    Made one at a time, the quickest for what they are worth first: on large problems whoever asks may not have the time for all. ``left_s``: seconds that he has.
    """
    yield from (("sequential", schedule) for schedule in sequential_schedules(problem))
    if sequenced(problem):
        began = time.perf_counter()
        yield from pipeline_schedules(problem)
        yield from (("sequences", schedule) for schedule in sequence_schedules(problem, left_s - (time.perf_counter() - began)))
    rules = cheap_presets(problem.instance.size) if problem.mode == "finite" else []
    yield from list_schedules(problem, [rule for rule in rules if rule.large])
    if problem.unroll == 1 and (cut := contiguous_cut(problem)) is not None:
        schedule = stage_schedule(problem, cut)
        if (schedule.start >= 0).all():  # else its stages wait for each other in turn
            yield "stages", schedule
    yield from list_schedules(problem, [rule for rule in rules if not rule.large])


def single(problem: Problem) -> Problem:
    """The same problem with one iteration per period; limits per period are shared out."""
    limits, k = problem.limits, problem.unroll
    period = None if limits.period_cycles is None else max(1, limits.period_cycles // k)
    traffic = None if limits.traffic_bytes is None else limits.traffic_bytes // k
    return replace(problem, unroll=1, limits=replace(limits, period_cycles=period, traffic_bytes=traffic, span_cycles=None))


def repeated(schedule: Schedule, k: int) -> Schedule:
    """K iterations of a schedule as one period of k times its length: processors, delays and bytes per iteration stay."""
    assert schedule.period is not None
    later = np.tile(np.arange(k) * schedule.period, len(schedule.start))
    return Schedule(processor=np.repeat(schedule.processor, k), start=np.repeat(schedule.start, k) + later, period=k * schedule.period)
