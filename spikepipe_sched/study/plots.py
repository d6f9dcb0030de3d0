"""Any figure of a sweep's outcomes over any label or other figure: as a plotly figure, and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.comparison import BASELINE
from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import PALETTE
from spikepipe_sched.export.gantt import GRID, INK, LOOK, shown_name
from spikepipe_sched.study.experiment import SOLVERS
from spikepipe_sched.study.views import (
    ALIASES,
    FIGURES,
    LABELS,
    Compared,
    Value,
    compared,
    figure_names,
    front_key,
    group_labels,
    label_name,
    lacking,
    namesakes,
    require_baseline,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from spikepipe_sched.study.outcome import Outcome

#: Units and words of axes.
TITLES: Final = {
    "length_cycles": "period or makespan [cycles]",
    "cycles_per_sample": "cycles per sample",
    "samples_per_s": "samples per second",
    "gap": "gap [ratio]",
    "utilisation": "utilisation [ratio]",
    "total_delay": "sum of delays [iterations]",
    "max_staleness": "largest staleness [iterations]",
    "traffic_bytes": "traffic [bytes]",
    "overhead": "overhead [ratio]",
    "memory_bytes": "peak memory [bytes]",
    "pes": "processing elements",
    "seconds": "time of the solve [s]",
}
#: No facets, or no colours.
NONE: Final = "none"
_SYMBOLS: Final = ("circle", "diamond", "square", "cross", "triangle-up", "x")
_MOST_PANELS, _COLUMNS, _PANEL_PX, _REST_PX = 60, 3, 300, 130
#: More places on an axis are not named one by one.
_MOST_TICKS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The values of ``y`` at every ``x``, of the rows with one colour in one facet."""

    facet: str
    colour: str
    points: dict[Value, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn: series by facet and colour, in the order in which they first appear, and what is to be said about them."""

    x: str
    y: str
    colour: str
    facet: str
    baseline: str
    series: tuple[Series, ...]
    notes: tuple[str, ...]

    @property
    def facets(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(series.facet for series in self.series))

    @property
    def colours(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(series.colour for series in self.series))

    @property
    def places(self) -> list[Value]:
        """All values on the x axis: numbers by size, words in the order in which they first appear."""
        found = list(dict.fromkeys(x for series in self.series for x in series.points))
        return sorted(found) if all(isinstance(x, int | float) for x in found) else found  # pyright: ignore[reportArgumentType]

    @property
    def title(self) -> str:
        """``speed-up over stages by processors``."""
        return f"{self.named(self.y)} by {self.named(self.x)}"

    def named(self, name: str) -> str:
        """A label or figure in words."""
        return f"speed-up over {self.baseline}" if name == "speedup" else TITLES.get(name, name.replace("_", "-"))


def chart(
    outcomes: Iterable[Outcome], *, x: str = "processors", y: str = "length_cycles", colour: str = "solver", facet: str = "network", baseline: str = BASELINE
) -> Chart:
    """The series of a figure.

    Parameters
    ----------
    x
        A label or a figure (`spikepipe_sched.study.views`).
    y
        A figure; objectives may stand for theirs.
    colour, facet
        Labels, or ``none``.
    baseline
        Solver that speed-ups are over.

    Raises
    ------
    InputError
        If there is no such label or figure, no row of the baseline for speed-ups, or nothing to draw.
    """
    x, (y,) = ALIASES.get(x, x), figure_names([y])
    label_name(x, FIGURES)
    for name in (colour, facet):
        label_name(name, (NONE,))
    outcomes = list(outcomes)
    if "speedup" in (x, y):
        require_baseline(outcomes, baseline)
    rows = compared(outcomes, baseline)
    found: dict[tuple[str, str], dict[Value, list[float]]] = {}
    for row in rows:
        place, value = row.value(x), row.value(y)
        if place is not None and value is not None:
            key = (_shown(row, facet), _shown(row, colour))
            found.setdefault(key, {}).setdefault(place, []).append(float(value))
    lack = lacking(rows, [y] if x == y or x in LABELS else [x, y])
    require(found, f"there is nothing to draw: {lack}")
    series = tuple(Series(facet=facet_, colour=colour_, points=points) for (facet_, colour_), points in found.items())
    notes = [*([lack] if lack else []), *namesakes(rows)]
    if not _scattered(x) and any(len(values) > 1 for one in series for values in one.points.values()):
        differ = ", ".join(name for name in LABELS if name not in (x, colour, facet, "status") and len({row.value(name) for row in rows}) > 1)
        notes.append(f"several rows share a place{' and differ in ' if differ else ''}{differ}: lines join their medians")
    return Chart(x=x, y=y, colour=colour, facet=facet, baseline=baseline, series=series, notes=tuple(notes))


def _scattered(x: str) -> bool:
    """Whether places are found, not asked for: then nothing lies between two of them, and no line joins them."""
    return x in FIGURES and x not in ("processors", "pes")


def _shown(row: Compared, label: str) -> str:
    return "" if label == NONE else str(row.value(label))


def plot(
    outcomes: Iterable[Outcome], *, x: str = "processors", y: str = "length_cycles", colour: str = "solver", facet: str = "network", baseline: str = BASELINE
) -> Figure:
    """A panel for every facet, in it a line for every colour; see `chart` for the parameters.

    What could not be drawn, and why, stands under the title.
    """
    drawn = chart(outcomes, x=x, y=y, colour=colour, facet=facet, baseline=baseline)
    notes = "".join(f"<br><sup>{shown_name(note)}</sup>" for note in drawn.notes)
    return figure(drawn).update_layout(title={"text": f"{shown_name(drawn.title)}{notes}"}, margin={"t": 110})


def figure(drawn: Chart) -> Figure:
    """A chart as a plotly figure, without title and notes. Lines that coincide are seen inside each other."""
    from plotly.subplots import make_subplots

    facets, colours, places = drawn.facets, drawn.colours, drawn.places
    require(len(facets) <= _MOST_PANELS, f"{len(facets)} panels are more than {_MOST_PANELS}; choose another facet than {drawn.facet}, or fewer rows")
    columns = min(len(facets), _COLUMNS)
    lines = -(-len(facets) // columns)
    made = make_subplots(rows=lines, cols=columns, subplot_titles=[shown_name(facet) for facet in facets], vertical_spacing=min(0.12, 0.5 / lines))
    made.update_annotations(font={"size": 11})
    numbers, scattered = all(isinstance(place, int | float) for place in places), _scattered(drawn.x)
    # The solvers that the study's report shows have their colours here, too.
    hues = list(dict.fromkeys((*SOLVERS, *colours))) if drawn.colour == "solver" else colours
    for series in drawn.series:
        at, hue, place = colours.index(series.colour), hues.index(series.colour), facets.index(series.facet)
        row, column = place // columns + 1, place % columns + 1
        look = {"color": PALETTE[hue % len(PALETTE)], "symbol": _SYMBOLS[hue // len(PALETTE) % len(_SYMBOLS)]}
        name = shown_name(series.colour) or drawn.named(drawn.y)
        xs = [x for x in places if x in series.points]
        every = [(x, value) for x in xs for value in series.points[x]]
        joined, wider = numbers and len(xs) > 1 and not scattered, 1.5 * min(len(colours) - 1 - at, 4)
        main = every if scattered else [(x, median(series.points[x])) for x in xs]
        made.add_scatter(
            **_points(main, numbers=numbers),
            mode="lines+markers" if joined else "markers",
            name=name,
            legendgroup=name,
            showlegend=place == min(facets.index(one.facet) for one in drawn.series if one.colour == series.colour),
            line={"color": look["color"], "width": 2 + wider},
            marker={**look, "size": 7 + wider},
            hovertemplate=f"{name}<br>{shown_name(drawn.named(drawn.x))}: %{{x}}<br>{shown_name(drawn.named(drawn.y))}: %{{y:,}}<extra></extra>",
            row=row,
            col=column,
        )
        if len(every) > len(main):
            single: dict[str, Any] = {"mode": "markers", "marker": {**look, "size": 4, "opacity": 0.6}, "hoverinfo": "skip"}
            made.add_scatter(**_points(every, numbers=numbers), legendgroup=name, showlegend=False, row=row, col=column, **single)
    made.update_layout(height=lines * _PANEL_PX + _REST_PX, showlegend=len(colours) > 1, **LOOK)
    made.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True, type="-" if numbers else "category")
    if numbers and len(places) <= _MOST_TICKS and 0 < 8 * float(places[0]) <= float(places[-1]):
        made.update_xaxes(type="log", tickvals=places, ticktext=[f"{place:,}" for place in places])
    made.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True, rangemode="tozero")
    made.update_xaxes(title={"text": shown_name(drawn.named(drawn.x))}, row=lines)
    made.update_yaxes(title={"text": shown_name(drawn.named(drawn.y))}, col=1)
    return made


def _points(points: Sequence[tuple[Value, float]], *, numbers: bool) -> dict[str, Any]:
    return {"x": [x if numbers else shown_name(str(x)) for x, _ in points], "y": [y for _, y in points]}


def front_figure(rows: Sequence[Compared], best: Sequence[Compared], over: Sequence[str]) -> Figure | None:
    """The rows that no other one beats among all others, in the first two figures; a panel for every group that is compared, in which two figures have a line of what is reached.

    None if there is but one figure, or more panels than can be drawn.
    """
    from plotly.subplots import make_subplots

    labels = group_labels(over)
    whole = [row for row in rows if all(row.value(name) is not None for name in over)]
    groups: dict[tuple[Any, ...], list[Compared]] = {}
    for row in best:
        groups.setdefault(front_key(row, over), []).append(row)
    if len(over) < 2 or len(groups) > _MOST_PANELS:
        return None
    y, x = over[:2]
    differ = [i for i in range(1, len(labels)) if len({key[i] for key in groups}) > 1]
    titles = [shown_name(", ".join([str(key[0]), *(f"{labels[i]} {key[i]}" for i in differ)])) for key in groups]
    columns = min(len(groups), _COLUMNS)
    lines = -(-len(groups) // columns)
    made = make_subplots(rows=lines, cols=columns, subplot_titles=titles, vertical_spacing=min(0.12, 0.5 / lines))
    step = (
        {"mode": "lines+markers", "line": {"shape": "hv" if FIGURES[x] else "vh", "color": PALETTE[0], "width": 1}} if len(over) == 2 else {"mode": "markers"}
    )
    made.update_annotations(font={"size": 11})
    for place, (key, front) in enumerate(groups.items()):
        where = {"row": place // columns + 1, "col": place % columns + 1, "showlegend": place == 0}
        kept = {row.outcome.key for row in front}
        others = [row for row in whole if front_key(row, over) == key and row.outcome.key not in kept]
        made.add_scatter(**_named_points(others, x, y), name="beaten", mode="markers", marker={"color": INK, "size": 6, "opacity": 0.4}, **where)
        reached = sorted(front, key=lambda row: float(row.value(x) or 0))
        made.add_scatter(**_named_points(reached, x, y), name="beaten by none", marker={"color": PALETTE[0], "size": 9}, **step, **where)
    made.update_layout(height=lines * _PANEL_PX + _REST_PX, **LOOK)
    made.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True, rangemode="tozero")
    made.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True, rangemode="tozero")
    made.update_xaxes(title={"text": TITLES.get(x, x)}, row=lines)
    made.update_yaxes(title={"text": TITLES.get(y, y)}, col=1)
    return made


def _named_points(rows: Sequence[Compared], x: str, y: str) -> dict[str, Any]:
    """Points that say which rows they are."""
    texts = [shown_name(f"{row.outcome.solver}, {row.outcome.processors} of {row.outcome.array}") for row in rows]
    hover = f"%{{text}}<br>{TITLES.get(x, x)}: %{{x:,}}<br>{TITLES.get(y, y)}: %{{y:,}}<extra></extra>"
    return {"x": [row.value(x) for row in rows], "y": [row.value(y) for row in rows], "text": texts, "hovertemplate": hover}


def chart_table(drawn: Chart) -> tuple[list[str], list[list[str]], list[int]]:
    """Headers, rows, and which columns are numbers: a row for every facet and place, a column for every colour, with medians."""
    colours = drawn.colours
    headers = [*([] if drawn.facet == NONE else [drawn.facet]), drawn.named(drawn.x), *(colour or drawn.named(drawn.y) for colour in colours)]
    lines: list[list[str]] = []
    for facet in drawn.facets:
        of = {series.colour: series.points for series in drawn.series if series.facet == facet}
        for place in drawn.places:
            if any(place in points for points in of.values()):
                cells = ["-" if place not in of.get(colour, {}) else _number(median(of[colour][place])) for colour in colours]
                lines.append([*([] if drawn.facet == NONE else [facet]), f"{place:,}" if isinstance(place, int) else str(place), *cells])
    first = len(headers) - len(colours)
    return headers, lines, [first - 1, *range(first, len(headers))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:,.4g}"
