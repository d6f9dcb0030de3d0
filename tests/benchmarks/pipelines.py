"""Synchronous pipelines beside the published schedulers: ``python -m tests.benchmarks.pipelines [greedy|peers|joint] --limit 30``.

``peers`` and ``joint`` need the reference data (``SPIKEPIPE_DATA``).
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from spikepipe_sched import Problem, solve
from spikepipe_sched.assess import assess
from spikepipe_sched.bounds import makespan_bound
from spikepipe_sched.readers.pipeline import Pipeline, Placement
from spikepipe_solvers.sequences.improve import sequence_schedules

#: Variants that place two chunks of a stage in turn; all others with two go there and back.
INTERLEAVED = frozenset({"Interleaved1F1B", "InterleavedZeroBubble", "LoopedBFS", "vpp2"})
SHORTEST = ("makespan",)
#: Best published makespans on layers cut anew, in units of a stage: by micro-batches and transfer.
CUT_ANEW = {(8, 0): 128.75, (8, 1): 129.25, (16, 0): 252.75, (16, 1): 253.25, (32, 0): 500.75, (32, 1): 501.25}

Costs = tuple[tuple[int, ...], ...]


def costs_of(folder: Path, name: str) -> Costs:
    """F, B and W of the stages."""
    table = tomllib.loads((folder / "pipelines.toml").read_text())[name]
    return tuple(tuple(table[kind]) for kind in "FBW")


def peer_problems(folder: Path, micro_batches: tuple[int, ...] = (8, 16, 32)) -> Iterator[tuple[str, Problem, int]]:
    """Name, problem with the peer's placement and memory, and the best makespan of any peer that has these, in our cycles.

    Peers that keep two copies of the parameters, or cut the layers anew, solve other problems.
    """
    best: dict[tuple[str, int, int, Placement, int], int] = {}
    with (folder / "pipelines.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            variant, chunks = row["variant"], int(row["chunks_per_stage"])
            if "2x params" in variant or "dp_partition" in variant:
                continue
            placement: Placement = "stages" if chunks == 1 else "interleaved" if variant in INTERLEAVED else "v"
            key = (row["problem"][:6], int(row["micro_batches"]), int(row["transfer"]), placement, round(float(row["peak_activations"]) * chunks))
            makespan = round(float(row["makespan"]) * chunks)
            best[key] = min(best.get(key, makespan), makespan)
    for (name, m, transfer, placement, memory), makespan in best.items():
        if m in micro_batches:
            chunks = 1 if placement == "stages" else 2
            whole = Pipeline.of_stages(name, *costs_of(folder, name), micro_batches=m, transfer_cycles=transfer, placement=placement, chunks=chunks)
            problem = replace(whole, memory=(memory,) * whole.processors).problem(objective=SHORTEST)
            yield f"{name} m {m:2d} transfer {transfer} {placement:11s} {memory / chunks:4.1f} activations", problem, makespan


def chain(seed: int) -> Problem:
    """Eight unequal stages."""
    rng = random.Random(seed)
    costs = [tuple(rng.randint(1, 9) for _ in range(8)) for _ in range(3)]
    return Pipeline.of_stages("chain", *costs, micro_batches=rng.randint(1, 32), transfer_cycles=rng.randint(0, 3)).problem(objective=SHORTEST)


def greedy(_: float) -> None:
    """How often the constructive heuristic meets the bound on random unequal chains, and how far it is from it."""
    gaps, seconds = list[float](), list[float]()
    for seed in range(300):
        problem = chain(seed)
        bound, began = makespan_bound(problem).value, time.process_time()
        found = min(assess(problem, schedule).key(problem)[0] for schedule in sequence_schedules(problem))
        seconds.append(time.process_time() - began)
        gaps.append(found / bound - 1)
    met, mean, worst = sum(gap == 0 for gap in gaps), 100 * sum(gaps) / len(gaps), 100 * max(gaps)
    print(
        f"300 random chains of 8 stages: bound met {met} times, gap {mean:.2f} % on average, {worst:.1f} % at most; {1000 * sorted(seconds)[150]:.0f} ms CPU (median)"
    )


def solved(name: str, problem: Problem, peer: float, limit: float) -> int:
    """Print a line; 1 if the peer is better."""
    began = time.process_time()
    level = solve(problem, "auto", time_limit_s=limit).objectives[0]
    worse = level.value > peer
    print(
        f"{name:48s} peers {peer:7g}  ours {level.value:5d}, bound {level.bound:5d}  {time.process_time() - began:5.1f} s CPU{'  WORSE' if worse else ''}",
        flush=True,
    )
    return int(worse)


def peers(limit: float) -> None:
    """Every published schedule against `auto` with its placement and memory."""
    rows = list(peer_problems(Path(os.environ["SPIKEPIPE_DATA"])))
    print(f"worse on {sum(solved(*row, limit) for row in rows)} of {len(rows)} rows")


def joint(limit: float) -> None:
    """Cut, placement and order together, on 16 layers and 4 processors."""
    costs = costs_of(Path(os.environ["SPIKEPIPE_DATA"]), "unb_p4")
    for (m, transfer), peer in CUT_ANEW.items():
        pipeline = Pipeline.of_stages("free", *costs, micro_batches=m, transfer_cycles=transfer, placement="free", chunks=4)
        solved(f"unb_p4, 16 layers, m {m:2d} transfer {transfer}", pipeline.problem(objective=SHORTEST), 4 * peer, limit)


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = {"greedy": greedy, "peers": peers, "joint": joint}
    parser.add_argument("which", nargs="*", default=list(known), choices=list(known))
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a problem")
    options = parser.parse_args()
    for name in options.which:
        known[name](options.limit)


if __name__ == "__main__":
    main()
