"""Schedules executed for real, beside 1F1B on the same stages: ``python -m tests.benchmarks.execute --seconds 4 --runs 5 --limit 10``.

Stage costs are emulated by sleeping, so that a machine with fewer cores than processors still shows the
schedule's timing; in every group a cycle takes equally long. Given are medians; late are actions whose
real work outlasted their cycles.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from spikepipe_sched import Problem, Result, TrainingSetup, load_network, load_platform, lower, solve
from spikepipe_sched.execute import execute_many
from spikepipe_sched.readers.pipeline import Pipeline

SHORTEST = ("makespan",)
#: Slowest stage last, as in `unequal.toml`, and a fast one between slow ones.
UNEQUAL = ((3, 5, 2, 7), (4, 6, 3, 8), (3, 5, 2, 6))


def groups(limit: float) -> Iterator[tuple[str, float, dict[str, Result]]]:
    """What is compared, how much longer it must be emulated for its real work to fit, and its schedules by solver; the first one is 1F1B."""

    def solved(problem: Problem, *solvers: str) -> dict[str, Result]:
        return {solver: solve(problem, solver, time_limit_s=limit) for solver in solvers}

    for micro_batches, activations in ((8, None), (4, None)):
        pipeline = Pipeline.of_stages("unequal", *UNEQUAL, micro_batches=micro_batches, transfer_cycles=1, memory=activations)
        memory = "" if activations is None else f", {activations} activations"
        yield f"unequal stages, 4 processors, {micro_batches} micro-batches{memory}", 1, solved(pipeline.problem(objective=SHORTEST), "1f1b", "zb-h1", "auto")
    conv = load_network("dvs_gesture_conv", time_steps=8, input_shape=(2, 32, 32))
    deep = load_network("digits_deep")
    for network, batch in ((conv, 2), (deep, 16)):
        platform = load_platform("array32").with_processors(2)
        graph = lower(network, TrainingSetup(batch=batch, windows=4), platform)
        problem = Problem.from_graph(graph, platform, mode="finite", micro_batches=4, objective=SHORTEST)
        yield f"{network.name}, 2 processors, 4 micro-batches of 4 windows", 4, solved(problem, "1f1b", "zb-h1", "zb-v", "interleaved-zb")


def main() -> None:
    """Print a table for every group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="emulated length of the longest of a group of pipelines; networks take four times as long")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds a solver")
    options = parser.parse_args()
    for name, longer, results in groups(options.limit):
        print(
            f"\n{name}\n{'solver':15s} {'cycles':>9s} {'of 1F1B':>8s} {'measured s':>11s} {'of 1F1B':>8s} {'measured / predicted':>21s} {'late':>5s}  gradients"
        )
        executions = execute_many(list(results.values()), emulate_s=longer * options.seconds, runs=options.runs)
        first = executions[0]
        for solver, done in zip(results, executions, strict=True):
            share, measured = done.order_cycles / first.order_cycles, done.measured_s / first.measured_s
            gradients = f"{done.gradients.relative_error:.0e}" if done.faithful else "WRONG"
            print(
                f"{solver:15s} {done.order_cycles:9,d} {share:8.3f} {done.measured_s:11.3f} {measured:8.3f} {done.ratio:21.3f} {done.late:5d}  {gradients}",
                flush=True,
            )


if __name__ == "__main__":
    main()
