"""``spikepipe-sched schema``."""

from __future__ import annotations

from typing import Literal

from spikepipe_sched.cli.options import JsonFlag


def schema(kind: Literal["result", "validation", "staleness", "network", "platform", "sweep"] = "result", /, *, json: JsonFlag = True) -> int:
    """Print the JSON Schema of schedule, validation, network, platform or sweep files.

    Parameters
    ----------
    kind
        Schedule files (result), what validate writes (validation; with --sweep-delays: staleness), or the TOML files of networks, platforms or sweeps.
    json
        The schema is JSON in any case; accepted so that the option works everywhere.
    """
    from spikepipe_sched.cli.output import to_json

    del json
    if kind == "result":
        from spikepipe_sched.schema import json_schema

        print(to_json(json_schema()))
    elif kind == "validation":
        from spikepipe_sched.validation_document import validation_schema

        print(to_json(validation_schema()))
    elif kind == "staleness":
        from spikepipe_sched.staleness_document import staleness_schema

        print(to_json(staleness_schema()))
    elif kind == "sweep":
        from spikepipe_sched.study.sweep_file import sweep_schema

        print(to_json(sweep_schema()))
    else:
        from spikepipe_sched.importers.toml import file_schema

        print(to_json(file_schema(kind)))
    return 0
