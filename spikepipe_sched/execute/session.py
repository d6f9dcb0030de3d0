"""Processes that execute schedules: started once, watched, and ended whatever happens."""

from __future__ import annotations

import time
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.execute.rank import Job, serve
from spikepipe_sched.validate.workers import deaf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikepipe_sched.execute.plan import Plan
    from spikepipe_sched.execute.rank import Done

#: How long to listen, after one process has failed, for another one that tells why [s].
GRACE_S: Final = 1.0


class Session:
    """A process for every row of a schedule, which talk over gloo and the loopback interface.

    It can execute any number of schedules with as many rows. A process that dies or fails, or a
    schedule that never ends, ends all of them.

    Parameters
    ----------
    ranks
        Number of processes.
    timeout_s
        How long a run may take beside what is emulated, and all processes to start.
    """

    def __init__(self, ranks: int, *, timeout_s: float) -> None:
        self.ranks, self._timeout_s = ranks, timeout_s
        self._folder = TemporaryDirectory(prefix="spikepipe-run-", ignore_cleanup_errors=True)
        self._processes: list[Any] = []
        self._pipes: list[Any] = []
        self._jobs = 0

    def __enter__(self) -> Self:
        context, folder = get_context("spawn"), Path(self._folder.name)
        try:
            with deaf():
                for rank in range(self.ranks):
                    ours, theirs = context.Pipe()
                    self._pipes.append(ours)
                    process = context.Process(target=serve, args=(rank, self.ranks, folder, theirs), daemon=True, name=f"rank {rank}")
                    process.start()
                    self._processes.append(process)
                    theirs.close()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue
        for process in self._processes:
            process.join(GRACE_S)
            process.kill()
            process.join()
        for pipe in self._pipes:
            pipe.close()
        self._processes, self._pipes = [], []
        self._folder.cleanup()

    def run(self, plan: Plan, inputs: NDArray[Any], labels: NDArray[Any], *, runs: int = 1, seconds_per_cycle: float = 0.0) -> list[Done]:
        """Execute a schedule.

        Parameters
        ----------
        inputs, labels, runs, seconds_per_cycle
            As of `Job`.

        Returns
        -------
        list of Done
            What every process found.

        Raises
        ------
        SpikepipeError
            If a process died or failed, or took too long; the session has ended then.
        """
        rows = plan.rows.rows
        assert len(rows) == self.ranks
        folder = Path(self._folder.name) / str(self._jobs)
        folder.mkdir()
        self._jobs += 1
        (folder / "schedule.csv").write_text(plan.rows.to_csv())
        np.save(folder / "times.npy", np.zeros((len(rows), max(map(len, rows)), 2)))
        emulated_s = seconds_per_cycle * max(end for row in plan.earliest() for _, end in row)
        try:
            if self._jobs == 1:  # a pipe to a process that does not listen yet would fill up, and hold this one
                self._collect(self._timeout_s)
            for row, pipe in zip(rows, self._pipes, strict=True):
                stages = {action.stage for action in row}
                job = Job(
                    plan=plan,
                    folder=folder,
                    runs=runs,
                    seconds_per_cycle=seconds_per_cycle,
                    inputs=inputs if 0 in stages else None,
                    labels=labels if len(plan.stages) - 1 in stages else None,
                )
                try:
                    pipe.send(job)
                except OSError:
                    continue  # it is dead, which is found out next
            return self._collect(runs * self._timeout_s, emulated_s=2 * runs * emulated_s)
        except BaseException:
            self._end_now()
            raise

    def _collect(self, allowed_s: float, *, emulated_s: float = 0.0) -> list[Any]:
        """What every process answers next."""
        deadline = time.monotonic() + allowed_s + emulated_s
        found: dict[int, Any] = {}
        failed: dict[int, str] = {}
        while len(found) + len(failed) < self.ranks:
            missing = [rank for rank in range(self.ranks) if rank not in found and rank not in failed]
            left = deadline - time.monotonic()
            ready = wait([self._pipes[rank] for rank in missing] + [self._processes[rank].sentinel for rank in missing], max(0.0, left))
            if not ready and failed:
                break
            if not ready:
                names = ", ".join(self._where(rank) for rank in missing)
                raise SpikepipeError(
                    f"run-torch: {names} did not end within {allowed_s:g} s beside the emulated time: the machine is overloaded, or there is more work than that: --timeout"
                )
            for rank in missing:
                if self._pipes[rank].poll():
                    self._hear(rank, found, failed)
                elif not self._processes[rank].is_alive():
                    failed[rank] = ""
            if failed:
                deadline = min(deadline, time.monotonic() + GRACE_S)
        if failed:
            raise SpikepipeError(self._reason(failed))
        return [found[rank] for rank in range(self.ranks)]

    def _hear(self, rank: int, found: dict[int, Any], failed: dict[int, str]) -> None:
        try:
            answer: Any = self._pipes[rank].recv()
        except (EOFError, OSError):
            answer = ""
        if isinstance(answer, str):
            failed[rank] = answer
        else:
            found[rank] = answer

    def _reason(self, failed: dict[int, str]) -> str:
        """The one that died before one that tells something, and that before those that only lost their connection to it."""
        rank, told = min(failed.items(), key=lambda item: (bool(item[1]), "onnection" in item[1], item[0]))
        if told:
            return f"run-torch: {self._where(rank)} failed: {' '.join(told.split())[:400]}"
        self._processes[rank].join(GRACE_S)
        log = Path(self._folder.name) / f"rank{rank}.log"
        said = " ".join(log.read_text(errors="replace").split())[-300:] if log.exists() else ""
        return f"run-torch: {self._where(rank)} died (exit code {self._processes[rank].exitcode}){f', its last words: {said}' if said else ''}"

    def _where(self, rank: int) -> str:
        return f"process {rank} of {self.ranks}"

    def _end_now(self) -> None:
        for process in self._processes:
            process.kill()


def arranged(plan: Plan, inputs: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs (T, samples, *shape) and labels (samples,) of all micro-batches in the order of the chunks, as `Job` takes them."""
    rows, n = plan.rows, plan.samples
    steps = plan.network.time_steps // rows.windows
    pieces = [inputs[w * steps : (w + 1) * steps, m * n : (m + 1) * n] for m in range(rows.micro_batches) for w in range(rows.windows)]
    classes = [labels[m * n : (m + 1) * n] for m in range(rows.micro_batches) for _ in range(rows.windows)]
    return np.concatenate(pieces), np.concatenate(classes)
