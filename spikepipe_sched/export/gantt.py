"""An interactive Gantt chart."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from spikepipe_sched.errors import require_one_of, require_whole
from spikepipe_sched.export.bars import LOOKS, Bar, bars, drawable, iteration_word, kinds_present, length_cycles, plain, processor_labels, text_colour, window

if TYPE_CHECKING:
    from plotly.graph_objects import Bar as Bars
    from plotly.graph_objects import Figure

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: What a chart shows of a periodic schedule.
View = Literal["start", "steady"]
#: More bars than this make pages large; then fewer periods are drawn, one at least, and the title says so.
MAX_BARS: Final = 20_000
#: More bars than this have no room for names and numbers, which cost a browser more than the bars.
MAX_NUMBERED: Final = 2_000
#: Readable on white and on black.
INK: Final = "#767676"
GRID: Final = "rgba(118,118,118,0.3)"
#: What all figures have in common: their ground is the page's, and their legend stands below them.
LOOK: Final[Mapping[str, Any]] = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": INK, "family": "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"},
    "hovermode": "closest",
    "legend": {"orientation": "h", "traceorder": "normal", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
    "margin": {"l": 10, "r": 20, "t": 60},
}
#: What all charts of bars have in common; text too large for its bar is left out.
LAYOUT: Final[Mapping[str, Any]] = {**LOOK, "barmode": "overlay", "bargap": 0.25, "uniformtext": {"mode": "hide", "minsize": 9}}
X_AXIS: Final[Mapping[str, Any]] = {"gridcolor": GRID, "zeroline": False, "tickformat": ",d", "exponentformat": "none"}


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
    count = min(wanted, most_periods(result))
    return count, steady if steady < count else None


def most_periods(result: Result) -> int:
    """The periods that `MAX_BARS` allow, 1 at least."""
    return max(1, MAX_BARS // result.problem.instance.size)


def gantt(result: Result, view: View = "start", *, periods: int = 1) -> Figure:
    """The schedule as a plotly figure: one row per processor, one trace per kind of task.

    Every second iteration is paler. Clicking a kind in the legend hides it. Finite runs are drawn
    whole, whatever the view.

    Parameters
    ----------
    view
        Of a periodic schedule: ``start``, the first iterations, from the empty pipeline to the first
        full (steady-state) period, which is marked; or ``steady``, what runs in steady state.
    periods
        How many periods of steady state; what runs across their ends is cut there, and its text says
        how long it runs.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    import plotly.graph_objects as go

    require_one_of("gantt", "view", view, ("start", "steady"))
    require_whole("gantt", "periods", periods, 1)
    problem, schedule = drawable(result)
    period = schedule.period
    figure = go.Figure()
    if period is None:
        length, shown, drawn = length_cycles(result), "the whole run", bars(result)
        figure.add_traces([*traces(problem, drawn, length)])
    elif view == "steady":
        length, shown = periods * period, "a period in steady state" if periods == 1 else f"{periods} periods in steady state"
        drawn = window(result, length)
        figure.add_traces([*traces(problem, drawn, length)])
        for q in range(1, periods):
            figure.add_vline(x=q * period, line={"color": INK, "width": 1, "dash": "dash"})
    else:
        count, steady = periods_drawn(result)
        drawn = bars(result, count)
        length, shown = max(bar.end for bar in drawn), f"the first {count * problem.unroll:,} iterations, from the empty pipeline"
        figure.add_traces([*traces(problem, drawn, length)])
        if steady is None:
            first = int(schedule.start.max()) // period + 2
            shown += f" (all {first * problem.unroll:,} until the first full period would be over {MAX_BARS:,} bars)"
        else:
            around = {"x0": steady * period, "x1": (steady + 1) * period, "fillcolor": INK, "opacity": 0.15, "line_width": 1, "layer": "below"}
            figure.add_vrect(**around, annotation={"text": "first full period", "yanchor": "bottom", "xanchor": "left"}, annotation_position="top left")
    figure.update_layout(title={"text": f"{shown_name(problem.name)}: {shown}{paler(problem, drawn)}"}, height=height(problem), **LAYOUT)
    figure.update_xaxes(title={"text": "time [cycles]"}, range=[0, max(length, 1)], **X_AXIS)
    figure.update_yaxes(**processor_axis(problem))
    return figure


def paler(problem: Problem, drawn: Iterable[Bar]) -> str:
    """What a title says of the shades of `traces`, if there are two."""
    return f"; every second {iteration_word(problem)} is paler" if any(bar.iteration % 2 for bar in drawn) else ""


def height(problem: Problem) -> int:
    """Pixels for a row per processor."""
    return 190 + 36 * len(problem.processors)


def traces(problem: Problem, drawn: Sequence[Bar], length: int | None = None) -> Iterator[Bars]:
    """One trace per kind of task; every second iteration is paler, and bars name their layer (in a finite run their micro-batch) where they have room.

    With a ``length`` only what lies in [0, length] of a bar is drawn; its text tells the whole.
    """
    import plotly.graph_objects as go

    rows = [*map(shown_name, processor_labels(problem))]
    hover = (
        "<b>%{customdata[0]}</b><br>layer %{customdata[1]}, window %{customdata[2]}, " + iteration_word(problem) + " %{customdata[3]}"
        "<br>on %{y}<br>start %{customdata[4]:,} cycles, end %{customdata[5]:,}, takes %{customdata[6]:,}<extra></extra>"
    )
    for kind in kinds_present(problem):
        some = [bar for bar in drawn if bar.kind == kind]
        about = [_about(problem, bar) for bar in some]
        named = len(drawn) <= MAX_NUMBERED and not (problem.micro_batches > 1 and kind == "U")  # an update is of no micro-batch
        text = [str(row[3]) if problem.micro_batches > 1 else str(row[1]) for row in about]
        look = {"text": text, "textposition": "inside", "insidetextanchor": "middle", "textangle": 0}
        base = [max(0, bar.start) if length is not None else bar.start for bar in some]
        end = [min(length, bar.end) if length is not None else bar.end for bar in some]
        yield go.Bar(
            orientation="h",
            name=LOOKS[kind].label,
            legendgroup=kind,
            y=[rows[bar.processor] for bar in some],
            base=base,
            x=[b - a for a, b in zip(base, end, strict=True)],
            customdata=about,
            hovertemplate=hover,
            insidetextfont={"color": text_colour(LOOKS[kind].colour), "size": 12},
            marker={
                "color": LOOKS[kind].colour,
                "opacity": [0.75 if bar.iteration % 2 else 1.0 for bar in some],
                "line": {"color": INK, "width": 0.5},
            },
            **(look if named else {}),
        )


def processor_axis(problem: Problem) -> dict[str, Any]:
    """The vertical axis: the first processor on top, idle ones too; only time is zoomed."""
    rows = [*map(shown_name, processor_labels(problem))]
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": rows,
        "range": [len(rows) - 0.5, -0.5],
        "showgrid": False,
        "fixedrange": True,
        "automargin": True,
    }


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
