"""Proven lower bounds that need no search.

Every function states why no feasible schedule can be below what it returns. All results are exact
integers; floating point only proposes the multipliers of a bound that is then evaluated exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikepipe_sched.bounds.area import area_bound, sharing_bound
from spikepipe_sched.bounds.bound import COMBINATORIAL, Bound, best
from spikepipe_sched.bounds.delay import delay_bound, layer_lengths, layer_paths, least_delays
from spikepipe_sched.bounds.makespan import critical_path, length_bound, makespan_bound
from spikepipe_sched.bounds.period import has_positive_cycle, period_bound, recurrence_bound
from spikepipe_sched.bounds.storage import memory_bound, traffic_bound
from spikepipe_sched.problem import MAX_TIME

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem

__all__ = [
    "COMBINATORIAL",
    "Bound",
    "area_bound",
    "best",
    "critical_path",
    "delay_bound",
    "has_positive_cycle",
    "layer_lengths",
    "layer_paths",
    "least_delays",
    "length_bound",
    "makespan_bound",
    "memory_bound",
    "objective_bound",
    "period_bound",
    "recurrence_bound",
    "sharing_bound",
    "traffic_bound",
]


def objective_bound(problem: Problem, objective: str, length: int) -> Bound:
    """The best bound of this module on one objective; ``length`` is the schedule's own period or makespan.

    Where the period ranks above the delays, or the length above the traffic, their bound is for this
    length; else for all lengths allowed.
    """
    if objective == "period":
        return period_bound(problem)
    if objective == "makespan":
        return makespan_bound(problem)
    if objective == "memory":
        return memory_bound(problem)
    levels, limits = problem.objective, problem.limits
    above = levels[: levels.index(objective)] if objective in levels else ()
    longest = length if {"period", "makespan"} & set(above) else limits.period_cycles or limits.makespan_cycles or MAX_TIME
    return delay_bound(problem, longest) if objective == "delay" else traffic_bound(problem, longest)
