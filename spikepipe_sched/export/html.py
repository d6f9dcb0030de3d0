"""A result as HTML: a compact table for notebooks, and a self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import plain
from spikepipe_sched.export.summary import UNITS, percent, summary_rows
from spikepipe_sched.export.svg import svg_gantt
from spikepipe_sched.export.text import text_gantt

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.check import Metrics
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; line-height: 1.2; }
"""


def result_to_html(result: Result) -> str:
    """Summary and a still Gantt chart of one period; needs neither scripts nor the network."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(label)}</th><td style='text-align:left'>{escape(text)}</td></tr>" for label, text in summary_rows(result)
    )
    drawing = ""
    if result.schedule is not None:
        drawing = svg_gantt(result) or f"<pre>{escape(text_gantt(result))}</pre>"
    return f"<div><table>{rows}</table>{drawing}</div>"


def html_page(result: Result) -> str:
    """A self-contained page: the interactive Gantt chart, with plotly's script inside, and tables.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    from spikepipe_sched.export.gantt import gantt

    sections = [
        ("Summary", html_table((), summary_rows(result), ())),
        ("Schedule", embedded(gantt(result), "gantt", script=True)),
        ("Objectives", _objectives(result)),
    ]
    if result.metrics is not None:
        sections += _figures(result.problem, result.metrics)
    return page(result.problem.name, sections)


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page from headings and contents; the contents are HTML."""
    shown = escape(plain(title))
    body = "".join(f"<h2>{escape(plain(heading))}</h2>{content}" for heading, content in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown}</title><style>{_STYLE}</style></head><body><h1>{shown}</h1>{body}</body></html>"
    )


def embedded(figure: Figure, name: str, *, script: bool) -> str:
    """A plotly figure as a part of a page, the first of them with plotly's ``script``: nothing is fetched."""
    chart = figure.to_html(full_html=False, include_plotlyjs=script, div_id=name, config={"responsive": True, "displaylogo": False})
    return f'<div class="wide">{chart}</div>'


def _objectives(result: Result) -> str:
    rows = [(level.name, UNITS[level.name], f"{level.value:,}", f"{level.bound:,}", percent(level.gap), level.bound_source) for level in result.objectives]
    note = "<p>Below the first, bound and gap hold for schedules that equal this one in the objectives above.</p>" if len(rows) > 1 else ""
    return html_table(("objective", "unit", "value", "lower bound", "gap", "why nothing is below the bound"), rows, (2, 3, 4)) + note


def _figures(problem: Problem, figures: Metrics) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if figures.delays:
        backward = dict(figures.backward_delays)
        delays = [(layer, str(delay), str(backward.get(layer, delay)), str(max(0, delay - 1))) for layer, delay in figures.delays]
        found.append(
            (
                "Delay of each layer",
                html_table(("layer", "forward delay [iterations]", "backward delay [iterations]", "staleness [iterations]"), delays, (1, 2, 3)),
            )
        )
    rows = [
        (
            p.name,
            problem.classes[p.kind],
            f"{busy:,}",
            f"{100 * busy / figures.length_cycles if figures.length_cycles else 0:.1f} %",
            f"{peak:,}",
            "unlimited" if p.memory_bytes is None else f"{p.memory_bytes:,}",
        )
        for p, busy, peak in zip(problem.processors, figures.busy_cycles, figures.peak_memory_bytes, strict=True)
    ]
    headers = ("processor", "class", "busy [cycles]", "utilisation", "peak memory [bytes]", "memory [bytes]")
    found.append(("Processors", html_table(headers, rows, (2, 3, 4, 5))))
    per = f"{problem.unroll} iterations" if problem.unroll > 1 else "iteration" if problem.mode == "periodic" else "run"
    text = f"<p>{figures.traffic_bytes:,} bytes cross between processors per {per}.</p>"
    if figures.link_loads:
        links = [(source, target, f"{load:.3f}", "cannot carry it" if load > 1 else "") for source, target, load in figures.link_loads]
        text += html_table(("from", "to", "load [share of the time]", ""), links, (2,))
    found.append(("Traffic", text))
    return found


def html_table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    """A table of text; the columns in ``numbers`` are right-aligned."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [' class="number"' if i in numbers else "" for i in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(plain(text))}</{tag}>" for kind, text in zip(kinds, row, strict=True))

    head = f"<thead><tr>{cells('th', headers)}</tr></thead>" if headers else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'
