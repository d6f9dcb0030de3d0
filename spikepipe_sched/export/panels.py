"""Interactive Gantt charts of several schedules under each other, on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import drawn_cycles, length_cycles, window
from spikepipe_sched.export.gantt import INK, LAYOUT, MAX_BARS, X_AXIS, paler, processor_axis, shown_name, traces

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.comparison import Comparison

_GAP, _ROW, _TOP, _BOTTOM = 56, 30, 90, 90  # pixels


def panels(comparison: Comparison) -> Figure:
    """One panel per schedule: whole finite runs, or as many cycles of steady state as the longest period has.

    The start of steady state is cycle 0 of every panel, and the end of the first period (or of the
    run) is marked. Zooming in one panel zooms all of them. Of schedules with more than `MAX_BARS`
    bars in all the first cycles are drawn; the title says so.

    Raises
    ------
    InputError
        If there is no schedule.
    """
    from plotly.subplots import make_subplots

    problem, found = comparison.problem, [(row.solver, row.result) for row in comparison.rows if row.result is not None and row.result.schedule is not None]
    require(found, "the comparison has no schedule to draw")
    lengths = [length_cycles(result) for _, result in found]
    axis = drawn_cycles([result for _, result in found], MAX_BARS)
    word = "period" if problem.mode == "periodic" else "makespan"
    inner = len(found) * (_GAP + _ROW * len(problem.processors)) - _GAP
    figure = make_subplots(
        rows=len(found),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=_GAP / inner if len(found) > 1 else 0.0,
        subplot_titles=[f"{shown_name(solver)}: {word} {length:,}" for (solver, _), length in zip(found, lengths, strict=True)],
    )
    shades = ""
    for place, ((_, result), length) in enumerate(zip(found, lengths, strict=True), 1):
        drawn = window(result, axis)
        shades = shades or paler(problem, drawn)
        for trace in traces(problem, drawn):
            figure.add_trace(trace.update(showlegend=place == 1), row=place, col=1)
        if length <= axis:
            figure.add_vline(x=length, line_width=1, line_color=INK, line_dash="dash", row=place, col=1)  # pyright: ignore[reportArgumentType]  (a number of a row is one)
    cut = f"; drawn: the first {axis:,} of {max(lengths):,} cycles, more would be over {MAX_BARS:,} bars" if axis < max(lengths) else ""
    shown = "steady state" if problem.mode == "periodic" else "the whole run"
    figure.update_layout(**LAYOUT)
    figure.update_layout(title={"text": f"{shown_name(problem.name)}: {shown}{cut}{shades}"}, height=inner + _TOP + _BOTTOM, margin={"t": _TOP, "b": _BOTTOM})
    figure.update_xaxes(range=[0, axis], showticklabels=True, **X_AXIS)
    figure.update_xaxes(title={"text": "time [cycles]"}, row=len(found), col=1)
    figure.update_yaxes(**processor_axis(problem))
    return figure
