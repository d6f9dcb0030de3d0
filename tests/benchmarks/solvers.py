"""All numbers promised of the solvers, in one table: ``python -m tests.benchmarks solvers --limit 60``.

The golden problems need the reference data (``SPIKEPIPE_DATA``), the peer a Python with SAGA
(``SPIKEPIPE_SAGA_PYTHON``); what is missing is said. With 60 s a cell the whole takes some hours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from spikepipe_sched import solve
from spikepipe_sched.pareto import pareto
from tests.arrays import layered_problem
from tests.benchmarks import cells, lists
from tests.known_optimum import known_optimum
from tests.solvers.goldens import FILE, golden_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One promise and what became of it; ``kept`` is None where it was not measured."""

    number: str
    wanted: str
    reached: str
    kept: bool | None

    def __str__(self) -> str:
        mark = {True: "yes", False: "no", None: "-"}[self.kept]
        return f"{self.number:52s} {self.wanted:24s} {mark:4s} {self.reached}"


def speed() -> Iterator[Row]:
    """List scheduling: a million tasks, and beside a peer."""
    lists.heft_seconds(layered_problem(2000, 64))  # compile, or load what is compiled
    problem = layered_problem(10**6, 64)
    before = lists.peak_mb()
    seconds, _ = lists.heft_seconds(problem)
    grown = lists.peak_mb() - before
    yield Row(number="HEFT, 10^6 tasks x 64 processors", wanted="<= 10 s CPU", reached=f"{seconds:.1f} s CPU", kept=seconds <= 10)
    yield Row(
        number="  peak memory",
        wanted="<= 2 GB",
        reached=f"{lists.peak_mb()} MB, of which the problem had {before} MB before and scheduling added {grown} MB",
        kept=lists.peak_mb() <= 2048,
    )
    (ours, makespan), theirs = lists.beside_saga()
    reached = f"{1000 * ours:.1f} ms" if theirs is None else f"{theirs[0] / ours:.0f} x; makespan {makespan}, SAGA's {theirs[1]}"
    yield Row(number="HEFT, 2,000 x 64, beside SAGA's", wanted=">= 500 x", reached=reached, kept=None if theirs is None else theirs[0] >= 500 * ours)


def goldens(limit: float) -> Iterator[Row]:
    """Published least periods, found and proven."""
    data = os.environ.get("SPIKEPIPE_DATA")
    if data is None:
        yield Row(number="published periods", wanted="found and proven", reached="no reference data (SPIKEPIPE_DATA)", kept=None)
        return
    problems = golden_problems(Path(data) / FILE)
    proven: list[str] = []
    for name, (problem, least) in problems.items():
        result = solve(problem, "auto", time_limit_s=limit)
        level = result.objectives[0]
        if Fraction(level.value, problem.unroll) == least and level.proven:
            proven.append(name)
    yield Row(number="published periods", wanted="found and proven", reached=f"{len(proven)} of {len(problems)}", kept=len(proven) == len(problems))


def periods_and_delays(limit: float) -> Iterator[Row]:
    """Every library network on 2 to 16 processors."""
    for windows in (1, 4):
        found = cells.sweep(windows, limit)
        worst = max(found, key=lambda cell: cell.period_gap)
        yield Row(
            number=f"gap of the period, windows {windows}, {len(found)} cells",
            wanted="<= 0.5 %",
            reached=f"worst {100 * worst.period_gap:.3f} % ({worst.network}, P = {worst.processors})",
            kept=worst.period_gap <= 0.005,
        )
        near = sum(cell.delay_gap <= 0.1 for cell in found)
        mean = sum(cell.delay_gap for cell in found) / len(found)
        yield Row(
            number=f"sum of delays at 1.01 x, windows {windows}",
            wanted="80 % within 10 %" if windows == 1 else "(mean gap reported)",
            reached=f"{100 * near / len(found):.0f} % of the cells within 10 % of the bound, mean gap {100 * mean:.1f} %",
            kept=near >= 0.8 * len(found) if windows == 1 else None,
        )
    for slack, most in ((0.0, None), (0.01, 22), (0.05, 8)):
        cell = cells.measure("vgg9", 4, 4, limit, slack)
        yield Row(
            number=f"vgg9, P = 4, windows 4, delays at {1 + slack:g} x",
            wanted=f"<= {max(most, cell.delay_bound)}" if most is not None else "any",
            reached=f"{cell.delay}, bound {cell.delay_bound}",
            kept=cell.delay <= max(most, cell.delay_bound) if most is not None else True,
        )


def fronts() -> Iterator[Row]:
    """The Pareto front of VGG-9 on four processors."""
    for windows in (1, 4):
        began = time.perf_counter()
        front = pareto(cells.library_problem("vgg9", 4, windows), time_limit_s=100)
        seconds = time.perf_counter() - began
        proven = sum(point.proven for point in front.points)
        gaps = [f"{point.values[0]:,}: {point.values[1]}/{point.bound}" for point in front.points]
        print("\n".join(gaps))
        yield Row(
            number=f"front of vgg9, P = 4, windows {windows}",
            wanted="<= 120 s",
            reached=f"{seconds:.0f} s, {len(front.points)} points, {proven} proven, the others gapped",
            kept=seconds <= 120 and bool(front.points),
        )


def optima(limit: float) -> Iterator[Row]:
    """``auto`` on graphs whose least makespan is known."""
    for n, most in ((1000, 0.03), (10_000, 0.01)):
        worst, where, above = 0.0, "", 0
        for count in (2, 8, 32):
            for density in (1.0, 3.0, 5.0):
                for transfers in (False, True):
                    problem, least = known_optimum(n, count, density=density, transfers=transfers)
                    value = solve(problem, "auto", time_limit_s=limit).objective
                    assert value is not None
                    above += value > int(problem.tasks.cycles.sum())
                    gap = value / least - 1
                    print(f"n {n} P {count} density {density:g}{' transfers' if transfers else ''}: {100 * gap:.2f} %", flush=True)
                    if gap >= worst:
                        worst, where = gap, f"P = {count}, {density:g} edges a task{', transfers' if transfers else ''}"
        yield Row(
            number=f"known optimum, {n} tasks", wanted=f"<= {100 * most:g} %", reached=f"worst {100 * worst:.2f} % ({where})", kept=worst <= most and not above
        )


def main(limit: float) -> None:
    """Measure everything, then print the table."""
    rows: list[Row] = []
    for part in (speed(), goldens(limit), optima(limit), fronts(), periods_and_delays(limit)):
        for row in part:
            rows.append(row)
            print(row, flush=True)
    print(f"\n{'number':52s} {'wanted':24s} kept reached")
    print("\n".join(str(row) for row in rows))
