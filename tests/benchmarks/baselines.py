"""The asynchronous pipelines of the literature side by side: ``python -m tests.benchmarks.baselines``.

Every library network on 4 and 8 processors, windows 1. Speed-ups are over the solver ``stages`` (PipeDream
without replication), overheads are traffic beyond that of the contiguous stages, as a share of all bytes that
tasks read and write. What the papers' abstracts claim stands below: other networks, arrays and definitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, median

from spikepipe_sched import Problem, Split, TrainingSetup, list_networks, load_network, load_platform, lower, solve
from spikepipe_sched.bounds import period_bound
from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.errors import InputError
from spikepipe_sched.export.summary import overhead
from spikepipe_sched.training import default_windows

PROCESSORS = (4, 8)
#: What is measured: its heading, the solver, and how tasks are cut.
COLUMNS = {
    "stages": ("stages", ()),
    "layerpipe": ("layerpipe", ()),
    "layerpipe, B in 2": ("layerpipe", (Split(kind="B", axis="n", parts=2),)),
    "spikepipe": ("spikepipe", ()),
}
CLAIMS = (
    "LayerPipe (arXiv:2108.06629): 25 % faster than PipeDream on average and up to 80 % with 7 to 9 processors, with less communication",
    "SpikePipe (arXiv:2406.06879): 1.6 to 1.7 times standard pipelining on average, 2 at most; less than 0.5 % more communication with convolutions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one solver reached on one network."""

    period: int
    speedup: float
    overhead: float
    delay: int

    def __str__(self) -> str:
        return f"{self.period:12,d} {self.speedup:5.2f} {100 * self.overhead:+6.1f} {self.delay:3d}"


def problem_of(network: str, processors: int, splits: tuple[Split, ...] = ()) -> Problem:
    """A library network on 32 x 32 arrays, batch 16, windows 1; whole where none of its tasks can be cut."""
    platform, loaded = load_platform("array32").with_processors(processors), load_network(network)
    setup = TrainingSetup(batch=16, windows=default_windows(loaded, 1))
    try:
        graph = lower(loaded, setup, platform, splits=splits)
    except InputError:
        graph = lower(loaded, setup, platform)
    return Problem.from_graph(graph, platform, mode="periodic")


def measure(network: str, processors: int) -> tuple[int, list[Cell]]:
    """The bound on the period of whole tasks, and a cell for every column."""
    cells: list[Cell] = []
    for solver, splits in COLUMNS.values():
        problem = problem_of(network, processors, splits)
        figures = solve(problem, solver).metrics
        assert figures is not None
        added = overhead(problem, figures.traffic_bytes, contiguous_cut(problem))
        assert added is not None
        reference = cells[0].period if cells else figures.length_cycles
        cells.append(Cell(period=figures.length_cycles, speedup=reference / figures.length_cycles, overhead=added, delay=figures.total_delay))
    return period_bound(problem_of(network, processors)).value, cells


def has_convolutions(network: str) -> bool:
    """Whether any layer is a convolution."""
    return any(layer.kind == "conv2d" for layer in load_network(network).layers)


def report(title: str, rows: Iterable[list[Cell]]) -> None:
    """Means of a choice of rows."""
    columns = list(zip(*rows, strict=True))
    print(f"{title}, {len(columns[0])} cells: mean (median, range) of the speed-up, mean overhead, mean sum of delays")
    for name, cells in zip(COLUMNS, columns, strict=True):
        speed, added = [cell.speedup for cell in cells], [cell.overhead for cell in cells]
        spread = f"{mean(speed):.2f} ({median(speed):.2f}, {min(speed):.2f} to {max(speed):.2f})"
        print(f"  {name:18s} {spread:28s} {100 * mean(added):+6.1f} % {mean(cell.delay for cell in cells):6.1f}")


def main() -> None:
    """The table, its means, and the claims."""
    print(f"{'':34s}" + "".join(f" | {name:29s}" for name in COLUMNS))
    print(f"{'network':18s} {'P':>2s} {'bound':>12s}" + f" | {'period':>12s} {'times':>5s} {'over %':>6s} {'D':>3s}" * len(COLUMNS))
    rows: dict[tuple[str, int], list[Cell]] = {}
    for entry in list_networks():
        for count in PROCESSORS:
            bound, cells = measure(entry.name, count)
            rows[entry.name, count] = cells
            print(f"{entry.name:18s} {count:2d} {bound:12,d}" + "".join(f" | {cell}" for cell in cells), flush=True)
    for count in PROCESSORS:
        report(f"{count} processors", [cells for (_, p), cells in rows.items() if p == count])
    convolutional = {name: has_convolutions(name) for name, _ in rows}
    report("networks with convolutions", [cells for (name, _), cells in rows.items() if convolutional[name]])
    print("\n".join(CLAIMS))


if __name__ == "__main__":
    main()
