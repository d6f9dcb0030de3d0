"""What a schedule costs, as interactive figures: use of the processors, traffic, memory over time, delays."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.bounds import least_delays
from spikepipe_sched.check import layer_delays
from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import BLUE, GREEN, LOOKS, PURPLE, SKY, VERMILION, bars, drawable, kinds_present, length_cycles, processor_labels
from spikepipe_sched.export.gantt import GRID, INK, LOOK, X_AXIS, height, processor_axis, shown_name
from spikepipe_sched.memory import memory_profiles
from spikepipe_sched.traffic import flows, traffic_matrix

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

#: Lines with more steps than this are drawn as the most in each of as many equal slices of time.
MAX_STEPS: Final = 2_000
#: More cells than this have no room for numbers.
_MAX_CELLS: Final = 256
#: Colours of lines: at least 3:1 on white and on near-black; sixteen lines differ with the dashes.
_LINES: Final = (BLUE, VERMILION, GREEN, PURPLE)
_DASHES: Final = ("solid", "dash", "dot", "dashdot")


def utilisation(result: Result) -> Figure:
    """What each processor does with its time, stacked by kind of task, and how much it idles.

    The shares are of the period, or of the makespan of a finite run.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    import plotly.graph_objects as go

    problem, _ = drawable(result)
    length, rows = length_cycles(result), [*map(shown_name, processor_labels(problem))]
    cycles = {kind: [0] * len(rows) for kind in kinds_present(problem)}
    for bar in bars(result):
        cycles[bar.kind][bar.processor] += bar.end - bar.start
    idle = [length - sum(column) for column in zip(*cycles.values(), strict=True)]
    figure = go.Figure()
    stacked = [(LOOKS[kind].label, LOOKS[kind].colour, values) for kind, values in cycles.items()] + [("idle", "rgba(118,118,118,0.18)", idle)]
    for label, colour, values in stacked:
        figure.add_bar(
            orientation="h",
            name=label,
            y=rows,
            x=[100 * value / length for value in values],
            customdata=[[value] for value in values],
            hovertemplate=f"%{{y}}<br>{label}: %{{x:.1f}} %, %{{customdata[0]:,}} cycles<extra></extra>",
            marker={"color": colour, "line": {"color": INK, "width": 0.5}},
        )
    share = 100 - 100 * sum(idle) / (length * len(rows))
    title = f"{shown_name(problem.name)}: {share:.1f} % of all cycles busy"
    figure.update_layout(title={"text": title}, height=height(problem), barmode="stack", bargap=0.25, **LOOK)
    of = "period" if problem.mode == "periodic" else "makespan"
    figure.update_xaxes(title={"text": f"share of the {of} [%]"}, range=[0, 100], gridcolor=GRID, zeroline=False)
    figure.update_yaxes(**processor_axis(problem))
    return figure


def traffic_heatmap(result: Result) -> Figure:
    """Bytes from each processor to each other one: per ``unroll`` iterations, or in the whole finite run.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    import plotly.graph_objects as go

    problem, schedule = drawable(result)
    matrix = traffic_matrix(problem, flows(problem, *layer_delays(problem, schedule)), schedule.processor)
    rows, values = [*map(shown_name, processor_labels(problem))], matrix.tolist()
    figure = go.Figure(
        go.Heatmap(
            x=rows,
            y=rows,
            z=[[None if i == j else value for j, value in enumerate(row)] for i, row in enumerate(values)],  # a processor sends nothing to itself
            colorscale=[(0, "#edf5fa"), (1, SKY)],  # opaque, and light enough for black numbers, on any ground
            textfont={"color": "#000000"},
            zmin=0,
            xgap=2,
            ygap=2,
            hovertemplate="%{y} to %{x}: %{z:,} bytes<extra></extra>",
            texttemplate="%{z:.3~s}" if matrix.size <= _MAX_CELLS else None,
            colorbar={"title": {"text": "bytes"}, "thickness": 12, "outlinewidth": 0},
        )
    )
    title = f"{shown_name(problem.name)}: {int(matrix.sum()):,} bytes {per(problem)}"
    figure.update_layout(title={"text": title}, height=190 + max(120, 40 * len(rows)), **LOOK)
    figure.update_xaxes(title={"text": "to"}, type="category", showgrid=False, automargin=True)
    figure.update_yaxes(title={"text": "from"}, type="category", autorange="reversed", showgrid=False, automargin=True)
    return figure


def memory_over_time(result: Result) -> Figure:
    """What lies in each memory over one period in steady state, or over the finite run: lines of steps, and limits where processors have them.

    All iterations in flight count; the highest point of a line is the processor's peak memory. Lines
    of more than `MAX_STEPS` steps show the most of each of as many slices of time; the title says so.

    Raises
    ------
    InputError
        If the result has no schedule.
    """
    import plotly.graph_objects as go

    problem, schedule = drawable(result)
    length, reduced, figure = length_cycles(result), False, go.Figure()
    profiles = memory_profiles(problem, schedule, flows(problem, *layer_delays(problem, schedule)))
    limits: dict[int, list[str]] = {}
    for p, (label, profile) in enumerate(zip(map(shown_name, processor_labels(problem)), profiles, strict=True)):
        times, levels = profile.steps()
        within = bisect_left(times, length)  # where the last lifetimes end is where the next period, or nothing, begins
        times, levels = times[:within], levels[:within]
        if within > MAX_STEPS:
            times, levels, reduced = *_highest(times, levels, length), True
        line = {"shape": "hv", "color": _LINES[p % len(_LINES)], "dash": _DASHES[p // len(_LINES) % len(_DASHES)], "width": 2}
        hover = f"{label}<br>from cycle %{{x:,}}: %{{y:,}} bytes<extra></extra>"
        heights = [float(level) for level in (*levels, levels[-1])]
        figure.add_scatter(x=[*times, length], y=heights, mode="lines", line=line, hovertemplate=hover, name=label)
        if (limit := problem.processors[p].memory_bytes) is not None:
            limits.setdefault(limit, []).append(label)
    for limit, labels in limits.items():
        whose = "all" if len(labels) == len(problem.processors) else ", ".join(labels)
        text = {"text": f"memory of {whose}: {limit:,} bytes", "yshift": 9}
        figure.add_hline(y=float(limit), line={"color": INK, "dash": "dash", "width": 1}, annotation=text)
    over = "one period in steady state" if schedule.period is not None else "the whole run"
    note = f" (the most in each of {MAX_STEPS:,} slices of time)" if reduced else ""
    figure.update_layout(title={"text": f"{shown_name(problem.name)}: memory over {over}{note}"}, height=420, showlegend=True, **LOOK)
    figure.update_xaxes(title={"text": "time [cycles]"}, range=[0, length], **X_AXIS)
    figure.update_yaxes(title={"text": "memory [bytes]"}, rangemode="tozero", gridcolor=GRID, zeroline=False, tickformat="~s", automargin=True)
    return figure


def delay_per_layer(result: Result) -> Figure:
    """Delay of each layer, forward, and backward where it differs, with the least that is proven possible at this period.

    Raises
    ------
    InputError
        If the result has no schedule, or its problem has no delays.
    """
    import plotly.graph_objects as go

    problem, schedule = drawable(result)
    forward, backward = (delay.tolist() for delay in layer_delays(problem, schedule))
    late = [layer for layer, delay in enumerate(forward) if delay]
    require(schedule.period is not None and late, "there are no delays to draw: no weights are updated, or the run is finite and updates once")
    least = least_delays(problem, schedule.period or 1).tolist()
    names = [shown_name(problem.layers[layer]) for layer in late]
    look: dict[str, Any] = {"hovertemplate": "%{x}<br>%{fullData.name}: %{y}<extra></extra>"}
    outline = {"color": INK, "width": 0.5}
    figure = go.Figure()
    differ = any(forward[layer] != backward[layer] for layer in late)
    figure.add_bar(x=names, y=[forward[layer] for layer in late], name="forward delay" if differ else "delay", marker={"color": BLUE, "line": outline}, **look)
    if differ:
        figure.add_bar(x=names, y=[backward[layer] for layer in late], name="backward delay", marker={"color": VERMILION, "line": outline}, **look)
    mark = {"symbol": "diamond", "size": 10, "color": "#ffffff", "line": {"color": INK, "width": 1.5}}
    figure.add_scatter(x=names, y=[least[layer] for layer in late], mode="markers", name="proven least at this period", marker=mark, **look)
    title = f"{shown_name(problem.name)}: {sum(forward):,} iterations of delay in all"
    figure.update_layout(title={"text": title}, height=380, barmode="group", bargap=0.3, **LOOK)
    figure.update_xaxes(type="category", showgrid=False, automargin=True)
    figure.update_yaxes(title={"text": "delay [iterations]"}, rangemode="tozero", gridcolor=GRID, zeroline=False, tickformat=",d", automargin=True)
    if max(*forward, *backward) <= 10:
        figure.update_yaxes(dtick=1)  # no halves, which would read as whole numbers twice
    return figure


def per(problem: Problem) -> str:
    """What the traffic is counted over."""
    return f"per {problem.unroll} iterations" if problem.unroll > 1 else "per iteration" if problem.mode == "periodic" else "in the run"


def _highest(times: list[int], levels: list[int], length: int) -> tuple[list[int], list[int]]:
    """The most that lies there in each of `MAX_STEPS` slices of [0, length); ``times`` begin at 0."""
    starts = sorted({i * length // MAX_STEPS for i in range(MAX_STEPS)})
    found: list[int] = []
    for start, end in zip(starts, [*starts[1:], length], strict=True):
        first = bisect_left(times, start + 1) - 1  # the step that reaches into the slice
        found.append(max(levels[first : max(bisect_left(times, end), first + 1)]))
    return starts, found
