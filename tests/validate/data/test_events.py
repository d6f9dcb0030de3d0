"""Sets of events, read back from files that the tests write themselves, event by event."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate.data import DataSet, Samples, load_data
from spikepipe_sched.validate.data.dataset import Frames
from tests.validate.data import writers
from tests.validate.data.writers import Event


def whole(samples: Samples) -> np.ndarray:
    return samples.batch(torch.arange(len(samples)), torch.Generator()).numpy()


def binned(events: Iterable[Event], steps: int, start: int, window: int, side: int) -> np.ndarray:
    """(T, 2, side, side) counts."""
    frames = np.zeros((steps, 2, side, side), np.float32)
    for t, p, y, x in events:
        if start <= t < start + window:
            frames[(t - start) * steps // window, p, y, x] += 1
    return frames


def check(part: Samples, labels: Sequence[int], frames: Sequence[np.ndarray]) -> None:
    assert part.labels.tolist() == list(labels)
    assert np.array_equal(whole(part), np.stack(frames, 1))


def summed(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Frames (T, n, *old) with neighbours summed down to (T, n, *shape)."""
    for axis, size in enumerate(shape, 2):
        split = (*frames.shape[:axis], size, frames.shape[axis] // size, *frames.shape[axis + 1 :])
        frames = frames.reshape(split).sum(axis + 1)
    return frames


def test_nmnist_is_read_event_by_event(tmp_path: Path) -> None:
    written = writers.nmnist(tmp_path)
    data = load_data("nmnist", path=tmp_path, time_steps=7, coding="counts")
    for name, part in (("Train", data.train), ("Test", data.test)):
        check(part, range(10), [binned(written[name, label], 7, 0, 300_000, 34) for label in range(10)])
    assert (data.coding, data.shape) == ("direct", (2, 34, 34))


def test_the_clock_of_nmnist_runs_over_where_y_is_240(tmp_path: Path) -> None:
    writers.nmnist(tmp_path)
    over = (0, 0, 240, 0)
    file = tmp_path / "Train" / "0" / "00001.bin"
    file.write_bytes(writers.nmnist_bytes([(5, 1, 3, 4), over, (5, 1, 3, 4), over, (6, 0, 1, 2)]))
    data = load_data("nmnist", path=tmp_path, time_steps=300, coding="counts")
    expected = binned([(5, 1, 3, 4), (5 + 8192, 1, 3, 4), (6 + 16384, 0, 1, 2)], 300, 0, 300_000, 34)
    assert np.array_equal(whole(data.train)[:, 0], expected)


@pytest.mark.parametrize("room", [0, 3])
@pytest.mark.parametrize("overflow", [0, 2])
def test_gestures_are_cut_from_their_recordings(tmp_path: Path, overflow: int, room: int) -> None:
    written = writers.gestures(tmp_path)
    since = overflow << 31
    for name, events in written.items():
        (tmp_path / f"{name}.aedat").write_bytes(writers.aedat3(events, overflow=overflow, room=room))
        (tmp_path / f"{name}_labels.csv").write_text(
            f"class,startTime_usec,endTime_usec\n1,{since + 100000},{since + 400000}\n11,{since + 400000},{since + 900000}\n\n"
        )
    data = load_data("dvs-gesture", path=tmp_path, time_steps=5, coding="counts")
    for part, names in ((data.train, ("user01_led", "user02_lab")), (data.test, ("user24_led",))):
        trials = [(written[name], *trial) for name in names for trial in ((100_000, 300_000), (400_000, 500_000))]
        check(part, [0, 10] * len(names), [binned(events, 5, start, window, 128) for events, start, window in trials])


def test_cifar10_dvs_is_read_and_split_by_class(tmp_path: Path) -> None:
    written = writers.cifar10_dvs(tmp_path)
    data = load_data("cifar10-dvs", path=tmp_path, time_steps=4, coding="counts")
    assert torch.bincount(data.train.labels).tolist() == [5] * 10
    assert torch.bincount(data.test.labels).tolist() == [1] * 10
    waiting = {key: binned(events, 4, events[0][0], events[-1][0] - events[0][0] + 1, 128) for key, events in written.items()}
    for part in (data.train, data.test):
        for label, frames in zip(part.labels.tolist(), whole(part).swapaxes(0, 1), strict=True):
            same = [key for key, other in waiting.items() if key[0] == label and np.array_equal(frames, other)]
            del waiting[same[0]]
    assert not waiting


def test_spoken_digits_are_read_spike_by_spike(tmp_path: Path) -> None:
    written = writers.shd(tmp_path)
    data = load_data("shd", path=tmp_path, time_steps=20, coding="counts")
    for part, (times, units, labels) in zip((data.train, data.test), written.values(), strict=True):
        frames = np.zeros((20, 6, 700), np.float32)
        for i in range(6):
            for second, unit in zip(times[i], units[i], strict=True):
                if second < 1:
                    frames[int(second * 20), i, unit] += 1
        assert np.array_equal(whole(part), frames)
        assert part.labels.tolist() == labels


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DataSet]:
    """N-MNIST with many events a pixel."""
    folder = tmp_path_factory.mktemp("many")
    writers.nmnist(folder)
    draw = np.random.default_rng(9)
    for file in folder.rglob("*.bin"):
        file.write_bytes(writers.nmnist_bytes(writers.random_events(draw, 5000, 34, 300_000)))
    return lambda **asked: load_data("nmnist", path=folder, time_steps=3, **asked)


def test_binary_frames_say_where_counts_are_above_zero(many: Callable[..., DataSet]) -> None:
    binary, counts = many(), many(coding="counts")
    assert binary.coding == "spikes"
    assert whole(counts.train).max() > 1
    assert np.array_equal(whole(binary.train), whole(counts.train) > 0)


@pytest.mark.parametrize("shape", [(2, 17, 17), (1, 34, 34), (2, 2, 34), (1, 1, 1)])
def test_frames_are_summed_down_by_whole_factors(many: Callable[..., DataSet], shape: tuple[int, ...]) -> None:
    counts = summed(whole(many(coding="counts").train), shape)
    assert np.array_equal(whole(many(coding="counts", shape=shape).train), counts)
    assert np.array_equal(whole(many(shape=shape).train), counts > 0)


def test_frames_are_flattened_in_the_order_of_the_sensor(many: Callable[..., DataSet]) -> None:
    assert np.array_equal(whole(many(shape=(2312,)).train), whole(many().train).reshape(3, 10, 2312))


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 68, 34), (2312, 1, 1), (34, 34), (1156,), (2, 0, 34)])
def test_other_shapes_are_refused_with_both_named(many: Callable[..., DataSet], shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        many(shape=shape)
    assert str([2, 34, 34]) in str(error.value)
    assert str(list(shape)) in str(error.value)


samples = st.lists(st.dictionaries(st.integers(0, 4 * 6 - 1), st.integers(1, 9), max_size=8), min_size=1, max_size=6)


@given(samples, st.lists(st.integers(0, 5), max_size=8), st.booleans())
@settings(max_examples=60)
def test_a_batch_holds_the_chosen_samples_in_their_order(cells: list[dict[int, int]], picked: list[int], counted: bool) -> None:
    chosen = [i % len(cells) for i in picked]
    flat = [(cell, count) for sample in cells for cell, count in sorted(sample.items())]
    frames = Frames(
        labels=torch.zeros(len(cells), dtype=torch.int64),
        cells=torch.tensor([cell for cell, _ in flat], dtype=torch.int32),
        counts=torch.tensor([count for _, count in flat], dtype=torch.int32) if counted else None,
        offsets=torch.tensor(np.cumsum([0, *map(len, cells)])),
        shape=(2, 3),
        time_steps=4,
    )
    expected = np.zeros((len(chosen), 24), np.float32)
    for i, sample in enumerate(chosen):
        for cell, count in cells[sample].items():
            expected[i, cell] = count if counted else 1
    batch = frames.batch(torch.tensor(chosen, dtype=torch.int64), torch.Generator())
    assert np.array_equal(batch.numpy(), expected.reshape(len(chosen), 4, 2, 3).swapaxes(0, 1))


PACKET = struct.Struct("<hhiiiiii")
HEAD = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("nmnist", "Train/4/00001.bin", b"1234", "4 bytes, not a whole number of events"),
        ("nmnist", "Train/4/00001.bin", b"", "0 bytes"),
        ("nmnist", "Train/4/00001.bin", bytes((34, 0, 0, 0, 0)), "1 of its events lie outside the 34 x 34 pixels"),
        ("dvs-gesture", "trials_to_test.txt", b"\n", "names no recordings"),
        ("dvs-gesture", "trials_to_test.txt", b"../user01_led.aedat\n", "is no name of an .aedat file"),
        ("dvs-gesture", "trials_to_test.txt", b"user99.aedat\n", "user99.aedat.*No such file"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n", "holds no gestures"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n12,5,9\n", "csv:2: class 12 is none of 1 to 11"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n2,9,9\n", "csv:2: the gesture lasts from 9 to 9 us"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n2,0,4000000000000\n", "at most an hour"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n2,9\n", "csv:2: a row must be class,startTime_usec,endTime_usec"),
        ("dvs-gesture", "user24_led_labels.csv", b"class,start,end\n2,x,9\n", "csv:2: the start must be a whole number"),
        ("dvs-gesture", "user24_led.aedat", b"", "no AEDAT 3.1 file"),
        ("dvs-gesture", "user24_led.aedat", b"#!AER-DAT3.1\r\n", "its header has no end"),
        ("dvs-gesture", "user24_led.aedat", HEAD + bytes(27), "ends within the header of the packet at byte 28"),
        ("dvs-gesture", "user24_led.aedat", HEAD + PACKET.pack(1, 1, 8, 4, 0, 2, 2, 2) + bytes(15), "ends within the packet at byte 28"),
        ("dvs-gesture", "user24_led.aedat", HEAD + PACKET.pack(1, 1, 8, 4, 0, 2**30, 2**30, 2), "ends within the packet at byte 28"),
        ("dvs-gesture", "user24_led.aedat", HEAD + PACKET.pack(1, 1, 8, 4, 0, 1, 2, 2) + bytes(8), "damaged: 2 events of 8 bytes in room for 1"),
        ("dvs-gesture", "user24_led.aedat", HEAD + PACKET.pack(1, 1, 0, 4, 0, 1, 1, 1), "damaged: 1 events of 0 bytes"),
        ("dvs-gesture", "user24_led.aedat", HEAD + PACKET.pack(1, 1, 4, 4, 0, 1, 1, 1) + bytes(4), "polarity events of 4 bytes"),
        (
            "dvs-gesture",
            "user24_led.aedat",
            HEAD + PACKET.pack(1, 1, 8, 4, 0, 1, 1, 1) + struct.pack("<Ii", 128 << 17 | 1, 0),
            "1 of its events lie outside the 128 x 128",
        ),
        ("cifar10-dvs", "cat/cifar10_cat_3.aedat", b"#!AER-DAT3.1\r\n", "no AEDAT 2.0 file"),
        ("cifar10-dvs", "cat/cifar10_cat_3.aedat", b"#!AER-DAT2.0", "ends within its header"),
        ("cifar10-dvs", "cat/cifar10_cat_3.aedat", b"#!AER-DAT2.0\r\n" + bytes(7), "7 bytes behind its header"),
        ("cifar10-dvs", "cat/cifar10_cat_3.aedat", b"#!AER-DAT2.0\r\n", "holds no events"),
        ("shd", "shd_test.h5", b"no HDF5", "no SHD file that can be read"),
    ],
)
def test_damaged_recordings_say_what_is_wrong(tmp_path: Path, name: str, file: str, content: bytes, message: str) -> None:
    writers.FOLDERS[name](tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_data(name, path=tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("times", "units", "labels", "message"),
    [
        ([[0.1]], [[700]], [0], "sample 0: a unit is none of 0 to 699"),
        ([[0.1]], [[7]], [20], "sample 0: its label is none of 0 to 19"),
        ([[0.1], [-0.1]], [[7], [7]], [1, 2], "sample 1: a time is no number from 0"),
        ([[0.1], [float("nan")]], [[7], [7]], [1, 2], "sample 1: a time is no number from 0"),
        ([[0.1, 0.2]], [[7]], [1], "sample 0: its times and units are no lists of one length"),
        ([[0.1]], [[7], [8]], [1], "must be lists of one length"),
        ([], [], [], "must be lists of one length"),
    ],
)
def test_damaged_spoken_digits_say_which_sample(tmp_path: Path, times: list[list[float]], units: list[list[int]], labels: list[int], message: str) -> None:
    writers.shd(tmp_path)
    writers.shd_file(tmp_path / "shd_train.h5", times, units, labels)
    with pytest.raises(InputError, match=message):
        load_data("shd", path=tmp_path)


def test_a_spoken_file_of_another_kind_says_so(tmp_path: Path) -> None:
    import h5py

    writers.shd(tmp_path)
    with h5py.File(tmp_path / "shd_train.h5", "w") as file:
        file["labels"] = [1, 2]
    with pytest.raises(InputError, match="no SHD file that can be read"):
        load_data("shd", path=tmp_path)
    with h5py.File(tmp_path / "shd_train.h5", "w") as file:  # promises more than any file holds
        for name in ("labels", "spikes/times", "spikes/units"):
            file.create_dataset(name, (2**40,), "f4", chunks=(1024,))
    with pytest.raises(InputError, match="must be lists of one length"):
        load_data("shd", path=tmp_path)
