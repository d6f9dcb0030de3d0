"""A sweep over delays: as text, as a cell for notebooks, as a chart and a page, and as the note that goes with limits taken from it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spikepipe_sched.export.bars import PALETTE, plain
from spikepipe_sched.export.gantt import GRID, INK, LOOK
from spikepipe_sched.export.html import embedded, html_table, page
from spikepipe_sched.export.summary import points_text
from spikepipe_sched.export.table import table
from spikepipe_sched.staleness_limits import loosest_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.staleness import Staleness, StalenessPoint


def conditions(staleness: Staleness) -> str:
    """Under which conditions it was measured, in one line."""
    setup = staleness.setup
    length = f"{setup.epochs} epoch{'s' if setup.epochs > 1 else ''} ({staleness.updates:,} updates of {setup.batch} samples)"
    text = f"{staleness.network.name} on {staleness.data.name}, {setup.optimizer} at rate {setup.rate:g} ({setup.rate_schedule}), policy {setup.policy}, loss {setup.loss}"
    return plain(f"{text}, {length}, {setup.seeds} seeds")


def limits_note(staleness: Staleness, tolerance: float, point: StalenessPoint | None) -> str:
    """What limits on delays rest on; ``point`` is that of `spikepipe_sched.staleness_limits.loosest`."""
    if point is None:
        found = f"no measured staleness excludes a loss of {points_text(tolerance)} or more: nothing may be stale{_hint(staleness, tolerance)}"
    else:
        found = (
            f"staleness of at most {_named(staleness, point)}, measured: {point.mean:+.2f} points of accuracy, 95 % interval {point.low:+.2f} to {point.high:+.2f}, "
            f"so that a loss of {points_text(tolerance)} or more is excluded; less staleness is taken to do no worse"
        )
    return f"{found}; {conditions(staleness)}"


def staleness_text(staleness: Staleness) -> str:
    """Conditions, a row for every profile, and what may be stale."""
    headers, rows = _rows(staleness)
    return "\n".join([conditions(staleness), "", table(headers, rows, right=range(2, 6)), "", *_closing(staleness)])


def staleness_cell(staleness: Staleness) -> str:
    """For notebooks: what the text says, as HTML."""
    return f"<div><p>{escape(conditions(staleness))}</p>{_figures(staleness)}</div>"


def staleness_page(staleness: Staleness) -> str:
    """A self-contained page: conditions, chart and table."""
    sections = [
        ("Conditions", f"<p>{escape(conditions(staleness))}</p>"),
        ("Accuracy", embedded(staleness_chart(staleness), "staleness", script=True)),
        ("Figures", _figures(staleness)),
    ]
    return page(f"staleness of {staleness.network.name}", sections)


def staleness_chart(staleness: Staleness) -> Figure:
    """Difference in accuracy over staleness with 95 % intervals: uniform, of each layer alone, and joint profiles by their largest; a plotly figure."""
    import plotly.graph_objects as go

    traces: dict[str, list[StalenessPoint]] = {}
    for point in staleness.points:
        name = f"{_alone(staleness, point)} alone" if point.kind == "layer" else point.kind
        traces.setdefault(plain(name), []).append(point)
    figure = go.Figure()
    for place, (name, points) in enumerate(traces.items()):
        points.sort(key=lambda point: max(point.staleness))
        colour = PALETTE[place % len(PALETTE)]
        figure.add_scatter(
            x=[max(point.staleness) for point in points],
            y=[point.mean for point in points],
            error_y={
                "array": [point.high - point.mean for point in points],
                "arrayminus": [point.mean - point.low for point in points],
                "color": colour,
                "symmetric": False,
            },
            mode="markers" if name == "joint" else "lines+markers",
            name=escape(name),
            marker={"color": colour, "size": 8, "symbol": "diamond" if name == "joint" else "circle"},
            customdata=[[escape(_named(staleness, point)), point.low, point.high, point.diverged] for point in points],
            hovertemplate="<b>%{customdata[0]}</b><br>%{y:+.2f} points, %{customdata[1]:+.2f} to %{customdata[2]:+.2f}<br>%{customdata[3]} diverged<extra></extra>",
        )
    margin = staleness.setup.margin
    figure.add_hline(y=-margin, line={"color": INK, "dash": "dash"}, annotation={"text": f"margin: {points_text(margin)}"})
    figure.update_layout(
        title={
            "text": escape(plain(f"{staleness.network.name} on {staleness.data.name}: accuracy with stale weights less that without")),
            "font": {"size": 14},
        },
        height=500,
        xaxis={"title": {"text": "staleness [updates]"}, "gridcolor": GRID, "tickvals": sorted({max(point.staleness) for point in staleness.points})},
        yaxis={"title": {"text": "difference [points]"}, "gridcolor": GRID},
        **LOOK,
    )
    return figure


def _rows(staleness: Staleness) -> tuple[list[str], list[list[str]]]:
    margin, seeds = staleness.setup.margin, staleness.setup.seeds
    headers = ["staleness", "profile", "accuracy", "difference", "95 % interval", "diverged", f"a loss of {points_text(margin)} or more is"]
    rows = [["0", "synchronous", f"{sum(staleness.synchronous) / seeds:.2f} %", "", "", "", ""]]
    for point in staleness.points:
        accuracy = f"{sum(point.accuracies) / seeds:.2f} %"
        says = "excluded" if point.keeps_accuracy(margin) else "shown" if point.loses_accuracy(margin) else "not excluded"
        interval = f"{point.low:+.2f} to {point.high:+.2f}"
        rows.append([_named(staleness, point), point.kind, accuracy, f"{point.mean:+.2f}", interval, str(point.diverged), says])
    return headers, rows


def _figures(staleness: Staleness) -> str:
    headers, rows = _rows(staleness)
    return html_table(headers, rows, range(2, 6)) + "".join(f"<p>{escape(line)}</p>" for line in _closing(staleness))


def _closing(staleness: Staleness) -> list[str]:
    """What may be stale under the sweep's margin."""
    margin, lines = staleness.setup.margin, list[str]()
    for kind in ("uniform", "joint"):
        if any(point.kind == kind for point in staleness.points):
            best = loosest_of(staleness, margin, kind)
            found = f"only 0{_hint(staleness, margin)}" if best is None else f"at most {_named(staleness, best)}"
            lines.append(f"{kind} staleness for which, and for all measured within it, a loss of {points_text(margin)} or more is excluded: {found}")
    return lines


def _hint(staleness: Staleness, tolerance: float) -> str:
    """What could allow more, where nothing may be stale although a loss is not shown everywhere."""
    undecided = any(not point.keeps_accuracy(tolerance) and not point.loses_accuracy(tolerance) for point in staleness.points)
    return "; more seeds, or a larger --tolerance, may allow some" if undecided else ""


def _named(staleness: Staleness, point: StalenessPoint) -> str:
    return plain(staleness.named(point.staleness))


def _alone(staleness: Staleness, point: StalenessPoint) -> str:
    """The one layer that is stale."""
    return next(layer for layer, value in zip(staleness.layers, point.staleness, strict=True) if value)
