"""Limits that a proven bound already excludes: no solver need be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikepipe_sched.bounds import critical_path, makespan_bound, memory_bound, period_bound
from spikepipe_sched.result import Infeasibility, gap

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem


def conflict(problem: Problem) -> Infeasibility | None:
    """The first limit that no schedule can respect, with the bound that proves it; None if there is none.

    Period and makespan against their bounds, the span against the critical path, and the memory
    against the weights and optimizer states that are somewhere all the time.
    """
    limits = problem.limits
    checks: list[tuple[str, int | None, int, str]] = []
    if problem.mode == "periodic" and limits.period_cycles is not None:
        known = period_bound(problem)
        checks.append(("period_cycles", limits.period_cycles, known.value, known.source))
    if problem.mode == "finite" and limits.makespan_cycles is not None:
        known = makespan_bound(problem)
        checks.append(("makespan_cycles", limits.makespan_cycles, known.value, known.source))
    if limits.span_cycles is not None:
        checks.append(("span_cycles", limits.span_cycles, critical_path(problem), "critical path"))
    memories = [p.memory_bytes for p in problem.processors if p.memory_bytes is not None]
    if len(memories) == len(problem.processors):
        known = memory_bound(problem)  # of the fullest processor, which has at most the largest memory
        checks.append(("memory_bytes", max(memories), known.value, known.source))
    for name, limit, bound, source in checks:
        if limit is not None and bound > limit:
            return Infeasibility(
                demanded=f"{name} of at most {limit}",
                bound=f"no schedule has less than {bound} ({source})",
                gap=gap(bound, limit),
                loosen=(name,),
            )
    return None
