"""A still Gantt chart for notebooks: one SVG, no script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import LOOKS, clipped, drawable, kinds_present, length_cycles, processor_labels, window

if TYPE_CHECKING:
    from spikepipe_sched.result import Result

#: With more pieces than this a drawing is too heavy for a notebook's cell.
MAX_PIECES: Final = 4000
_WIDTH, _LEFT, _ROW, _TOP = 900, 110, 26, 24


def svg_gantt(result: Result, axis: int | None = None) -> str | None:
    """One steady-state period (or the whole finite run); None if there are more than `MAX_PIECES` bars.

    Parameters
    ----------
    axis
        Cycles to draw in its place, of steady state or of the finite run.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    problem, _ = drawable(result)
    length = length_cycles(result) if axis is None else axis
    pieces = clipped(window(result, length), length)
    if len(pieces) > MAX_PIECES:
        return None
    scale = (_WIDTH - _LEFT - 10) / length
    height = _TOP + _ROW * len(problem.processors) + 20
    style = f"max-width:{_WIDTH}px;font:12px sans-serif"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" style="{style}" fill="currentColor">']
    x = _LEFT
    for kind in kinds_present(problem):
        parts.append(f'<rect x="{x}" y="4" width="12" height="12" fill="{LOOKS[kind].colour}"/><text x="{x + 16}" y="14">{LOOKS[kind].label}</text>')
        x += 40 + 7 * len(LOOKS[kind].label)
    for p, label in enumerate(processor_labels(problem)):
        y = _TOP + p * _ROW
        name = label if len(label) <= 14 else f"{label[:13]}…"
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y + _ROW - 2}" y2="{y + _ROW - 2}" stroke="currentColor" stroke-opacity="0.25"/>')
    for bar in pieces:
        left, width = _LEFT + bar.start * scale, (bar.end - bar.start) * scale
        title = f"{problem.tasks.names[bar.task]}: {bar.start:,} to {bar.end:,} cycles"
        parts.append(
            f'<rect x="{left:.2f}" y="{_TOP + bar.processor * _ROW + 2}" width="{width:.2f}" height="{_ROW - 6}"'
            f' fill="{LOOKS[bar.kind].colour}" stroke="currentColor" stroke-opacity="0.4" stroke-width="0.5"><title>{escape(title)}</title></rect>'
        )
    parts.append(f'<text x="{_LEFT}" y="{height - 5}">0</text>')
    parts.append(f'<text x="{_WIDTH - 10}" y="{height - 5}" text-anchor="end">{length:,} cycles</text></svg>')
    return "".join(parts)
