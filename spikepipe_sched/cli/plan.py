"""``spikepipe-sched plan``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import Costing, Effort, Job, JsonFlag, Training
from spikepipe_sched.cli.output import require_writable
from spikepipe_sched.cli.source import Lowering, array_size, read_source
from spikepipe_sched.errors import InputError, require

if TYPE_CHECKING:
    from spikepipe_sched.plan import Plan


def plan(
    network: str,
    /,
    *,
    pe_budget: int | None = None,
    target_period: int | None = None,
    target_makespan: int | None = None,
    arrays: str | None = None,
    max_processors: int = 64,
    solver: str = "auto",
    training: Training = Training(),
    costing: Costing = Costing(),
    job: Job = Job(),
    effort: Effort = Effort(time_limit=120.0),
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Choose how many arrays of which size, with a schedule.

    Within a budget of processing elements (rows x columns x arrays) the shortest period, then the
    fewest elements; for a target the fewest elements, then the shortest period. All arrays are alike.
    Choices that a bound excludes are not solved, and what is proven about all of them is stated. Of
    the platform only the clock, the interconnect and the class of its first processor count; each array has
    its own memory and bandwidth, and vector lanes in proportion to its columns. Ctrl-C ends the search
    early and keeps the best choice. Exit code 1 if nothing reaches the target.

    Parameters
    ----------
    network
        Name of a library network, or a .toml, .nir or .onnx file.
    pe_budget
        Most processing elements.
    target_period
        Longest period [cycles]; under --unroll of all its iterations together.
    target_makespan
        Longest makespan in finite mode [cycles].
    arrays
        Sizes to choose from, ROWSxCOLUMNS, comma-separated; if not given, a quarter of the platform's own
        array, half, once, twice and four times, in both dimensions.
    max_processors
        Most arrays.
    solver
        Name of an installed solver; see the command solvers.
    output
        File for the chosen schedule as JSON, as solve writes it.
    json
        Print the plan as JSON, with its schedule, and nothing else.
    """
    from spikepipe_sched.cli.progress import live_progress
    from spikepipe_sched.plan import plan as run

    target = _target(pe_budget, target_period, target_makespan, job)
    sizes = None if arrays is None else [array_size(part, "--arrays") for part in arrays.split(",")]
    require_writable(output)
    source = read_source(network, training, costing, job)
    if not isinstance(source, Lowering):
        raise InputError(f"{network}: a task graph brings its own cycles, whatever the arrays; plan needs a network")
    with live_progress() as observer:
        found = run(
            source.network,
            source.setup,
            source.machine(job),
            pe_budget=pe_budget,
            target_cycles=target,
            arrays=sizes,
            max_processors=max_processors,
            cost=source.cost,
            splits=source.splits,
            solver=solver,
            time_limit_s=effort.time_limit,
            deterministic_limit=effort.deterministic_limit,
            workers=effort.workers,
            seed=effort.seed,
            observer=observer,
            **source.options(job),
        )
    return _show(found, output, json=json)


def _target(pe_budget: int | None, period: int | None, makespan: int | None, job: Job) -> int | None:
    """The target, if that is the question; InputError unless there is just one question, and the options go with it."""
    given = {"--pe-budget": pe_budget, "--target-period": period, "--target-makespan": makespan}
    questions = [name for name, value in given.items() if value is not None]
    require(len(questions) == 1, f"plan takes one of {', '.join(given)}{', not ' if questions else ''}{' and '.join(questions)}")
    wrong, mode = ("--target-period", "finite") if job.mode == "finite" else ("--target-makespan", "periodic")
    require(given[wrong] is None, f"{wrong} cannot go with --mode {mode}")
    for option, value in (("--max-period", job.max_period), ("--max-makespan", job.max_makespan)):
        require(value is None, f"plan takes {option.replace('max', 'target')}, not {option}")
    require(job.slack is None, "plan looks for the least period; --slack belongs to solve and compare")
    return makespan if period is None else period


def _show(found: Plan, output: Path | None, *, json: bool) -> int:
    """Write, print, and the exit code."""
    if output is not None and found.result is not None:
        found.result.to_json(output)  # first of all: whoever reads the text may close the pipe
    if json:
        print(found.to_json())
    else:
        from spikepipe_sched.export.plan import plan_text

        print(plan_text(found, shutil.get_terminal_size((100, 24)).columns))
    if found.result is None:
        left = f"; {output} is left as it was" if output is not None else ""
        print(f"{_why_not(found)}{left}", file=sys.stderr)
        return 130 if found.interrupted else 1
    if found.interrupted:
        print("interrupted: this is what was found so far", file=sys.stderr)
    if output is not None:
        print(f"written to {output}", file=sys.stderr if json else sys.stdout)
    return 0


def _why_not(found: Plan) -> str:
    """What was reached, and what is proven."""
    from spikepipe_sched.export.plan import choice, shortest_found

    best, length = shortest_found(found), "period" if found.mode == "periodic" else "makespan"
    if best is None and found.interrupted:
        return "interrupted before a schedule was found"
    reached = "no schedule was found" if best is None else f"the shortest {length} found is {best.length_cycles:,} cycles, on {choice(best)}"
    reached = f"{'interrupted' if found.interrupted else 'error'}: {reached}"
    if found.length_bound is None:
        return f"{reached}; proven: there is none within the limits"
    return f"{reached}; proven: none is below {found.length_bound:,}{'; ' if found.outlook else ''}{found.outlook}"
