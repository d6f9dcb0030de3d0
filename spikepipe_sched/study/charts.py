"""Figures of the experiment, as plotly figures: one panel per network and array, one line per solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import product
from typing import TYPE_CHECKING, Any

from spikepipe_sched.export.bars import PALETTE, plain
from spikepipe_sched.export.gantt import GRID, INK, LOOK
from spikepipe_sched.export.summary import points_text
from spikepipe_sched.study.experiment import SOLVERS
from spikepipe_sched.study.measure import chosen

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.study.accuracy import Trained
    from spikepipe_sched.study.measure import Measure

#: Height of a row of panels, and of what is above and below them [pixels].
_PANEL, _REST = 190, 130


def panels(
    rows: Sequence[Measure],
    title: str,
    value: Callable[[Measure], float | None],
    *,
    ceiling: Callable[[Measure], float | None] | None = None,
    ticks: str = "",
) -> Figure:
    """A figure over the number of processors.

    Parameters
    ----------
    value
        What is drawn; rows for which it is None are left out.
    ceiling
        What no schedule that places each task once exceeds, drawn once per panel.
    ticks
        How plotly writes the values on the axis (``tickformat``); those with ``%`` are shares.
    """
    from plotly.subplots import make_subplots

    networks, arrays, solvers = (list(dict.fromkeys(getattr(row.outcome, name) for row in rows)) for name in ("network", "array", "solver"))
    counts = sorted({row.outcome.processors for row in rows})
    titles = [f"{escape(plain(network))}<br>{escape(plain(array))}" for network, array in product(networks, arrays)]
    spacing = {"vertical_spacing": 0.28 / len(networks), "horizontal_spacing": 0.04}
    figure = make_subplots(rows=len(networks), cols=len(arrays), subplot_titles=titles, shared_yaxes="rows", **spacing)  # pyright: ignore[reportArgumentType]
    figure.update_annotations(font={"size": 11})
    shown = "%{y:.2%}" if ticks.endswith("%") else "%{y:.4g}"
    for (i, network), (j, array) in product(enumerate(networks, 1), enumerate(arrays, 1)):
        first = i == j == 1
        for place, solver in enumerate(solvers):
            found = chosen(rows, solver=solver, networks=(network,), arrays=(array,))
            width = 0.5 + len(solvers) - place  # so that lines that coincide are seen inside each other
            _line(figure, found, value, i, j, name=solver, colour=_colour(solver), width=width, legend=first, shown=shown)
        if ceiling is not None:
            found = chosen(rows, solver=solvers[0], networks=(network,), arrays=(array,))
            _line(figure, found, ceiling, i, j, name="proven bound (unroll = 1)", colour=INK, width=1.5, legend=first, shown=shown)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=[str(count) for count in counts], gridcolor=GRID)
    figure.update_xaxes(title={"text": "processors"}, row=len(networks))
    figure.update_yaxes(gridcolor=GRID, rangemode="tozero", tickformat=ticks)
    figure.update_layout(height=_REST + _PANEL * len(networks), **_looks(title))
    return figure


def _line(
    figure: Figure,
    rows: Sequence[Measure],
    value: Callable[[Measure], float | None],
    i: int,
    j: int,
    *,
    name: str,
    colour: str,
    width: float,
    legend: bool,
    shown: str,
) -> None:
    points = sorted((row.outcome.processors, y) for row in rows if (y := value(row)) is not None)
    bound = colour == INK
    figure.add_scatter(
        x=[str(count) for count, _ in points],
        y=[y for _, y in points],
        mode="lines" if bound else "lines+markers",
        name=escape(plain(name)),
        legendgroup=name,
        showlegend=legend,
        line={"color": colour, "dash": "dash" if bound else "solid", "width": width},
        marker={"color": colour, "size": 5 + width},
        hovertemplate=f"{escape(plain(name))}: {shown} on %{{x}}<extra></extra>",
        row=i,
        col=j,
    )


def accuracy_chart(trained: Sequence[Trained], margin: float) -> Figure:
    """Differences to training without delays, with their 95 % intervals; one column per schedule."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for solver in dict.fromkeys(point.solver for point in trained):
        points = [(point, point.verdict) for point in trained if point.solver == solver]
        known = [
            (point, found.mean, found.low, found.high) for point, found in points if found.mean is not None and found.low is not None and found.high is not None
        ]
        colour = _colour(solver)
        figure.add_scatter(
            x=[[escape(plain(point.network)) for point, *_ in known], [f"{escape(plain(solver))} {point.processors}" for point, *_ in known]],
            y=[mean for _, mean, _, _ in known],
            error_y={
                "array": [high - mean for _, mean, _, high in known],
                "arrayminus": [mean - low for _, mean, low, _ in known],
                "symmetric": False,
                "color": colour,
            },
            mode="markers",
            marker={"color": colour, "size": 8},
            name=escape(plain(solver)),
            customdata=[[escape(plain(f"{point.substitute}, staleness {' '.join(map(str, point.staleness))}")), low, high] for point, _, low, high in known],
            hovertemplate="%{customdata[0]}<br>%{y:+.2f} points, %{customdata[1]:+.2f} to %{customdata[2]:+.2f}<extra></extra>",
        )
    figure.add_hline(y=-margin, line={"color": INK, "dash": "dash"}, annotation={"text": f"margin: {points_text(margin)}"}, annotation_position="bottom right")
    figure.update_xaxes(gridcolor=GRID)
    figure.update_yaxes(gridcolor=GRID, title={"text": "difference [points]"})
    figure.update_layout(height=460, **_looks("Test accuracy with the delays of a schedule less that without"))
    # The names of schedules stand upright below: they need their width, and the legend goes above.
    figure.update_layout(legend={"y": 1.02, "yref": "paper"}, meta={"narrowest": 20 * len(trained)})
    return figure


def _colour(solver: str) -> str:
    """The same in all figures."""
    return PALETTE[SOLVERS.index(solver) if solver in SOLVERS else -1]


def _looks(title: str) -> dict[str, Any]:
    """Title, and what all figures have in common."""
    return {"title": {"text": escape(plain(title)), "font": {"size": 14}}, **LOOK}
