"""Where the exact search starts: a hint and what the heuristics find."""

from __future__ import annotations

from spikepipe_sched.schedule import Schedule
from spikepipe_solvers.cpsat.lexicographic import EACH_COPY_S, LOCAL_SHARE, Search
from spikepipe_solvers.modulo import modulo_schedules
from spikepipe_solvers.portfolio import heuristic_schedules, repeated, single

#: Share of the time after which no further constructive heuristic is begun, once one has found something.
HEURISTICS_SHARE = 0.4
#: Share of the time that the heuristic ``modulo`` may take before the exact search.
MODULO_SHARE = 0.2
#: Share of the time for a schedule of one iteration per period, which repeated is one of several.
SINGLE_SHARE = 0.4


def warm_start(search: Search, hint: Schedule | None, *, modulo: bool) -> None:
    """Offer a hint and the heuristics' schedules; those of ``modulo`` if asked for, under memory limits, or if no other is feasible."""
    problem = search.problem
    limited = any(p.memory_bytes is not None for p in problem.processors)
    if hint is not None:
        search.offer(hint, "hint")
    clock = search.clock.part(HEURISTICS_SHARE)
    for name, schedule in heuristic_schedules(problem, search.clock.left_s):
        search.offer(schedule, name)
        if clock.expired() and search.schedule is not None:
            break
    if problem.unroll > 1:
        one = Search(single(problem), search.clock.part(SINGLE_SHARE), search.seed, None, search.name)
        warm_start(one, None, modulo=modulo)
        one.run(LOCAL_SHARE if modulo else 0.0)
        search.interrupted |= one.interrupted
        if one.schedule is not None:
            search.offer(repeated(one.schedule, problem.unroll), one.winner)
    if problem.mode == "periodic" and (modulo or limited or search.schedule is None):
        for schedule in modulo_schedules(problem, search.clock.part(MODULO_SHARE, most_s=EACH_COPY_S * problem.instance.size), search.seed, search.observer):
            search.offer(schedule, "modulo")
