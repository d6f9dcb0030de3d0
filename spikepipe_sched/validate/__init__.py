"""Does training with a schedule's delays cost accuracy? Train with them and without, and compare.

Needs PyTorch (the extra ``validate``), which is imported when something is trained, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_sched.errors import InputError
from spikepipe_sched.step import callable_module
from spikepipe_sched.validation import TrainingProgress, Validation, ValidationSetup

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.result import Result
    from spikepipe_sched.validate.data import DataSet
    from spikepipe_sched.validate.sweep import sweep_delays

__all__ = ["Validation", "ValidationSetup", "require_torch", "sweep_delays", "validate"]


def validate(
    result: Result,
    *,
    data: str | DataSet,
    data_path: Path | None = None,
    network: Network | None = None,
    setup: ValidationSetup | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "cpu",
    threads: int = 1,
    observer: Callable[[TrainingProgress], None] | None = None,
) -> Validation:
    """Train a network with exactly the weight versions of a schedule, and the same without any delay.

    Every seed trains both arms from the same initial weights, on the same batches in the same order with
    the same noise, for as many updates. What counts is the test accuracy after the last epoch; nothing is
    chosen by looking at test data. Where the schedule delays nothing, as in finite mode, both arms are
    one training, which is run once. An interruption ends it early and keeps the runs that ended.

    Parameters
    ----------
    result
        A schedule and its problem.
    data
        Name of a data set (`spikepipe_sched.validate.data.data_names`), or one that was loaded
        (``load_data``) or made of arrays (`DataSet.from_arrays`).
    data_path
        Where its files are, if it does not come with a package.
    network
        What to train; if not given, the network that the problem was made from.
    setup
        Epochs, seeds, margin, optimizer, neurons; see `ValidationSetup`.
    checkpoints
        Folder for one file per run, replaced after every epoch; None: none are made.
    resume
        Go on from the checkpoints in that folder. The result is bit for bit that of an uninterrupted
        run on the same machine. Other epochs or rates need another folder; more seeds do not.
    workers
        Runs side by side, in processes of their own. Scripts that ask for more than 1 need
        ``if __name__ == "__main__":``.
    device
        Where PyTorch computes: ``cpu``, or ``cuda``.
    threads
        PyTorch's threads in every run; other numbers may round otherwise. Small networks are quickest
        with one: more of them wait for each other, many times over on a machine that has other work.
    observer
        Hears how far it is.

    Raises
    ------
    InputError
        If there is no schedule, no network, it does not fit the schedule or the data, PyTorch is
        missing, or checkpoints are in the way.
    """
    require_torch()
    from spikepipe_sched.validate.experiment import run_validation

    return run_validation(
        result,
        data=data,
        data_path=data_path,
        network=network,
        setup=ValidationSetup() if setup is None else setup,
        checkpoints=checkpoints,
        resume=resume,
        workers=workers,
        device=device,
        threads=threads,
        observer=observer,
    )


def require_torch() -> None:
    """Say how to install PyTorch where it is missing.

    Raises
    ------
    InputError
        If it is.
    """
    if find_spec("torch") is None:
        raise InputError("this needs PyTorch, which is not installed: pip install -c constraints.txt '.[validate]' in the repository")


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch on first use (PEP 562)."""
    if name != "sweep_delays":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    require_torch()
    from spikepipe_sched.validate.sweep import sweep_delays

    return sweep_delays


callable_module(__name__, validate)
