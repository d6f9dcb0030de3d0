"""A result as HTML: a compact table for notebooks, and a self-contained page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape, unescape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from spikepipe_sched.export.bars import drawable, plain
from spikepipe_sched.export.figures import delay_per_layer, memory_over_time, per, traffic_heatmap, utilisation
from spikepipe_sched.export.gantt import LOOK, gantt, most_periods
from spikepipe_sched.export.summary import UNITS, percent, samples_per_second, summary_rows
from spikepipe_sched.export.svg import svg_gantt
from spikepipe_sched.export.text import text_gantt

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.check import Metrics
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: Tables of more rows scroll in a box of their own.
_TALL: Final = 40


@cache
def _asset(name: str) -> str:
    """A file beside this one: what pages look like, and what they do."""
    return files("spikepipe_sched.export").joinpath(name).read_text(encoding="utf-8")


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
    """A self-contained page: interactive figures, with plotly's script inside, and tables.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    problem, _ = drawable(result)
    tools = _tools(problem)
    if problem.mode == "periodic":
        some = min(3, most_periods(result))
        views = [("Steady state", gantt(result, "steady"))]
        views += [(f"{some} periods", gantt(result, "steady", periods=some))] if some > 1 else []
        views += [("From the empty pipeline", gantt(result))]
        drawn = [embedded(figure, f"gantt{i or ''}", script=not i) for i, (_, figure) in enumerate(views)]
        schedule = tabs("schedule", [(label, tools.format(f"gantt{i or ''}") + drawn[i]) for i, (label, _) in enumerate(views)])
    else:
        schedule = tools.format("gantt") + embedded(gantt(result), "gantt", script=True)
    words = f"<details><summary>All figures in words</summary>{html_table((), summary_rows(result), ())}</details>"
    found = result.metrics
    sections = [("Summary", (_tiles(result, found) if found else "") + words), ("Schedule", schedule)]
    sections += [*(_figures(result, found) if found else ()), ("Objectives", _objectives(result))]
    return page(problem.name, sections)


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page from headings and contents; the contents are HTML. It is light or dark as the reader prefers."""
    shown = escape(plain(title))
    body = "".join(f"<h2>{escape(plain(heading))}</h2>{content}" for heading, content in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown}</title><style>{_asset('page.css')}</style></head><body><h1>{shown}</h1>{body}</body></html>"
    )


def embedded(figure: Figure, name: str, *, script: bool) -> str:
    """A plotly figure as a part of a page, the first of them with the ``script`` that draws them: nothing is fetched.

    The figure's title becomes a caption, which may break lines.
    """
    from plotly.io.json import to_json_plotly
    from plotly.offline import get_plotlyjs

    drawn = figure.to_dict()
    layout = drawn["layout"]
    layout.pop("template", None)
    caption = escape(unescape(layout.pop("title", {}).get("text") or ""))
    layout |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}  # the page's
    layout["font"] = layout.get("font", {}) | {"family": LOOK["font"]["family"]}
    layout["margin"] = {"l": 10, "r": 20} | layout.get("margin", {}) | {"t": 40 if layout.get("annotations") else 12}
    data = (to_json_plotly(drawn) or "").replace("<", "\\u003c").replace(">", "\\u003e")
    scripts = f"<script>{get_plotlyjs()}</script><script>{_asset('page.js')}</script>" if script else ""
    return (
        f'{scripts}<figure><figcaption>{caption}</figcaption><div class="plot" id="{name}" style="min-height:{layout.get("height", 450)}px"></div>'
        f'<p class="note" id="{name}-note" aria-live="polite"></p><script type="application/json" id="{name}-data">{data}</script></figure>'
    )


def tabs(name: str, views: Sequence[tuple[str, str]]) -> str:
    """Contents of which one is shown at a time, the first at first; needs the script of `embedded`. Arrow keys go from tab to tab."""
    buttons = "".join(
        f'<button type="button" role="tab" id="{name}-tab{i}" aria-controls="{name}-view{i}" aria-selected="{"false" if i else "true"}" tabindex="{-1 if i else 0}">'
        f"{escape(plain(label))}</button>"
        for i, (label, _) in enumerate(views)
    )
    panels = "".join(
        f'<div role="tabpanel" id="{name}-view{i}" aria-labelledby="{name}-tab{i}"{" hidden" if i else ""}>{content}</div>'
        for i, (_, content) in enumerate(views)
    )
    return f'<div role="tablist">{buttons}</div>{panels}'


def _tools(problem: Problem) -> str:
    """Buttons that move the visible range of a chart, and the choice of a layer to stand out; {} is the chart's name."""
    moves = (("-", "Zoom out", 0, 2), ("+", "Zoom in", 0, 0.5), ("◀", "Earlier", -0.5, 1), ("▶", "Later", 0.5, 1), ("Whole", "Show all of it", 0, 0))
    buttons = "".join(
        f'<button type="button" data-move="{shift}" data-scale="{scale}" aria-label="{what}" title="{what}">{sign}</button>'
        for sign, what, shift, scale in moves
    )
    names = "".join(f'<option value="{escape(escape(plain(name)))}">{escape(plain(name))}</option>' for name in problem.layers)
    choice = f'<select data-highlight aria-label="Layer to highlight"><option value="">all layers</option>{names}</select>' if names else ""
    return f'<div class="tools" data-plot="{{}}">{(buttons + choice).replace("{", "{{").replace("}", "}}")}</div>'


def _tiles(result: Result, figures: Metrics) -> str:
    """The figures that matter first: a large number each, and what it is of."""
    problem = result.problem
    proof = {level.name: "proven best" if level.proven else f"gap {percent(level.gap)}" for level in result.objectives}
    rate = samples_per_second(problem, figures.length_cycles)
    length = "period" if problem.mode == "periodic" else "makespan"
    shown = [("status", str(result.status), f"by {result.provenance.winner or result.provenance.solver}")]
    shown.append((length, f"{figures.length_cycles:,}", "cycles" + ("" if rate is None else f", {rate:,.1f} samples/s")))
    if figures.delays:
        shown.append(("delay", f"{figures.total_delay:,}", f"iterations in all, {max(delay for _, delay in figures.delays):,} at most"))
    shown.append(("traffic", f"{figures.traffic_bytes:,}", f"bytes {per(problem)}"))
    shown.append(("memory", f"{figures.memory_bytes:,}", "bytes at most on one processor"))
    shown.append(("utilisation", f"{100 * figures.utilisation:.1f} %", "of all cycles busy"))
    cells = [(label, value, f"{text}; {proof[label]}" if label in proof else text) for label, value, text in shown]
    tiles = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(plain(value))}<small>{escape(plain(text))}</small></dd></div>" for label, value, text in cells)
    return f'<dl class="tiles">{tiles}</dl>'


def _objectives(result: Result) -> str:
    rows = [(level.name, UNITS[level.name], f"{level.value:,}", f"{level.bound:,}", percent(level.gap), level.bound_source) for level in result.objectives]
    note = "<p>Below the first, bound and gap hold for schedules that equal this one in the objectives above.</p>" if len(rows) > 1 else ""
    return html_table(("objective", "unit", "value", "lower bound", "gap", "why nothing is below the bound"), rows, (2, 3, 4)) + note


def _figures(result: Result, figures: Metrics) -> list[tuple[str, str]]:
    problem = result.problem
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
    found = [("Processors", embedded(utilisation(result), "utilisation", script=False) + html_table(headers, rows, (2, 3, 4, 5)))]
    found.append(("Memory", embedded(memory_over_time(result), "memory", script=False)))
    text = f"<p>{figures.traffic_bytes:,} bytes cross between processors {per(problem)}.</p>"
    if figures.traffic_bytes:
        text += embedded(traffic_heatmap(result), "traffic", script=False)
    if figures.link_loads:
        links = [(source, target, f"{load:.3f}", "cannot carry it" if load > 1 else "") for source, target, load in figures.link_loads]
        text += html_table(("from", "to", "load [share of the time]", ""), links, (2,))
    found.append(("Traffic", text))
    if figures.delays:
        backward = dict(figures.backward_delays)
        late = [(layer, str(delay), str(backward.get(layer, delay)), str(max(0, delay - 1))) for layer, delay in figures.delays]
        table = html_table(("layer", "forward delay [iterations]", "backward delay [iterations]", "staleness [iterations]"), late, (1, 2, 3))
        found.append(("Delay of each layer", embedded(delay_per_layer(result), "delays", script=False) + table))
    return found


def html_table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    """A table of text; the columns in ``numbers`` are right-aligned. Many rows scroll under their headers."""
    # Alignment stands in the tags, as notebooks bring a style of their own.
    left, right = 'style="text-align:left"', 'class="number" style="text-align:right"'
    unbroken = 'class="number" style="text-align:right;white-space:nowrap"'

    def cells(tag: str, row: Sequence[str], number: str) -> str:
        return "".join(f"<{tag} {number if i in numbers else left}>{escape(plain(text))}</{tag}>" for i, text in enumerate(row))

    head = f"<thead><tr>{cells('th', headers, right)}</tr></thead>" if headers else ""
    lines = [f"<tr>{cells('td', row, unbroken)}</tr>" for row in rows]
    body, tall = "".join(lines), ' tall" tabindex="0' if len(lines) > _TALL else ""
    return f'<div class="wide{tall}"><table>{head}<tbody>{body}</tbody></table></div>'
