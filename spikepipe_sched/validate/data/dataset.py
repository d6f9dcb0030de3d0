"""Samples with labels, kept compact and given out as batches over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikepipe_sched.network import Coding, Shape
from spikepipe_sched.validate.coding import PictureCoding, encode, event_frames
from spikepipe_sched.validate.data.registry import Asked

#: Whence every split that is not official is drawn; no run changes it.
_SPLIT_SEED: Final = 1797


class Samples(Protocol):
    """Labelled samples."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""
        ...

    def __len__(self) -> int: ...

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """The samples ``chosen``, (n,) int64, over time: (T, n, *shape) float32.

        The same state of the generator gives the same batch; only ``poisson`` coding draws from it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """Samples to train on and samples to test on.

    ``coding`` says what a batch brings at every step, as in `Network.coding`: ``spikes`` (ones and
    zeros) or ``direct`` (real values). ``shape`` is that of one sample at one of its ``time_steps``.
    ``notes`` say what was done to the samples that changes what can be learned.
    """

    name: str
    source: str
    notes: tuple[str, ...] = ()
    coding: Coding
    classes: int
    shape: Shape
    time_steps: int
    train: Samples
    test: Samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Still pictures: ``pixels`` (N, *shape) uint8 from 0 to ``top``."""

    labels: Tensor
    pixels: Tensor
    top: int
    coding: PictureCoding
    time_steps: int

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """See `Samples`."""
        return encode(self.pixels[chosen].float() / self.top, self.coding, self.time_steps, generator)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequences:
    """Real values over time: ``values`` (N, T, *shape) float32."""

    labels: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """See `Samples`."""
        return self.values[chosen].transpose(0, 1).contiguous()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Events in frames, of which only the cells with events are kept.

    ``cells``: frame · elements + place, of all samples one after the other; those of sample i stand
    from ``offsets[i]`` to ``offsets[i + 1]``. ``counts``: events in each cell; None where all that is
    told is whether there are any.
    """

    labels: Tensor
    cells: Tensor
    counts: Tensor | None
    offsets: Tensor
    shape: Shape
    time_steps: int

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """See `Samples`."""
        n, size = len(chosen), math.prod(self.shape)
        first, lengths = self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen]
        sample = torch.repeat_interleave(torch.arange(n), lengths)
        ahead = lengths.cumsum(0) - lengths  # cells of the samples in front
        found = torch.arange(len(sample)) + (first - ahead)[sample]
        cells = self.cells[found].long()
        frames = torch.zeros(self.time_steps, n, size)
        frames[cells // size, sample, cells % size] = 1.0 if self.counts is None else self.counts[found].float()
        return frames.view(self.time_steps, n, *self.shape)


class FrameCollector:
    """Bins samples one by one and makes `Frames` of them.

    Places of the sensor are brought to the asked shape by whole factors: the events of neighbours
    add up.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        own = asked.entry.shape
        self._shape = own if len(asked.shape) != len(own) else asked.shape  # flattened: the same elements in the same order
        self._factors = [high // low for high, low in zip(own, self._shape, strict=True)]
        self._cells: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int32]] | None = [] if asked.coding == "counts" else None
        self._labels: list[int] = []

    def add(self, label: int, times: NDArray[np.int64], places: Sequence[NDArray[Any]], *, start: int, window: int) -> None:
        """Take one sample: ``times`` [us], and the events' ``places``, one array for each dimension of the sensor."""
        pooled = tuple(place // factor for place, factor in zip(places, self._factors, strict=True))
        flat = np.ravel_multi_index(pooled, self._shape)
        size = math.prod(self._shape)
        cells, counts = event_frames(times, flat, start=start, window=window, time_steps=self._asked.time_steps, size=size)
        self._cells.append(cells)
        if self._counts is not None:
            self._counts.append(counts)
        self._labels.append(label)

    def frames(self) -> Frames:
        """All that was taken."""
        offsets = np.cumsum([0, *(len(cells) for cells in self._cells)])
        return Frames(
            labels=torch.tensor(self._labels, dtype=torch.int64),
            cells=_joined(self._cells),
            counts=None if self._counts is None else _joined(self._counts),
            offsets=torch.from_numpy(offsets.astype(np.int64)),
            shape=self._asked.shape,
            time_steps=self._asked.time_steps,
        )


def _joined(arrays: Sequence[NDArray[np.int32]]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *arrays]))


def pictures(asked: Asked, pixels: NDArray[np.uint8], labels: NDArray[Any], *, top: int = 255) -> Pictures:
    """Pictures as asked for; ``pixels`` (N, ...) in the order of the set's own shape."""
    return Pictures(
        labels=torch.from_numpy(labels.astype(np.int64)),
        pixels=torch.from_numpy(pixels.copy()).view(len(labels), *asked.shape),
        top=top,
        coding=cast("PictureCoding", asked.coding),
        time_steps=asked.time_steps,
    )


def split(labels: NDArray[Any], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A fixed split, class by class: the samples to train on and, about ``share`` of every class, those to test on."""
    draw = np.random.RandomState(_SPLIT_SEED)  # the one generator whose stream NumPy promises never to change
    test = [draw.permutation(np.flatnonzero(labels == kind))[: round(share * np.count_nonzero(labels == kind))] for kind in np.unique(labels)]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(test)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
