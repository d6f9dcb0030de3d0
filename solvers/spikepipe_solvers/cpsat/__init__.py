"""Exact search by CP-SAT: finite makespan, and periodic schedules level by level, with proven bounds.

Warm-started by the heuristics. The periodic model works at a fixed period: start = stage * period +
phase, two optional intervals per copy and processor (at the phase and one period later) in one
no-overlap, integer delays (after Bonfietti et al., doi:10.1016/j.artint.2013.09.006, with the period
fixed instead of variable), which with several copies of each task also choose which one is read.
"""

from __future__ import annotations

from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec


def supports(problem: Problem) -> str | None:  # noqa: ARG001  (it can take any problem)
    """Everything."""
    return None


class CpSat:
    """Solver ``cpsat``."""

    spec = SolverSpec(
        name="cpsat",
        summary="OR-Tools CP-SAT: proven bounds, level by level, warm-started by the heuristics",
        source="doi:10.1016/j.artint.2013.09.006",
        exact=True,
        modes=("periodic", "finite"),
        supports=supports,
        optimises="the problem's objectives in their order, under all limits",
        ignores="link contention (transfers are given their turns afterwards), and memory where a model with it would be too large",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """Levels in lexicographic order within the budget."""
        from spikepipe_solvers.clock import Clock
        from spikepipe_solvers.cpsat.lexicographic import Search
        from spikepipe_solvers.cpsat.warm_start import warm_start

        search = Search(problem, Clock(budget), seed, observer, "cpsat")
        warm_start(search, hint, modulo=False)
        return search.run(local_search=0.0)


SOLVER = CpSat()
