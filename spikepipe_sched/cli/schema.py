"""``spikepipe-sched schema``."""

from __future__ import annotations

from spikepipe_sched.cli.options import JsonFlag


def schema(*, json: JsonFlag = True) -> int:
    """Print the JSON Schema of schedule files.

    Parameters
    ----------
    json
        The schema is JSON in any case; accepted so that the option works everywhere.
    """
    from spikepipe_sched.cli.output import to_json
    from spikepipe_sched.schema import json_schema

    del json
    print(to_json(json_schema()))
    return 0
