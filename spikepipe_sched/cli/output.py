"""Text on stdout: tables, JSON, and files checked before the work begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_sched.errors import InputError, require

if TYPE_CHECKING:
    from spikepipe_sched.result import Result


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligned columns under headers; the columns in ``right`` are right-aligned."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    cells = ([cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in cells)


def to_json(data: Any) -> str:
    """Indented JSON."""
    import json

    return json.dumps(data, indent=2, ensure_ascii=False)


def warn_if_wrong(file: Path, result: Result) -> None:
    """Say on stderr that a file that is about to be shown does not hold what it claims."""
    from spikepipe_sched.recheck import recheck

    wrong = recheck(result)
    if wrong:
        print(f"warning: {file} has {len(wrong)} violation{'s' if len(wrong) > 1 else ''}, the first: {wrong[0]}; see 'check'", file=sys.stderr)


def require_writable(path: Path | None) -> None:
    """Find out before a long run, not after it, that its result cannot be written.

    Raises
    ------
    InputError
        If ``path`` is a folder, or its folder does not exist or cannot be written to.
    """
    if path is None:
        return
    require(not path.is_dir(), f"{path}: is a folder, not a file")
    require(path.parent.is_dir(), f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"{path}: cannot be written to")
