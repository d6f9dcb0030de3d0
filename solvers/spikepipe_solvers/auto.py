"""The portfolio: heuristics first, then local search, then exact search with what time is left.

Every part offers its schedules to one incumbent, so the result is never worse than any of them;
where the incumbent meets its bounds nothing further is started.
"""

from __future__ import annotations

from spikepipe_sched.problem import Problem
from spikepipe_sched.result import Result
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import Budget, Observer, SolverSpec


class Auto:
    """Solver ``auto``."""

    spec = SolverSpec(
        name="auto",
        summary="portfolio: heuristics, local search, then CP-SAT; the best checked result within the limit",
        source="",
        exact=True,
        modes=("periodic", "finite"),
        supports=lambda _: None,
        optimises="the problem's objectives in their order, under all limits",
        ignores="while it searches link contention: transfers are given their turns afterwards",
    )

    def solve(self, problem: Problem, *, budget: Budget, seed: int, hint: Schedule | None = None, observer: Observer | None = None) -> Result:
        """The best of all parts."""
        from spikepipe_solvers.clock import Clock
        from spikepipe_solvers.cpsat.lexicographic import LOCAL_SHARE, Search
        from spikepipe_solvers.cpsat.warm_start import warm_start

        search = Search(problem, Clock(budget), seed, observer, "auto")
        warm_start(search, hint, modulo=True)
        return search.run(LOCAL_SHARE)


SOLVER = Auto()
