"""``spikepipe-sched solvers``."""

from __future__ import annotations

from dataclasses import asdict

from spikepipe_sched.cli.options import JsonFlag


def solvers(*, json: JsonFlag = False) -> int:
    """List the installed solvers.

    None of them is imported: the list comes from package metadata and the modules' docstrings.

    Parameters
    ----------
    json
        Print names, summaries, modules and distributions as JSON.
    """
    from spikepipe_sched.catalogue import list_solvers
    from spikepipe_sched.cli.output import table, to_json

    entries = list_solvers()
    text = table(["name", "summary", "from"], [[entry.name, entry.summary, entry.distribution] for entry in entries])
    print(to_json([asdict(entry) for entry in entries]) if json else text)
    return 0
