"""``spikepipe-sched plot``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import JsonFlag
from spikepipe_sched.cli.output import require_writable, table, to_json
from spikepipe_sched.errors import require


def plot(
    store: Path,
    /,
    *,
    x: Annotated[str, Parameter(name=["-x", "--x"])] = "processors",
    y: Annotated[str, Parameter(name=["-y", "--y"])] = "length_cycles",
    colour: str = "solver",
    facet: str = "network",
    baseline: str | None = None,
    sweep: list[str] | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Plot any figure in a store of sweeps over another.

    One panel for every network, say, and in it one line for every solver. Without a file to write to
    the values are printed. Rows without the figure are counted, and where several rows share a place
    lines join their medians.

    Parameters
    ----------
    store
        File that the command sweep has written.
    x
        Figure or label along the axis: processors, pes, array, batch, windows, seconds, ...
    y
        Figure: length_cycles (or period, makespan), speedup, gap, utilisation, cycles_per_sample,
        samples_per_s, total_delay, max_staleness, traffic_bytes, overhead, memory_bytes, seconds, ...
    colour
        Label that lines differ in: solver, array, windows, seed, ...; or none.
    facet
        Label that panels differ in: network, platform, array, mode, ...; or none.
    baseline
        Solver that speed-ups are over; stages if not given.
    sweep
        Name of a sweep in the store, again for several; all rows if not given.
    output
        File for a page with the interactive figure (.html).
    json
        Print the values as JSON and nothing else.
    """
    from spikepipe_sched.comparison import BASELINE
    from spikepipe_sched.study import Store
    from spikepipe_sched.study.plots import chart, chart_table
    from spikepipe_sched.study.views import stored

    require(output is None or output.suffix == ".html", f"--output takes a file that ends in .html, not '{output}'")
    require(baseline is None or "speedup" in (x, y), "--baseline belongs to the figure speedup")
    require_writable(output)
    with Store(store) as kept:
        drawn = chart(stored(kept, sweep or ()), x=x, y=y, colour=colour, facet=facet, baseline=baseline or BASELINE)
    if output is not None:
        from spikepipe_sched.files import write_atomically
        from spikepipe_sched.study.view_pages import chart_page

        write_atomically(output, chart_page(str(store), drawn))
    if json:
        named = {"x": drawn.x, "y": drawn.y, "colour": drawn.colour, "facet": drawn.facet, "notes": list(drawn.notes)}
        series = [{"facet": one.facet, "colour": one.colour, "points": [{"x": place, "y": one.points[place]} for place in one.points]} for one in drawn.series]
        print(to_json(named | {"series": series}))
    else:
        from spikepipe_sched.export.bars import plain

        headers, lines, numbers = chart_table(drawn)
        shown = [[plain(cell) for cell in line] for line in lines]
        print("\n".join([drawn.title, table([*map(plain, headers)], shown, right=numbers), *map(plain, drawn.notes)]))
    if output is None and not json:
        print("note: -o FILE.html draws this", file=sys.stderr)
    elif output is not None:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
    return 0
