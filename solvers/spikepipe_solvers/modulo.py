"""Modulo scheduling: balance the load, then list-schedule modulo the period with small delays.

Without limits that couple iterations the least period is a matter of load balancing alone; at that
period tasks are list-scheduled modulo the period (as in Rau's modulo scheduling,
doi:10.1145/192724.192731, with non-preemptive tasks of any length), stages are retimed for the least
total delay, and local search improves assignment and order. Where limits forbid the balanced
period, larger ones are tried until one is feasible.
"""

from __future__ import annotations

import time

from spikepipe_sched.bounds import period_bound
from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, Progress, SolverSpec
from spikepipe_solvers.balance import balance, loads
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.finish import best_feasible, finish, objective_key
from spikepipe_solvers.search import DelaySearch
from spikepipe_solvers.sequential import sequential_schedules

#: Local search steps; a step decodes and retimes one candidate (milliseconds).
ITERATIONS = 300
#: Steps that decide whether anything is feasible at a period.
PROBES = 12


def supports(problem: Problem) -> str | None:
    """Periodic problems with one copy of each task."""
    if problem.mode != "periodic":
        return "it schedules periodic problems; use --mode periodic, or the solver 'list'"
    return "it schedules one iteration per period; use unroll=1" if problem.unroll > 1 else None


def modulo_schedules(problem: Problem, clock: Clock, seed: int, observer: Observer | None = None, iterations: int = ITERATIONS) -> list[Schedule]:
    """Candidates, best last: the one-processor schedule, then the search's best at the least period it can reach."""
    found: list[Schedule] = list(sequential_schedules(problem))
    fallback, _ = best_feasible(problem, found)
    assignment = balance(problem.instance.duration)
    lower = max(int(loads(problem.instance.duration, assignment).max()), period_bound(problem).value)
    ceiling = problem.limits.period_cycles
    if problem.objective[0] != "period" and ceiling is not None:
        lower = max(lower, ceiling)  # a longer period never lengthens a delay
    highest = max([lower, *(s.period or 0 for s in found)])
    period, began = lower, time.perf_counter()

    def announce(schedule: Schedule) -> None:
        if observer is not None:
            value = objective_key(problem, schedule)[0]
            observer(Progress(solver="modulo", objective=problem.objective[0], incumbent=value, elapsed_s=time.perf_counter() - began, schedule=schedule))

    if fallback is not None:
        announce(fallback)
    while period <= highest and not (ceiling is not None and period > ceiling):
        search = DelaySearch(problem, period, seed, announce)
        balanced = search.fitting([assignment.tolist()])
        for steps in (PROBES, iterations):  # a few steps, then all of them where those found anything feasible
            search.follow_data(clock, steps)
            for start in balanced:
                search.run(start, clock, steps)
            if search.best is None:
                break
        if search.best is not None:
            found.append(search.best[1])
            break
        if clock.expired():
            break
        period += max(1, period // 25)
    return found


class Modulo:
    """Solver ``modulo``."""

    spec = SolverSpec(
        name="modulo",
        summary="balance the load, then modulo list scheduling, retiming and local search for small delays",
        source="doi:10.1145/192724.192731",
        exact=False,
        modes=("periodic",),
        supports=supports,
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """The best candidate; a hint competes with them."""
        candidates = modulo_schedules(problem, Clock(budget), seed, observer)
        return finish(problem, candidates if hint is None else [*candidates, hint], "modulo")


SOLVER = Modulo()
