"""What training costs, layer by layer and pass by pass, on each class of array: rows, cells, JSON.

`cost_table` lowers a network and adds up the tasks of each layer and pass over all windows.
`topology_table` prices the products of a SCALE-Sim topology file. Both give `CostRow`s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeAlias

from spikepipe_sched.cost import CostModel, Work, cost_shares, task_cost
from spikepipe_sched.errors import require
from spikepipe_sched.export.bars import plain
from spikepipe_sched.importers.topology import TopologyLayer
from spikepipe_sched.lower import Split, lower_with_works
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Platform, SystolicArray
from spikepipe_sched.training import TrainingSetup

#: Passes in the order of the table.
PASSES: Final = "FEBWU"
#: More different products of one layer and pass are counted, not listed, in the cells for people.
MAX_PRODUCTS: Final = 4
_PRODUCT_COLUMNS: Final = ("M", "K", "N", "products", "dataflow")

#: Layer, pass and part of a row, and the works of its tasks.
_Group: TypeAlias = tuple[tuple[str, str, str], list[tuple[Work, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``count`` matrix products M x K x N with the same dataflow."""

    m: int
    k: int
    n: int
    count: int
    dataflow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """All tasks of one layer and pass, on one class of array.

    Parameters
    ----------
    array, processing_elements
        Name of the class, and R * C.
    layer, kind, part
        Layer, pass (F, E, B, W, U) and the tasks' ``part``, as in the task graph. Where the error of
        the layer in front rides on B (see `spikepipe_sched.lower`), B includes it. `total` makes
        a row of kind ``total`` that has neither layer nor part.
    tasks
        Number of tasks: windows, 1 of U.
    products
        Their matrix products, equal ones counted; without time batching those of the single steps.
    vector_ops
        Element-wise operations.
    macs
        Multiply-accumulates, zeros included.
    executed_macs
        Of these, what the array does: fewer only where silence is skipped.
    cycles
        Sum of the tasks' durations, and of ``terms``.
    terms
        Cycles by term of the cost model.
    share
        Of the cycles of all rows with the same array, 0..1.
    sram_bytes, dram_bytes
        Bytes moved between array and SRAM, and between SRAM and DRAM; see `spikepipe_sched.cost.memory`.
    energy_pj
        Picojoules; None where the platform names no energies.
    scalesim_cycles
        What SCALE-Sim reports as compute cycles, summed over its lines: one less for each product,
        as it prints the index of the last cycle. Only of topologies under the timing ``scalesim``.
    """

    array: str
    processing_elements: int
    layer: str
    kind: str
    part: str = ""
    tasks: int
    products: tuple[Product, ...]
    vector_ops: int
    macs: int
    executed_macs: int
    cycles: int
    terms: dict[str, int]
    share: float
    sram_bytes: int
    dram_bytes: int
    energy_pj: float | None
    scalesim_cycles: int | None = None

    @property
    def utilisation(self) -> float:
        """``executed_macs`` / (``cycles`` * R * C), 0..1; 0 if there are no cycles."""
        return self.executed_macs / (self.cycles * self.processing_elements) if self.cycles else 0.0

    @property
    def stall_cycles(self) -> int | None:
        """Cycles spent waiting for DRAM; None where the cost model does not count them."""
        return self.terms.get("memory stalls")


def cost_table(network: Network, setup: TrainingSetup, platform: Platform, model: CostModel | None = None, *, splits: Sequence[Split] = ()) -> list[CostRow]:
    """The cost of every layer and pass, for each class of array that the platform's processors have.

    Parameters
    ----------
    model
        What the cycles are made of, and ``splits`` what is cut into parts: as in `spikepipe_sched.lower`.

    Returns
    -------
    list of CostRow
        Class by class, layer by layer, in the order F, E, B, W, U.

    Raises
    ------
    InputError
        As `spikepipe_sched.lower`.

    Examples
    --------
    >>> from spikepipe_sched import TrainingSetup, load_network, load_platform
    >>> rows = cost_table(load_network("nmnist_mlp"), TrainingSetup(batch=1), load_platform("array32"))
    >>> [(row.layer, row.kind, f"{row.utilisation:.0%}") for row in rows if row.kind == "F"]
    [('fc1', 'F', '92%'), ('fc2', 'F', '73%'), ('fc3', 'F', '26%')]
    """
    model = CostModel() if model is None else model
    graph, works = lower_with_works(network, setup, platform, cost=model, splits=splits)
    groups: dict[tuple[str, str, str], list[tuple[Work, ...]]] = {}
    for task, data in graph.nodes(data=True):
        groups.setdefault((data["layer"], data["kind"], data["part"]), []).append(works[task])
    place = {layer: i for i, layer in enumerate(graph.graph["layers"])}
    ordered = sorted(groups.items(), key=lambda group: (place[group[0][0]], PASSES.index(group[0][1])))
    return _rows(ordered, platform, model)


def topology_table(layers: Iterable[TopologyLayer], platform: Platform, model: CostModel | None = None) -> list[CostRow]:
    """The cost of the products of a topology file, one row a line: forward passes with the forward dataflow.

    Raises
    ------
    InputError
        If ``model`` counts stalls and an array names no DRAM bandwidth, or a product is too large.
    """
    model = CostModel() if model is None else model
    rows = _rows([((layer.name, "F", ""), [(Work(gemms=(layer.gemm,)),)]) for layer in layers], platform, model)
    if model.timing != "scalesim" or model.stalls:
        return rows
    return [replace(row, scalesim_cycles=row.cycles - sum(product.count for product in row.products)) for row in rows]


def total(rows: Sequence[CostRow]) -> CostRow:
    """The sum of all rows of one class of array: a row of kind ``total`` that lists no products."""
    require(rows, "cost table: there are no rows to add up")
    require(len({row.array for row in rows}) == 1, "cost table: rows of several classes of array cannot be added up; take those of one class")
    energies = [row.energy_pj for row in rows if row.energy_pj is not None]
    reported = [row.scalesim_cycles for row in rows if row.scalesim_cycles is not None]
    terms: Counter[str] = Counter()
    for row in rows:
        terms.update(row.terms)
    return CostRow(
        array=rows[0].array,
        processing_elements=rows[0].processing_elements,
        layer="",
        kind="total",
        tasks=sum(row.tasks for row in rows),
        products=(),
        vector_ops=sum(row.vector_ops for row in rows),
        macs=sum(row.macs for row in rows),
        executed_macs=sum(row.executed_macs for row in rows),
        cycles=sum(row.cycles for row in rows),
        terms=dict(terms),
        share=math.fsum(row.share for row in rows),
        sram_bytes=sum(row.sram_bytes for row in rows),
        dram_bytes=sum(row.dram_bytes for row in rows),
        energy_pj=math.fsum(energies) if energies else None,
        scalesim_cycles=sum(reported) if reported else None,
    )


def arrays(rows: Iterable[CostRow]) -> dict[str, list[CostRow]]:
    """The rows of each class of array."""
    found: dict[str, list[CostRow]] = {}
    for row in rows:
        found.setdefault(row.array, []).append(row)
    return found


def table_json(rows: Sequence[CostRow]) -> dict[str, Any]:
    """Rows, totals and the shares of the cost terms by class of array, as plain data."""

    def plain_data(row: CostRow) -> dict[str, Any]:
        return asdict(row) | {"utilisation": row.utilisation, "stall_cycles": row.stall_cycles}

    classes = arrays(rows)
    return {
        "rows": [plain_data(row) for row in rows],
        "totals": [plain_data(total(some)) for some in classes.values()],
        "cost_terms": {name: cost_shares((row.terms, 1) for row in some) for name, some in classes.items()},
    }


def table_cells(rows: Sequence[CostRow]) -> tuple[list[str], list[list[str]]]:
    """Headers and cells for people; the last line is the total.

    A row with several different products has a line for each. Columns that would be empty are left
    out. Of unlike arrays all have their cycles, and the first has the rest.
    """
    classes = arrays(rows)
    first, *others = classes.values()
    main = [*first, total(first)]
    beside = [[*some, total(some)] for some in others]
    columns: list[tuple[str, list[str]]] = [
        ("layer", [plain(row.layer) for row in main]),
        ("pass", [" ".join(filter(None, (row.kind, row.part))) for row in main]),
        ("tasks", [f"{row.tasks:,}" for row in main]),
        *((name, [""] * len(main)) for name in _PRODUCT_COLUMNS),
        (plain(f"cycles {first[0].array}") if others else "cycles", [f"{row.cycles:,}" for row in main]),
        ("share", [f"{100 * row.share:.1f} %" for row in main]),
        ("utilisation", [f"{100 * row.utilisation:.1f} %" for row in main]),
        ("SRAM kB", [f"{row.sram_bytes / 1000:,.1f}" for row in main]),
        ("DRAM kB", [f"{row.dram_bytes / 1000:,.1f}" for row in main]),
    ]
    if main[-1].stall_cycles is not None:
        columns.append(("stalls", [f"{row.stall_cycles or 0:,}" for row in main]))
    if main[-1].energy_pj is not None:
        columns.append(("energy uJ", [f"{(row.energy_pj or 0) / 1e6:,.2f}" for row in main]))
    if main[-1].scalesim_cycles is not None:
        columns.append(("SCALE-Sim prints", [f"{row.scalesim_cycles or 0:,}" for row in main]))
    columns += [(plain(f"cycles {some[0].array}"), [f"{row.cycles:,}" for row in some]) for some in beside]
    lines: list[list[str]] = []
    for place, row in enumerate(main):
        products = _product_cells(row)
        cells = [texts[place] for _, texts in columns]
        lines.append([*cells[:3], *products[0], *cells[3 + len(_PRODUCT_COLUMNS) :]])
        lines += [["", "", "", *more, *[""] * (len(columns) - 3 - len(more))] for more in products[1:]]
    return [header for header, _ in columns], lines


def term_cells(rows: Sequence[CostRow]) -> tuple[list[str], list[list[str]]]:
    """Headers and cells of the terms of the cost model: cycles and shares on each class of array."""
    classes = arrays(rows)
    headers, columns = ["cost term"], [list(rows[0].terms)]
    for name, some in classes.items():
        sums, shares = total(some).terms, cost_shares((row.terms, 1) for row in some)
        suffix = f" {plain(name)}" if len(classes) > 1 else ""
        headers += [f"cycles{suffix}", f"share{suffix}"]
        columns += [[f"{sums[term]:,}" for term in columns[0]], [f"{100 * shares[term]:.1f} %" for term in columns[0]]]
    return headers, [list(cells) for cells in zip(*columns, strict=True)]


def _product_cells(row: CostRow) -> list[list[str]]:
    """M, K, N, number and dataflow, a line for each different product; one line at least."""
    lines = [[str(p.m), str(p.k), str(p.n), f"{p.count:,}", p.dataflow] for p in row.products[:MAX_PRODUCTS]]
    rest = row.products[MAX_PRODUCTS:]
    if rest:
        lines.append(["...", "...", "...", f"{sum(p.count for p in rest):,}", f"{len(rest)} more shapes"])
    return lines or [["-"] * len(_PRODUCT_COLUMNS)]


def _rows(groups: Sequence[_Group], platform: Platform, model: CostModel) -> list[CostRow]:
    """The rows of every class of array, with their shares."""
    found: list[CostRow] = []
    for name in dict.fromkeys(platform.processors):
        rows = [_row(name, platform.classes[name], group, model) for group in groups]
        cycles = sum(row.cycles for row in rows)
        found += [replace(row, share=row.cycles / cycles) if cycles else row for row in rows]
    return found


def _row(name: str, array: SystolicArray, group: _Group, model: CostModel) -> CostRow:
    """One row, its share left open."""
    (layer, kind, part), tasks = group
    # By identity: most windows share their works, and hashing them costs more than pricing them.
    alike, times = {id(works): works for works in tasks}, Counter(map(id, tasks))
    priced = [(work, task_cost(work, array, model), times[key]) for key, works in alike.items() for work in works]
    products: Counter[tuple[int, int, int, str]] = Counter()
    terms: Counter[str] = Counter(dict.fromkeys(model.terms, 0))
    for work, cost, many in priced:
        for term, cycles in cost.terms.items():
            terms[term] += cycles * many
        for gemm, dataflow in zip(work.gemms, cost.dataflows, strict=True):
            steps = 1 if model.time_batching else gemm.steps
            m, k = (gemm.m // steps, gemm.k) if gemm.time_axis == "m" else (gemm.m, gemm.k // steps)
            products[m, k, gemm.n, dataflow] += gemm.count * steps * many
    return CostRow(
        array=name,
        processing_elements=array.processing_elements,
        layer=layer,
        kind=kind,
        part=part,
        tasks=len(tasks),
        products=tuple(Product(m=m, k=k, n=n, dataflow=dataflow, count=count) for (m, k, n, dataflow), count in products.items()),
        vector_ops=sum(work.vector_ops * many for work, _, many in priced),
        macs=sum(gemm.macs * many for work, _, many in priced for gemm in work.gemms),
        executed_macs=sum(cost.executed_macs * many for _, cost, many in priced),
        cycles=sum(cost.cycles * many for _, cost, many in priced),
        terms=dict(terms),
        share=0.0,
        sram_bytes=sum(cost.sram_bytes * many for _, cost, many in priced),
        dram_bytes=sum(cost.dram_bytes * many for _, cost, many in priced),
        energy_pj=None if array.energy is None else math.fsum((cost.energy_pj or 0.0) * many for _, cost, many in priced),
    )
