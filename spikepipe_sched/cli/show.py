"""``spikepipe-sched show``."""

from __future__ import annotations

import shutil
from pathlib import Path

from spikepipe_sched.cli.options import JsonFlag
from spikepipe_sched.cli.output import warn_if_wrong
from spikepipe_sched.errors import require


def show(file: Path, /, *, width: int | None = None, json: JsonFlag = False) -> int:
    """Draw a schedule file in the terminal.

    Parameters
    ----------
    file
        Schedule file written by solve.
    width
        Columns; as wide as the terminal if not given.
    json
        Print the file's content as normalised JSON instead.
    """
    from spikepipe_sched.schema import load_result

    require(width is None or width >= 20, f"--width must be at least 20 columns, got {width}")
    result = load_result(file)
    warn_if_wrong(file, result)
    if json:
        print(result.to_json())
        return 0
    from spikepipe_sched.export.summary import summary_lines
    from spikepipe_sched.export.text import text_gantt

    print("\n".join(summary_lines(result)))
    if result.schedule is not None:
        print()
        print(text_gantt(result, width or shutil.get_terminal_size((100, 24)).columns))
    return 0
