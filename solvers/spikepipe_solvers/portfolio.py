"""Schedules that cost milliseconds: what every search starts from."""

from __future__ import annotations

from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.lists import list_schedule, upward_rank
from spikepipe_solvers.sequential import sequential_schedules
from spikepipe_solvers.stages import stage_schedule


def heuristic_schedules(problem: Problem) -> list[tuple[str, Schedule]]:
    """(solver, schedule) of the one-processor, the contiguous-stage and, finite, the list schedule."""
    found = [("sequential", schedule) for schedule in sequential_schedules(problem)]
    if problem.unroll == 1 and (cut := contiguous_cut(problem)) is not None:
        found.append(("stages", stage_schedule(problem, cut)))
    if problem.mode == "finite":
        found.append(("list", list_schedule(problem, upward_rank(problem))))
    return found
