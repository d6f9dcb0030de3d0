"""Cells on a cluster of machines, by Ray (https://docs.ray.io; the extra ``ray``).

Each cell is a task of one CPU. Ray itself runs a task again whose process or machine is lost, and one
whose answer was lost with the machine that held it; what it gives up becomes a failed row. The driver
alone writes the store. Ray is imported when cells are run.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from spikepipe_sched.errors import InputError, SpikepipeError
from spikepipe_sched.study.outcome import FAILED

if TYPE_CHECKING:
    from spikepipe_sched.study.cell import Cell
    from spikepipe_sched.study.outcome import Outcome

    Answer = tuple[Outcome, str | None]

#: Times that a cell is run again whose process or machine was lost.
RETRIES: Final = 3
#: Cells handed to Ray beyond one for each CPU: no CPU waits for the driver.
_AHEAD: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """Runs cells on a Ray cluster; see `spikepipe_sched.study.run.Executor`.

    Every machine of it needs the same version of this package, and of the solvers.

    Parameters
    ----------
    address
        Of a running cluster: HOST:PORT, or ``auto`` for that of this machine. None: this machine
        alone, unless the program is connected to a cluster already.
    """

    address: str | None = None

    def outcomes(self, cells: Sequence[Cell]) -> Generator[Answer]:
        """See `spikepipe_sched.study.run.Executor`.

        Raises
        ------
        InputError
            If Ray is not installed, or the cluster cannot be reached.
        SpikepipeError
            If a machine of it has other versions.
        """
        if not cells:
            return
        with _connected(self.address) as ray:
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
            waiting = list(reversed(cells))
            running: dict[Any, Cell] = {}
            try:
                while waiting or running:
                    room = int(ray.cluster_resources().get("CPU", 0)) + _AHEAD - len(running)
                    for _ in range(min(room, len(waiting))):
                        cell = waiting.pop()
                        running[task.remote(cell)] = cell
                    for ended in ray.wait(list(running), num_returns=1)[0]:
                        yield _answer(ray, ended, running.pop(ended))
            except KeyboardInterrupt:  # what has ended still comes
                for ended in ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else ():
                    yield _answer(ray, ended, running.pop(ended))
                raise
            finally:
                for each in running:
                    ray.cancel(each, force=True)


def _answer(ray: Any, ended: Any, cell: Cell) -> Answer:
    try:
        answer = ray.get(ended)
    except ray.exceptions.RayError as error:  # after all retries
        lines = str(error).strip().splitlines() or [""]
        why = lines[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]  # the one ends with what was raised, the others begin with it
        return cell.without(FAILED, f"given up by Ray: {type(error).__name__}: {why}"), None
    if answer is None:
        raise SpikepipeError("a machine of the cluster has another version of spikepipe-sched, or of a solver; install the same on all of them")
    return answer


def _run(cell: Cell) -> Answer | None:
    """On the cluster: the answer; None if this machine's versions are others than the driver's."""
    return cell.run() if replace(cell).key == cell.key else None


@contextmanager
def _connected(address: str | None) -> Generator[Any]:
    """Ray, connected to a cluster; a connection that was there before stays."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a user's work
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise InputError("sweeps on a cluster need Ray: pip install -c constraints.txt '.[ray]' in the repository") from None
    if ray.is_initialized():
        yield ray
        return
    local = {"include_dashboard": False} if address is None else {}
    try:
        _require_listener(address)
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot connect to the Ray cluster '{address}': {error}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str | None) -> None:
    """Find out at once, and not after minutes, that nobody listens at HOST:PORT."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()
