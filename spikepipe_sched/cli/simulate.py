"""``spikepipe-sched simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spikepipe_sched.cli.options import JsonFlag

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.simulate import Simulation


def simulate(
    file: Path,
    /,
    *,
    iterations: int = 50,
    jitter: float = 0.0,
    sharing: Literal["none", "bus", "ports", "pairs"] | None = None,
    seed: int = 0,
    json: JsonFlag = False,
) -> int:
    """Replay a schedule file with jitter and link contention.

    Every processor takes its tasks in the schedule's order, each as soon as its inputs are there.

    Parameters
    ----------
    file
        Schedule file written by solve, or by anybody else.
    iterations
        Iterations to replay after the pipeline is filled; the second half of them is measured. A
        finite schedule is replayed once.
    jitter
        Relative standard deviation of the cycles of every run of a task: 0.05 for 5 percent.
    sharing
        What transfers hold while they are sent: nothing (none), one medium for all (bus), the
        sender's and the receiver's port (ports), or a link for each pair of processors (pairs);
        first come, first served. If not given: links as the platform declares them, in the
        schedule's order.
    seed
        Seed of the random cycles.
    json
        Print the result as JSON.
    """
    from spikepipe_sched.errors import InputError
    from spikepipe_sched.schema import load_result
    from spikepipe_sched.simulate import simulate as replay

    result = load_result(file)
    if result.schedule is None:
        raise InputError(f"{file}: there is no schedule in it ({result.status}); nothing to replay")
    try:
        found = replay(result.problem, result.schedule, iterations=iterations, jitter=jitter, seed=seed, sharing=sharing)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    if json:
        from spikepipe_sched.cli.output import to_json

        print(to_json(_document(result.problem, found)))
    else:
        print("\n".join(_lines(result.problem, found)))
    return 0


def _document(problem: Problem, found: Simulation) -> dict[str, Any]:
    periodic = problem.mode == "periodic"
    return {
        "mode": problem.mode,
        "scheduled_cycles": found.scheduled_cycles,
        "reached_cycles": found.reached_cycles,
        "ratio": found.ratio,
        "iterations" if periodic else "micro_batches": found.iterations,
        "jitter": found.jitter,
        "seed": found.seed,
        "sharing": found.sharing,
        "processors": [{"processor": p.name, "utilisation": share} for p, share in zip(problem.processors, found.utilisation, strict=True)],
        "links": [{"link": link.name, "load": link.load, "largest_queue": link.largest_queue} for link in found.links],
    }


def _lines(problem: Problem, found: Simulation) -> list[str]:
    from spikepipe_sched.export.bars import plain

    periodic = problem.mode == "periodic"
    what, unit = ("period", "cycles per iteration") if periodic else ("makespan", "cycles")
    ran = f"{found.iterations:,} iterations after {found.filling:,} that fill the pipeline" if periodic else f"{found.iterations:,} micro-batches"
    jitter = f"jitter {100 * found.jitter:g} %, seed {found.seed}" if found.jitter else "no jitter"
    contention = "links are not shared" if found.sharing == "none" else f"links shared ({found.sharing})"
    rows = [
        ("replayed", f"{plain(problem.name)}: {ran}; {jitter}; {contention}"),
        (what, f"{found.reached_cycles:,.2f} {unit} reached, {found.scheduled_cycles:,.2f} scheduled (x{found.ratio:.4f})"),
        ("utilisation", ", ".join(f"{plain(p.name)} {100 * share:.1f} %" for p, share in zip(problem.processors, found.utilisation, strict=True))),
    ]
    rows += [("link", f"{plain(link.name)}: {100 * link.load:.1f} % busy, at most {link.largest_queue} waiting") for link in found.links]
    margin = max(len(label) for label, _ in rows)
    return [f"{label:<{margin}}  {text}" for label, text in rows]
