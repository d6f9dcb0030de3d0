"""JapaneseVowels: utterances of nine speakers as 12 coefficients over 7 to 29 frames.

The ``.ts`` text: lines of # (comments) and @ (what the file holds), then after ``@data`` a line for
every utterance: its channels, each a list of values with commas between them, and its class,
separated by colons (the format of timeseriesclassification.com).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from spikepipe_sched.errors import require
from spikepipe_sched.readers.text import Line
from spikepipe_sched.validate.data.dataset import Sequences
from spikepipe_sched.validate.data.registry import Asked
from spikepipe_sched.validate.data.sources import Content, find, is_archive, read

_MEMBER: Final = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
_CHANNELS: Final = 12
_FRAMES: Final = 29
_CLASSES: Final = 9

#: Utterances, each (frames, channels), and their labels.
Utterances = tuple[list[NDArray[np.float64]], list[int]]


def load(asked: Asked) -> tuple[Sequences, Sequences]:
    """Training and test samples of the official split.

    Every channel is standardised by mean and deviation of the training frames; then utterances are
    cut to T frames, or followed by zeros, the mean of the training set.

    Raises
    ------
    InputError
        If a file is missing or damaged; the message names the line.
    """
    train, test = (_utterances(_file(asked.path, part)) for part in ("TRAIN", "TEST"))
    frames = np.concatenate(train[0])
    mean, deviation = frames.mean(0), frames.std(0)
    constant = np.flatnonzero(deviation <= 0)
    require(not constant.size, f"{asked.path}: channel {constant[0] + 1 if constant.size else 0} never changes in the training set: it cannot be standardised")

    def padded(part: Utterances) -> Sequences:
        values = np.zeros((len(part[0]), asked.time_steps, _CHANNELS), np.float32)
        for i, utterance in enumerate(part[0]):
            kept = (utterance[: asked.time_steps] - mean) / deviation
            values[i, : len(kept)] = kept
        return Sequences(labels=torch.tensor(part[1], dtype=torch.int64), values=torch.from_numpy(values))

    return padded(train), padded(test)


def _file(path: Path, part: str) -> Content:
    if path.suffix == ".ts":
        require(path.stem.endswith(("_TRAIN", "_TEST")), f"{path}: a .ts file must end in _TRAIN.ts or _TEST.ts, so that the other one can be found beside it")
        return read(path.with_name(f"{path.stem.rpartition('_')[0]}_{part}.ts"))
    require(path.is_dir() or is_archive(path), f"{path}: neither a folder nor a wheel nor a .ts file")
    return find(path, _MEMBER.format(part))


def _utterances(file: Content) -> Utterances:
    try:
        lines = file.text().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Line(file.path, file.data.count(b"\n", 0, error.start) + 1).error("not UTF-8 text") from None
    start = next((number for number, text in enumerate(lines, 1) if text.strip().lower() == "@data"), None)
    if start is None:
        raise file.error("has no line @data: no .ts file")
    found, labels = list[NDArray[np.float64]](), list[int]()
    for number, text in enumerate(lines[start:], start + 1):
        if text.strip() and not text.startswith("#"):
            utterance, label = _utterance(Line(file.path, number), text.strip())
            found.append(utterance)
            labels.append(label)
    file.require(found, "holds no utterances")
    return found, labels


def _utterance(line: Line, text: str) -> tuple[NDArray[np.float64], int]:
    *channels, kind = text.split(":")
    if len(channels) != _CHANNELS:
        raise line.error(f"{len(channels)} channels in front of the class, not {_CHANNELS}")
    label = line.whole(kind.strip(), "the class", 1)
    if label > _CLASSES:
        raise line.error(f"class {label} is none of 1 to {_CLASSES}")
    rows = [[_number(line, cell) for cell in channel.split(",", _FRAMES + 1)[: _FRAMES + 1]] for channel in channels]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or max(lengths) > _FRAMES:
        raise line.error(f"channels of {', '.join(map(str, sorted(lengths)))} values; all must have the same number, at most {_FRAMES}")
    return np.array(rows).T, label - 1


def _number(line: Line, cell: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # Python's own 1_000 is no number here
    except ValueError:
        value = math.nan
    if not abs(value) <= 1e6:  # neither infinite nor no number
        raise line.error(f"{cell.strip()[:40]!r} is no number between -10^6 and 10^6")
    return value
