"""An interactive Gantt chart."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.export.bars import LOOKS, Bar, bars, drawable, iteration_word, kinds_present, plain, processor_labels

if TYPE_CHECKING:
    from plotly.graph_objects import Bar as Bars
    from plotly.graph_objects import Figure

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: More bars than this make browsers slow; then fewer iterations are drawn, one period at least.
MAX_BARS: Final = 20_000
#: More bars than this have no room for numbers, which cost a browser more than the bars.
MAX_NUMBERED: Final = 2_000
#: Readable on white and on black.
INK: Final = "#767676"
#: What all charts have in common; numbers too large for their bars are left out.
LAYOUT: Final[Mapping[str, Any]] = {
    "barmode": "overlay",
    "bargap": 0.25,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": INK},
    "legend": {"title": {"text": "kind of task"}},
    "uniformtext": {"mode": "hide", "minsize": 8},
}
X_AXIS: Final[Mapping[str, Any]] = {"gridcolor": "rgba(118,118,118,0.3)", "zeroline": False}


def periods_drawn(result: Result) -> tuple[int, int | None]:
    """How many periods to draw, and which of them is the first in steady state (None: not drawn).

    Everything has started by period ``max(start) // period``; what began there and reaches into the
    next is complete one later. At least three iterations are drawn.
    """
    problem, schedule = drawable(result)
    if schedule.period is None:
        return 1, None
    steady = int(schedule.start.max()) // schedule.period + 1
    wanted = max(steady + 1, -(-3 // problem.unroll))
    allowed = max(1, MAX_BARS // problem.instance.size)
    count = min(wanted, allowed)
    return count, steady if steady < count else None


def gantt(result: Result) -> Figure:
    """The schedule as a plotly figure: one row per processor, one trace per kind of task.

    Periodic schedules show the first iterations, from the empty pipeline to the first full
    (steady-state) period, which is marked. Every second iteration is paler. Clicking a kind in the
    legend hides it.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    import plotly.graph_objects as go

    problem, schedule = drawable(result)
    count, steady = periods_drawn(result)
    drawn = bars(result, count)
    figure = go.Figure(list(traces(problem, drawn)))
    if steady is not None and schedule.period is not None:
        figure.add_vrect(
            x0=steady * schedule.period,
            x1=(steady + 1) * schedule.period,
            fillcolor=INK,
            opacity=0.15,
            line_width=1,
            layer="below",
            annotation_text="steady-state period",
            annotation_position="top left",
        )
    shown = f"first {count * problem.unroll} iterations" if schedule.period is not None else "the whole run"
    figure.update_layout(title={"text": f"{shown_name(problem.name)}: {shown}"}, height=180 + 40 * len(problem.processors), **LAYOUT)
    figure.update_xaxes(title={"text": "time [cycles]"}, rangemode="tozero", **X_AXIS)
    figure.update_yaxes(**processor_axis(problem))
    return figure


def traces(problem: Problem, drawn: Sequence[Bar]) -> Iterator[Bars]:
    """One trace per kind of task; every second iteration is paler, and a finite run's bars show their micro-batch where it has room."""
    import plotly.graph_objects as go

    rows = [*map(shown_name, processor_labels(problem))]
    hover = (
        "<b>%{customdata[0]}</b><br>layer %{customdata[1]}, window %{customdata[2]}, " + iteration_word(problem) + " %{customdata[3]}"
        "<br>on %{y}<br>start %{customdata[4]:,} cycles, end %{customdata[5]:,}, takes %{customdata[6]:,}<extra></extra>"
    )
    for kind in kinds_present(problem):
        some = [bar for bar in drawn if bar.kind == kind]
        numbered = problem.micro_batches > 1 and kind != "U" and len(drawn) <= MAX_NUMBERED  # an update is of no micro-batch
        numbers = {"text": [str(bar.iteration) for bar in some], "textposition": "inside", "insidetextanchor": "middle", "textangle": 0}
        yield go.Bar(
            orientation="h",
            name=LOOKS[kind].label,
            legendgroup=kind,
            y=[rows[bar.processor] for bar in some],
            base=[bar.start for bar in some],
            x=[bar.end - bar.start for bar in some],
            customdata=[_about(problem, bar) for bar in some],
            hovertemplate=hover,
            marker={
                "color": LOOKS[kind].colour,
                "opacity": [0.6 if bar.iteration % 2 else 1.0 for bar in some],
                "line": {"color": INK, "width": 0.5},
            },
            **(numbers if numbered else {}),
        )


def processor_axis(problem: Problem) -> dict[str, Any]:
    """The vertical axis: the first processor on top, idle ones too."""
    rows = [*map(shown_name, processor_labels(problem))]
    return {"type": "category", "categoryorder": "array", "categoryarray": rows, "range": [len(rows) - 0.5, -0.5], "showgrid": False}


def _about(problem: Problem, bar: Bar) -> list[str | int]:
    tasks = problem.tasks
    layer, window = int(tasks.layer[bar.task]), int(tasks.window[bar.task])
    return [
        shown_name(tasks.names[bar.task]),
        shown_name(problem.layers[layer]) if layer >= 0 else "-",
        window if window >= 0 else "-",
        bar.iteration,
        bar.start,
        bar.end,
        bar.end - bar.start,
    ]


def shown_name(name: str) -> str:
    """A name for plotly's texts, which understand some HTML."""
    return html.escape(plain(name))
