"""What a validation says: accuracy with a schedule's stale weights against accuracy without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from spikepipe_sched.learning import ValidationSetup
from spikepipe_sched.network import Coding

if TYPE_CHECKING:
    import os

    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

    from spikepipe_sched.versions import WeightDelays

Outcome = Literal["no degradation", "degraded", "inconclusive"]

#: Every seed trains both: with the schedule's weight versions, and with none of them stale.
DELAYED: Final = "delayed"
SYNCHRONOUS: Final = "synchronous"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far one run of a validation is.

    Parameters
    ----------
    run, runs
        Which run, from 0, of how many in this phase.
    label
        What is trained.
    epoch, epochs, update, updates
        Those done, of this run's.
    loss, accuracy
        The latest mean training loss, and the latest accuracy [0..1]; None: not yet known.
    samples_per_s
        Training speed of this run; 0: not yet known.
    """

    run: int
    runs: int
    label: str
    epoch: int
    epochs: int
    update: int
    updates: int
    loss: float | None = None
    accuracy: float | None = None
    samples_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """One network, trained once.

    Parameters
    ----------
    arm, seed, rate
        What was trained, with which seed and learning rate.
    losses
        Mean training loss of every epoch that ended.
    accuracies
        Share of the test samples that are right after every epoch; at the end of a diverged run 1 over
        the number of classes if its weights are no longer finite.
    diverged_epoch
        The epoch, from 1, in which the loss or a weight ceased to be finite; nothing is trained after
        it. None: it did not happen.
    samples, seconds
        Samples it was trained on, and the time that took, evaluation left out.
    """

    arm: str
    seed: int
    rate: float
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    diverged_epoch: int | None = None
    samples: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """After the last epoch, whatever was reached before: nothing is chosen by looking at test data."""
        return self.accuracies[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPoint:
    """One learning rate tried for one arm: accuracies by seed on the part held out of the training data."""

    arm: str
    rate: float
    accuracies: tuple[float, ...]
    diverged: int
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSummary:
    """What was trained on: its ``coding`` as in `Network`; ``chance`` is the share of the most frequent class among the test samples."""

    name: str
    source: str
    coding: Coding
    classes: int
    train_samples: int
    test_samples: int
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the delays cost accuracy; all figures in percentage points, delayed less synchronous.

    Parameters
    ----------
    outcome, reason
        The verdict and a sentence that explains it.
    differences
        Of every seed of which both runs are there.
    mean, std
        Of the differences; None: too few.
    low, high
        The 95 % interval of the mean; None: fewer than two differences.
    seeds_needed
        How many seeds would settle an inconclusive interval if mean and spread stay as they are; None:
        settled, or not foreseeable.
    """

    outcome: Outcome
    reason: str
    differences: tuple[float, ...]
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A network trained as a schedule would, against the same training without delays.

    Parameters
    ----------
    problem, network
        Names of what was scheduled and of what was trained.
    data
        The data set.
    delays
        The weight versions that the delayed arm used.
    setup
        With policy and batch as they were in the end.
    updates
        Of every run; under 2bw, which averages several iterations into an update, the iterations.
    same
        Whether the delays change nothing, so that both arms are one training, run once.
    runs
        In the order of seeds; the synchronous arm first. Runs that were not finished are missing.
    tuning
        Learning rates tried; empty without ``tune``.
    verdict
        The answer.
    notes
        What else a reader must know to judge it.
    interrupted
        Whether runs are missing because somebody stopped it.
    device, version, torch_version, runtime_s
        Where and by what it was trained, and for how long in this session [seconds].
    """

    problem: str
    network: str
    data: DataSummary
    delays: WeightDelays
    setup: ValidationSetup
    updates: int
    same: bool
    runs: tuple[TrainedRun, ...] = field(repr=False)
    tuning: tuple[TuningPoint, ...] = field(default=(), repr=False)
    verdict: Verdict
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    device: str = "cpu"
    version: str
    torch_version: str
    runtime_s: float

    def arm(self, name: str) -> tuple[TrainedRun, ...]:
        """The runs of an arm; both are one where the delays change nothing."""
        return tuple(run for run in self.runs if run.arm == (SYNCHRONOUS if self.same else name))

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that were trained."""
        return (SYNCHRONOUS,) if self.same else (SYNCHRONOUS, DELAYED)

    def curves(self) -> Figure:
        """Test accuracy and training loss over the epochs, as a plotly figure."""
        from spikepipe_sched.export.validation import curves

        return curves(self)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The validation as JSON (schema ``spikepipe-sched/validation/1``); also written to ``path`` if given."""
        from spikepipe_sched.validation_document import validation_to_json

        return validation_to_json(self, path)

    @staticmethod
    def from_json(source: str | bytes | os.PathLike[str]) -> Validation:
        """Read what `to_json` wrote; a str is the text itself, never a path.

        Raises
        ------
        InputError
            With the JSON path of what is wrong, in one line.
        """
        from spikepipe_sched.validation_document import validation_from_json

        return validation_from_json(source)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Figures and curves as a page that needs nothing else; also written to ``path`` if given."""
        from spikepipe_sched.export.validation import validation_page
        from spikepipe_sched.files import write_atomically

        page = validation_page(self)
        if path is not None:
            write_atomically(path, page)
        return page

    def __str__(self) -> str:
        from spikepipe_sched.export.validation import validation_text

        return validation_text(self)

    def _repr_html_(self) -> str:
        from spikepipe_sched.export.validation import validation_cell

        return validation_cell(self)
