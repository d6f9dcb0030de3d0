"""Task graphs of the field in finite mode: ``python -m tests.benchmarks.graphs [stg|dot|structures] [--limit 10] [--count 90] [--seed 0]``.

``stg`` and ``dot`` need the reference data (``SPIKEPIPE_DATA``: STG and DOT files with published lengths);
``structures`` makes its own graphs. For every problem: the best of the cheap rules, and what ``auto``
with two workers finds and proves within ``--limit`` seconds. Seconds shown are those of CPU.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikepipe_sched import Problem, solve
from spikepipe_sched.readers import load_problem
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.portfolio import heuristic_schedules
from tests.structures import STRUCTURES, structured_problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One problem: published length (None: unknown), the rules' best, what ``auto`` found and proved, CPU seconds of both."""

    name: str
    published: int | None
    rules: int
    rules_s: float
    found: int
    bound: int
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether ``auto`` proved what it found."""
        return self.found == self.bound


def published(folder: Path) -> Iterator[tuple[Problem, int]]:
    """Problems of a folder with ``optima.csv``."""
    with (folder / "optima.csv").open() as file:
        for row in csv.DictReader(file):
            yield load_problem(folder / row["file"], processors=int(row["processors"])), int(row["optimal_length"])


def structures(count: int, seed: int) -> Iterator[tuple[Problem, None]]:
    """All structures in turn, of 10 to 30 tasks, CCR 0.1 to 10, on 2 to 16 processors."""
    rng, names = random.Random(seed), list(STRUCTURES)
    for i in range(count):
        n, ccr, processors = rng.choice((10, 16, 21, 30)), rng.choice((0.1, 0.5, 1, 2, 5, 10)), rng.choice((2, 3, 4, 6, 8, 16))
        yield structured_problem(names[i % len(names)], n, ccr, processors, seed=seed + i), None


def measured(problem: Problem, length: int | None, limit: float) -> Row:
    """Solve a problem."""
    began, rules = time.process_time(), Incumbent(problem, "rules")
    for name, schedule in heuristic_schedules(problem):
        rules.offer(schedule, name)
    between = time.process_time()
    result = solve(problem, "auto", time_limit_s=limit, workers=2)
    assert result.objective is not None
    assert result.bound is not None
    return Row(
        name=f"{problem.name} P={len(problem.processors)}",
        published=length,
        rules=rules.value("makespan"),
        rules_s=between - began,
        found=result.objective,
        bound=result.bound,
        seconds=time.process_time() - between,
    )


def report(name: str, problems: Iterator[tuple[Problem, int | None]], limit: float) -> None:
    """One line for each problem that is not proven, or whose published length is not the optimum; then the sums."""
    rows: list[Row] = []
    for problem, length in problems:
        row = measured(problem, length, limit)
        rows.append(row)
        if not row.proven or row.published not in (None, row.found):
            known = "" if row.published is None else f", published {row.published}"
            print(f"{row.name}: {row.found}, bound {row.bound}{known}, {row.seconds:.1f} s", flush=True)
    seconds = np.array([row.seconds for row in rows])
    gaps = np.array([100 * (row.rules / row.found - 1) for row in rows])
    proven, met = sum(row.proven for row in rows), sum(row.found == row.published for row in rows)
    excluded = sum(row.published is not None and row.bound > row.published for row in rows)
    print(f"{name}: {len(rows)} problems, {proven} proven" + (f", {met} as published, {excluded} published lengths excluded" if rows[0].published else ""))
    print(f"  auto: {np.median(seconds):.2f} s in the median, {seconds.max():.1f} s at most")
    rules_s = np.mean([row.rules_s for row in rows])
    print(f"  rules: mean gap {gaps.mean():.2f} % to what auto found, {(gaps == 0).sum()} equal to it, {1000 * rules_s:.1f} ms", flush=True)


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", default=["structures"], choices=["stg", "dot", "structures"])
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a problem")
    parser.add_argument("--count", type=int, default=90, help="structures")
    parser.add_argument("--seed", type=int, default=0, help="of the structures")
    options = parser.parse_args(sys.argv[1:])
    for name in options.which:
        if name == "structures":
            report(name, structures(options.count, options.seed), options.limit)
            continue
        data = os.environ.get("SPIKEPIPE_DATA")
        if data is None:
            raise SystemExit(f"{name}: set SPIKEPIPE_DATA to the folder that holds stg/ and sinnen/")
        report(name, published(Path(data) / ("stg" if name == "stg" else "sinnen")), options.limit)


if __name__ == "__main__":
    main()
