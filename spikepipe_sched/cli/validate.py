"""``spikepipe-sched validate``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Group, Parameter

from spikepipe_sched.cli.options import JsonFlag
from spikepipe_sched.cli.output import deliver, require_writable
from spikepipe_sched.cli.sweep_delays import Sweep, run_sweep
from spikepipe_sched.validation import ValidationSetup

if TYPE_CHECKING:
    from spikepipe_sched.validation import Validation

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Setup = Annotated[ValidationSetup, Parameter(name="*", group=Group("Training", sort_key=1))]
_SETUP: Final = ValidationSetup()
_SWEEP: Final = Sweep()


def validate(
    file: Path,
    /,
    *,
    data: str,
    data_path: Path | None = None,
    network: str | None = None,
    setup: Setup = _SETUP,
    sweep: Sweep = _SWEEP,
    checkpoints: Path | None = None,
    resume: Flag = False,
    fail_on_degraded: Flag = False,
    workers: int = 1,
    device: str = "cpu",
    threads: int = 1,
    html: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Train with a schedule's delays and without: do they cost accuracy?

    Every seed trains two arms from the same weights on the same batches: one with exactly the weight
    versions that the schedule makes every iteration use, one synchronously. The test accuracies after
    the last epoch are compared seed by seed: no degradation, if the 95 percent interval of the mean
    difference lies above -margin; degraded, if it lies below, or if only the delays made a run
    diverge; else inconclusive. The exit code is 0 in each case, but see --fail-on-degraded. Ctrl-C
    ends it early; the checkpoints stay.

    Parameters
    ----------
    file
        Schedule file written by solve.
    data
        Name of a data set: digits, vowels, mnist5k, mnist, cifar10, nmnist, dvs-gesture, cifar10-dvs,
        shd, or temporal, which is generated.
    data_path
        File or folder of the data, where they come with no package; what is needed is said if it is
        missing.
    network
        Network to train, of the library or a file, in place of the one that the schedule file holds;
        files of task graphs hold none.
    checkpoints
        Folder for a checkpoint of every run, replaced after every epoch. If not given: beside --output,
        NAME.checkpoints; without a file to write to none are made.
    resume
        Go on from these checkpoints, with the same result as without the break. More seeds use those
        that are there; other epochs need another folder.
    fail_on_degraded
        Exit with code 1 if the verdict is degraded; not if it is inconclusive.
    workers
        Runs side by side, each in a process of its own.
    device
        Where PyTorch computes: cpu, or cuda.
    threads
        PyTorch's threads in every run; small networks are quickest with one.
    html
        File for a page with the curves.
    output
        File for the validation as JSON, with all curves.
    json
        Print the validation as JSON and nothing else.
    """
    from spikepipe_sched import load_network
    from spikepipe_sched.cli.training_progress import live_training
    from spikepipe_sched.errors import InputError, require
    from spikepipe_sched.schema import load_result
    from spikepipe_sched.validate import validate as run

    require_writable(output)
    require_writable(html)
    if checkpoints is None and output is not None and (output.is_file() or not output.exists()):  # not of a device or pipe
        checkpoints = output.with_suffix(".checkpoints")
    paths = [path.resolve() for path in (file, output, html, checkpoints) if path is not None]
    require(len(set(paths)) == len(paths), "schedule file, --output, --html and --checkpoints must all be different; name another path")
    result = load_result(file)
    if result.schedule is None:
        raise InputError(f"{file}: there is no schedule in it ({result.status}), so there are no delays to train with")
    options: dict[str, Any] = {
        "data": data,
        "data_path": data_path,
        "network": None if network is None else load_network(network),
        "setup": setup,
        "checkpoints": checkpoints,
        "resume": resume,
        "workers": workers,
        "device": device,
        "threads": threads,
    }
    if sweep.asked():
        require(not fail_on_degraded, "--fail-on-degraded needs a verdict on one schedule; a sweep has none")
        return run_sweep(result, sweep, options, output, html, json=json)
    with live_training() as observer:
        found = run(result, observer=observer, **options)
    return _show(found, output, html, checkpoints, json=json, fail_on_degraded=fail_on_degraded)


def _show(found: Validation, output: Path | None, html: Path | None, checkpoints: Path | None, *, json: bool, fail_on_degraded: bool) -> int:
    """What came out, and the exit code; without a single run no file is written."""
    from spikepipe_sched.export.validation import validation_text

    nothing = found.interrupted and not found.runs
    if not nothing:
        deliver(found, validation_text(found, shutil.get_terminal_size((100, 24)).columns), output, html, json=json)
    elif json:
        print(found.to_json())
    if found.interrupted:
        kept = f"; --resume goes on from {checkpoints}" if checkpoints is not None else ""
        print(f"interrupted{' before a run had ended' if nothing else ''}{kept}", file=sys.stderr)
        return 130
    if fail_on_degraded and found.verdict.outcome == "degraded":
        print(f"error: degraded: {found.verdict.reason}", file=sys.stderr)
        return 1
    return 0
