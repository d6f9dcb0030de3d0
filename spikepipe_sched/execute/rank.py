"""One of the processes that execute schedules: a row each, and several schedules one after the other."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]

from spikepipe_sched.execute.runtime import Clock, build_runtime
from spikepipe_sched.execute.stage import Stage
from spikepipe_sched.validate.model import Model

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from spikepipe_sched.execute.plan import Plan

#: The loopback interface, so that no network is needed.
LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
#: Of gloo, longer than the parent's: who waits in vain is ended by the parent, which knows why.
PATIENCE: Final = timedelta(days=7)
#: What a process says when it can take jobs.
READY: Final = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A schedule for one process.

    Parameters
    ----------
    folder
        Where the CSV (``schedule.csv``) lies, and the table of times (``times.npy``, see `Clock`).
    runs
        How often it is executed and timed, after once that counts for nothing.
    inputs, labels
        (chunks * t, n, *shape) and (chunks * n,) for the processes with the first and the last stage.
    """

    plan: Plan
    folder: Path
    runs: int
    seconds_per_cycle: float
    inputs: NDArray[Any] | None
    labels: NDArray[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Done:
    """What a process found: gradients by layer and parameter, the loss if it has the last stage, and (runs, actions, 2) starts and ends [s] of its row."""

    gradients: dict[str, dict[str, NDArray[np.float64]]]
    loss: float | None
    times: NDArray[np.float64]


def serve(rank: int, ranks: int, folder: Path, pipe: Connection) -> None:
    """Say that all processes have met, then execute what the parent sends, until it sends None; what goes wrong is sent back as text."""
    watcher = threading.Thread(target=_end_with_parent, args=(folder,), daemon=True)
    watcher.start()
    os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    torch.set_num_threads(1)
    try:
        log = os.open(folder / f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            store = FileStore(str(folder / "store"), ranks)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=PATIENCE)
            pipe.send(READY)
            while (job := pipe.recv()) is not None:
                pipe.send(_execute(job, rank))
            dist.destroy_process_group()
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent says it
            pipe.send(f"{type(error).__name__}: {error}")
    except (EOFError, BrokenPipeError, FileNotFoundError):  # the parent is gone, and maybe the folder
        watcher.join()


def _end_with_parent(folder: Path) -> None:
    """A parent that was killed can neither stop its processes nor remove their folder."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    for _ in range(10):  # another process, or thread, may just be making a file in it
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _execute(job: Job, rank: int) -> Done:
    plan = job.plan
    model = Model(plan.network, plan.neurons, bptt_steps=plan.bptt_steps, dtype=torch.float64)
    weights = model.initial(plan.seed)
    own = sorted({action.stage for action in plan.rows.rows[rank]})
    modules = {stage: Stage(plan, stage, weights, model.statistics) for stage in own}
    runtime, stages = build_runtime(plan, modules, job.folder / "schedule.csv")
    shared = np.load(job.folder / "times.npy", mmap_mode="r+")
    times = np.zeros((job.runs, len(plan.rows.rows[rank]), 2))
    loss = None
    for run in range(-1, job.runs):  # the first one opens connections, and finds out how memory is laid out
        for module in modules.values():
            module.forget()
        shared[rank] = 0
        for stage in stages:
            stage.clock = Clock(plan, rank, shared, job.seconds_per_cycle if run >= 0 else 0)
        dist.barrier()
        loss = _step(runtime, job)
        times[max(run, 0)] = shared[rank, : times.shape[1]]
        dist.barrier()
    gradients = {
        layer: {key: gradient.numpy() for key, gradient in found.items()} for module in modules.values() for layer, found in module.gradients().items()
    }
    return Done(gradients=gradients, loss=loss, times=times)


def _step(runtime: Any, job: Job) -> float | None:
    """Execute the schedule once."""
    losses: list[torch.Tensor] = []
    inputs = () if job.inputs is None else (torch.from_numpy(job.inputs),)
    if job.labels is None:
        runtime.step(*inputs, return_outputs=False)
        return None
    runtime.step(*inputs, target=torch.from_numpy(job.labels), losses=losses, return_outputs=False)
    return torch.stack(losses).sum().item()
