"""``spikepipe-sched solve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import Costing, Effort, Job, JsonFlag, Training, parse_share
from spikepipe_sched.cli.output import require_writable
from spikepipe_sched.cli.source import read_source

if TYPE_CHECKING:
    from spikepipe_sched.result import Result


def solve(
    network: str,
    /,
    *,
    processors: Annotated[int | None, Parameter(alias="-P")] = None,
    solver: str = "auto",
    training: Training = Training(),
    costing: Costing = Costing(),
    job: Job = Job(),
    effort: Effort = Effort(),
    require_gap: str | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Schedule the training of a network.

    The summary goes to stdout, live progress to stderr if that is a terminal. Ctrl-C ends the
    search early and keeps the best checked schedule found so far.

    Parameters
    ----------
    network
        Name of a library network, a .toml, .nir or .onnx file, or a task graph: .stg, .dot (.gv),
        .graphml, or a pipeline .toml (FILE#TABLE for one of several tables).
    processors
        Number of processors, for which the platform's list is cut or repeated. If not given: the
        platform's own number (4 in the library), or the task graph's.
    solver
        Name of an installed solver; see the command solvers.
    require_gap
        Exit with code 1 if the gap of the first objective is larger: 0.01, or 1%.
    output
        File for the result as JSON.
    json
        Print the result as JSON and nothing else.
    """
    from spikepipe_sched.cli.run import run

    threshold = None if require_gap is None else parse_share(require_gap, "--require-gap")
    require_writable(output)
    problem = read_source(network, training, costing, job).problem(job, processors)
    result = run(problem, solver, job, effort)
    nothing = result.schedule is None and result.provenance.interrupted
    if output is not None and not nothing:
        result.to_json(output)  # first of all: whoever reads the summary may close the pipe
    if json:
        print(result.to_json())
    else:
        from spikepipe_sched.export.summary import summary_lines

        print("\n".join(summary_lines(result)))
    if nothing:
        print("interrupted before a schedule was found" + (f"; {output} is left as it was" if output is not None else ""), file=sys.stderr)
        return 130
    if output is not None:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
    return _verdict(result, threshold)


def _verdict(result: Result, threshold: float | None) -> int:
    """The exit code, with its reason on stderr where it is not 0."""
    if result.provenance.interrupted:
        print("interrupted: this is the best found so far", file=sys.stderr)
    if result.schedule is None:
        print(f"error: no feasible schedule ({result.status})", file=sys.stderr)
        return 1
    from spikepipe_sched.export.summary import percent

    if threshold is not None and (result.gap is None or result.gap > threshold):
        print(f"error: the gap of {result.objectives[0].name} is {percent(result.gap)}, more than the required {percent(threshold)}", file=sys.stderr)
        return 1
    return 0
