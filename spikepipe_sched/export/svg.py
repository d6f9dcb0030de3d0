"""A still Gantt chart as one SVG without scripts: inside a notebook's cell, or a picture file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import LOOKS, Bar, clipped, drawable, kinds_present, length_cycles, plain, processor_labels, text_colour, window

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: With more pieces than this a drawing is too heavy for a notebook's cell.
MAX_PIECES: Final = 4000
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 900, 112, 64, 30, 34, 26  # pixels
_LETTER: Final = 6.6  # pixels, about, of a letter of 12 pixels
#: A picture brings its own ground: what shows it may be light or dark, whatever the reader prefers.
_STYLE: Final = (
    "svg{color:#1f2328;background:#fff;font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{color:#e6edf3;background:#0d1117}}"
)


def svg_gantt(result: Result, axis: int | None = None) -> str | None:
    """One steady-state period (or the whole finite run); None if there are more than `MAX_PIECES` bars.

    Its ink is the text's around it.

    Parameters
    ----------
    axis
        Cycles to draw in its place, of steady state or of the finite run.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    pieces, length = _pieces(result, axis)
    if len(pieces) > MAX_PIECES:
        return None
    problem = result.problem
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_height(problem)}" width="100%" role="img"'
    style = f' style="max-width:{_WIDTH}px;font:12px sans-serif" fill="currentColor">'
    return start + style + "".join(_drawing(problem, pieces, length, shares=axis is None)) + "</svg>"


def svg_picture(result: Result, axis: int | None = None, *, title: str = "") -> str:
    """The same as a file of its own: light or dark as the reader prefers, with its own ground, also where a page shows it as an image.

    Parameters
    ----------
    axis
        Cycles to draw in the place of one period (or of the whole finite run).
    title
        Stands above the chart, and is what a screen reader says; "": none is drawn, and the problem's name is said.

    Raises
    ------
    InputError
        If the result has no schedule, or there are more than `MAX_PIECES` bars.
    """
    pieces, length = _pieces(result, axis)
    too_many = f"a picture of {len(pieces):,} bars is too heavy (at most {MAX_PIECES:,}): draw fewer cycles, or export the result as html"
    require(len(pieces) <= MAX_PIECES, too_many)
    problem, above = result.problem, 30 if title else 0
    height, said = _height(problem) + above + 16, escape(plain(title or problem.name))
    heading = f'<text x="0" y="18" font-size="15" font-weight="600">{said}</text>' if title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {_WIDTH + 16} {height}" width="{_WIDTH + 16}" height="{height}" role="img" fill="currentColor">'
        f'<title>{said}</title><style>{_STYLE}</style>{heading}<g transform="translate(0 {above})">'
        f"{''.join(_drawing(problem, pieces, length, shares=axis is None))}</g></svg>"
    )


def ticks(length: int, most: int = 8) -> range:
    """Round places on an axis from 0 to ``length``: 1, 2 or 5 times a power of ten apart, at most ``most`` of them and the one at 0."""
    step = 1
    while length // step > most:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return range(0, length + 1, step)


def _pieces(result: Result, axis: int | None) -> tuple[list[Bar], int]:
    """What is to be drawn, and on how many cycles."""
    drawable(result)
    length = length_cycles(result) if axis is None else axis
    return clipped(window(result, length), length), length


def _height(problem: Problem) -> int:
    return _TOP + _ROW * len(problem.processors) + _BOTTOM


def _drawing(problem: Problem, pieces: Sequence[Bar], length: int, *, shares: bool) -> Iterator[str]:
    """The parts of a chart: legend, axis, rows and bars; with ``shares`` how busy each processor is."""
    scale = (_WIDTH - _LEFT - _RIGHT) / length
    x, low = float(_LEFT), _TOP + _ROW * len(problem.processors)
    for kind in kinds_present(problem):
        look = LOOKS[kind]
        yield f'<rect x="{x:.0f}" y="6" width="12" height="12" rx="2" fill="{look.colour}"/><text x="{x + 17:.0f}" y="16">{look.label}</text>'
        x += 34 + _LETTER * len(look.label)
    for tick in ticks(length):
        at = _LEFT + tick * scale
        yield f'<path d="M{at:.1f} {_TOP}V{low + 4}" stroke="currentColor" stroke-opacity="0.18"/>'
        yield f'<text x="{at:.1f}" y="{low + 18}" text-anchor="middle" font-size="11" opacity="0.8">{tick:,}</text>'
    yield f'<text x="{_WIDTH}" y="{low + 18}" text-anchor="end" font-size="11" opacity="0.8">cycles</text>'
    for p, label in enumerate(processor_labels(problem)):
        y = _TOP + p * _ROW
        name = plain(label) if len(label) <= 14 else f"{plain(label[:13])}…"
        yield f'<text x="{_LEFT - 10}" y="{y + 20}" text-anchor="end">{escape(name)}</text>'
        yield f'<path d="M{_LEFT} {y + _ROW}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.18"/>'
        if shares:
            busy = sum(bar.end - bar.start for bar in pieces if bar.processor == p)
            yield f'<text x="{_WIDTH}" y="{y + 20}" text-anchor="end" font-size="11" opacity="0.8">{100 * busy / length:.1f} %</text>'
    for bar in pieces:
        yield from _bar(problem, bar, scale)


def _bar(problem: Problem, bar: Bar, scale: float) -> Iterator[str]:
    """A run, named where there is room: by its micro-batch in a finite run, by its layer else."""
    left, width, y = _LEFT + bar.start * scale, (bar.end - bar.start) * scale, _TOP + bar.processor * _ROW
    layer = int(problem.tasks.layer[bar.task])
    name = plain(problem.layers[layer]) if layer >= 0 else ""
    if problem.micro_batches > 1:
        name = "" if bar.kind == "U" else str(bar.iteration)  # an update is of no micro-batch
    about = f"<title>{escape(f'{plain(problem.tasks.names[bar.task])}: {bar.start:,} to {bar.end:,} cycles')}</title>"
    look = f'fill="{LOOKS[bar.kind].colour}" stroke="currentColor" stroke-opacity="0.35" stroke-width="0.5"'
    yield f'<rect x="{left:.2f}" y="{y + 4}" width="{width:.2f}" height="{_ROW - 8}" rx="1.5" {look}>{about}</rect>'
    if name and width > _LETTER * len(name) + 6:
        middle = f'x="{left + width / 2:.1f}" y="{y + 19}" text-anchor="middle"'
        yield f'<text {middle} font-size="11" fill="{text_colour(LOOKS[bar.kind].colour)}" pointer-events="none">{escape(name)}</text>'
