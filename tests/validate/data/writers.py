"""Small files in the formats of the data sets, written byte by byte from the formats' descriptions."""

from __future__ import annotations

import gzip
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import h5py
import numpy as np

#: time [us], polarity, y, x
Event = tuple[int, int, int, int]

CIFAR_CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def random_events(draw: np.random.Generator, count: int, side: int, length: int) -> list[Event]:
    times = np.sort(draw.integers(0, length, count))
    return [(int(t), int(draw.integers(2)), int(draw.integers(side)), int(draw.integers(side))) for t in times]


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + bytes(values.ravel().tolist())


def mnist(folder: Path, *, train: int = 6, test: int = 3, packed: bool = False) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    draw = np.random.default_rng(1)
    kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part, count in (("train", train), ("t10k", test)):
        images, labels = draw.integers(0, 256, (count, 28, 28)), draw.integers(0, 10, count)
        kept[part] = images, labels
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(values)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return kept


def table(rows: int = 30) -> tuple[bytes, np.ndarray]:
    draw = np.random.default_rng(2)
    values = np.column_stack([draw.integers(0, 256, (rows, 784)), np.arange(rows) % 3])
    return "".join(f"{','.join(map(str, row))}\n" for row in values.tolist()).encode(), values


def mnist5k(folder: Path) -> np.ndarray:
    content, values = table()
    (folder / "mnist_5k.csv").write_bytes(content)
    return values


def wheel(path: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)


def cifar10(folder: Path) -> dict[str, list[tuple[int, bytes]]]:
    draw = np.random.default_rng(3)
    kept: dict[str, list[tuple[int, bytes]]] = {}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        kept[name] = [(int(draw.integers(10)), draw.integers(0, 256, 3072, np.uint8).tobytes()) for _ in range(2)]
        (folder / f"{name}.bin").write_bytes(b"".join(bytes([label]) + pixels for label, pixels in kept[name]))
    return kept


def utterance(channels: Sequence[Sequence[float]], label: int) -> str:
    return ":".join([*(",".join(map(str, channel)) for channel in channels), str(label)])


def vowels(folder: Path) -> dict[str, list[tuple[np.ndarray, int]]]:
    draw = np.random.default_rng(4)
    kept: dict[str, list[tuple[np.ndarray, int]]] = {}
    for part in ("TRAIN", "TEST"):
        kept[part] = [(np.round(draw.normal(3, 2, (12, int(draw.integers(7, 30)))), 6), 1 + i % 9) for i in range(12)]
        head = "# a comment\n@problemName JapaneseVowels\n@dimensions 12\n@classLabel true 1 2 3 4 5 6 7 8 9\n@data\n"
        text = head + "".join(utterance(channels.tolist(), label) + "\n" for channels, label in kept[part])
        (folder / f"JapaneseVowels_{part}.ts").write_text(text)
    return kept


def nmnist_bytes(events: Sequence[Event]) -> bytes:
    return b"".join(struct.pack(">BBBH", x, y, p << 7 | t >> 16, t & 0xFFFF) for t, p, y, x in events)


def nmnist(folder: Path) -> dict[tuple[str, int], list[Event]]:
    draw = np.random.default_rng(5)
    kept: dict[tuple[str, int], list[Event]] = {}
    for part in ("Train", "Test"):
        for label in range(10):
            kept[part, label] = random_events(draw, 40, 34, 310_000)
            home = folder / part / str(label)
            home.mkdir(parents=True)
            (home / "00001.bin").write_bytes(nmnist_bytes(kept[part, label]))
    return kept


def aedat3(events: Sequence[Event], *, overflow: int = 0, room: int = 0) -> bytes:
    """One packet of special events, which count for nothing, then the events in packets of 16; one in front of each is not valid."""
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2015-01-01 10:00:00 (TZ+0000)\r\n#!END-HEADER\r\n"
    content += struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + struct.pack("<Ii", 3, 77)
    for first in range(0, len(events), 16):
        packet = events[first : first + 16]
        content += struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, len(packet) + 1 + room, len(packet) + 1, len(packet))
        content += struct.pack("<Ii", 5 << 17 | 5 << 2 | 1 << 1, packet[0][0])
        content += b"".join(struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t) for t, p, y, x in packet)
        content += bytes(8 * room)
    return content


def gestures(folder: Path) -> dict[str, list[Event]]:
    draw = np.random.default_rng(6)
    kept: dict[str, list[Event]] = {}
    for part, names in (("train", ("user01_led", "user02_lab")), ("test", ("user24_led",))):
        (folder / f"trials_to_{part}.txt").write_text("".join(f"{name}.aedat\n" for name in names))
        for name in names:
            kept[name] = random_events(draw, 60, 128, 1_000_000)
            (folder / f"{name}.aedat").write_bytes(aedat3(kept[name]))
            (folder / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,100000,400000\n11,400000,900000\n")
    return kept


def aedat2(events: Sequence[Event]) -> bytes:
    """The events, and one of the trigger input, which is no pixel."""
    content = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n" + struct.pack(">II", 1 << 15, 5)
    return content + b"".join(struct.pack(">II", (127 - y) << 8 | x << 1 | p, t) for t, p, y, x in events)


def cifar10_dvs(folder: Path) -> dict[tuple[int, int], list[Event]]:
    draw = np.random.default_rng(7)
    kept: dict[tuple[int, int], list[Event]] = {}
    for label, name in enumerate(CIFAR_CLASSES):
        (folder / name).mkdir()
        for i in range(6):
            kept[label, i] = random_events(draw, 30, 128, 1_300_000)
            (folder / name / f"cifar10_{name}_{i}.aedat").write_bytes(aedat2(kept[label, i]))
    return kept


def shd_file(path: Path, times: Sequence[Sequence[float]], units: Sequence[Sequence[int]], labels: Sequence[int]) -> None:
    with h5py.File(path, "w") as file:
        file["labels"] = np.array(labels, np.uint16)
        for name, values, kind in (("times", times, np.float32), ("units", units, np.uint16)):
            held = file.create_dataset(f"spikes/{name}", (len(values),), h5py.vlen_dtype(kind))
            for i, value in enumerate(values):
                held[i] = np.array(value, kind)


def shd(folder: Path) -> dict[str, tuple[list[list[float]], list[list[int]], list[int]]]:
    draw = np.random.default_rng(8)
    kept: dict[str, tuple[list[list[float]], list[list[int]], list[int]]] = {}
    for part in ("train", "test"):
        times = [np.sort(draw.uniform(0, 1.3, 50)).astype(np.float32).tolist() for _ in range(6)]
        units = [draw.integers(0, 700, 50).tolist() for _ in range(6)]
        kept[part] = times, units, [0, 19, 3, 4, 5, 6]
        shd_file(folder / f"shd_{part}.h5", *kept[part])
    return kept


#: By the name of the set: what fills a folder that `load_data` takes as path.
FOLDERS: Final[dict[str, Callable[[Path], object]]] = {
    "vowels": vowels,
    "mnist5k": mnist5k,
    "mnist": mnist,
    "cifar10": cifar10,
    "nmnist": nmnist,
    "dvs-gesture": gestures,
    "cifar10-dvs": cifar10_dvs,
    "shd": shd,
}
