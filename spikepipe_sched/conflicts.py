"""Limits that a proven bound already excludes: no solver need be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikepipe_sched.bounds import Bound, area_bound, least_delays, length_bound, makespan_bound, memory_bound, period_bound, sharing_bound, traffic_bound
from spikepipe_sched.result import Infeasibility, gap

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem


def conflict(problem: Problem) -> Infeasibility | None:
    """The first limit that no schedule can respect, with the bound that proves it; None if there is none.

    Delays against their bounds at the longest period allowed, period and makespan against their
    bounds, the span against that of an iteration, the traffic against that of so short a schedule,
    and the memory against the weights and optimizer states that are somewhere all the time.
    """
    limits = problem.limits
    checks: list[tuple[str, int | None, Bound, tuple[str, ...]]] = []
    if problem.mode == "periodic" and limits.period_cycles is not None:
        # A period that is too short for the work is no fault of the delays.
        if max(area_bound(problem), sharing_bound(problem)) <= limits.period_cycles and (found := _delay_conflict(problem, limits.period_cycles)):
            return found
        checks.append(("period_cycles", limits.period_cycles, period_bound(problem), ()))
    if problem.mode == "finite" and limits.makespan_cycles is not None:
        checks.append(("makespan_cycles", limits.makespan_cycles, makespan_bound(problem), ()))
    if limits.span_cycles is not None:
        checks.append(("span_cycles", limits.span_cycles, length_bound(problem), ()))
    name, length = ("period_cycles", limits.period_cycles) if problem.mode == "periodic" else ("makespan_cycles", limits.makespan_cycles)
    if limits.traffic_bytes is not None and length is not None:
        checks.append(("traffic_bytes", limits.traffic_bytes, traffic_bound(problem, length), (name,)))
    memories = [p.memory_bytes for p in problem.processors if p.memory_bytes is not None]
    if len(memories) == len(problem.processors):  # the fullest processor has at most the largest memory
        checks.append(("memory_bytes", max(memories), memory_bound(problem), ()))
    for name, limit, bound, others in checks:
        if limit is not None and bound.value > limit:
            return Infeasibility(
                demanded=" with ".join(f"{one} of at most {most}" for one, most in ((name, limit), *((other, length) for other in others))),
                bound=f"no schedule has less than {bound.value} ({bound.source})",
                gap=gap(bound.value, limit),
                loosen=(name, *others),
            )
    return None


def _delay_conflict(problem: Problem, period: int) -> Infeasibility | None:
    """The layer whose delay is farthest above its limit at the longest period allowed."""
    least, allowed = least_delays(problem, period), problem.delay_limits
    layer = int(np.argmax(least - allowed)) if len(least) else -1
    if layer < 0 or least[layer] <= allowed[layer]:
        return None
    name, bound, limit = problem.layers[layer], int(least[layer]), int(allowed[layer])
    single = (name, limit) in problem.limits.layer_delay
    return Infeasibility(
        demanded=f"a delay of layer '{name}' of at most {limit} with period_cycles of at most {period}",
        bound=f"no schedule has less than {bound} at this period (what lies between the layer's readers and its update takes so long)",
        gap=gap(bound, limit),
        loosen=(f"delay of layer '{name}'" if single else "delay", "period_cycles"),
    )
