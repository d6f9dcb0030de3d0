"""Validations as documents (schema ``spikepipe-sched/validation/1``), in both directions."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from spikepipe_sched.document import Document, Number, Positive, Ratio, Share
from spikepipe_sched.errors import InputError
from spikepipe_sched.json_document import built, part, read, schema_of, written
from spikepipe_sched.learning import Loss, OptimizerName, RateSchedule, Reset, Surrogate
from spikepipe_sched.network import Coding
from spikepipe_sched.problem_document import fail
from spikepipe_sched.validation import (
    DataSummary,
    Outcome,
    TrainedRun,
    TuningPoint,
    Validation,
    ValidationSetup,
    Verdict,
)
from spikepipe_sched.versions import WeightDelays

SCHEMA: Final = "spikepipe-sched/validation/1"
_WANTED: Final = "a file is needed such as validate -o writes"

Arm = Literal["delayed", "synchronous"]


class DataDocument(Document, frozen=True):
    """What was trained on."""

    name: Annotated[str, Meta(description="Name of the data set.")]
    source: Annotated[str, Meta(description="Where it comes from.")]
    coding: Annotated[Coding, Meta(description="What a batch brings: spikes, or real values (direct).")]
    classes: Annotated[Positive, Meta(description="Classes [count].")]
    train_samples: Annotated[Positive, Meta(description="Samples to train on [samples].")]
    test_samples: Annotated[Positive, Meta(description="Samples that accuracies are measured on [samples].")]
    chance: Annotated[Share, Meta(description="Share of the most frequent class among the test samples [ratio].")]


class SetupDocument(Document, frozen=True):
    """How it was trained, and what counts as a loss of accuracy."""

    epochs: Annotated[Positive, Meta(description="Passes over the training data [epochs].")]
    seeds: Annotated[Positive, Meta(description="Runs of each arm [count]; their seeds are 0, 1, 2 and so on.")]
    policy: Annotated[str | None, Meta(description="What is done about stale weights; null: what the schedule was made for.")]
    margin: Annotated[float, Meta(gt=0, le=100, description="Largest loss of accuracy that does not count as degradation [percentage points].")]
    tune: Annotated[bool, Meta(description="Whether the learning rate of each arm was chosen on held-out training data.")]
    batch: Annotated[Positive | None, Meta(description="Samples per update [samples]; null: those of the schedule.")]
    coding: Annotated[str | None, Meta(description="How samples become time steps; null: the data set's first choice.")]
    difficulty: Annotated[Share, Meta(description="Of a generated data set [ratio].")]
    loss: Annotated[Loss, Meta(description="Loss that is minimised.")]
    optimizer: Annotated[OptimizerName, Meta(description="Optimizer.")]
    rate: Annotated[float, Meta(gt=0, description="Learning rate at its largest; of a tuned run the middle of the grid [no unit].")]
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Of sgd; adam's first decay [ratio].")]
    weight_decay: Annotated[Ratio, Meta(description="Times the weights is added to gradients [no unit].")]
    rate_schedule: Annotated[RateSchedule, Meta(description="How the learning rate changes over the updates.")]
    warmup: Annotated[Number, Meta(description="Over which the learning rate climbs [updates].")]
    decay: Annotated[Share, Meta(description="Share of the membrane left one step later [ratio].")]
    threshold: Annotated[float, Meta(gt=0, description="Potential at which a neuron fires [the membrane's unit].")]
    reset: Annotated[Reset, Meta(description="What a spike does to the membrane.")]
    surrogate: Annotated[Surrogate, Meta(description="What stands for the derivative of a spike.")]
    surrogate_width: Annotated[float, Meta(gt=0, description="Its width [the membrane's unit].")]


class DelayDocument(Document, frozen=True):
    """Delay of one layer's weights; what is stale is by one update less."""

    layer: Annotated[str, Meta(description="Name of the layer.")]
    forward: Annotated[Positive, Meta(description="From an update to the first iteration whose forward pass uses it [iterations].")]
    backward: Annotated[Positive, Meta(description="The same for the backward pass [iterations].")]


class RunDocument(Document, frozen=True):
    """One network, trained once."""

    arm: Annotated[Arm, Meta(description="delayed, with the schedule's weight versions, or synchronous, with none of them stale.")]
    seed: Annotated[Number, Meta(description="Of initial weights, batches and noise [no unit].")]
    rate: Annotated[float, Meta(gt=0, description="Learning rate at its largest [no unit].")]
    losses: Annotated[tuple[float, ...], Meta(description="Mean training loss of every epoch that ended [nats, or squared spikes per step].")]
    accuracies: Annotated[
        tuple[Share, ...], Meta(min_length=1, description="Share of test samples that are right after every epoch [ratio]; the last one counts.")
    ]
    diverged_epoch: Annotated[Positive | None, Meta(description="In which loss or weights ceased to be finite [index from 1]; null: never.")]
    samples: Annotated[Number, Meta(description="Samples it was trained on, each as often as it was used [samples].")]
    seconds: Annotated[Ratio, Meta(description="Time that took, evaluation left out [seconds].")]


class TuningDocument(Document, frozen=True):
    """A learning rate that was tried for an arm."""

    arm: Annotated[Arm, Meta(description="The arm.")]
    rate: Annotated[float, Meta(gt=0, description="Learning rate at its largest [no unit].")]
    accuracies: Annotated[tuple[Share, ...], Meta(description="On the part held out of the training data, by tuning seed [ratio].")]
    diverged: Annotated[Number, Meta(description="Of these runs [count].")]
    chosen: Annotated[bool, Meta(description="Whether it is the rate of the arm's reported runs.")]


class VerdictDocument(Document, frozen=True):
    """Whether the delays cost accuracy: differences, delayed less synchronous, paired by seed."""

    outcome: Annotated[
        Outcome, Meta(description="No degradation: the interval lies above -margin; degraded: below, or the delays made runs diverge; else inconclusive.")
    ]
    reason: Annotated[str, Meta(description="What led to it.")]
    differences: Annotated[tuple[float, ...], Meta(description="By seed [percentage points].")]
    mean: Annotated[float | None, Meta(description="Mean of the differences [percentage points]; null: there is none.")]
    std: Annotated[Ratio | None, Meta(description="Their standard deviation, n - 1 [percentage points]; null: fewer than two.")]
    low: Annotated[float | None, Meta(description="Lower end of the mean's 95 % interval [percentage points]; null: fewer than two differences.")]
    high: Annotated[float | None, Meta(description="Its upper end [percentage points].")]
    seeds_needed: Annotated[
        Positive | None, Meta(description="Seeds that would settle it, if mean and spread stay [count]; null: settled, or not foreseeable.")
    ]


class ValidationDocument(Document, frozen=True):
    """A network trained with a schedule's weight versions, against the same training without delays."""

    schema: Annotated[Literal["spikepipe-sched/validation/1"], Meta(description="Identifies this format.")]
    problem: Annotated[str, Meta(description="Name of the problem that was scheduled.")]
    network: Annotated[str, Meta(description="Name of the network that was trained.")]
    verdict: VerdictDocument
    data: DataDocument
    delays: Annotated[tuple[DelayDocument, ...], Meta(description="Of the delayed arm.")]
    setup: SetupDocument
    updates: Annotated[Positive, Meta(description="Of every run [updates].")]
    same: Annotated[bool, Meta(description="Whether nothing is stale, so that the synchronous arm stands for both.")]
    notes: Annotated[tuple[str, ...], Meta(description="What a reader must know to judge the figures.")]
    tuning: Annotated[tuple[TuningDocument, ...], Meta(description="Learning rates tried; empty: not tuned.")]
    runs: Annotated[tuple[RunDocument, ...], Meta(description="Runs that ended, in the order of seeds.")]
    interrupted: Annotated[bool, Meta(description="Whether runs are missing because somebody stopped it.")]
    device: Annotated[str, Meta(description="Where PyTorch computed.")]
    version: Annotated[str, Meta(description="Version of this package.")]
    torch_version: Annotated[str, Meta(description="Version of PyTorch.")]
    runtime_s: Annotated[Ratio, Meta(description="Wall-clock time of the last session [seconds].")]


def validation_to_json(validation: Validation, path: str | os.PathLike[str] | None = None) -> str:
    """A validation as JSON, indented, fields in a fixed order; also written to ``path`` if given.

    Raises
    ------
    InputError
        If a name is not Unicode text, or the file cannot be written.
    """
    delays = validation.delays
    parts: dict[str, Any] = {
        "verdict": part(VerdictDocument, validation.verdict),
        "data": part(DataDocument, validation.data),
        "delays": tuple(
            DelayDocument(layer=layer, forward=forward, backward=backward)
            for layer, forward, backward in zip(delays.layers, delays.forward, delays.backward, strict=True)
        ),
        "setup": part(SetupDocument, validation.setup),
        "tuning": tuple(part(TuningDocument, point) for point in validation.tuning),
        "runs": tuple(part(RunDocument, run) for run in validation.runs),
    }
    return written(part(ValidationDocument, validation, schema=SCHEMA, **parts), path)


def validation_from_json(source: str | bytes | os.PathLike[str]) -> Validation:
    """Read a validation; exact inverse of `validation_to_json`.

    Parameters
    ----------
    source
        JSON as str or bytes, or a path as a `pathlib.Path`; a str is never a path.

    Raises
    ------
    InputError
        With the file and the JSON path of what is wrong, in one line.
    """
    return read(source, ValidationDocument, _validation, _WANTED)


def validation_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a validation."""
    return schema_of(ValidationDocument, SCHEMA)


def _validation(document: ValidationDocument) -> Validation:
    rows = document.delays
    try:
        delays = WeightDelays(layers=tuple(row.layer for row in rows), forward=tuple(row.forward for row in rows), backward=tuple(row.backward for row in rows))
    except InputError as error:
        raise fail("$.delays", str(error)) from None
    fields: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(document).items() if name != "schema"}
    fields |= {
        "verdict": built("$.verdict", Verdict, document.verdict),
        "data": built("$.data", DataSummary, document.data),
        "delays": delays,
        "setup": built("$.setup", ValidationSetup, document.setup),
        "tuning": tuple(built(f"$.tuning[{i}]", TuningPoint, point) for i, point in enumerate(document.tuning)),
        "runs": tuple(built(f"$.runs[{i}]", TrainedRun, run) for i, run in enumerate(document.runs)),
    }
    return Validation(**fields)
