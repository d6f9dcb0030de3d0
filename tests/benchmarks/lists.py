"""Speed, memory and quality of list scheduling: ``python -m tests.benchmarks.lists [scale|peer|optimum]``.

``SPIKEPIPE_SAGA_PYTHON`` names a Python that has SAGA (anrg-saga) installed; without it the peer is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import textwrap
import time

import numpy as np

from spikepipe_sched.check import violations
from spikepipe_sched.problem import Problem
from spikepipe_sched.solver import Budget
from spikepipe_solvers.clock import Clock
from spikepipe_solvers.incumbent import Incumbent
from spikepipe_solvers.lists import SOLVER
from spikepipe_solvers.lists.graph import graph_of
from spikepipe_solvers.lists.improve import improve_makespan
from spikepipe_solvers.lists.solver import schedule_of
from tests.arrays import layered_problem
from tests.known_optimum import known_optimum

#: Runs SAGA's HEFT on a graph from standard input and prints its CPU seconds and makespan.
PEER = textwrap.dedent("""
    import json, sys, time
    from saga import Network, TaskGraph
    from saga.schedulers import HeftScheduler
    given = json.load(sys.stdin)
    names = [f"p{p}" for p in range(given["processors"])]
    links = [(p, q, 1e12 if p == q else 1.0) for i, p in enumerate(names) for q in names[i:]]
    network = Network.create([(p, 1.0) for p in names], links)
    tasks = [(f"t{v}", float(cycles)) for v, cycles in enumerate(given["cycles"])]
    graph = TaskGraph.create(tasks, [(f"t{u}", f"t{v}", float(size)) for u, v, size in given["edges"]])
    began = time.process_time()
    schedule = HeftScheduler().schedule(network, graph)
    print(json.dumps([time.process_time() - began, schedule.makespan]))
""")


def peak_mb() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def heft_seconds(problem: Problem) -> tuple[float, int]:
    """CPU seconds of HEFT from a compiled problem, and its makespan."""
    began = time.process_time()
    makespan, _, _ = SOLVER.run(graph_of(problem))
    return time.process_time() - began, makespan


def warm() -> None:
    """Compile, or load what is compiled."""
    began = time.process_time()
    SOLVER.run(graph_of(layered_problem(2000, 64)))
    print(f"kernels of HEFT: {time.process_time() - began:.1f} s CPU to compile or load")


def scale() -> None:
    """A hundred thousand and a million tasks on 64 processors."""
    warm()
    for n in (100_000, 1_000_000):
        problem = layered_problem(n, 64)
        before, (seconds, makespan) = peak_mb(), heft_seconds(problem)
        after, area = peak_mb(), -(-int(problem.tasks.cycles.sum()) // 64)
        print(
            f"HEFT {n} x 64, {len(problem.edges.source)} edges: {seconds:.2f} s CPU, peak {before} MB before and {after} MB after, {makespan / area:.4f} of the area bound"
        )


def peer() -> None:
    """2,000 tasks on 64 processors, beside SAGA."""
    warm()
    (seconds, makespan), theirs = beside_saga()
    print(f"HEFT 2000 x 64: {1000 * seconds:.1f} ms CPU, makespan {makespan}")
    if theirs is None:
        print("SAGA: not installed (SPIKEPIPE_SAGA_PYTHON)")
    else:
        print(f"SAGA 2000 x 64: {theirs[0]:.2f} s CPU, makespan {theirs[1]}: {theirs[0] / seconds:.0f} times our time")


def beside_saga() -> tuple[tuple[float, int], tuple[float, int] | None]:
    """(CPU seconds, makespan) of HEFT on 2,000 tasks and 64 processors, here (best of five) and by SAGA, if that is installed."""
    problem = layered_problem(2000, 64)
    ours = min(heft_seconds(problem) for _ in range(5))
    assert violations(problem, schedule_of(SOLVER.run(graph_of(problem)))) == ()
    python = os.environ.get("SPIKEPIPE_SAGA_PYTHON")
    if python is None:
        return ours, None
    instance = problem.instance
    edges = np.stack([instance.source, instance.target, instance.transfer], axis=1).tolist()
    given = json.dumps({"processors": 64, "cycles": problem.tasks.cycles[:, 0].tolist(), "edges": edges})
    done = subprocess.run([python, "-W", "ignore", "-c", PEER], input=given, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"SAGA: {done.stderr.strip().splitlines()[-1]}")
    seconds, length = json.loads(done.stdout.strip().splitlines()[-1])
    return ours, (seconds, round(length))


def optimum(limit: float) -> None:
    """Gaps on graphs with a known optimum: HEFT, and the improvement after ``limit`` deterministic units (about CPU seconds)."""
    print(f"gap %, {limit:g} units each: HEFT -> improvement")
    for n in (100, 1000, 10_000):
        for count in (2, 8, 32):
            for density in (1.0, 3.0, 5.0):
                for transfers, unlike in ((False, False), (True, False), (True, True)):
                    problem, least = known_optimum(n, count, density=density, transfers=transfers, unlike=unlike)
                    began = time.process_time()
                    incumbent = Incumbent(problem, "benchmark")
                    improve_makespan(incumbent, Clock(Budget(deterministic_limit=limit)), 0, bound=least)
                    seconds, (heft, _, _) = time.process_time() - began, SOLVER.run(graph_of(problem))
                    first, last = 100 * (heft / least - 1), 100 * (incumbent.value("makespan") / least - 1)
                    what = ("unlike" if unlike else "alike") + (", transfers" if transfers else "")
                    print(
                        f"n {n:5d} P {count:2d} density {density:g} {what:17s} {first:6.2f} -> {last:6.2f}  {incumbent.winner}, {seconds:.1f} s CPU", flush=True
                    )


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", default=["scale", "peer", "optimum"], choices=["scale", "peer", "optimum"])
    parser.add_argument("--limit", type=float, default=20.0, help="deterministic units a graph")
    options = parser.parse_args(sys.argv[1:])
    for name in options.which:
        if name == "optimum":
            optimum(options.limit)
        else:
            {"scale": scale, "peer": peer}[name]()


if __name__ == "__main__":
    main()
