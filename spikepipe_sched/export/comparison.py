"""Solvers side by side: as text, as a cell for notebooks, and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import drawn_cycles, length_cycles, plain
from spikepipe_sched.export.html import embedded, html_table, page
from spikepipe_sched.export.panels import panels
from spikepipe_sched.export.summary import percent
from spikepipe_sched.export.svg import MAX_PIECES, svg_gantt
from spikepipe_sched.export.table import labelled, table
from spikepipe_sched.export.text import cells_in, chart_lines, legend_line

if TYPE_CHECKING:
    from spikepipe_sched.comparison import Comparison, Row
    from spikepipe_sched.result import Result

#: A text shows shares of the time, so that it may be made of many more bars than a browser can draw.
MAX_TEXT_BARS: Final = 500_000
#: What a solver says about itself.
LABELS: Final = ("optimises", "ignores", "proves", "source")
#: Objectives as the table calls them, where that is not their name.
TITLES: Final = {"delay": "sum of delays", "memory": "peak memory"}


def comparison_text(comparisons: Sequence[Comparison], *, charts: bool = True, width: int = 100) -> str:
    """The table, what the figures mean and what the solvers look at; with ``charts`` of at most ``width`` columns."""
    headers, rows, numbers = _figures(comparisons)
    blocks = ["\n".join([table(headers, rows, right=numbers), *map(plain, _notes(comparisons))]), "\n".join(_about(comparisons, width))]
    if charts:
        blocks += [_chart_text(comparison, width) for comparison in comparisons if _drawable(comparison)]
    return "\n\n".join(block for block in blocks if block)


def comparison_cell(comparison: Comparison) -> str:
    """For notebooks: the tables and still Gantt charts on one time axis; needs neither scripts nor the network."""
    found = _drawable(comparison)
    axis = max((length_cycles(result) for _, result in found), default=1)
    if not found:
        charts = ""
    elif drawn_cycles([result for _, result in found], MAX_PIECES) < axis:
        charts = f"<pre>{escape(_chart_text(comparison, 100))}</pre>"
    else:
        charts = "".join(f"<p>{escape(_title(name, result, axis))}</p>{svg_gantt(result, axis)}" for name, result in found)
    return f"<div>{_figures_html([comparison])}{_solvers_html([comparison])}{charts}</div>"


def comparison_page(comparisons: Sequence[Comparison]) -> str:
    """A self-contained page: the tables, and interactive Gantt charts under each other, with plotly's script inside."""
    sections = [("Figures", _figures_html(comparisons)), ("Solvers", _solvers_html(comparisons))]
    script = True
    for comparison in comparisons:
        if _drawable(comparison):
            sections.append((f"Schedules on {_processors(comparison)}", embedded(panels(comparison), f"gantt{len(sections)}", script=script)))
            script = False
    return page(comparisons[0].problem.name if comparisons else "comparison", sections)


def _figures_html(comparisons: Sequence[Comparison]) -> str:
    headers, rows, numbers = _figures(comparisons)
    return html_table(headers, rows, numbers) + "".join(f"<p>{escape(plain(note))}</p>" for note in _notes(comparisons))


def _solvers_html(comparisons: Sequence[Comparison]) -> str:
    return html_table(("solver", *LABELS), [(name, *_texts(row)) for name, row in _solvers(comparisons).items()], ())


def _figures(comparisons: Sequence[Comparison]) -> tuple[list[str], list[list[str]], list[int]]:
    """Headers, rows, and which columns are numbers."""
    finite = any(comparison.problem.mode == "finite" for comparison in comparisons)
    delayed = not finite and any((comparison.problem.edges.delay_layer >= 0).any() for comparison in comparisons)  # nothing is late where nothing is updated
    unroll = max((comparison.problem.unroll for comparison in comparisons), default=1)
    first = next((row.objective for comparison in comparisons for row in comparison.rows if row.objective is not None), None)
    headers = [
        "processors",
        "solver",
        "makespan" if finite else "period" if unroll == 1 else f"period of {unroll} iterations",
        "gap" if first in ("period", "makespan", None) else f"gap of {TITLES.get(first, first)}",
    ]
    headers += [TITLES["delay"]] if delayed else []
    headers += [
        "traffic bytes",
        TITLES["memory"],
        "bubble" if finite else "busy",
        f"over {comparisons[0].baseline if comparisons else 'baseline'}",
        "seconds",
        "status",
    ]

    def cells(comparison: Comparison, row: Row) -> list[str]:
        seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
        status = f"{row.status}{': ' if row.note else ''}{row.note}"
        start = [str(len(comparison.problem.processors)), row.solver]
        if row.length_cycles is None:
            return [plain(text) for text in (*start, *["-"] * (len(headers) - 4), seconds, status)]
        speedup = "-" if row.speedup is None else f"{row.speedup:.2f}x"
        delays, busy = [f"{row.total_delay:,}"] if delayed else [], row.utilisation or 0
        figures = [
            f"{row.length_cycles:,}",
            percent(row.gap),
            *delays,
            f"{row.traffic_bytes:,}",
            f"{row.memory_bytes:,}",
            f"{100 * (1 - busy if finite else busy):.1f} %",
        ]
        return [plain(text) for text in (*start, *figures, speedup, seconds, status)]

    rows = [cells(comparison, row) for comparison in comparisons for row in comparison.rows]
    return [plain(header) for header in headers], rows, [i for i in range(len(headers)) if i not in (1, len(headers) - 1)]


def _notes(comparisons: Iterable[Comparison]) -> list[str]:
    """What gaps are to, what speed-ups are over, and who is not there."""
    notes: list[str] = []
    for comparison in comparisons:
        where = f"on {_processors(comparison)}"
        bounds: dict[tuple[str, int, str], list[str]] = {}
        for row in comparison.rows:
            if row.objective is not None and row.bound is not None:
                bounds.setdefault((TITLES.get(row.objective, row.objective), row.bound, row.bound_source or ""), []).append(row.solver)
        for (title, value, source), names in bounds.items():
            under = f" under the limit on the period of {', '.join(names)}" if len(bounds) > 1 else ""  # a slack gives each solver its own
            notes.append(f"{where}{under} no {title} is below {value:,} ({source}): gaps are to this bound")
        notes += [f"{where} there are no speed-ups: {comparison.baseline}: {comparison.baseline_note}"] if comparison.baseline_note else []
        reasons: dict[str, list[str]] = {}
        for name, why in comparison.left_out:
            reasons.setdefault(why, []).append(name)
        notes += [f"{where} without {', '.join(names)}: {why}" for why, names in reasons.items()]
        notes += [f"{where} interrupted: not all solvers have run to their end"] if comparison.interrupted else []
    return notes


def _processors(comparison: Comparison) -> str:
    count = len(comparison.problem.processors)
    return f"{count} processor{'' if count == 1 else 's'}"


def _solvers(comparisons: Iterable[Comparison]) -> dict[str, Row]:
    """A row of every solver."""
    return {plain(row.solver): row for comparison in comparisons for row in comparison.rows}


def _texts(row: Row) -> tuple[str, str, str, str]:
    """What it optimises, ignores and proves, and where it is from."""
    return row.optimises or "not stated", row.ignores or "not stated", "optima, where it can" if row.exact else "nothing", row.source


def _about(comparisons: Sequence[Comparison], width: int) -> list[str]:
    """What each solver says about itself, its name in front."""
    solvers = _solvers(comparisons)
    margin = max(map(len, solvers), default=0) + 2
    lines: list[str] = []
    for name, row in solvers.items():
        first, *rest = labelled([(label, plain(text)) for label, text in zip(LABELS, _texts(row), strict=True)], indent=margin, width=width)
        lines += [name.ljust(margin) + first[margin:], *rest]
    return lines


def _drawable(comparison: Comparison) -> list[tuple[str, Result]]:
    return [(plain(row.solver), row.result) for row in comparison.rows if row.result is not None and row.result.schedule is not None]


def _title(name: str, result: Result, axis: int) -> str:
    """Name and length, and how much of it there is to see."""
    length, periodic = length_cycles(result), result.problem.mode == "periodic"
    cut = f", of which the first {axis:,} cycles are drawn" if axis < length else ""
    return f"{name}: {'period' if periodic else 'makespan'} {length:,}{cut}"


def _chart_text(comparison: Comparison, width: int) -> str:
    found, problem = _drawable(comparison), comparison.problem
    axis = drawn_cycles([result for _, result in found], MAX_TEXT_BARS)
    what = "steady state" if problem.mode == "periodic" else "the whole runs"
    lines = [f"{plain(problem.name)} on {_processors(comparison)}: {what} on one axis of {axis:,} cycles, {axis / cells_in(problem, width):,.1f} in a column"]
    for name, result in found:
        lines += [_title(name, result, axis), *chart_lines(result, width, axis)]
    return "\n".join([*lines, legend_line(problem, width, axis)])
