"""Every library network on 2 to 16 processors: gap of the period, and the least sum of delays near it.

A cell is two solves by ``auto``: the least period, then the least sum of delays at no more than 1.01
times that, with half the cell's time limit each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from spikepipe_sched import Limits, Problem, TrainingSetup, list_networks, load_network, load_platform, lower, solve
from spikepipe_sched.training import default_windows

PROCESSORS = (2, 4, 8, 16)
#: What the period may exceed the least by.
SLACK = 0.01


def library_problem(network: str, processors: int, windows: int, **options: object) -> Problem:
    """A library network on 32 x 32 arrays, batch 16."""
    platform = load_platform("array32").with_processors(processors)
    loaded = load_network(network)
    graph = lower(loaded, TrainingSetup(batch=16, windows=default_windows(loaded, windows)), platform)
    return Problem.from_graph(graph, platform, mode="periodic", **options)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one network on so many processors reached."""

    network: str
    processors: int
    windows: int
    tasks: int
    period: int
    period_bound: int
    delay: int
    delay_bound: int
    delay_source: str
    seconds: float

    @property
    def period_gap(self) -> float:
        """(least period found - bound) / bound."""
        return self.period / self.period_bound - 1

    @property
    def delay_gap(self) -> float:
        """(sum of delays - bound) / bound."""
        return self.delay / self.delay_bound - 1

    def __str__(self) -> str:
        return (
            f"{self.network:20s} {self.processors:2d} {self.windows:3d} {self.tasks:6d} {100 * self.period_gap:9.4f} {self.delay:6d} {self.delay_bound:6d} "
            f"{100 * self.delay_gap:8.1f} {self.seconds:6.1f}  {self.delay_source}"
        )


HEADER = f"{'network':20s} {'P':>2s} {'win':>3s} {'tasks':>6s} {'period %':>9s} {'delay':>6s} {'bound':>6s} {'gap %':>8s} {'s':>6s}  bound by"


def measure(network: str, processors: int, windows: int, limit: float, slack: float = SLACK) -> Cell:
    """One cell within ``limit`` seconds."""
    began = time.perf_counter()
    least = solve(library_problem(network, processors, windows, objective=("period",)), "auto", time_limit_s=limit / 2)
    assert least.objective is not None
    assert least.bound is not None
    problem = library_problem(network, processors, windows, objective=("delay",), limits=Limits(period_cycles=int(least.objective * (1 + slack))))
    near = solve(problem, "auto", time_limit_s=limit / 2, hint=least.schedule)
    level = near.objectives[0]
    return Cell(
        network=network,
        processors=processors,
        windows=windows,
        tasks=len(problem.tasks.names),
        period=least.objective,
        period_bound=least.bound,
        delay=level.value,
        delay_bound=level.bound,
        delay_source=level.bound_source,
        seconds=time.perf_counter() - began,
    )


def sweep(windows: int, limit: float, networks: Iterable[str] = (), processors: Iterable[int] = PROCESSORS) -> list[Cell]:
    """All cells of one setting of windows, printed as they come."""
    print(HEADER)
    cells: list[Cell] = []
    for network in networks or [entry.name for entry in list_networks()]:
        for count in processors:
            cells.append(measure(network, count, windows, limit))
            print(cells[-1], flush=True)
    return cells


def summary(cells: list[Cell]) -> str:
    """The figures that sum a sweep up."""
    near = sum(cell.delay_gap <= 0.1 for cell in cells)
    return (
        f"{len(cells)} cells: worst gap of the period {100 * max(cell.period_gap for cell in cells):.3f} %; sum of delays within 10 % of its bound in "
        f"{near} ({100 * near / len(cells):.0f} %), mean gap {100 * sum(cell.delay_gap for cell in cells) / len(cells):.1f} %"
    )
