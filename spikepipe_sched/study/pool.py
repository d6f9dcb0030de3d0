"""Cells side by side, in processes of this machine.

Each worker has a pipe of its own and holds one cell at a time, so that one which is killed (for want
of memory, by a crash in compiled code) costs that cell alone. The cell is tried once more when all
others are done and nothing else takes memory; then it counts as failed. Workers live as long as the
sweep: what a solver has imported or compiled, and the problem lowered last, serve the cells after it.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.errors import SpikepipeError, require, require_whole
from spikepipe_sched.study.outcome import FAILED

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.outcome import Outcome

    Answer = tuple[Outcome, str | None]

#: Most processes.
MAX_WORKERS: Final = 1024
#: Processes in a row that end before they can take a cell.
_FALSE_STARTS: Final = 3
_CONTEXT: Final = get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Runs cells in processes; see `spikepipe_sched.study.run.Executor`.

    Scripts that use it need the usual ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers
        Number of processes.
    cell_timeout_s
        Wall-clock time after which a cell is stopped and counts as failed, whatever its solver's own
        limit; None: never.
    """

    workers: int
    cell_timeout_s: float | None = None

    def __post_init__(self) -> None:
        require_whole("pool", "workers", self.workers, 1)
        require(self.workers <= MAX_WORKERS, f"pool: workers must be at most {MAX_WORKERS}, got {self.workers}")
        require(self.cell_timeout_s is None or self.cell_timeout_s > 0, f"pool: cell_timeout_s must be positive, got {self.cell_timeout_s}")

    def outcomes(self, cells: Sequence[Cell]) -> Generator[Answer]:
        """See `spikepipe_sched.study.run.Executor`.

        Raises
        ------
        SpikepipeError
            If processes cannot be started.
        """
        lost: list[tuple[Cell, str]] = []
        yield from self._run(cells, lost)
        for cell, _ in lost:
            again: list[tuple[Cell, str]] = []
            yield from self._run([cell], again)
            for _, how in again:
                yield cell.without(FAILED, f"its process {how}, twice, the second time while no other cell ran; perhaps for want of memory"), None

    def _run(self, cells: Sequence[Cell], lost: list[tuple[Cell, str]]) -> Generator[Answer]:
        """Run cells; those whose process ends are added to ``lost``, with how it ended."""
        waiting, workers, false_starts = _Queue(cells), list[_Worker](), 0
        try:
            while waiting.size or any(worker.cell is not None for worker in workers):
                wanted = min(self.workers, waiting.size + sum(worker.cell is not None for worker in workers))
                workers += [_Worker() for _ in range(wanted - len(workers))]
                for worker in self._heard(workers):
                    cell, message = worker.cell, worker.receive()
                    if message is None:  # the end of its pipe
                        workers.remove(worker)
                        how = worker.end()
                        if cell is not None:
                            lost.append((cell, how))
                        false_starts += not worker.ready
                        if false_starts == _FALSE_STARTS:
                            raise SpikepipeError(f"processes cannot be started: the last one {how}; a script that uses a pool needs if __name__ == '__main__':")
                        continue
                    worker.ready, false_starts = True, 0
                    worker.give(waiting.take(worker.problem_key))  # it works while the answer is written
                    if cell is not None:
                        yield message
                for worker in [each for each in workers if each.since <= self._latest()]:
                    workers.remove(worker)
                    worker.stop()
                    assert worker.cell is not None  # only these have a beginning
                    yield (
                        worker.cell.without(FAILED, f"stopped after {self.cell_timeout_s:g} s, the time limit of a cell; its solver did not keep its own"),
                        None,
                    )
        finally:
            for worker in workers:
                worker.stop()

    def _latest(self) -> float:
        """Cells that began then or before are out of time."""
        return -math.inf if self.cell_timeout_s is None else time.monotonic() - self.cell_timeout_s

    def _heard(self, workers: Sequence[_Worker]) -> list[_Worker]:
        """Those with news; waits until there are any, or a cell is out of time."""
        first = min(worker.since for worker in workers) - self._latest()
        ready = connection.wait([worker.pipe for worker in workers], None if math.isinf(first) else max(0.0, first))
        return [worker for worker in workers if worker.pipe in ready]


class _Queue:
    """Cells that wait, by problem: a worker goes on with the problem that it has lowered."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.size = len(cells)
        self.of_problem: dict[str, deque[Cell]] = {}
        for cell in cells:
            self.of_problem.setdefault(cell.problem_key, deque()).append(cell)
        self.untouched = deque(self.of_problem)

    def take(self, problem_key: str) -> Cell | None:
        """The next cell for a worker that knows a problem: of this one, else of one that nobody works on, else of that with most cells left."""
        if not self.size:
            return None
        if problem_key not in self.of_problem:
            problem_key = self.untouched.popleft() if self.untouched else max(self.of_problem, key=lambda key: len(self.of_problem[key]))
        cells = self.of_problem[problem_key]
        cell = cells.popleft()
        if not cells:
            del self.of_problem[problem_key]
        self.size -= 1
        return cell


class _Worker:
    """One process, and the cell it holds."""

    def __init__(self) -> None:
        self.pipe, there = _CONTEXT.Pipe()
        self.process: SpawnProcess = _CONTEXT.Process(target=_serve, args=(there,), daemon=True)
        with _no_interrupts():
            self.process.start()
        there.close()  # or the pipe would not end with the process
        self.ready, self.problem_key = False, ""
        self.cell: Cell | None = None
        self.since = math.inf

    def give(self, cell: Cell | None) -> None:
        """Have it run a cell; None: rest."""
        self.cell, self.since = cell, math.inf if cell is None else time.monotonic()
        if cell is not None:
            self.problem_key = cell.problem_key
            with suppress(OSError):  # it has ended, and will be heard to
                self.pipe.send(cell)

    def receive(self) -> Any:
        """That it is ready, or an answer; None: it has ended."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> str:
        """Clear up behind a process whose pipe has ended, and say how it came to that."""
        self.process.join(timeout=1)
        code = self.process.exitcode
        self.stop()
        return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"

    def stop(self) -> None:
        """It has nothing to lose."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def _serve(pipe: Connection) -> None:
    """In a worker: answer one cell after the other until the pool, or its process, is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            pipe.send(pipe.recv().run())


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and they might search for hours."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _no_interrupts() -> Generator[None]:
    """Processes started here never hear Ctrl-C, not even while they import what they need; this one hears it a moment later."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
