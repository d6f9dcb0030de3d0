"""One solve as the commands ask for it: effort, slack, live progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikepipe_sched.cli.options import Effort, Job, parse_share

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result


def run(problem: Problem, solver: str, job: Job, effort: Effort, prefix: str = "") -> Result:
    """The result of a solver, with live progress; under ``--slack`` of its second search."""
    from spikepipe_sched import solve
    from spikepipe_sched.cli.progress import live_progress
    from spikepipe_sched.result import conclude
    from spikepipe_sched.slack import within_slack

    slack = None if job.slack is None else parse_share(job.slack, "--slack")
    spend: dict[str, Any] = {
        "time_limit_s": effort.time_limit,
        "deterministic_limit": effort.deterministic_limit,
        "workers": effort.workers,
        "seed": effort.seed,
    }
    hint = None
    with live_progress(prefix) as observer:
        if slack is not None:
            problem, least = within_slack(problem, slack, solver, observer=observer, **spend)
            if least.provenance.interrupted:  # what there is keeps the new limit: its period is the least
                return least if least.schedule is None else conclude(problem, least.schedule, provenance=least.provenance)
            hint = least.schedule
        return solve(problem, solver, hint=hint, observer=observer, **spend)
