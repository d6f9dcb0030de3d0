"""``spikepipe-sched solvers``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from spikepipe_sched.cli.options import JsonFlag

#: Solvers of other distributions say where they come from.
OWN: Final = "spikepipe-sched"


def solvers(*, json: JsonFlag = False) -> int:
    """List the installed solvers.

    With their presets (``name:preset``), what each optimises and ignores, and where it is published.

    Parameters
    ----------
    json
        Print all that is known of them as JSON.
    """
    from spikepipe_sched.catalogue import list_solvers
    from spikepipe_sched.cli.output import table, to_json
    from spikepipe_sched.export.table import labelled

    entries = list_solvers()
    if json:
        print(to_json([asdict(entry) for entry in entries]))
        return 0
    lines = table(["name", "mode", "summary"], [[entry.name, " ".join(entry.modes), entry.summary] for entry in entries]).splitlines()
    print(lines[0])
    for line, entry in zip(lines[1:], entries, strict=True):
        said = [("optimises", entry.optimises), ("ignores", entry.ignores), ("proves", "optima, where it can" if entry.exact else ""), ("source", entry.source)]
        said += [("from", entry.distribution)] if entry.distribution != OWN else []
        print("\n".join([line, *labelled(said, indent=4, width=110)]))
    return 0
