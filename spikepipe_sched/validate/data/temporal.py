"""A generated set of events in which only time tells the classes apart.

The channels belong to five groups in turn. In every sample each channel fires once, group after
group, and besides at random; a class is the order of the groups. The number of events of a channel
therefore has one and the same distribution in all classes, and rates, however they are read out,
tell nothing. The time of the first group is random, so that a clock alone is of little help: who
fires before whom must be remembered.

Difficulty d, from 0 to 1, in shares of a sample's length: a group fires 0.16 - 0.10 d behind the
one before, each channel shifted by a normal jitter of 0.01 + 0.03 d, and has 2 d events of noise on
average, uniform over time (a Poisson number).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Final

import numpy as np

from spikepipe_sched.errors import require
from spikepipe_sched.validate.data.dataset import FrameCollector, Frames
from spikepipe_sched.validate.data.registry import Asked

GROUPS: Final = 5
#: Length of a sample [us].
_LENGTH: Final = 1_000_000
_SIZES: Final = (2000, 1000)
_SHORTEST: Final = 20


def load(asked: Asked) -> tuple[Frames, Frames]:
    """Training and test samples, 200 and 100 of every class, drawn from the seed.

    Raises
    ------
    InputError
        If there are too few time steps to tell the groups apart.
    """
    require(asked.time_steps >= _SHORTEST, f"data set 'temporal' needs {_SHORTEST} time steps or more to tell orders apart, got {asked.time_steps}")
    asked = replace(asked, entry=replace(asked.entry, shape=asked.shape))  # as many channels as are asked for
    draw = np.random.default_rng(asked.seed)
    orders = np.array(list(permutations(range(GROUPS))))
    places = np.argsort(draw.permutation(orders)[: asked.entry.classes], axis=1)  # (classes, groups): when each group fires
    train, test = (_drawn(asked, draw, places, size) for size in _SIZES)
    return train, test


def _drawn(asked: Asked, draw: np.random.Generator, places: np.ndarray, size: int) -> Frames:
    channels, classes, hard = np.arange(asked.shape[0]), len(places), asked.difficulty
    gap, jitter, noise = 0.16 - 0.10 * hard, 0.01 + 0.03 * hard, 2 * hard
    collector = FrameCollector(asked)
    for label in draw.permutation(np.arange(size) % classes):
        first = draw.uniform(0, 1 - (GROUPS - 1) * gap)
        fired = first + gap * places[label, channels % GROUPS] + draw.normal(0, jitter, len(channels))
        astray = np.repeat(channels, draw.poisson(noise, len(channels)))
        times = np.concatenate([fired, draw.uniform(0, 1, len(astray))])
        within = np.clip(times * _LENGTH, 0, _LENGTH - 1).astype(np.int64)  # none is lost at the edges: that would change the rates
        collector.add(int(label), within, (np.concatenate([channels, astray]),), start=0, window=_LENGTH)
    return collector.frames()
