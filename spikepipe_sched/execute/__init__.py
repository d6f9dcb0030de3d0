"""Does a schedule run? Execute it with real layers in processes of their own, and compare.

A synchronous (finite) schedule is handed to the runtime of torch.distributed.pipelining, over gloo on
the CPU: a process for every processor, a stage for every layer, and a chunk for every window of time of
every micro-batch, with the neurons' states carried from window to window. Compared are the gradients,
in float64, with those of the network in one piece; the order in which every process worked with the
schedule's; and, where costs are emulated, the time it took with the prediction.

The loss is ``step``, the mean over time steps of the cross-entropy: what is summed over windows, as
the runtime takes a chunk's loss before the next one is there. Needs PyTorch (the extra ``validate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import is_number, require, require_whole, shown
from spikepipe_sched.step import callable_module
from spikepipe_sched.validate import require_torch

if TYPE_CHECKING:
    from spikepipe_sched.execute.execution import Execution
    from spikepipe_sched.learning import NeuronSettings
    from spikepipe_sched.result import Result

__all__ = ["execute", "execute_many"]

#: How long processes may take to start, and a run beside the time that is emulated [s].
PATIENCE_S: Final = 120.0


def execute(
    result: Result,
    *,
    emulate_s: float | None = None,
    runs: int = 1,
    data: str | None = None,
    data_path: Path | None = None,
    neurons: NeuronSettings | None = None,
    seed: int = 0,
    timeout_s: float = PATIENCE_S,
) -> Execution:
    """Execute a schedule. Scripts need the usual ``if __name__ == "__main__":``, as processes are started.

    Parameters
    ----------
    result
        A finite schedule. A problem without a network, such as a pipeline file's, is executed with
        small linear layers in the place of its own.
    emulate_s
        How long a run shall take: every action sleeps as long as its cycles last, every transfer is
        waited for as if it had its link to itself. None: nothing is emulated, and times are those of
        this machine.
    runs
        How often it is executed and timed, after once that counts for nothing.
    data, data_path
        Data set (`spikepipe_sched.validate.data`) whose first training samples are shown; None: random
        inputs and classes.
    neurons
        What the neurons share.
    seed
        Of weights and random inputs.
    timeout_s
        How long a run may take beside what is emulated, and the processes to start.

    Raises
    ------
    InputError
        If PyTorch is missing or another one than known, its runtime cannot execute the schedule, or would
        do it wrongly (`spikepipe_sched.export.torch_pipelining`), or data and network do not fit.
    SpikepipeError
        If a process died, or the time is up.
    """
    return execute_many([result], emulate_s=emulate_s, runs=runs, data=data, data_path=data_path, neurons=neurons, seed=seed, timeout_s=timeout_s)[0]


def execute_many(
    results: Sequence[Result],
    *,
    emulate_s: float | None = None,
    runs: int = 1,
    data: str | None = None,
    data_path: Path | None = None,
    neurons: NeuronSettings | None = None,
    seed: int = 0,
    timeout_s: float = PATIENCE_S,
) -> list[Execution]:
    """Execute schedules that use equally many processors, one after the other in the same processes.

    As `execute`; ``emulate_s`` is the time of the longest of them, and a cycle lasts equally long in all.
    """
    fits = emulate_s is None or (is_number(emulate_s) and 0 < emulate_s <= 86400)
    require(fits, f"run-torch: the time to emulate must be above 0 and at most 86400 s, got {shown(emulate_s)}")
    require_whole("run-torch", "runs", runs, 1)
    require_whole("run-torch", "seed", seed, 0)
    require(data is not None or data_path is None, f"run-torch: --data-path {data_path} says where data lie, but not which: give --data as well")
    if not results:
        return []
    require_torch()
    from spikepipe_sched.execute.supported import require_runtime

    require_runtime()
    from spikepipe_sched.execute.plan import Plan
    from spikepipe_sched.execute.run import run_all

    plans = [Plan.of_result(result, neurons=neurons, seed=seed) for result in results]
    counts = sorted({len(plan.rows.rows) for plan in plans})
    require(len(counts) == 1, f"run-torch: schedules that are executed together need equally many processes, got {counts}")
    return run_all(results, plans, emulate_s=emulate_s, runs=runs, data=data, data_path=data_path, timeout_s=timeout_s)


callable_module(__name__, execute)
