"""What a sweep over delays has measured: the accuracy of a network that is trained with stale weights.

The staleness of a layer is by how many updates its weights are too old: its delay D less one. A
profile is the staleness of every layer. Each is trained with the same seeds as the synchronous arm,
in which nothing is stale, and compared with it seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, get_args

from spikepipe_sched.errors import is_number, require, require_one_of, require_whole
from spikepipe_sched.layer import Layer
from spikepipe_sched.network import Network
from spikepipe_sched.problem import WeightPolicy
from spikepipe_sched.validation import DataSummary, ValidationSetup

if TYPE_CHECKING:
    import os

    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

    from spikepipe_sched.training import TrainingSetup

#: Staleness of every layer, in the order of `Staleness.layers`.
Profile = tuple[int, ...]
ProfileKind = Literal["uniform", "layer", "joint"]
KINDS: Final = get_args(ProfileKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class StalenessPoint:
    """One profile, and what it did to the accuracy.

    Parameters
    ----------
    kind
        ``uniform``: all layers alike; ``layer``: one layer, the others not at all; ``joint``: put
        together from what single layers bear, and measured as a whole.
    staleness
        Of every layer [updates].
    accuracies
        Of every seed, after the last epoch [%].
    diverged
        Number of these runs that diverged.
    mean, low, high
        Accuracy less that of the synchronous arm: mean over the seeds, and its 95 % interval [points].
    """

    kind: ProfileKind
    staleness: Profile
    accuracies: tuple[float, ...]
    diverged: int
    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        require_one_of("staleness", "kind", self.kind, KINDS)
        where = f"{self.kind} staleness {', '.join(map(str, self.staleness))}"
        for value in self.staleness:
            require_whole(where, "staleness", value, 0)
        stale = sum(value > 0 for value in self.staleness)
        require(stale, f"{where}: nothing is stale; that is the synchronous arm")
        fits = {"uniform": len(set(self.staleness)) == 1, "layer": stale == 1, "joint": True}[self.kind]
        require(fits, f"{where}: this profile is not of that kind")
        _require_accuracies(where, self.accuracies)
        require_whole(where, "diverged", self.diverged, 0)
        require(self.diverged <= len(self.accuracies), f"{where}: {self.diverged} of {len(self.accuracies)} runs diverged")
        finite = all(is_number(value) and math.isfinite(value) for value in (self.low, self.mean, self.high))
        require(finite and self.low <= self.mean <= self.high, f"{where}: the mean must lie in its interval, got {self.mean} in [{self.low}, {self.high}]")

    def keeps_accuracy(self, tolerance: float) -> bool:
        """Whether a loss of ``tolerance`` points or more is excluded: by the interval, and no run diverged."""
        return self.diverged == 0 and self.low > -tolerance

    def loses_accuracy(self, tolerance: float) -> bool:
        """Whether a loss of more than ``tolerance`` points is shown: by the interval, or a run diverged. Neither may hold."""
        return self.diverged > 0 or self.high < -tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """A sweep: the measured profiles, and under which conditions they were measured.

    Parameters
    ----------
    network
        What was trained.
    bptt_steps
        Length of truncated back-propagation through time [steps]; None: the whole sequence.
    windows
        Into which the time steps are cut [count].
    micro_batches
        Into which the samples of an update are cut [count]. Batch normalisation takes means and
        variances of one window of one of them.
    weights
        Which version backward passes read: the one that the forward pass has read (``stash``), or the
        newest (``latest``), as schedules for the policy are made for.
    data
        The data set.
    setup
        Of every run, with policy, batch and coding as they were in the end; its margin led to the
        joint profiles.
    updates
        Of every run.
    synchronous
        Accuracies of the synchronous arm, of every seed [%].
    points
        Each profile of a kind once; those of kind ``joint`` in the order in which they were tried,
        none of them staler in any layer than the one before.
    device, version, torch_version
        Where and by what it was trained.
    """

    network: Network
    bptt_steps: int | None
    windows: int
    micro_batches: int
    weights: WeightPolicy
    data: DataSummary
    setup: ValidationSetup
    updates: int
    synchronous: tuple[float, ...]
    points: tuple[StalenessPoint, ...]
    device: str = "cpu"
    version: str
    torch_version: str

    def __post_init__(self) -> None:
        where, layers, seeds = f"staleness of '{self.network.name}'", self.layers, self.setup.seeds
        require_one_of(where, "weights", self.weights, get_args(WeightPolicy))
        for field in ("windows", "micro_batches", "updates"):
            require_whole(where, field, getattr(self, field), 1)
        require(self.setup.batch is not None and self.setup.policy is not None, f"{where}: its setup must name batch and policy")
        _require_accuracies(where, self.synchronous)
        require(len(self.synchronous) == seeds, f"{where}: {seeds} seeds, but {len(self.synchronous)} accuracies of the synchronous arm")
        seen = set[tuple[ProfileKind, Profile]]()
        for i, point in enumerate(self.points):
            at = f"{where}, points[{i}]"
            require(len(point.staleness) == len(layers), f"{at}: {len(point.staleness)} values for {len(layers)} layers ({', '.join(layers)})")
            require(len(point.accuracies) == seeds, f"{at}: {seeds} seeds, but {len(point.accuracies)} accuracies")
            mean = (sum(point.accuracies) - sum(self.synchronous)) / seeds
            require(math.isclose(point.mean, mean, abs_tol=1e-6), f"{at}: the mean is {point.mean:.6f}, but the accuracies give {mean:.6f}")
            require((point.kind, point.staleness) not in seen, f"{at}: this profile is there already")
            seen.add((point.kind, point.staleness))
        joint = [point.staleness for point in self.points if point.kind == "joint"]
        require(all(within(after, before) for before, after in pairwise(joint)), f"{where}: a joint profile is staler than the one tried before it")

    @property
    def layers(self) -> tuple[str, ...]:
        """Those with weights, in the network's order, as in every profile."""
        return tuple(self.network.parameters())

    def named(self, profile: Profile) -> str:
        """See `named`."""
        return named(self.layers, profile)

    @staticmethod
    def from_json(text: str | bytes | os.PathLike[str]) -> Staleness:
        """Read a sweep; a path as a `pathlib.Path`, a str is JSON. InputError names what is wrong, and where."""
        from spikepipe_sched.staleness_document import staleness_from_json

        return staleness_from_json(text)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The sweep as JSON (schema ``spikepipe-sched/staleness/1``); also written to ``path`` if given."""
        from spikepipe_sched.staleness_document import staleness_to_json

        return staleness_to_json(self, path)

    def curves(self) -> Figure:
        """Difference in accuracy over staleness, with 95 % intervals, as a plotly figure."""
        from spikepipe_sched.export.staleness import staleness_chart

        return staleness_chart(self)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Figures and curves as a page that needs nothing else; also written to ``path`` if given."""
        from spikepipe_sched.export.staleness import staleness_page
        from spikepipe_sched.files import write_atomically

        page = staleness_page(self)
        if path is not None:
            write_atomically(path, page)
        return page

    def __str__(self) -> str:
        from spikepipe_sched.export.staleness import staleness_text

        return staleness_text(self)

    def _repr_html_(self) -> str:
        from spikepipe_sched.export.staleness import staleness_cell

        return staleness_cell(self)


def named(layers: Sequence[str], profile: Profile) -> str:
    """A profile in words: ``3`` where all layers are alike, else ``fc1 8, fc2 4``, without those that are not stale."""
    if len(set(profile)) == 1:
        return str(profile[0])
    return ", ".join(f"{layer} {value}" for layer, value in zip(layers, profile, strict=True) if value)


def within(profile: Profile, limit: Profile) -> bool:
    """Whether no layer is staler than a limit allows."""
    return all(value <= most for value, most in zip(profile, limit, strict=True))


def mismatch(staleness: Staleness, network: Network, training: TrainingSetup, weights: WeightPolicy) -> tuple[str, str] | None:
    """The first respect in which a training is not the measured one: what was measured, and what is asked for; None if there is none.

    Names and sources of networks may differ, and so may spike rates: they do not change what is learned.
    Windows and micro-batches do so through batch normalisation alone; schedules with delays have one micro-batch per update.
    """
    pairs: list[tuple[str, object, object]] = [
        ("layers", _names(staleness.network), _names(network)),
        ("input shape", list(staleness.network.input_shape), list(network.input_shape)),
        ("time_steps", staleness.network.time_steps, network.time_steps),
        ("coding", staleness.network.coding, network.coding),
    ]
    for one, other in zip(staleness.network.layers, network.layers, strict=False):
        pairs += [
            (f"layer '{one.name}' of {field.name}", getattr(one, field.name), getattr(other, field.name))
            for field in fields(Layer)
            if field.name != "spike_rate"
        ]
    pairs += [
        ("batch", staleness.setup.batch, training.batch),
        ("bptt_steps", staleness.bptt_steps, training.bptt_steps),
        ("weights", staleness.weights, weights),
    ]
    if any(layer.norm == "batch" for layer in network.layers):
        pairs += [("windows", staleness.windows, training.windows), ("micro_batches", staleness.micro_batches, 1)]
    return next(((f"{what} {measured}", f"{wanted}") for what, measured, wanted in pairs if measured != wanted), None)


def _names(network: Network) -> str:
    return ", ".join(layer.name for layer in network.layers)


def _require_accuracies(where: str, accuracies: tuple[float, ...]) -> None:
    for value in accuracies:
        require(is_number(value) and 0 <= value <= 100, f"{where}: an accuracy must be between 0 and 100 %, got {value}")
