"""``spikepipe-sched datasets``."""

from __future__ import annotations

from spikepipe_sched.cli.options import JsonFlag


def datasets(*, json: JsonFlag = False) -> int:
    """List the data sets that validate trains on.

    With the shape of a sample at one time step, the steps it has unless the network asks for others,
    its classes, and what ``--data-path`` must name where the files do not come with a package.

    Parameters
    ----------
    json
        Print all that is known of them as JSON.
    """
    from spikepipe_sched.cli.output import table, to_json
    from spikepipe_sched.export.table import labelled
    from spikepipe_sched.validate.data.registry import CODINGS, ENTRIES

    if json:
        listed = [
            {
                "name": name,
                "summary": entry.summary,
                "source": entry.source,
                "shape": entry.shape,
                "time_steps": entry.time_steps,
                "classes": entry.classes,
                "codings": CODINGS[entry.kind],
                "data_path": entry.file or None,
            }
            for name, entry in ENTRIES.items()
        ]
        print(to_json(listed))
        return 0
    rows = [[name, " x ".join(map(str, entry.shape)), str(entry.time_steps), str(entry.classes), entry.summary] for name, entry in ENTRIES.items()]
    lines = table(["name", "shape", "steps", "classes", "summary"], rows, right=[2, 3]).splitlines()
    print(lines[0])
    for line, entry in zip(lines[1:], ENTRIES.values(), strict=True):
        print("\n".join([line, *labelled([("--data-path", entry.file)], indent=4, width=110)]))
    return 0
