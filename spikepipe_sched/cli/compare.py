"""``spikepipe-sched compare``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import Costing, Effort, Job, JsonFlag, Training, build_problem, numbers, read_lowering
from spikepipe_sched.cli.output import table, to_json
from spikepipe_sched.errors import InputError, SpikepipeError, Unsupported

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result

BASELINE = "stages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell of the comparison; figures are None where there is no schedule, ``note`` says why."""

    processors: int
    solver: str
    status: str
    length_cycles: int | None = None
    bound_cycles: int | None = None
    gap: float | None = None
    total_delay: int | None = None
    traffic_bytes: int | None = None
    speedup_over_stages: float | None = None
    seconds: float | None = None
    note: str = ""


def compare(
    network: str,
    /,
    *,
    solvers: str = "stages,auto",
    processors: Annotated[str, Parameter(alias="-P")] = "2,4,8",
    training: Training = Training(),
    costing: Costing = Costing(),
    job: Job = Job(),
    effort: Effort = Effort(),
    json: JsonFlag = False,
) -> int:
    """Compare solvers over numbers of processors.

    One row for every number of processors and solver, each under the limits given. The speed-up is
    over the solver stages on as many processors. Exit code 1 if any cell has no schedule.

    Parameters
    ----------
    network
        Name of a library network, or a .toml, .nir or .onnx file.
    solvers
        Names of solvers, comma-separated.
    processors
        Numbers of processors, comma-separated.
    json
        Print the rows as JSON.
    """
    from spikepipe_sched.solver import load_solver

    names = tuple(dict.fromkeys(name.strip() for name in solvers.split(",")))
    for name in names:
        load_solver(name)  # an unknown name is reported before the first run
    lowering = read_lowering(network, training, costing)
    rows: list[Row] = []
    interrupted = False
    try:
        for count in numbers(processors, "--processors"):
            problem = build_problem(lowering, job, count)
            baseline = _run(problem, BASELINE, job, effort, f"{count} processors  ")
            for name in names:
                outcome = baseline if name == BASELINE else _run(problem, name, job, effort, f"{count} processors  ")
                rows.append(_row(count, name, outcome, baseline))
    except KeyboardInterrupt:
        interrupted = True
    print(to_json([asdict(row) for row in rows]) if json else _text(rows, job.mode))
    if interrupted:
        raise KeyboardInterrupt
    return 1 if any(row.length_cycles is None for row in rows) else 0


def _run(problem: Problem, solver: str, job: Job, effort: Effort, prefix: str) -> Result | SpikepipeError:
    """A result, or why there is none; what is wrong with the options is no matter of a solver, and raised."""
    from spikepipe_sched.cli.run import run

    try:
        result = run(problem, solver, job, effort, prefix)
    except SpikepipeError as error:
        if isinstance(error, InputError) and not isinstance(error, Unsupported):
            raise
        return error
    if result.provenance.interrupted:
        raise KeyboardInterrupt
    return result


def _row(count: int, solver: str, outcome: Result | SpikepipeError, baseline: Result | SpikepipeError) -> Row:
    if isinstance(outcome, SpikepipeError):
        return Row(processors=count, solver=solver, status="not supported" if isinstance(outcome, Unsupported) else "failed", note=str(outcome))
    seconds = outcome.provenance.runtime_s
    if outcome.metrics is None:
        why = outcome.infeasibility.demanded if outcome.infeasibility is not None else ""
        return Row(processors=count, solver=solver, status=str(outcome.status), seconds=seconds, note=why)
    length = outcome.metrics.length_cycles
    level = next((level for level in outcome.objectives if level.name in ("period", "makespan")), None)
    reference = baseline.metrics.length_cycles if not isinstance(baseline, SpikepipeError) and baseline.metrics is not None else None
    return Row(
        processors=count,
        solver=solver,
        status=str(outcome.status),
        length_cycles=length,
        bound_cycles=None if level is None else level.bound,
        gap=None if level is None else level.gap,
        total_delay=outcome.metrics.total_delay,
        traffic_bytes=outcome.metrics.traffic_bytes,
        speedup_over_stages=None if reference is None else round(reference / length, 4),
        seconds=seconds,
    )


def _text(rows: list[Row], mode: str) -> str:
    from spikepipe_sched.export.summary import percent

    finite = mode == "finite"
    headers = ["processors", "solver", "makespan" if finite else "period", "gap", "sum of delays", "traffic bytes", "over stages", "seconds", "status"]

    def cells(row: Row) -> list[str]:
        if row.length_cycles is None:
            return [
                str(row.processors),
                row.solver,
                *["-"] * 5,
                "-" if row.seconds is None else f"{row.seconds:.1f}",
                f"{row.status}{': ' if row.note else ''}{row.note}",
            ]
        speedup = "-" if row.speedup_over_stages is None else f"{row.speedup_over_stages:.2f}x"
        gap = "-" if row.bound_cycles is None else percent(row.gap)
        return [
            str(row.processors),
            row.solver,
            f"{row.length_cycles:,}",
            gap,
            f"{row.total_delay:,}",
            f"{row.traffic_bytes:,}",
            speedup,
            f"{row.seconds:.1f}",
            row.status,
        ]

    keep = [i for i in range(len(headers)) if not (finite and i == 4)]  # a synchronous schedule has no delays
    return table([headers[i] for i in keep], [[cells(row)[i] for i in keep] for row in rows], right=[i for i, k in enumerate(keep) if k not in (1, 8)])
