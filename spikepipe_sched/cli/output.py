"""Text on stdout: tables, JSON, and files checked before the work begins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.export.table import table

if TYPE_CHECKING:
    from spikepipe_sched.result import Result
    from spikepipe_sched.staleness import Staleness
    from spikepipe_sched.validation import Validation

__all__ = ["deliver", "require_writable", "table", "to_json", "warn_if_wrong"]


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


def deliver(found: Validation | Staleness, text: str, output: Path | None, html: Path | None, *, json: bool) -> None:
    """Write the files first of all, as whoever reads the text may close the pipe; then print ``text`` or JSON, and what was written."""
    if output is not None:
        found.to_json(output)
    if html is not None:
        found.to_html(html)
    print(found.to_json() if json else text)
    for path in (output, html):
        if path is not None:
            print(f"written to {path}", file=sys.stderr if json else sys.stdout)


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
