"""CIFAR-10 in its binary version: records of a label and 3 x 32 x 32 pixels, one byte each.

The pickled version is not read: unpickling a file runs whatever code it holds.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spikepipe_sched.validate.data.dataset import Pictures, pictures
from spikepipe_sched.validate.data.registry import Asked
from spikepipe_sched.validate.data.sources import find

_RECORD: Final = 1 + 3 * 32 * 32


def load(asked: Asked) -> tuple[Pictures, Pictures]:
    """Training samples, of the five batches, and test samples.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    sets: list[Pictures] = []
    for names in ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]):
        records = np.concatenate([_records(asked, name) for name in names])
        sets.append(pictures(asked, records[:, 1:], records[:, 0]))
    return sets[0], sets[1]


def _records(asked: Asked, name: str) -> np.ndarray:
    file = find(asked.path, name)
    size = len(file.data)
    file.require(size and size % _RECORD == 0, f"has {size} bytes, not a whole number of records of {_RECORD} bytes")
    records = np.frombuffer(file.data, np.uint8).reshape(-1, _RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    file.require(not wrong.size, f"record {wrong[0] + 1 if wrong.size else 0}: label {records[wrong[:1], 0].sum()} is none of 0 to 9")
    return records
