"""A little more than the least period, for the sake of what comes after it.

At the very least period hardly a cycle is idle, which often costs far more delay than one per cent
of throughput is worth. `within_slack` finds the least period first and makes it a limit.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.errors import require
from spikepipe_sched.solver import Solver, solve

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: Share of the time or work limit that the search for the least period may take.
SHARE: Final = 0.2


def within_slack(problem: Problem, slack: float, solver: str | Solver = "auto", **options: Any) -> tuple[Problem, Result]:
    """The problem with its period limited to ``(1 + slack)`` times the least one found, and ranked last.

    Parameters
    ----------
    problem
        Periodic, with the period as its first objective.
    slack
        Share of the least period, such as 0.01.
    solver, **options
        For the search of the least period, as in `spikepipe_sched.solve`; limits of time or work are
        cut to a fifth.

    Returns
    -------
    The new problem, and the result of the first search, whose schedule is a hint for it. Where that
    search found no schedule the problem comes back as it was.
    """
    require(problem.mode == "periodic" and problem.objective[0] == "period", "slack needs a periodic problem whose first objective is the period")
    require(0 <= slack < float("inf"), f"the slack must be a number of at least 0, got {slack}")
    if options.get("deterministic_limit") is not None:
        options["deterministic_limit"] *= SHARE
    options["time_limit_s"] = SHARE * options.get("time_limit_s", 30.0)
    least = solve(replace(problem, objective=("period",)), solver, **options)
    if least.objective is None:
        return problem, least
    limit = floor(least.objective * (1 + Fraction(str(slack))))  # 0.29 is meant as written, not as the float a little below
    limits = replace(problem.limits, period_cycles=min(limit, problem.limits.period_cycles or limit))
    return replace(problem, objective=(*problem.objective[1:], "period"), limits=limits), least
