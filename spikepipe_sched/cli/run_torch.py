"""``spikepipe-sched run-torch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spikepipe_sched.cli.options import JsonFlag
from spikepipe_sched.cli.output import require_writable, warn_if_wrong
from spikepipe_sched.errors import require


def run_torch(
    file: Path,
    /,
    *,
    emulate: float | None = None,
    repeat: int = 1,
    data: str | None = None,
    data_path: Path | None = None,
    seed: int = 0,
    timeout: float = 120.0,
    trace: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: JsonFlag = False,
) -> int:
    """Execute a synchronous schedule with real layers on torch.distributed.pipelining.

    Every processor becomes a process on this machine's CPU, every layer a stage, every window of every
    micro-batch a chunk; states of neurons are carried from window to window. Gradients are compared with
    those of the network in one piece, in float64, for the loss step, which is a sum over windows; the
    order of work with the schedule's; and with --emulate the time with the predicted one. A task graph
    without a network is executed with small linear layers. Schedules that the runtime would run
    wrongly are refused, as by export. The exit code is 1 if order or gradients are wrong.

    Parameters
    ----------
    file
        Schedule file of a finite schedule, written by solve.
    emulate
        Make a run take about so long [seconds]: actions last as long as their cycles, transfers are
        waited for. Without it, times are those of this CPU, and are compared as shares alone.
    repeat
        Times that the schedule is executed and timed, after once that is not; the median counts.
    data
        Name of a data set of validate, whose first training samples are shown; random spikes or values if
        not given.
    data_path
        File or folder of the data, where they come with no package.
    seed
        Of initial weights and random inputs.
    timeout
        How long a run may take beside the emulated time, and the processes to start [seconds].
    trace
        File for a Chrome trace: the last run beside the prediction.
    output
        File for all figures as JSON.
    json
        Print them as JSON and nothing else.
    """
    from spikepipe_sched.execute import execute
    from spikepipe_sched.schema import load_result, write_atomically

    for path in (trace, output):
        require_writable(path)
    require(0 < timeout <= 86400, f"--timeout must be above 0 and at most 86400 seconds, got {timeout:g}")
    require(repeat >= 1, f"--repeat must be at least 1, got {repeat}")
    result = load_result(file)
    warn_if_wrong(file, result)
    require(result.schedule is not None, f"{file}: there is no schedule in it to execute ({result.status})")
    done = execute(result, emulate_s=emulate, runs=repeat, data=data, data_path=data_path, seed=seed, timeout_s=timeout)
    if trace is not None:
        from spikepipe_sched.execute.trace import execution_trace

        write_atomically(trace, execution_trace(done))
    text = done.to_json(output)
    print(text if json else done)
    for path in (trace, output):
        if path is not None:
            print(f"written to {path}", file=sys.stderr if json else sys.stdout)
    return 0 if done.faithful else 1
