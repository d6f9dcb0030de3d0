"""The numbers the project promises, measured: ``python -m tests.benchmarks [solvers|periods|delays|start|agreement|cost|lowering|validate]``.

Three more have commands of their own, as they may run for an hour: ``python -m tests.benchmarks.baselines``
(the literature's asynchronous pipelines), ``tests.benchmarks.pipelines [greedy|peers|joint]`` and
``tests.benchmarks.graphs [stg|dot|structures]``.

Run from the root of a checkout with the package installed. Times are CPU seconds of this machine;
gaps, delays and speed-ups do not depend on it (beyond what the time limit lets the search do).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import spikepipe_sched as sched
from spikepipe_sched import Limits, solve
from spikepipe_sched.cut import contiguous_cut
from tests.benchmarks.cells import library_problem

PROCESSORS = (2, 3, 4, 6, 8)


def periods(limit: float) -> None:
    """Gap of the period and speed-up over contiguous stages, per network and number of processors (windows 4)."""
    print(f"period, windows 4, batch 16, 32x32, {limit:g} s a cell")
    print(f"{'network':18s} {'P':>2s} {'gap %':>7s} {'speed-up':>8s} {'at most':>8s}  bound")
    speedups: list[float] = []
    worst = 0.0
    for entry in sched.list_networks():
        for count in PROCESSORS:
            problem = library_problem(entry.name, count, 4, objective=("period",))
            result = solve(problem, "auto", time_limit_s=limit)
            cut = contiguous_cut(problem)
            assert result.objective is not None
            assert result.bound is not None
            assert result.gap is not None
            assert cut is not None
            speedup, most = cut.load_cycles / result.objective, cut.load_cycles / result.bound
            speedups.append(speedup)
            worst = max(worst, result.gap)
            print(f"{entry.name:18s} {count:2d} {100 * result.gap:7.3f} {speedup:8.3f} {most:8.3f}  {result.objectives[0].bound_source}", flush=True)
    print(f"mean speed-up {sum(speedups) / len(speedups):.3f}, largest {max(speedups):.3f}, worst gap {100 * worst:.3f} %")


def delays(limit: float) -> None:
    """Least sum of delays at 1.01 times the least period, P = 4."""
    print(f"sum of delays at period <= 1.01 * least, P = 4, {limit:g} s a cell")
    for network in ("nmnist_mlp", "dvs_gesture_conv", "vgg9"):
        for windows in (1, 4):
            least = solve(library_problem(network, 4, windows, objective=("period",)), "auto", time_limit_s=limit).objective
            assert least is not None
            problem = library_problem(network, 4, windows, objective=("delay",), limits=Limits(period_cycles=least * 101 // 100))
            result = solve(problem, "auto", time_limit_s=limit)
            assert result.schedule is not None
            assert result.schedule.period is not None
            level = result.objectives[0]
            ratio = result.schedule.period / least
            print(
                f"{network:18s} windows {windows}: period {ratio:.4f} of the least, delays {level.value}, bound {level.bound} ({level.bound_source}), {result.status}",
                flush=True,
            )


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds of a child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start(_: float) -> None:
    """CPU seconds of the command line: first run (cold) and best of five."""
    for arguments in (["--help"], ["solve", "tiny"]):
        times = [cpu_seconds([sys.executable, "-m", "spikepipe_sched", *arguments]) for _ in range(5)]
        print(f"spikepipe-sched {' '.join(arguments):12s} first {times[0]:.2f} s, best {min(times):.2f} s CPU")


def agreement(count: float) -> None:
    """``cpsat`` against brute force and the checker on ``count`` random problems of each mode."""
    from tests.oracle import Oracle, TooLarge, random_problem

    for mode in ("periodic", "finite"):
        agreed = infeasible = open_ = seed = 0
        began = time.process_time()
        while agreed + infeasible + open_ < count:
            problem = random_problem(seed, mode)
            seed += 1
            try:
                best = Oracle(problem).optimum()
            except TooLarge:
                continue
            result = solve(problem, "cpsat", deterministic_limit=10.0)
            if best is None:
                if result.schedule is not None:
                    raise SystemExit(f"{mode} problem {seed - 1}: brute force finds nothing, cpsat {result.key()}")
                infeasible += result.status == "infeasible"
                open_ += result.status == "unknown"
            elif result.key() != best or any(level.bound > value for level, value in zip(result.objectives, best, strict=True)):
                raise SystemExit(f"{mode} problem {seed - 1}: brute force {best}, cpsat {result.key()}")
            else:
                agreed += 1
        print(
            f"{mode}: {agreed} optima equal, {infeasible} proven infeasible by both, {open_} left open by cpsat; {time.process_time() - began:.0f} s CPU",
            flush=True,
        )


def cost(_: float) -> None:
    """Nanoseconds per matrix product."""
    from tests.benchmarks.cost import main as run

    run()


def lowering(_: float) -> None:
    """Time and memory of large task graphs."""
    from tests.benchmarks.lowering import main as run

    run()


def validate(_: float) -> None:
    """Speed of training against snnTorch and SpikingJelly."""
    from tests.benchmarks.validate import main as run

    run()


def solvers(limit: float) -> None:
    """What the solvers promise, in one table."""
    from tests.benchmarks.solvers import main as run

    run(limit)


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = {
        "solvers": solvers,
        "start": start,
        "delays": delays,
        "periods": periods,
        "agreement": agreement,
        "cost": cost,
        "lowering": lowering,
        "validate": validate,
    }
    parser.add_argument("which", nargs="*", default=list(known), choices=list(known))
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a cell")
    parser.add_argument("--count", type=float, default=1000, help="random problems of each mode")
    options = parser.parse_args()
    for name in options.which:
        known[name](options.count if name == "agreement" else options.limit)


if __name__ == "__main__":
    main()
