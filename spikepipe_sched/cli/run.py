"""One solve as the commands ask for it: effort, slack, live progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikepipe_sched.cli.options import Effort, Job, parse_share

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.solver import Solver


def run(problem: Problem, solver: str | Solver, job: Job, effort: Effort, prefix: str = "") -> Result:
    """The result of a solver, with live progress; under ``--slack`` of its second search, both within the limits of one."""
    from spikepipe_sched import solve
    from spikepipe_sched.cli.progress import live_progress
    from spikepipe_sched.result import conclude, with_provenance
    from spikepipe_sched.slack import SHARE, within_slack

    slack = None if job.slack is None else parse_share(job.slack, "--slack")
    spend: dict[str, Any] = {
        "time_limit_s": effort.time_limit,
        "deterministic_limit": effort.deterministic_limit,
        "workers": effort.workers,
        "seed": effort.seed,
    }
    with live_progress(prefix) as observer:
        if slack is None:
            return solve(problem, solver, observer=observer, **spend)
        problem, least = within_slack(problem, slack, solver, observer=observer, **spend)
        if least.provenance.interrupted:  # what there is keeps the new limit: its period is the least
            return least if least.schedule is None else conclude(problem, least.schedule, provenance=least.provenance)
        limits = ("time_limit_s",) if effort.deterministic_limit is None else ("time_limit_s", "deterministic_limit")
        rest = spend | {name: (1 - SHARE) * spend[name] for name in limits}
        result = solve(problem, solver, hint=least.schedule, observer=observer, **rest)
        asked = {name: spend[name] for name in limits[-1:]}
        return with_provenance(result, runtime_s=round(least.provenance.runtime_s + result.provenance.runtime_s, 3), **asked)
