"""``spikepipe-sched cost``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spikepipe_sched.cli.options import Costing, JsonFlag, Training, given
from spikepipe_sched.cli.output import require_writable, table, to_json
from spikepipe_sched.cli.source import read_lowering, read_platform
from spikepipe_sched.errors import require

if TYPE_CHECKING:
    from spikepipe_sched.export.costs import CostRow
    from spikepipe_sched.platform import Platform, SystolicArray

#: Options that mean something to a topology file, which holds products and no layers to be trained.
_FOR_TOPOLOGIES: Final = ("--platform", "--array", "--dataflow", "--timing", "--stalls")


def cost(
    network: str,
    /,
    *,
    training: Training = Training(),
    costing: Costing = Costing(),
    roofline: Path | None = None,
    json: JsonFlag = False,
) -> int:
    """List cycles, traffic and energy of every layer and pass on one array.

    Each row adds up the tasks (windows) of a layer and pass: F forward, E error, B activation
    gradient, W weight gradient, U update; with the part where a task has several: synapse and
    neuron of a parallel neuron, left and right operand of attention, i/n of a split. The error of a layer is part of the B behind it where it
    rides on it. Utilisation is multiply-accumulates / (cycles * rows * columns). Nothing is scheduled.

    Parameters
    ----------
    network
        Name of a library network, a .toml, .nir or .onnx file, or a SCALE-Sim topology (.csv).
    roofline
        HTML file for an interactive roofline chart: multiply-accumulates per cycle over those per byte.
    json
        Print all figures as JSON.
    """
    page = roofline is None or roofline.suffix.lower() in (".html", ".htm")
    require(page, f"--roofline writes an HTML page; give a name that ends in .html, not '{roofline}'")
    require_writable(roofline)
    if network.lower().endswith(".csv"):
        name, about, platform, rows = network, "", *_topology(network, training, costing)
    else:
        from spikepipe_sched.export.costs import cost_table

        job = read_lowering(network, training, costing)
        setup, platform = job.setup, job.platform
        rows = cost_table(job.network, setup, platform, job.cost, splits=job.splits)
        name, about = job.network.name, f"; batch {setup.batch}, {setup.windows} window{'s' if setup.windows > 1 else ''}"
    if roofline is not None:
        from spikepipe_sched.export.roofline import roofline_page
        from spikepipe_sched.files import write_atomically

        write_atomically(roofline, roofline_page(rows, platform, name))
    if json:
        from spikepipe_sched.export.costs import arrays, table_json

        used = {kind: asdict(platform.classes[kind]) for kind in arrays(rows)}
        print(to_json({"name": name, "platform": platform.name, "arrays": used} | table_json(rows)))
    else:
        print(_text(rows, platform, f"{name} on {platform.name}", about))
    if roofline is not None:
        print(f"written to {roofline}", file=sys.stderr if json else sys.stdout)
    return 0


def _topology(file: str, training: Training, costing: Costing) -> tuple[Platform, list[CostRow]]:
    """The platform and the rows of a topology file; options of networks are refused."""
    from spikepipe_sched import CostModel
    from spikepipe_sched.export.costs import topology_table
    from spikepipe_sched.importers.topology import read_topology

    wrong = [option for option in given(training, costing) if option not in _FOR_TOPOLOGIES]
    require(not wrong, f"{file}: a topology holds products of fixed sizes, to which {', '.join(wrong)} cannot apply")
    platform = read_platform(training)
    return platform, topology_table(read_topology(file), platform, CostModel(timing=costing.timing, stalls=costing.stalls, vector=False))


def _waits_for_dram(row: CostRow, array: SystolicArray) -> bool:
    return array.dram_bytes_per_cycle is not None and row.dram_bytes > row.cycles * array.dram_bytes_per_cycle


def _text(rows: list[CostRow], platform: Platform, title: str, about: str) -> str:
    from spikepipe_sched.export.bars import plain
    from spikepipe_sched.export.costs import arrays, table_cells, term_cells

    classes = {name: platform.classes[name] for name in arrays(rows)}
    sizes = ", ".join(f"{f'{name} ' if len(classes) > 1 else ''}{array.rows} x {array.cols} elements" for name, array in classes.items())
    headers, lines = table_cells(rows)
    names = [place for place, header in enumerate(headers) if header in ("layer", "pass", "dataflow")]
    terms, shares = term_cells(rows)
    text = [plain(f"{title}: {sizes}{about}"), "", table(headers, lines, right=[place for place in range(len(headers)) if place not in names])]
    waiting = [row for row in rows if _waits_for_dram(row, classes[row.array])]
    if waiting and not any("memory stalls" in row.terms for row in rows):
        text.append(f"{len(waiting)} of {len(rows)} rows move more than DRAM carries in their time, which is not counted; --stalls counts it.")
    if len(classes) > 1:
        text.append(f"Columns that name no array are those of {plain(next(iter(classes)))}; --json has all arrays'.")
    return "\n".join([*text, "", table(terms, shares, right=range(1, len(terms)))])
