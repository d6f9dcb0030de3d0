"""A roofline chart: how far each layer and pass is from what the array, or the memory, allows.

Source: Williams, Waterman and Patterson, CACM 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.export.bars import LOOKS, plain
from spikepipe_sched.export.costs import PASSES, CostRow, arrays
from spikepipe_sched.export.gantt import INK
from spikepipe_sched.export.html import embedded, page
from spikepipe_sched.platform import Platform, SystolicArray

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Of the points, by class of array in the platform's order.
_SYMBOLS: Final = ("circle", "diamond", "square", "cross", "triangle-up", "star")
_GRID: Final = "rgba(118,118,118,0.3)"


def roofline(rows: Sequence[CostRow], platform: Platform) -> Figure:
    """A point for each layer and pass with matrix products, under the roofs of its array; a plotly figure.

    Over multiply-accumulates (MACs) per DRAM byte it shows MACs per cycle; the roofs are R * C and
    bandwidth * x. Where an array of the platform names no DRAM bandwidth, x is MACs per SRAM byte, and
    the only roof is R * C. A row's cycles are all that the cost model counts; without memory stalls a
    point may lie above the bandwidth's roof: it would have to wait.

    Parameters
    ----------
    rows
        Of `spikepipe_sched.export.costs.cost_table` or `topology_table`.
    platform
        The platform they were made for.

    Raises
    ------
    InputError
        If no row has matrix products, or an array is not of the platform.
    """
    import plotly.graph_objects as go

    shown = arrays(row for row in rows if row.executed_macs and row.cycles)
    require(shown, "roofline: no row has matrix products")
    foreign = next((name for name in shown if name not in platform.classes), None)
    if foreign is not None:
        raise InputError(f"roofline: array '{foreign}' is not of platform '{platform.name}'; give the platform that the rows were made for")
    classes = {name: platform.classes[name] for name in shown}
    dram = all(array.dram_bytes_per_cycle is not None for array in classes.values())
    intensity = [_intensity(row, dram=dram) for some in shown.values() for row in some]
    figure = go.Figure()
    for place, (name, some) in enumerate(shown.items()):
        xs, ys = _roof(classes[name], min(intensity), max(intensity), dram=dram)
        figure.add_scatter(
            x=xs, y=ys, mode="lines", name=escape(plain(f"roof of {name}")), line={"color": INK, "dash": "dash" if place else "solid"}, hoverinfo="skip"
        )
        for kind in sorted({row.kind for row in some}, key=PASSES.index):
            points = [row for row in some if row.kind == kind]
            look = LOOKS[kind]
            figure.add_scatter(
                x=[_intensity(row, dram=dram) for row in points],
                y=[row.executed_macs / row.cycles for row in points],
                mode="markers",
                name=escape(plain(look.label if len(shown) == 1 else f"{look.label}, {name}")),
                marker={"color": look.colour, "size": 10, "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
                customdata=[_about(row) for row in points],
                hovertemplate=(
                    "<b>%{customdata[0]}</b><br>%{x:,.1f} MACs per byte, %{y:,.1f} MACs per cycle"
                    "<br>%{customdata[1]} of the array's peak, %{customdata[2]} cycles, %{customdata[3]} of all<br>%{customdata[4]}<extra></extra>"
                ),
            )
    memory = "DRAM" if dram else "SRAM"
    stalls = any(row.stall_cycles is not None for row in rows)
    note = "" if stalls or not dram else "; cycles without memory stalls: what lies above the slope would wait"
    figure.update_layout(
        title={"text": f"MACs per cycle over MACs per {memory} byte{note}", "font": {"size": 14}},
        height=600,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK},
        xaxis={"type": "log", "title": {"text": f"intensity [MACs per {memory} byte]"}, "gridcolor": _GRID},
        yaxis={"type": "log", "title": {"text": "speed [MACs per cycle]"}, "gridcolor": _GRID},
    )
    return figure


def roofline_page(rows: Sequence[CostRow], platform: Platform, name: str) -> str:
    """The chart as a self-contained page, with plotly's script inside.

    Raises
    ------
    InputError
        As `roofline`.
    """
    return page(f"Roofline of {name} on {platform.name}", [("Chart", embedded(roofline(rows, platform), "roofline", script=True))])


def _intensity(row: CostRow, *, dram: bool) -> float:
    """Multiply-accumulates per byte."""
    return row.executed_macs / (row.dram_bytes if dram else row.sram_bytes)


def _roof(array: SystolicArray, least: float, most: float, *, dram: bool) -> tuple[list[float], list[float]]:
    """Corners of min(R * C, bandwidth * x), from left of all points to right of them and of the ridge."""
    peak = float(array.processing_elements)
    if not dram or array.dram_bytes_per_cycle is None:
        return [least / 2, most * 2], [peak, peak]
    ridge = peak / array.dram_bytes_per_cycle
    left, right = min(least, ridge) / 2, max(most, ridge) * 2
    return [left, ridge, right], [left * array.dram_bytes_per_cycle, peak, peak]


def _about(row: CostRow) -> list[str]:
    flows = ", ".join(dict.fromkeys(product.dataflow for product in row.products))
    label = " ".join(filter(None, (row.kind, row.layer, row.part)))
    return [escape(plain(label)), f"{100 * row.utilisation:.1f} %", f"{row.cycles:,}", f"{100 * row.share:.1f} %", f"{flows} on {escape(plain(row.array))}"]
