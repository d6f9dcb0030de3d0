"""Recordings of the DVS128 camera: DVS128 Gesture (AEDAT 3.1) and CIFAR10-DVS (AEDAT 2.0).

Both formats are described at docs.inivation.com (AEDAT file formats).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spikepipe_sched.readers.text import Line
from spikepipe_sched.validate.data.dataset import FrameCollector, Frames, split
from spikepipe_sched.validate.data.registry import Asked
from spikepipe_sched.validate.data.sources import Content, listed, read

#: Times [us], then polarity, y and x of events.
Events = tuple[NDArray[np.int64], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]

_SIDE: Final = 128
_CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_END: Final = b"#!END-HEADER\r\n"
#: Packets of AEDAT 3.1 start with these fields, little-endian.
_PACKET: Final = np.dtype(
    [("kind", "<i2"), ("source", "<i2"), ("size", "<i4"), ("offset", "<i4"), ("overflow", "<i4"), ("capacity", "<i4"), ("number", "<i4"), ("valid", "<i4")]
)
_POLARITY: Final = 1
#: Longest trial, an hour: beyond it a file is damaged [us].
_LONGEST: Final = 3_600_000_000


def load_gestures(asked: Asked) -> tuple[Frames, Frames]:
    """Training and test samples of DVS128 Gesture: the trials of the recordings that the two lists name.

    A row of a recording's _labels.csv holds the gesture, 1 to 11, and when it starts and ends [us].

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    return _trials(asked, "trials_to_train.txt"), _trials(asked, "trials_to_test.txt")


def _trials(asked: Asked, listing: str) -> Frames:
    collector = FrameCollector(asked)
    names = read(asked.path / listing)
    recordings = [name.strip() for name in names.text().decode("utf-8", "replace").splitlines() if name.strip()]
    names.require(recordings, "names no recordings")
    for name in recordings:
        names.require(name.endswith(".aedat") and Path(name).name == name and name.isprintable(), f"'{name[:60]!a}' is no name of an .aedat file beside it")
        times, places = _aedat3(read(asked.path / name))
        for label, start, end in _labels(read(asked.path / f"{name.removesuffix('.aedat')}_labels.csv")):
            inside = (times >= start) & (times < end)
            collector.add(label, times[inside], [place[inside] for place in places], start=start, window=end - start)
    return collector.frames()


def _labels(file: Content) -> list[tuple[int, int, int]]:
    rows: list[tuple[int, int, int]] = []
    for number, text in enumerate(file.text().decode("utf-8", "replace").splitlines(), 1):
        line, cells = Line(file.path, number), [cell.strip() for cell in text.split(",")]
        if number == 1 or cells == [""]:  # the header
            continue
        if len(cells) != 3:
            raise line.error("a row must be class,startTime_usec,endTime_usec")
        label, start, end = (line.whole(cell, what) for cell, what in zip(cells, ("the class", "the start", "the end"), strict=True))
        if not 1 <= label <= 11:
            raise line.error(f"class {label} is none of 1 to 11")
        if not 0 < end - start <= _LONGEST:
            raise line.error(f"the gesture lasts from {start} to {end} us: not more than 0 and at most an hour")
        rows.append((label - 1, start, end))
    file.require(rows, "holds no gestures")
    return rows


def _aedat3(file: Content) -> Events:
    """The events of an AEDAT 3.1 file: lines of a header, then packets, of which those of polarity events count.

    An event: bit 0 says whether it is valid, bit 1 the polarity, bits 2-16 y, bits 17-31 x; then its
    time, the low 31 bits; the packet holds the rest.
    """
    data = file.data
    file.require(data.startswith(b"#!AER-DAT3."), "starts not with #!AER-DAT3: no AEDAT 3.1 file")
    at = data.find(_END)
    file.require(at >= 0, "its header has no end (#!END-HEADER)")
    at += len(_END)
    found = [np.zeros((0, 3), np.int64)]
    while at < len(data):
        file.require(len(data) - at >= _PACKET.itemsize, f"ends within the header of the packet at byte {at}")
        packet = np.frombuffer(data, _PACKET, 1, at)[0]
        size, capacity, number, overflow = (int(packet[field]) for field in ("size", "capacity", "number", "overflow"))
        at += _PACKET.itemsize
        sound = size > 0 and 0 <= number <= capacity and overflow >= 0
        file.require(sound, f"the packet at byte {at - _PACKET.itemsize} is damaged: {number} events of {size} bytes in room for {capacity}")
        file.require(len(data) - at >= size * capacity, f"ends within the packet at byte {at - _PACKET.itemsize}")
        if packet["kind"] == _POLARITY:
            file.require(size == 8, f"the packet at byte {at - _PACKET.itemsize} has polarity events of {size} bytes, not of 8")
            words = np.frombuffer(data, "<u4", 2 * number, at).reshape(-1, 2)
            events = np.column_stack([words, np.full(number, overflow)]).astype(np.int64)
            found.append(events[events[:, 0] & 1 == 1])
        at += size * capacity
    words, low, high = np.concatenate(found).T
    return (high << 31) + (low & 0x7FFFFFFF), _on_sensor(file, words >> 1 & 1, words >> 2 & 0x7FFF, words >> 17)


def _on_sensor(file: Content, polarity: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    outside = np.count_nonzero((x >= _SIDE) | (y >= _SIDE))
    file.require(not outside, f"{outside} of its events lie outside the 128 x 128 pixels: no recording of a DVS128")
    return polarity, y, x


def load_cifar(asked: Asked) -> tuple[Frames, Frames]:
    """Training and test samples of CIFAR10-DVS, which has no split of its own: 90 and 10 percent of every class.

    Raises
    ------
    InputError
        If a folder or file is missing or damaged.
    """
    files = [(label, path) for label, name in enumerate(_CLASSES) for path in listed(asked.path / name, ".aedat")]
    labels = np.array([label for label, _ in files])
    parts: list[Frames] = []
    for chosen in split(labels, 0.1):
        collector = FrameCollector(asked)
        for i in chosen:
            times, places = _aedat2(read(files[i][1]))
            start = int(times.min())
            collector.add(files[i][0], times, places, start=start, window=int(times.max()) - start + 1)
        parts.append(collector.frames())
    return parts[0], parts[1]


def _aedat2(file: Content) -> Events:
    """The events of an AEDAT 2.0 file: lines that start with #, then pairs of address and time [us], big-endian.

    An address of the DVS128: bit 0 the polarity, bits 1-7 x, bits 8-14 y from below; higher bits mark
    what is no pixel.
    """
    data, at = file.data, 0
    file.require(data.startswith(b"#!AER-DAT2."), "starts not with #!AER-DAT2: no AEDAT 2.0 file")
    while data[at : at + 1] == b"#":
        end = data.find(b"\n", at)
        file.require(end >= 0, "ends within its header")
        at = end + 1
    file.require((len(data) - at) % 8 == 0, f"has {len(data) - at} bytes behind its header, not a whole number of events of 8 bytes")
    address, times = np.frombuffer(data, ">u4", offset=at).reshape(-1, 2).T.astype(np.int64)
    pixel = address >> 15 == 0
    file.require(pixel.any(), "holds no events")
    address, times = address[pixel], times[pixel]
    return times, (address & 1, _SIDE - 1 - (address >> 8), address >> 1 & 127)
