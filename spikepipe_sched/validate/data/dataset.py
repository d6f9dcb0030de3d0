"""Samples with labels, kept compact and given out as batches over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikepipe_sched.errors import require, require_one_of, require_whole, shown
from spikepipe_sched.network import Coding, Shape
from spikepipe_sched.validate.coding import PictureCoding, encode, event_frames
from spikepipe_sched.validate.data.arrays import Array, labelled
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
    """Samples to train on and samples to test on: from files by `load_data`, from memory by `from_arrays`.

    Parameters
    ----------
    name
        What reports call it.
    source
        Where it comes from.
    notes
        What was done to the samples that changes what can be learned.
    coding
        What a batch brings at every step, as in `Network.coding`: ``spikes`` (ones and zeros) or
        ``direct`` (real values).
    classes
        Number of classes; labels go from 0 to one less.
    shape
        Of one sample at one of its steps: a network's ``input_shape``.
    time_steps
        T, a network's ``time_steps``.
    train, test
        The samples.
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

    @classmethod
    def from_arrays(
        cls,
        name: str,
        train: tuple[Array, Array],
        test: tuple[Array, Array],
        *,
        coding: Coding = "direct",
        source: str = "given as arrays",
        classes: int | None = None,
    ) -> DataSet:
        """A data set of your own.

        >>> spikes, labels = np.random.rand(600, 8, 64) < 0.2, np.arange(600) % 10  # 600 samples of 64 neurons over 8 steps
        >>> data = DataSet.from_arrays("mine", (spikes[:500], labels[:500]), (spikes[500:], labels[500:]), coding="spikes")

        Parameters
        ----------
        name
            What reports call it.
        train, test
            Samples and labels, NumPy arrays or tensors, which are copied. Samples (N, T, *shape): real
            values, or ones and zeros if the coding is ``spikes``. Labels (N,): whole numbers from 0.
        coding
            What the samples are: ``direct`` or ``spikes``.
        source
            Where they come from.
        classes
            Number of classes; the largest label + 1 if not given.

        Raises
        ------
        InputError
            Naming what cannot be trained on: shapes that differ, nothing to train on, values that are
            no finite numbers, or no spikes, labels that are none.
        """
        for field, text in (("name", name), ("source", source)):
            require(isinstance(text, str) and text, f"data: {field} must be a text that is not empty, got {shown(text)}")
        where = f"data '{name}'"
        require_one_of(where, "coding", coding, get_args(Coding))
        (values, labels), (test_values, test_labels) = (labelled(f"{where}: {kind}", part, coding) for kind, part in (("train", train), ("test", test)))
        shape, other = values.shape[1:], test_values.shape[1:]
        require(shape == other, f"{where}: samples of train have the shape (time steps, ...) {list(shape)}, those of test {list(other)}")
        least = int(max(labels.max(), test_labels.max())) + 1
        classes = least if classes is None else require_whole(where, "classes", classes, 2)
        require(classes > 1, f"{where}: all labels are 0; there must be two classes or more")
        require(least <= classes, f"{where}: the largest label is {least - 1}, so there are at least {least} classes, not {classes}")
        return cls(
            name=name,
            source=source,
            coding=coding,
            classes=classes,
            shape=tuple(shape[1:]),
            time_steps=shape[0],
            train=Sequences(labels=labels, values=values),
            test=Sequences(labels=test_labels, values=test_values),
        )


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
    """Values over time: ``values`` (N, T, *shape), float32, or uint8 where they are spikes."""

    labels: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """See `Samples`."""
        return self.values[chosen].transpose(0, 1).contiguous().float()


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
