"""Cells side by side, in processes of this machine.

Each worker has a pipe of its own and holds one cell at a time, so that one which is killed (for want
of memory, by a crash in compiled code) costs that cell alone. The cell is tried once more when all
others are done and nothing else takes memory; then it counts as failed. Workers live as long as the
sweep: what a solver has imported or compiled, and the problem lowered last, serve the cells after it.
Processes that a solver starts end with the worker (on POSIX: those of its process group), and what it
prints goes to stderr.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context, parent_process
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
#: The longest wait for news in one go: operating systems know no timeout of weeks [seconds].
_LONGEST_WAIT_S: Final = 3600.0
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
        lost: list[tuple[Cell, int | None]] = []
        yield from self._run(cells, lost)
        for cell, _ in lost:
            again: list[tuple[Cell, int | None]] = []
            yield from self._run([cell], again)
            for _, code in again:
                why = "; perhaps for want of memory" if code is not None and code < 0 and -code == signal.SIGKILL else ""
                yield cell.without(FAILED, f"its process {_end(code)}, twice, the second time while no other cell ran{why}"), None

    def _run(self, cells: Sequence[Cell], lost: list[tuple[Cell, int | None]]) -> Generator[Answer]:
        """Run cells; those whose process ends are added to ``lost``, with its exit code.

        After Ctrl-C, or if KeyboardInterrupt is thrown in, the answers that are there still come.
        """
        waiting, workers, false_starts = _Queue(cells), list[_Worker](), 0
        taken: list[Answer] = []
        try:
            while waiting.size or any(worker.cell is not None for worker in workers):
                wanted = min(self.workers, waiting.size + sum(worker.cell is not None for worker in workers))
                workers += [_Worker() for _ in range(wanted - len(workers))]
                for worker in self._heard(workers):
                    cell, message = worker.cell, worker.receive()
                    if message is None:  # the end of its pipe
                        workers.remove(worker)
                        code = worker.end()
                        if cell is not None:
                            lost.append((cell, code))
                        false_starts += not worker.ready
                        if false_starts == _FALSE_STARTS:
                            raise SpikepipeError(
                                f"processes cannot be started: the last one {_end(code)}; a script that uses a pool needs if __name__ == '__main__':"
                            )
                        continue
                    worker.ready, false_starts = True, 0
                    taken += [message] if cell is not None else []
                    worker.give(waiting.take(worker.problem_key))  # it works while the answer is written
                    while taken:
                        yield taken.pop()
                for worker in [each for each in workers if each.since <= self._latest()]:
                    workers.remove(worker)
                    worker.stop()
                    assert worker.cell is not None  # only these have a beginning
                    yield (
                        worker.cell.without(FAILED, f"stopped after {self.cell_timeout_s:g} s, the time limit of a cell; its solver did not keep its own"),
                        None,
                    )
        except KeyboardInterrupt:
            yield from taken
            for worker in self._heard(workers, 0):
                if worker.cell is not None and (message := worker.receive()) is not None:
                    yield message
            raise
        finally:
            for worker in workers:
                worker.stop()

    def _latest(self) -> float:
        """Cells that began then or before are out of time."""
        return -math.inf if self.cell_timeout_s is None else time.monotonic() - self.cell_timeout_s

    def _heard(self, workers: Sequence[_Worker], longest_s: float = _LONGEST_WAIT_S) -> list[_Worker]:
        """Those with news; waits until there are any, or a cell is out of time."""
        first = min((worker.since for worker in workers), default=math.inf) - self._latest()
        ready = connection.wait([worker.pipe for worker in workers], min(max(0.0, first), longest_s))
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

    def end(self) -> int | None:
        """Clear up behind a process whose pipe has ended; its exit code."""
        self.process.join(timeout=1)
        code = self.process.exitcode
        self.stop()
        return code

    def stop(self) -> None:
        """It has nothing to lose, nor has what its solver has started."""
        if self.ready and hasattr(os, "killpg") and self.process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # the one where nothing is left, the other on macOS
                os.killpg(self.process.pid, signal.SIGKILL)  # no stranger's, even if it is gone: its guard keeps the group's number taken
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


def _end(code: int | None) -> str:
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"


def _serve(pipe: Connection) -> None:
    """In a worker: answer one cell after the other until the pool, or its process, is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(pipe)
    current_process().daemon = False  # solvers may start processes, which end with this one
    sys.stdout = sys.stderr  # that of the command is for what it found
    with suppress(OSError):  # there may be no stderr
        os.dup2(2, 1)
    with suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            pipe.send(_answer(pipe.recv()))


def _answer(cell: Cell) -> Answer:
    """What it answers; a solver that asks this process to end is not obeyed."""
    try:
        return cell.run()
    except BaseException as error:  # noqa: BLE001
        why = ": ".join(filter(None, (type(error).__name__, str(error))))
        return cell.without(FAILED, f"crashed: {why}; solved alone it shows where"), None


def _end_with_parent(pipe: Connection) -> None:
    """A parent that was killed cannot stop its workers, and they might search for hours.

    Where there are process groups, a process of its own keeps guard: no thread would run while compiled
    code holds the interpreter's lock, and what a solver has started is to end as well.
    """
    parent = parent_process()
    assert parent is not None  # it was started by `_Worker`
    if not hasattr(os, "fork"):  # on Windows
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
        return
    os.register_at_fork(after_in_child=pipe.close)  # that it ends is the news that this process has
    os.setsid()
    if os.fork() == 0:
        try:
            parent.join()
        finally:
            os.killpg(0, signal.SIGKILL)


@contextmanager
def _no_interrupts() -> Generator[None]:
    """Processes started here never hear Ctrl-C, not even while they import what they need; this one hears it a moment later."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    heard: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    ours = callable(handler) and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which they inherit
    if ours:  # another thread of this process may take the signal
        signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if ours:
            signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)
