"""Cells that do as they are told, for executors and stores: no network, no solver, and quick to import in a new process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from spikepipe_sched.study.outcome import Outcome


def row(key: str, **changed: Any) -> Outcome:
    """An outcome of made-up figures."""
    plain = Outcome(
        key=key,
        problem_key=f"problem of {key}",
        network_key="network",
        network="net",
        platform="machine",
        array="8x8",
        processors=2,
        pes=128,
        clock_hz=10**9,
        mode="periodic",
        windows=1,
        batch=4,
        micro_batches=1,
        unroll=1,
        weights="stash",
        solver="fake",
        seed=0,
        status="feasible",
        objectives=2,
        objective="period",
        value=12,
        bound=10,
        bound_source="made up",
        gap=0.2,
        length_cycles=12,
        cycles_per_sample=3.0,
        total_delay=2**40,
        max_staleness=0,
        traffic_bytes=2**62,
        overhead=-0.5,
        memory_bytes=7,
        utilisation=1.0,
        samples_per_s=1e9 / 3,
        seconds=0.25,
    )
    return replace(plain, **changed)


@dataclass(frozen=True, kw_only=True)
class FakeCell:
    """Has what executors and stores use of a cell.

    ``deed``: ``answer``; ``die`` (by SIGKILL), or ``die once`` and answer from then on; ``leave`` with
    exit code 3; ``hang``, or ``hold`` the interpreter's lock as compiled code may; ``employ`` a process
    and hang, or ``fork`` one and die; ``share`` work with a process; ``speak`` on stdout; raise
    KeyboardInterrupt (``interrupt``). Every attempt leaves a file of the process in ``folder``.
    """

    key: str
    deed: str = "answer"
    problem_key: str = "one"
    folder: Path | None = None

    def run(self) -> tuple[Outcome, str | None]:
        first = True
        if self.folder is not None:
            first = not list(self.folder.glob(f"{self.key}.*"))
            (self.folder / f"{self.key}.{time.monotonic_ns()}").write_text(str(os.getpid()))
        if self.deed == "die" or (self.deed == "die once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed == "fork" and self.folder is not None:
            import fcntl

            lock = (self.folder / "lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for what an earlier attempt has left
            os.kill(os.getpid(), signal.SIGKILL) if os.fork() else time.sleep(600)
        if self.deed == "leave":
            os._exit(3)
        if self.deed == "employ":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if self.deed in ("hang", "employ"):
            time.sleep(3600)
        if self.deed == "hold":
            ctypes.PyDLL(None).sleep(600)
        if self.deed == "share":
            employed = get_context("spawn").Process(target=os.getpid)
            employed.start()
            employed.join()
        if self.deed == "speak":
            print("of Python")
            os.write(1, b"of compiled code\n")
        if self.deed == "interrupt":
            raise KeyboardInterrupt
        return row(self.key), f"result of {self.key}"

    def without(self, status: str, error: object, **figures: Any) -> Outcome:
        return row(self.key, status=status, error=str(error), objective=None, value=None, **figures)


def stillborn(_: object) -> None:
    """In place of a worker: ends before it is ready."""
    os._exit(3)
