"""Spiking Heidelberg Digits: HDF5 files of spike times [s], channels and labels.

``spikes/times`` and ``spikes/units`` hold one array for every sample, ``labels`` one number
(Cramer et al. 2022, doi:10.1109/TNNLS.2020.3044364).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.validate.data.dataset import FrameCollector, Frames
from spikepipe_sched.validate.data.registry import Asked

#: The first second, in which nearly all words are over (as Yin et al. 2021, doi:10.1038/s42256-021-00397-w, take it) [us].
WINDOW: Final = 1_000_000
_CHANNELS: Final = 700
#: More samples than this, or more spikes in one, is damage.
_MAX_ITEMS: Final = 10**6


def load(asked: Asked) -> tuple[Frames, Frames]:
    """Training and test samples.

    Raises
    ------
    InputError
        If a file is missing or damaged; the message names the sample.
    """
    return _part(asked, "shd_train.h5"), _part(asked, "shd_test.h5")


def _part(asked: Asked, name: str) -> Frames:
    import h5py

    path = asked.path / name
    require(path.is_file(), f"{path}: no such file")
    collector = FrameCollector(asked)
    try:
        with h5py.File(path, "r") as file:
            _add_all(collector, path, file["labels"], file["spikes/times"], file["spikes/units"])
    except InputError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # what h5py raises on damaged files
        raise InputError(f"{path}: no SHD file that can be read: {' '.join(str(error).split())}") from None
    return collector.frames()


def _add_all(collector: FrameCollector, path: Path, labels: Any, times: Any, units: Any) -> None:
    shapes = [getattr(each, "shape", None) for each in (labels, times, units)]
    count = shapes[0][0] if shapes[0] is not None and len(shapes[0]) == 1 else 0
    require(0 < count <= _MAX_ITEMS and shapes == [(count,)] * 3, f"{path}: labels, spikes/times and spikes/units must be lists of one length")
    for i, label in enumerate(labels[:]):
        where = f"{path}: sample {i}"
        require(np.ndim(label) == 0 and label in range(20), f"{where}: its label is none of 0 to 19")
        seconds, channels = np.asarray(times[i], np.float64), np.asarray(units[i], np.float64)
        alike = seconds.ndim == 1 and seconds.shape == channels.shape and len(seconds) <= _MAX_ITEMS
        require(alike, f"{where}: its times and units are no lists of one length")
        require(np.all((seconds >= 0) & (seconds < 1e6)), f"{where}: a time is no number from 0 to 10^6 s")
        require(np.all(np.isin(channels, np.arange(_CHANNELS))), f"{where}: a unit is none of 0 to {_CHANNELS - 1}")
        collector.add(int(label), np.round(seconds * 1e6).astype(np.int64), (channels.astype(np.int64),), start=0, window=WINDOW)
