"""``spikepipe-sched schema``."""

from __future__ import annotations

from typing import Literal

from spikepipe_sched.cli.options import JsonFlag


def schema(kind: Literal["result", "network", "platform"] = "result", /, *, json: JsonFlag = True) -> int:
    """Print the JSON Schema of schedule, network or platform files.

    Parameters
    ----------
    kind
        Schedule files (result), or the TOML files of networks or platforms.
    json
        The schema is JSON in any case; accepted so that the option works everywhere.
    """
    from spikepipe_sched.cli.output import to_json

    del json
    if kind == "result":
        from spikepipe_sched.schema import json_schema

        print(to_json(json_schema()))
    else:
        from spikepipe_sched.importers.toml import file_schema

        print(to_json(file_schema(kind)))
    return 0
