"""``spikepipe-sched compare``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import Costing, Effort, Job, JsonFlag, Training, given, numbers
from spikepipe_sched.cli.output import require_writable, to_json
from spikepipe_sched.cli.source import read_source
from spikepipe_sched.cli.stored import compare_store, is_store, refuse
from spikepipe_sched.errors import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikepipe_sched.comparison import Comparison, Run
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.solver import Solver

#: More schedules, or lines in each, are not drawn in the terminal unless asked for.
MAX_CHARTS, MAX_LINES = 4, 16


def compare(
    network: str,
    /,
    *,
    solvers: str | None = None,
    processors: Annotated[str | None, Parameter(alias="-P")] = None,
    baseline: str = "stages",
    gantt: bool | None = None,
    sweep: list[str] | None = None,
    training: Training = Training(),
    costing: Costing = Costing(),
    job: Job = Job(),
    effort: Effort = Effort(),
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Compare solvers over numbers of processors.

    One row for every number of processors and solver, each under the limits given; gaps are to the
    best bound that any of them knows. Then what each solver optimises and ignores, and the
    schedules on one time axis. Exit code 1 if a solver asked for by name has no schedule, one
    fails, or nobody has a schedule; those of a group that cannot take the problem are only
    listed, and those that find none within its limits are rows.

    Parameters
    ----------
    network
        Name of a library network, a .toml, .nir or .onnx file, or a task graph: .stg, .dot (.gv),
        .graphml, or a pipeline .toml (FILE#TABLE for one of several tables); or a store of sweeps
        (.sqlite, .db), whose rows are compared problem by problem, and nothing is run.
    solvers
        Names of solvers, comma-separated; all: every installed one, baselines: those that follow a
        published rule and prove nothing. stages,auto if not given.
    processors
        Numbers of processors, comma-separated; 2,4,8 if not given, or a task graph's own number.
    baseline
        Solver that speed-ups are over, on as many processors; it runs in any case.
    gantt
        Draw the schedules; if not given, up to four on one number of processors of at most 16 are drawn.
    sweep
        Of a store: name of a sweep in it, again for several; all rows if not given.
    output
        File for the comparison: .html, a page with interactive Gantt charts on one time axis; .json,
        the rows with every schedule.
    json
        Print the rows as JSON and nothing else.
    """
    from spikepipe_sched.comparison import choose, side_by_side
    from spikepipe_sched.solver import load_solver

    if is_store(network):
        named = {"--solvers": solvers is not None, "--processors": processors is not None, "--gantt": gantt is not None}
        refuse(network, named, given(training, costing, job, effort))
        return compare_store(network, sweep or (), baseline, output, json=json)
    require(sweep is None, f"{network}: --sweep belongs to a store of sweeps")
    names = [name.strip() for name in (solvers or "stages,auto").split(",")]
    _, of_groups, _ = choose(names)  # an unknown name is reported before the first run
    load_solver(baseline)
    require(output is None or output.suffix in (".html", ".json"), f"--output takes a file that ends in .html or .json, not '{output}'")
    require_writable(output)
    source = read_source(network, training, costing, job)
    counts = source.counts if processors is None else numbers(processors, "--processors")
    found: list[Comparison] = []
    interrupted = False
    try:
        for count in dict.fromkeys(counts):
            problem = source.problem(job, count)
            comparison = side_by_side(problem, names, baseline, _runner(job, effort, f"{count} processors  "))
            interrupted = comparison.interrupted
            if comparison.rows or not interrupted:
                found.append(comparison)
            if interrupted:
                break
    except KeyboardInterrupt:
        interrupted = True
    _write(found, output)
    if json:
        from spikepipe_sched.comparison_document import rows_of

        print(to_json([row for comparison in found for row in rows_of(comparison)]))
    elif found:
        from spikepipe_sched.export.comparison import comparison_text

        drawn = sum(row.length_cycles is not None for comparison in found for row in comparison.rows)
        few = len(found) == 1 and drawn <= MAX_CHARTS and len(found[0].problem.processors) <= MAX_LINES
        print(comparison_text(found, charts=few if gantt is None else gantt, width=shutil.get_terminal_size((100, 24)).columns))
    if output is not None and found:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
    if interrupted:
        raise KeyboardInterrupt
    return 0 if all(_served(comparison, of_groups) for comparison in found) else 1


def _served(comparison: Comparison, of_groups: Sequence[str]) -> bool:
    """Whether somebody has a schedule, all who were asked for by name do, and nobody failed."""
    without = [row for row in comparison.rows if row.length_cycles is None]
    return len(without) < len(comparison.rows) and all(row.solver in of_groups and row.status != "failed" for row in without)


def _runner(job: Job, effort: Effort, prefix: str) -> Run:
    """Runs a solver as the options ask for it, with live progress."""
    from spikepipe_sched.cli.run import run

    def with_options(problem: Problem, solver: Solver) -> Result:
        return run(problem, solver, job, effort, prefix)

    return with_options


def _write(found: Sequence[Comparison], output: Path | None) -> None:
    """First of all: whoever reads the table may close the pipe."""
    if output is None or not found:
        return
    if output.suffix == ".json":
        from spikepipe_sched.comparison_document import comparisons_to_json

        comparisons_to_json(found, output)
        return
    from spikepipe_sched.export.comparison import comparison_page
    from spikepipe_sched.files import write_atomically

    write_atomically(output, comparison_page(found))
