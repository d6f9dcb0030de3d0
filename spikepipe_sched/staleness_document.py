"""Sweeps over delays as documents (schema ``spikepipe-sched/staleness/1``), in both directions."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from spikepipe_sched.document import Document, Number, Positive
from spikepipe_sched.errors import InputError
from spikepipe_sched.json_document import built, part, read, schema_of, written
from spikepipe_sched.network_document import NetworkDocument, network_document, network_of
from spikepipe_sched.problem import WeightPolicy
from spikepipe_sched.problem_document import fail
from spikepipe_sched.staleness import ProfileKind, Staleness, StalenessPoint
from spikepipe_sched.validation import DataSummary, ValidationSetup
from spikepipe_sched.validation_document import DataDocument, SetupDocument

SCHEMA: Final = "spikepipe-sched/staleness/1"
_WANTED: Final = "a file is needed such as validate --sweep-delays writes"

Accuracy = Annotated[float, Meta(ge=0, le=100)]


class PointDocument(Document, frozen=True):
    """One profile, and what it did to the accuracy."""

    kind: Annotated[ProfileKind, Meta(description="All layers alike, one layer, or a profile put together from what single layers bear.")]
    staleness: Annotated[tuple[Number, ...], Meta(description="Of every layer with weights, in the network's order [updates].")]
    accuracies: Annotated[tuple[Accuracy, ...], Meta(description="Of every seed, after the last epoch [%].")]
    diverged: Annotated[Number, Meta(description="Of these runs [count].")]
    mean: Annotated[float, Meta(description="Accuracy less that of the synchronous arm, mean over the seeds [percentage points].")]
    low: Annotated[float, Meta(description="Lower end of the mean's 95 % interval [percentage points].")]
    high: Annotated[float, Meta(description="Its upper end [percentage points].")]


class StalenessDocument(Document, frozen=True):
    """A sweep over delays."""

    schema: Annotated[Literal["spikepipe-sched/staleness/1"], Meta(description="Identifies this format.")]
    network: NetworkDocument
    bptt_steps: Annotated[Positive | None, Meta(description="Length of truncated back-propagation through time [steps]; null: the whole sequence.")]
    windows: Annotated[Positive, Meta(description="Into which the time steps are cut [count]; batch normalisation is of one of them.")]
    micro_batches: Annotated[Positive, Meta(description="Into which the samples of an update are cut [count]; batch normalisation is of one of them.")]
    weights: Annotated[WeightPolicy, Meta(description="Version that backward passes read: that of the forward pass (stash), or the newest (latest).")]
    data: DataDocument
    setup: SetupDocument
    updates: Annotated[Positive, Meta(description="Of every run [updates].")]
    synchronous: Annotated[tuple[Accuracy, ...], Meta(description="Accuracy without delays, of every seed [%].")]
    points: Annotated[tuple[PointDocument, ...], Meta(description="The measured profiles.")]
    device: Annotated[str, Meta(description="Where PyTorch computed.")]
    version: Annotated[str, Meta(description="Version of this package.")]
    torch_version: Annotated[str, Meta(description="Version of PyTorch.")]


def staleness_to_json(staleness: Staleness, path: str | os.PathLike[str] | None = None) -> str:
    """A sweep as JSON, indented, fields in a fixed order; also written to ``path`` if given."""
    parts: dict[str, Any] = {
        "network": network_document(staleness.network),
        "data": part(DataDocument, staleness.data),
        "setup": part(SetupDocument, staleness.setup),
        "points": tuple(part(PointDocument, point) for point in staleness.points),
    }
    return written(part(StalenessDocument, staleness, schema=SCHEMA, **parts), path)


def staleness_from_json(source: str | bytes | os.PathLike[str]) -> Staleness:
    """Read a sweep; exact inverse of `staleness_to_json`.

    Parameters
    ----------
    source
        JSON as str or bytes, or a path as a `pathlib.Path`; a str is never a path.

    Raises
    ------
    InputError
        With the file and the JSON path of what is wrong, in one line.
    """
    return read(source, StalenessDocument, _staleness, _WANTED)


def staleness_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sweep."""
    return schema_of(StalenessDocument, SCHEMA)


def _staleness(document: StalenessDocument) -> Staleness:
    fields: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(document).items() if name != "schema"}
    fields |= {
        "data": built("$.data", DataSummary, document.data),
        "setup": built("$.setup", ValidationSetup, document.setup),
        "points": tuple(built(f"$.points[{i}]", StalenessPoint, point) for i, point in enumerate(document.points)),
    }
    try:
        fields["network"] = network_of(document.network)
    except InputError as error:
        raise fail("$.network", str(error)) from None
    try:
        return Staleness(**fields)
    except InputError as error:
        raise fail("$", str(error)) from None
