"""Sweeps over delays with made-up measurements."""

from __future__ import annotations

from collections.abc import Mapping

from spikepipe_sched import Layer, Network
from spikepipe_sched.staleness import Profile, ProfileKind, Staleness, StalenessPoint
from spikepipe_sched.validation import DataSummary, ValidationSetup

SETUP = ValidationSetup(epochs=3, seeds=2, policy="stash", batch=16, coding="direct")
DATA = DataSummary(name="made up", source="this test", coding="direct", classes=10, train_samples=320, test_samples=100, chance=0.1)
#: At every seed [%].
SYNCHRONOUS = (90.0, 92.0)


def chain(layers: int) -> Network:
    """Layers a, b, c, ..., one behind the other."""
    names = "abcdefgh"[:layers]
    some = [
        Layer(name=name, kind="linear", inputs=(before,), out_features=4, neuron="lif", bias=True)
        for name, before in zip(names, ("input", *names), strict=False)
    ]
    return Network(name="chain", input_shape=(6,), time_steps=4, layers=tuple(some))


def kind_of(profile: Profile) -> ProfileKind:
    """The most special kind that a profile can be."""
    return "uniform" if len(set(profile)) == 1 else "layer" if sum(map(bool, profile)) == 1 else "joint"


def point(profile: Profile, mean: float, half: float, diverged: int = 0, kind: ProfileKind | None = None) -> StalenessPoint:
    """A profile whose interval is ``mean`` -+ ``half``."""
    accuracies = tuple(accuracy + mean for accuracy in SYNCHRONOUS)
    return StalenessPoint(
        kind=kind or kind_of(profile), staleness=profile, accuracies=accuracies, diverged=diverged, mean=mean, low=mean - half, high=mean + half
    )


def measured(lows: Mapping[Profile, float], **changed: object) -> Staleness:
    """A sweep whose profiles have intervals that begin at ``lows`` and are 1 point wide."""
    layers = len(next(iter(lows)))
    points = tuple(point(profile, low + 0.5, 0.5) for profile, low in lows.items())
    fields = {
        "network": chain(layers),
        "bptt_steps": None,
        "windows": 1,
        "micro_batches": 1,
        "weights": "stash",
        "data": DATA,
        "setup": SETUP,
        "updates": 60,
        "synchronous": SYNCHRONOUS,
        "points": points,
        "version": "0",
        "torch_version": "0",
    }
    return Staleness(**fields | changed)  # pyright: ignore[reportArgumentType]
