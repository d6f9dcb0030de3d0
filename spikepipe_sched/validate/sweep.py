"""Accuracy against staleness: the same network trained with many profiles of stale weights.

All arms share their seeds, so that each profile is compared with the synchronous arm seed by seed, as
in `spikepipe_sched.validate.statistics`. Uniform profiles come first, then single layers if asked for,
then joint ones: the losses of single layers need not add up (in deep networks they do worse than
that), so what all layers bear together is trained as a whole. It begins with what each bears alone,
and is halved until the runs exclude a loss of the margin, or no layer is staler than in a uniform
profile that does.

Under policies made for schedules in which backward passes read the newest weights they find, these are
never stale, whatever forward passes read: the largest difference that such a schedule can bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import torch

from spikepipe_sched.errors import SpikepipeError, require, require_whole
from spikepipe_sched.staleness import Profile, ProfileKind, Staleness, StalenessPoint, named, within
from spikepipe_sched.staleness_limits import joint_profile, loosest_of
from spikepipe_sched.validate.checkpoint import Store, identity
from spikepipe_sched.validate.experiment import delays_of, prepare, summarise
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validate.run import Experiment, Job
from spikepipe_sched.validate.statistics import learned_above, paired
from spikepipe_sched.validate.workers import run_all
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, TrainedRun, ValidationSetup
from spikepipe_sched.version import __version__
from spikepipe_sched.versions import WeightDelays

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.problem import WeightPolicy
    from spikepipe_sched.result import Result
    from spikepipe_sched.validate.data import DataSet
    from spikepipe_sched.validate.run import Report


def sweep_delays(
    result: Result,
    staleness: Iterable[int] = (1, 2, 4, 8),
    *,
    single_layers: bool = False,
    data: str | DataSet,
    data_path: Path | None = None,
    network: Network | None = None,
    setup: ValidationSetup | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "cpu",
    threads: int = 1,
    observer: Report | None = None,
) -> Staleness:
    """Measure what staleness costs in accuracy.

    Parameters
    ----------
    result
        Any schedule of the network: its layers, batch and policy count, its delays do not.
    staleness
        What to try [updates]; 0 is the synchronous arm, which is trained in any case.
    single_layers
        Each layer alone as well, and the joint profile that follows from it.
    data, data_path, network, setup, checkpoints, resume, workers, device, threads, observer
        As in `spikepipe_sched.validate`; two seeds or more, and no tuning: one rate for all.

    Raises
    ------
    InputError
        As `spikepipe_sched.validate`, or if nothing is to be tried.
    SpikepipeError
        If the synchronous arm diverges or learns nothing: there is nothing to compare with.
    KeyboardInterrupt
        If interrupted; checkpoints stay.
    """
    setup = ValidationSetup() if setup is None else setup
    steps = sorted({require_whole("sweep", "staleness", step, 0) for step in staleness} - {0})
    require(steps, "sweep: name a staleness of at least 1 to be tried")
    require(setup.seeds >= 2, f"sweep: an interval needs at least 2 seeds, got {setup.seeds}")
    require(not setup.tune, "sweep: all profiles are trained at one rate; tune it by a validation, then name it")
    require(checkpoints is not None or not resume, "sweep: to resume, name the folder of the checkpoints, or the same --output as before")
    experiment = prepare(
        result.problem, delays_of(result, setup.policy), data=data, data_path=data_path, network=network, setup=setup, device=device, threads=threads
    )
    common = identity(experiment)
    store = None if checkpoints is None else Store.open(checkpoints, common, resume=resume)
    return _Sweep(experiment, store, workers, observer).run(steps, single_layers=single_layers)


class _Sweep:
    """One sweep under way."""

    def __init__(self, experiment: Experiment, store: Store | None, workers: int, observer: Report | None) -> None:
        self.experiment, self.store, self.workers, self.observer = experiment, store, workers, observer
        self.layers = tuple(experiment.network.parameters())
        self.policy = experiment.setup.policy or "stash"
        self.weights: WeightPolicy = POLICIES[self.policy].weights

    def run(self, steps: Sequence[int], *, single_layers: bool) -> Staleness:
        """All that was asked for."""
        experiment = self.experiment
        self.synchronous = self.train([(0,) * len(self.layers)])[0]
        self.require_success()
        found = Staleness(
            network=experiment.network,
            bptt_steps=experiment.bptt_steps,
            windows=experiment.windows,
            micro_batches=experiment.micro_batches,
            weights=self.weights,
            data=summarise(experiment.data),
            setup=experiment.setup,
            updates=experiment.updates,
            synchronous=tuple(100 * run.accuracy for run in self.synchronous),
            points=(),
            device=experiment.device,
            version=__version__,
            torch_version=str(torch.__version__),
        )
        places, single_layers = range(len(self.layers)), single_layers and len(self.layers) > 1
        uniform: list[tuple[ProfileKind, Profile]] = [("uniform", (step,) * len(places)) for step in steps]
        single: list[tuple[ProfileKind, Profile]] = [("layer", tuple(step * (i == place) for i in places)) for place in places for step in steps]
        found = replace(found, points=self.measure(uniform + single * single_layers))
        return self.with_joint(found) if single_layers else found

    def with_joint(self, found: Staleness) -> Staleness:
        """Joint profiles too, the last of which keeps the accuracy if any does; those already measured are not trained again."""
        margin, known = self.experiment.setup.margin, {point.staleness: point for point in found.points}
        uniform, profile = loosest_of(found, margin, "uniform"), joint_profile(found, margin)
        while any(profile) and not (uniform and within(profile, uniform.staleness)) and not loosest_of(found, margin, "joint"):
            point = replace(known[profile], kind="joint") if profile in known else self.measure([("joint", profile)])[0]
            found = replace(found, points=(*found.points, point))
            profile = tuple(value // 2 for value in profile)
        return found

    def measure(self, profiles: Sequence[tuple[ProfileKind, Profile]]) -> tuple[StalenessPoint, ...]:
        """Each profile over all seeds, against the synchronous arm."""
        data, points = summarise(self.experiment.data), list[StalenessPoint]()
        for (kind, profile), runs in zip(profiles, self.train([profile for _, profile in profiles]), strict=True):
            differences = [100 * (run.accuracy - other.accuracy) for run, other in zip(runs, self.synchronous, strict=True)]
            mean, _, low, high = paired(differences, data)
            diverged = sum(run.diverged_epoch is not None for run in runs)
            accuracies = tuple(100 * run.accuracy for run in runs)
            points.append(StalenessPoint(kind=kind, staleness=profile, accuracies=accuracies, diverged=diverged, mean=mean, low=low, high=high))
        return tuple(points)

    def train(self, profiles: Sequence[Profile]) -> list[list[TrainedRun]]:
        """The runs of each profile, seed by seed."""
        seeds = self.experiment.setup.seeds
        jobs = [self.job(profile, seed) for profile in profiles for seed in range(seeds)]
        runs, interrupted = run_all(self.experiment, jobs, store=self.store, workers=self.workers, observer=self.observer)
        if interrupted:
            raise KeyboardInterrupt
        return [runs[i : i + seeds] for i in range(0, len(runs), seeds)]

    def job(self, profile: Profile, seed: int) -> Job:
        """One run; the synchronous ones are those of a validation under the same conditions."""
        stale, forward = any(profile), tuple(value + 1 for value in profile)
        backward = forward if self.weights == "stash" else (1,) * len(profile)
        written = "-".join(map(str, profile)) if len(profile) <= 32 else f"{crc32(repr(profile).encode()):08x}"  # names of files are short
        return Job(
            name=f"{f'staleness-{written}' if stale else SYNCHRONOUS}-seed{seed}",
            label=f"{f'staleness {named(self.layers, profile)}' if stale else SYNCHRONOUS}, seed {seed}",
            arm=DELAYED if stale else SYNCHRONOUS,
            seed=seed,
            rate=self.experiment.setup.rate,
            delays=WeightDelays(layers=self.layers, forward=forward, backward=backward),
            policy=self.policy if stale else "stash",
        )

    def require_success(self) -> None:
        """Whether the synchronous arm can be compared with."""
        least = learned_above(summarise(self.experiment.data))
        failed = sum(run.diverged_epoch is not None or run.accuracy <= least for run in self.synchronous)
        if failed:
            raise SpikepipeError(
                f"sweep: {failed} of {len(self.synchronous)} synchronous runs diverged or learned nothing (at most {100 * least:.1f} % right), "
                "so there is nothing to compare with: change the rate, the epochs or the network"
            )
