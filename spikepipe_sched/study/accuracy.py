"""Accuracy with the delays of the experiment's schedules, on substitutes for networks whose data cannot be had.

A substitute has as many weight layers as the network it stands for, of the same kinds and in the same
order; the staleness of layer i of the schedule becomes that of its layer i. All schedules of a substitute
share one synchronous arm and its seeds, and equal delays are trained once. What is compared, and how, is
`spikepipe_sched.validate.statistics`; every run has a checkpoint, from which the next call goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import require
from spikepipe_sched.importers import load_network
from spikepipe_sched.learning import ValidationSetup
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, TrainingProgress, Verdict
from spikepipe_sched.versions import WeightDelays

if TYPE_CHECKING:
    from spikepipe_sched.study.experiment import AccuracySetup
    from spikepipe_sched.study.measure import Measure
    from spikepipe_sched.validate.run import Experiment, Job
    from spikepipe_sched.validation import TrainedRun

#: What is trained in place of a network of the experiment.
SUBSTITUTES: Final = {"nmnist_mlp": "digits_mlp", "mnist_iir": "digits_mlp", "dvs_gesture_conv": "digits_conv", "vgg9": "digits_vgg"}
DATA: Final = "digits"

Profile = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A substitute, trained with the delays of one schedule and without.

    Parameters
    ----------
    network, solver, processors
        Whose schedule it was.
    substitute
        What was trained.
    staleness
        Of its layers, in their order [updates].
    synchronous, delayed
        Test accuracies after the last epoch, by seed, of the runs that ended [%].
    verdict
        What they say.
    missing
        Runs that were not finished.
    """

    network: str
    solver: str
    processors: int
    substitute: str
    staleness: Profile
    synchronous: tuple[float, ...]
    delayed: tuple[float, ...]
    verdict: Verdict
    missing: int = 0

    def keeps(self, points: float) -> bool:
        """Whether a loss of so many points or more is excluded by the 95 % interval."""
        return not self.missing and self.verdict.low is not None and self.verdict.low > -points

    def loses(self, points: float) -> bool:
        """Whether a loss of more than so many points is shown by the 95 % interval."""
        return not self.missing and self.verdict.high is not None and self.verdict.high < -points


def train_substitutes(
    rows: Sequence[Measure],
    setup: AccuracySetup,
    *,
    batch: int,
    folder: Path,
    workers: int = 1,
    observer: Callable[[TrainingProgress], None] | None = None,
) -> tuple[tuple[Trained, ...], bool]:
    """Train with the delays of all schedules that the set-up names and the rows have.

    Parameters
    ----------
    batch
        Samples of an update.
    folder
        For checkpoints; those that fit are gone on from.
    workers, observer
        See `spikepipe_sched.validate`.

    Returns
    -------
    tuple of tuple and bool
        What was trained, in the order of the rows, and whether it was interrupted before all was.

    Raises
    ------
    InputError
        If PyTorch or the data are missing, or a checkpoint is of another experiment.
    """
    wanted = [
        row
        for row in rows
        if row.detail.delays
        and row.outcome.network in SUBSTITUTES
        and row.outcome.array == setup.array
        and row.outcome.processors in setup.processors
        and row.outcome.solver in setup.solvers
    ]
    found: dict[str, Trained] = {}
    interrupted = False
    for substitute in dict.fromkeys(SUBSTITUTES[row.outcome.network] for row in wanted):
        of_it = [row for row in wanted if SUBSTITUTES[row.outcome.network] == substitute]
        part, interrupted = _train(substitute, of_it, setup, batch, folder, workers, observer)
        found |= part
        if interrupted:
            break
    return tuple(found[row.outcome.key] for row in wanted if row.outcome.key in found), interrupted


def _train(
    substitute: str, rows: Sequence[Measure], setup: AccuracySetup, batch: int, folder: Path, workers: int, observer: Callable[[TrainingProgress], None] | None
) -> tuple[dict[str, Trained], bool]:
    """One substitute with all its delays; by key of the row."""
    from spikepipe_sched.validate.checkpoint import Store, identity
    from spikepipe_sched.validate.data import load_data
    from spikepipe_sched.validate.experiment import summarise
    from spikepipe_sched.validate.run import Experiment
    from spikepipe_sched.validate.statistics import verdict
    from spikepipe_sched.validate.workers import run_all

    network = load_network(substitute)
    data = load_data(DATA, time_steps=network.time_steps, shape=network.input_shape)
    training = ValidationSetup(epochs=setup.epochs, seeds=setup.seeds, policy="stash", margin=setup.margin, batch=batch, rate=setup.rate)
    experiment = Experiment(network=network, data=data, setup=training)
    profiles = {row.outcome.key: tuple(delay - 1 for _, delay in row.detail.delays) for row in rows}
    none = (0,) * len(network.parameters())
    for row in rows:
        fits = len(row.detail.delays) == len(none)
        require(fits, f"study: '{substitute}' has {len(none)} layers with weights, '{row.outcome.network}', for which it stands, {len(row.detail.delays)}")
    jobs = [job for profile in dict.fromkeys([none, *profiles.values()]) for job in _jobs(experiment, profile)]
    own = folder / f"{substitute}, {setup.epochs} epochs, batch {batch}, rate {setup.rate:g}"
    store = Store.open(own, identity(experiment), resume=True)
    runs, interrupted = run_all(experiment, jobs, store=store, workers=workers, observer=observer)
    summary, found = summarise(data), dict[str, Trained]()
    for row in rows:
        profile = profiles[row.outcome.key]
        same = profile == none
        plain = _runs(runs, none, SYNCHRONOUS)
        late = plain if same else _runs(runs, profile, DELAYED)
        missing = 2 * setup.seeds - len(plain) - len(late)
        found[row.outcome.key] = Trained(
            network=row.outcome.network,
            solver=row.outcome.solver,
            processors=row.outcome.processors,
            substitute=substitute,
            staleness=profile,
            synchronous=tuple(100 * run.accuracy for run in plain),
            delayed=tuple(100 * run.accuracy for run in late),
            verdict=verdict(plain if same else [*plain, *late], summary, setup.margin, same=same, missing=missing),
            missing=missing,
        )
    return found, interrupted


def _jobs(experiment: Experiment, profile: Profile) -> list[Job]:
    """All seeds of one arm, which is named after its staleness."""
    from spikepipe_sched.validate.run import Job

    layers, delays = tuple(experiment.network.parameters()), tuple(value + 1 for value in profile)
    arm = _arm(profile)
    return [
        Job(
            name=f"{arm}-seed{seed}",
            label=f"{experiment.network.name}, {arm.replace('-', ' ')}, seed {seed}",
            arm=arm,
            seed=seed,
            rate=experiment.setup.rate,
            delays=WeightDelays(layers=layers, forward=delays, backward=delays),
            policy="stash",
        )
        for seed in range(experiment.setup.seeds)
    ]


def _arm(profile: Profile) -> str:
    return f"staleness-{'-'.join(map(str, profile))}" if any(profile) else SYNCHRONOUS


def _runs(runs: Sequence[TrainedRun], profile: Profile, arm: str) -> list[TrainedRun]:
    """Those with a profile, under the name that a verdict knows their arm by."""
    return [replace(run, arm=arm) for run in runs if run.arm == _arm(profile)]
