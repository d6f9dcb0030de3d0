"""``spikepipe-sched pareto``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from spikepipe_sched.cli.options import Costing, Job, JsonFlag, Training, given
from spikepipe_sched.cli.output import require_writable, table
from spikepipe_sched.cli.source import read_source
from spikepipe_sched.cli.stored import is_store, pareto_store, refuse

if TYPE_CHECKING:
    from spikepipe_sched.pareto import Front, FrontPoint


def pareto(
    network: str,
    /,
    *,
    processors: Annotated[int | None, Parameter(alias="-P")] = None,
    objectives: str | None = None,
    over: str | None = None,
    baseline: str | None = None,
    sweep: list[str] | None = None,
    points: int | None = None,
    solver: str | None = None,
    time_limit: float | None = None,
    deterministic_limit: float | None = None,
    workers: int | None = None,
    seed: int | None = None,
    training: Training = Training(),
    costing: Costing = Costing(),
    job: Job = Job(),
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Trade the period against gradient delay or traffic.

    One row for every schedule that no other one found beats, shortest period first, with what is
    proven about it. Ctrl-C ends the search early and keeps what was found.

    Parameters
    ----------
    network
        Name of a library network, a .toml, .nir or .onnx file, or a task graph: .stg, .dot (.gv),
        .graphml, or a pipeline .toml (FILE#TABLE for one of several tables); or a store of sweeps
        (.sqlite, .db), of whose rows those are listed that no other one beats, and nothing is solved.
    processors
        Number of processors, for which the platform's list is cut or repeated. If not given: the
        platform's own number (4 in the library), or the task graph's.
    objectives
        period,delay (the default), period,traffic or period,delay,traffic; makespan,traffic in finite
        mode.
    over
        Of a store: the figures that count, comma-separated; period,pes if not given. Others are
        cycles_per_sample, samples_per_s, speedup, delay, traffic, memory, utilisation, processors, seconds, ...
    baseline
        Of a store: solver that speedup is over; stages if not given.
    sweep
        Of a store: name of a sweep in it, again for several; all rows if not given.
    points
        Most solves; each yields a point or closes a part of the front. 16 if not given.
    solver
        Name of an installed solver; see the command solvers. auto if not given.
    time_limit
        Wall-clock limit of all solves together [seconds]; 120 if not given.
    deterministic_limit
        Work of all solves together in place of time, in units of about a second of one core: the same front on any machine.
    workers
        Threads; all processor cores if not given.
    seed
        Seed of everything random; 0 if not given.
    output
        File for the front as JSON, with every schedule; of a store its rows as .json, or a page (.html).
    json
        Print the front as JSON and nothing else.
    """
    from spikepipe_sched.cli.progress import live_progress
    from spikepipe_sched.errors import require
    from spikepipe_sched.pareto import pareto as run

    search: dict[str, Any] = {
        "points": points,
        "solver": solver,
        "time_limit_s": time_limit,
        "deterministic_limit": deterministic_limit,
        "workers": workers,
        "seed": seed,
    }
    if is_store(network):
        named = {f"--{name.removesuffix('_s').replace('_', '-')}": value is not None for name, value in search.items()}
        refuse(network, {"--processors": processors is not None, "--objectives": objectives is not None, **named}, given(training, costing, job))
        return pareto_store(network, sweep or (), over, baseline, output, json=json)
    require(over is None and sweep is None and baseline is None, f"{network}: --over, --baseline and --sweep belong to a store of sweeps")
    require(job.objective is None, "pareto takes --objectives, not --objective")
    require(job.slack is None, "pareto shows what every longer period is worth; --slack belongs to solve and compare")
    names = None if objectives is None else tuple(part.strip() for part in objectives.split(","))
    require_writable(output)
    problem = read_source(network, training, costing, job).problem(job, processors)
    with live_progress() as observer:
        front = run(problem, names, observer=observer, **{name: value for name, value in search.items() if value is not None})
    if output is not None and front.points:
        front.to_json(output)  # first of all: whoever reads the table may close the pipe
    print(front.to_json() if json else _text(front))
    if not front.points:
        reason = "interrupted before a schedule was found" if front.interrupted else "error: no feasible schedule found; 'solve' says why"
        print(reason + (f"; {output} is left as it was" if output is not None else ""), file=sys.stderr)
        return 130 if front.interrupted else 1
    if front.interrupted:
        print("interrupted: this is what was found so far", file=sys.stderr)
    if output is not None:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
    return 0


def _text(front: Front) -> str:
    """The table, and how long it took."""
    from spikepipe_sched.export.summary import percent

    if not front.points:
        return "no points"
    least = front.points[0].values[0]
    titles = {"delay": "sum of delays", "traffic": "traffic bytes"}
    second = titles[front.objectives[1]]
    further = [titles[name] for name in front.objectives[2:]]
    headers = [front.objectives[0], "x least", second, *further, "at least", "gap", "proven"]

    def cells(point: FrontPoint) -> list[str]:
        length, target, *rest = point.values
        verdict = "exact" if point.exact else f"least {second.split(' bytes')[0]}" if point.proven else "-"
        return [f"{length:,}", f"{length / least:.3f}", f"{target:,}", *(f"{value:,}" for value in rest), f"{point.bound:,}", percent(point.gap), verdict]

    rows = [cells(point) for point in front.points]
    known = sum(point.proven for point in front.points)
    closing = f"{len(rows)} point{'' if len(rows) == 1 else 's'}, {known} with the {second.split(' bytes')[0]} proven least at their {front.objectives[0]}; {front.runtime_s:.1f} s"
    return f"{table(headers, rows, right=range(len(headers) - 1))}\n{closing}"
