"""Aligned columns of text, and labelled paragraphs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Aligned columns under headers; the columns in ``right`` are right-aligned."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    cells = ([cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in cells)


def labelled(paragraphs: Iterable[tuple[str, str]], *, indent: int, width: int) -> list[str]:
    """Lines of at most ``width`` columns: ``label  text``, texts under each other; empty ones are left out."""
    some = [(label, text) for label, text in paragraphs if text]
    margin = indent + max((len(label) for label, _ in some), default=0) + 2
    lines: list[str] = []
    for label, text in some:
        first = f"{'':<{indent}}{label:<{margin - indent}}"
        lines += textwrap.wrap(
            text, max(width, margin + 20), initial_indent=first, subsequent_indent=" " * margin, break_long_words=False, break_on_hyphens=False
        )
    return lines
