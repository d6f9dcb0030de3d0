"""Many runs: one after the other, or side by side in processes of their own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Any, Final

import torch

from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.validate.run import REPORT_S, Experiment, Job, Report, train

if TYPE_CHECKING:
    from spikepipe_sched.validate.checkpoint import Store
    from spikepipe_sched.validation import TrainedRun, TrainingProgress


def run_all(
    experiment: Experiment, jobs: Sequence[Job], *, store: Store | None = None, workers: int = 1, observer: Report | None = None
) -> tuple[list[TrainedRun], bool]:
    """Train all of them.

    Parameters
    ----------
    workers
        Processes; 1: this one. Scripts that ask for more need the usual ``if __name__ == "__main__":``.

    Returns
    -------
    tuple of list and bool
        The runs that ended, in the order of the jobs, and whether it was interrupted before all had.

    Raises
    ------
    InputError
        If a network cannot be trained so, or a checkpoint cannot be used.
    SpikepipeError
        If a worker was killed, or memory ran out.
    """
    if workers > 1 and len(jobs) > 1:
        return _side_by_side(experiment, jobs, store, min(workers, len(jobs)), observer)
    ended: list[TrainedRun] = []
    before = torch.get_num_threads()
    torch.set_num_threads(experiment.threads)
    try:
        for i, job in enumerate(jobs):
            ended.append(_trained(experiment, job, store, observer, (i, len(jobs))))
    except KeyboardInterrupt:
        return ended, True
    finally:
        torch.set_num_threads(before)
    return ended, False


def _side_by_side(experiment: Experiment, jobs: Sequence[Job], store: Store | None, workers: int, observer: Report | None) -> tuple[list[TrainedRun], bool]:
    context = get_context("spawn")
    news, stop = context.SimpleQueue(), context.Event()
    interrupted = False
    futures: list[Future[TrainedRun]] = []

    def hear() -> None:
        while not news.empty():
            progress = news.get()
            if observer is not None and not stop.is_set():
                observer(progress)

    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(experiment, store, news, stop)) as pool:
        try:
            with deaf():
                futures += [pool.submit(_work, job, (i, len(jobs))) for i, job in enumerate(jobs)]
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=REPORT_S, return_when=FIRST_COMPLETED)
                hear()
                for future in done:
                    future.result()
        except KeyboardInterrupt:
            interrupted = True
        except BrokenProcessPool:
            raise SpikepipeError("a worker process was killed, perhaps for want of memory; use fewer workers") from None
        finally:
            stop.set()
            for future in futures:
                future.cancel()
            while not all(future.done() for future in futures):
                hear()  # a worker whose news nobody takes would never end
                time.sleep(REPORT_S / 10)
    return [future.result() for future in futures if not future.cancelled() and future.exception() is None], interrupted


@contextmanager
def deaf() -> Generator[None]:
    """Processes started here never hear Ctrl-C, not even while they import what they need: their parent stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """What a worker process knows."""

    experiment: Experiment
    store: Store | None
    report: Callable[[TrainingProgress], None]


_HERE: Final = _Worker()


def _begin(experiment: Experiment, store: Store | None, news: Any, stop: Any) -> None:
    """In a worker: remember the experiment, and end with the parent."""
    torch.set_num_threads(experiment.threads)

    def report(progress: TrainingProgress) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        news.put(progress)

    _HERE.experiment, _HERE.store, _HERE.report = experiment, store, report
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and they would go on writing checkpoints."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, place: tuple[int, int]) -> TrainedRun:
    return _trained(_HERE.experiment, job, _HERE.store, _HERE.report, place)


def _trained(experiment: Experiment, job: Job, store: Store | None, report: Report | None, place: tuple[int, int]) -> TrainedRun:
    """The run; out of memory, which each of PyTorch's allocators says in its own way, it ends with one error."""
    try:
        return train(experiment, job, store=store, report=report, place=place)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise SpikepipeError(f"out of memory in the run '{job.label}'; use fewer workers, a smaller batch or a smaller network") from None
