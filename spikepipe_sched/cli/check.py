"""``spikepipe-sched check``."""

from __future__ import annotations

from pathlib import Path

from spikepipe_sched.cli.options import JsonFlag


def check(file: Path, /, *, json: JsonFlag = False) -> int:
    """Verify a schedule file against the problem it embeds, without any solver.

    Everything is recomputed: each constraint, each figure and each bound that follows from the
    problem. Exit code 1 if anything is wrong; each violation is listed.

    Parameters
    ----------
    file
        Schedule file written by solve, or by anybody else.
    json
        Print the verdict as JSON.
    """
    from spikepipe_sched.recheck import recheck
    from spikepipe_sched.schema import load_result

    result = load_result(file)
    found = recheck(result)
    if json:
        from spikepipe_sched.cli.output import to_json

        print(to_json({"valid": not found, "violations": [{"kind": v.kind, "message": v.message, "tasks": list(v.tasks)} for v in found]}))
    elif found:
        print("\n".join(str(violation) for violation in found))
        print(f"{file}: {len(found)} violation{'s' if len(found) > 1 else ''}")
    elif result.schedule is None:
        print(f"{file}: no schedule in it ({result.status}); nothing to violate")
    else:
        figures = ", ".join(f"{level.name} {level.value:,}" for level in result.objectives)
        print(f"{file}: valid; {len(result.schedule.start)} tasks on {len(result.problem.processors)} processors, {figures}")
    return 1 if found else 0
