"""One run: a network trained with the weight versions of one arm, epoch by epoch.

What a run sees depends on its seed and on nothing else: batches and coding noise are drawn from
(seed, epoch), those of the test samples from the seed alone, so that all arms of a seed see the same.
The last incomplete batch of an epoch is left out, as the pipeline's iterations are all of one size;
every epoch shuffles anew, and so leaves out others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from spikepipe_sched.validate.losses import Loss, predict
from spikepipe_sched.validate.model import Model
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.validation import TrainedRun, TrainingProgress, ValidationSetup

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.validate.checkpoint import Store
    from spikepipe_sched.validate.data import DataSet, Samples
    from spikepipe_sched.versions import WeightDelays

#: Hears how far a run is; called at least so often [seconds], and after every epoch.
Report = Callable[[TrainingProgress], None]
REPORT_S: Final = 0.25
#: Samples that are evaluated together.
EVALUATED: Final = 256
#: What is drawn: batches and noise of an epoch, noise of the test samples.
_TRAIN, _TEST = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """What all runs have in common; ``setup`` names batch, coding and policy; ``windows`` and ``micro_batches`` are the schedule's; ``threads`` are those of a run."""

    network: Network
    data: DataSet
    setup: ValidationSetup
    bptt_steps: int | None = None
    windows: int = 1
    micro_batches: int = 1
    device: str = "cpu"
    threads: int = 1

    @property
    def batch(self) -> int:
        """Samples of an update."""
        assert self.setup.batch is not None
        return self.setup.batch

    @property
    def batches(self) -> int:
        """Updates in an epoch."""
        return len(self.data.train) // self.batch

    @property
    def updates(self) -> int:
        """Updates in a run."""
        return self.setup.epochs * self.batches

    def model(self) -> Model:
        """The network, ready to be trained."""
        return Model(
            self.network, self.setup.neuron_settings(), bptt_steps=self.bptt_steps, windows=self.windows, micro_batches=self.micro_batches, device=self.device
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to be made.

    Parameters
    ----------
    name, label
        For its checkpoint and for people; both unique in an experiment.
    arm, seed, rate
        As in `TrainedRun`.
    delays, policy
        Which weights it uses, and what is done about those that are stale.
    """

    name: str
    label: str
    arm: str
    seed: int
    rate: float
    delays: WeightDelays
    policy: str


@dataclass(slots=True, kw_only=True)
class _Course:
    """What a run has been through so far; see `TrainedRun`."""

    losses: list[float] = field(default_factory=list[float])
    accuracies: list[float] = field(default_factory=list[float])
    diverged_epoch: int | None = None
    samples: int = 0
    seconds: float = 0.0

    def ended(self, experiment: Experiment) -> bool:
        """Whether there is nothing left to train."""
        return self.diverged_epoch is not None or len(self.accuracies) == experiment.setup.epochs


def train(experiment: Experiment, job: Job, *, store: Store | None = None, report: Report | None = None, place: tuple[int, int] = (0, 1)) -> TrainedRun:
    """Train one network to the end, from its checkpoint if there is one.

    Parameters
    ----------
    store
        Where checkpoints lie; None: none are made.
    report
        Hears how far it is.
    place
        Which run it is, from 0, of how many; for ``report`` alone.
    """
    saved = None if store is None else store.load(job)
    course = _Course() if saved is None else _Course(**saved["course"])
    told = _Teller(experiment, job, course, report, place)
    told.tell()
    if not course.ended(experiment):
        training = _Training(experiment, job, course, told)
        if saved is not None:
            training.trainer.restore(saved["trainer"])
        while not course.ended(experiment):
            training.epoch()
            if store is not None:
                store.save(job, training.state())
            told.tell()
    return TrainedRun(
        arm=job.arm,
        seed=job.seed,
        rate=job.rate,
        losses=tuple(course.losses),
        accuracies=tuple(course.accuracies),
        diverged_epoch=course.diverged_epoch,
        samples=course.samples,
        seconds=course.seconds,
    )


class _Teller:
    """Tells an observer how far a run is."""

    def __init__(self, experiment: Experiment, job: Job, course: _Course, report: Report | None, place: tuple[int, int]) -> None:
        self.experiment, self.job, self.course, self.report, self.place = experiment, job, course, report, place
        self.last = 0.0

    def due(self) -> bool:
        """Whether it is time to say something again."""
        return time.monotonic() - self.last >= REPORT_S

    def tell(self, done: int = 0, loss: float | None = None, seconds: float = 0.0) -> None:
        """``done`` updates of this epoch, their mean loss and the time they took."""
        self.last = time.monotonic()
        if self.report is None:
            return
        experiment, course = self.experiment, self.course
        epoch, seconds = len(course.accuracies), seconds + course.seconds
        progress = TrainingProgress(
            run=self.place[0],
            runs=self.place[1],
            label=self.job.label,
            epoch=epoch,
            epochs=experiment.setup.epochs,
            update=experiment.updates if course.ended(experiment) else epoch * experiment.batches + done,
            updates=experiment.updates,
            loss=course.losses[-1] if loss is None and course.losses else loss,
            accuracy=course.accuracies[-1] if course.accuracies else None,
            samples_per_s=(course.samples + done * experiment.batch) / seconds if seconds else 0.0,
        )
        self.report(progress)


class _Training:
    """A run under way."""

    def __init__(self, experiment: Experiment, job: Job, course: _Course, teller: _Teller) -> None:
        self.experiment, self.job, self.course, self.teller = experiment, job, course, teller
        self.model = experiment.model()
        self.trainer = Trainer(
            self.model,
            job.delays,
            policy=job.policy,
            optimizer=experiment.setup.optimizer_settings(job.rate),
            loss=experiment.setup.loss,
            updates=experiment.updates,
            seed=job.seed,
        )

    def state(self) -> dict[str, Any]:
        """What goes on after an epoch; at the end what was trained."""
        ended = self.course.ended(self.experiment)
        kept = {"weights": self.trainer.weights, "statistics": self.model.statistics} if ended else {"trainer": self.trainer.state()}
        return {"course": asdict(self.course), **kept}

    def epoch(self) -> None:
        """One pass over the training data, as far as loss and weights stay finite, and the accuracy after it."""
        experiment, course, seed = self.experiment, self.course, self.job.seed
        data, batch = experiment.data.train, experiment.batch
        generator = drawn_from(seed, _TRAIN, len(course.accuracies))
        order = torch.randperm(len(data), generator=generator)
        began, done, total = time.perf_counter(), 0, 0.0
        while done < experiment.batches and math.isfinite(total):
            chosen = order[done * batch : (done + 1) * batch]
            total += self.trainer.step(data.batch(chosen, generator), data.labels[chosen].to(experiment.device))
            done += 1
            if self.teller.due():
                self.teller.tell(done, total / done, time.perf_counter() - began)
        course.samples += done * batch
        course.seconds += time.perf_counter() - began
        if self.trainer.diverged:
            course.diverged_epoch = len(course.accuracies) + 1
        else:
            course.losses.append(total / done)
        right = 1 / experiment.data.classes
        if all(bool(value.isfinite().all()) for values in self.trainer.weights.values() for value in values.values()):
            right = accuracy(self.model, self.trainer.weights, experiment.data.test, experiment.setup.loss, drawn_from(seed, _TEST))
        course.accuracies.append(right)


def accuracy(model: Model, weights: dict[str, dict[str, Tensor]], samples: Samples, loss: Loss, generator: torch.Generator) -> float:
    """Share of the samples that a network gets right [0..1]."""
    right = 0
    with torch.no_grad():
        for chosen in torch.arange(len(samples)).split(EVALUATED):
            outputs = model.forward(samples.batch(chosen, generator), weights, training=False)
            right += int((predict(loss, outputs).cpu() == samples.labels[chosen]).sum())
    return right / len(samples)


def drawn_from(*numbers: int) -> torch.Generator:
    """A generator whose draws depend on all of these numbers."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)
