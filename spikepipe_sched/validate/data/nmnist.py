"""N-MNIST: a file for every sample, five bytes an event.

The bytes: x, y, then big-endian a bit of polarity and 23 bits of time [us] (Orchard et al. 2015,
doi:10.3389/fnins.2015.00437). A y of 240 is no pixel: the sensor's clock ran over, and all later
times are 2^13 us later than written (the authors' own reader, github.com/gorchard/event-Python).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from spikepipe_sched.validate.data.dataset import FrameCollector, Frames
from spikepipe_sched.validate.data.registry import Asked
from spikepipe_sched.validate.data.sources import listed, read

#: Three movements of the camera, of 100 ms each [us].
WINDOW: Final = 300_000
_RAN_OVER: Final = 240


def load(asked: Asked) -> tuple[Frames, Frames]:
    """Training and test samples.

    Raises
    ------
    InputError
        If a folder or file is missing or damaged.
    """
    return _part(asked, "Train"), _part(asked, "Test")


def _part(asked: Asked, name: str) -> Frames:
    collector = FrameCollector(asked)
    for label in range(10):
        for path in listed(asked.path / name / str(label), ".bin"):
            _add(collector, label, path)
    return collector.frames()


def _add(collector: FrameCollector, label: int, path: Path) -> None:
    file = read(path)
    size = len(file.data)
    file.require(size and size % 5 == 0, f"has {size} bytes, not a whole number of events of 5 bytes")
    x, y, high, middle, low = np.frombuffer(file.data, np.uint8).reshape(-1, 5).T.astype(np.int64)
    over = y == _RAN_OVER
    times = ((high & 127) << 16 | middle << 8 | low) + (np.cumsum(over) << 13)
    x, y, polarity, times = (values[~over] for values in (x, y, high >> 7, times))
    outside = np.flatnonzero((x > 33) | (y > 33))
    file.require(not outside.size, f"{outside.size} of its events lie outside the 34 x 34 pixels: no file of N-MNIST")
    collector.add(label, times, (polarity, y, x), start=0, window=WINDOW)
