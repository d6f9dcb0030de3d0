"""``spikepipe-sched networks``."""

from __future__ import annotations

from dataclasses import asdict

from spikepipe_sched.cli.options import JsonFlag


def networks(*, json: JsonFlag = False) -> int:
    """List the networks of the library.

    Parameters
    ----------
    json
        Print names, summaries and sources as JSON.
    """
    from spikepipe_sched import list_networks
    from spikepipe_sched.cli.output import table, to_json

    entries = list_networks()
    print(to_json([asdict(entry) for entry in entries]) if json else table(["name", "summary"], [[entry.name, entry.summary] for entry in entries]))
    return 0
