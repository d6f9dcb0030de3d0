"""Schedules that cost little: what every search starts from."""

from __future__ import annotations

from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.lists import list_schedules
from spikepipe_solvers.lists.improve import cheap_presets
from spikepipe_solvers.sequential import sequential_schedules
from spikepipe_solvers.stages import stage_schedule


def heuristic_schedules(problem: Problem) -> list[tuple[str, Schedule]]:
    """(solver, schedule) of the one-processor, the contiguous-stage and, finite, the list schedules that the size allows."""
    found = [("sequential", schedule) for schedule in sequential_schedules(problem)]
    if problem.unroll == 1 and (cut := contiguous_cut(problem)) is not None:
        found.append(("stages", stage_schedule(problem, cut)))
    if problem.mode == "finite":
        found += list_schedules(problem, cheap_presets(problem.instance.size))
    return found
