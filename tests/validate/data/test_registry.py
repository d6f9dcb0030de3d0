"""What sets there are, what may be asked of them, and what the messages say."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate.data import DataSet, data_names, load_data
from spikepipe_sched.validate.data.registry import ENTRIES
from tests.validate.data import writers


def load_written(name: str, folder: Path, **asked: Any) -> DataSet:
    """Load a set, with small files of its format where it needs any."""
    if name in writers.FOLDERS:
        writers.FOLDERS[name](folder)
        return load_data(name, path=folder, **asked)
    return load_data(name, **asked)


def test_every_set_has_one_line_and_a_source_and_those_on_disk_a_writer_in_the_tests() -> None:
    names = data_names()
    assert list(names) == list(ENTRIES)
    for name, entry in ENTRIES.items():
        assert "\n" not in names[name]
        assert re.search(r"doi:10\.|technical report|made up", entry.source)
        assert ("--data-path" in names[name]) == bool(entry.file)
    assert {name for name, entry in ENTRIES.items() if entry.file} == set(writers.FOLDERS)


def test_names_are_listed_without_torch_or_numpy() -> None:
    code = "import sys; from spikepipe_sched.validate.data import data_names; data_names(); print(sorted({'torch', 'numpy', 'h5py', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_set_gives_batches_over_time_of_what_it_says(name: str, tmp_path: Path) -> None:
    entry, data = ENTRIES[name], load_written(name, tmp_path)
    assert (data.name, data.classes, data.shape, data.time_steps) == (name, entry.classes, entry.shape, entry.time_steps)
    for part in (data.train, data.test):
        chosen = torch.tensor([len(part) - 1, 0, 0])
        batch = part.batch(chosen, torch.Generator())
        assert batch.shape == (entry.time_steps, 3, *entry.shape)
        assert batch.dtype == torch.float32
        assert torch.equal(batch[:, 1], batch[:, 2])
        assert torch.equal(batch[:, :1], part.batch(chosen[:1], torch.Generator()))
        assert part.labels.dtype == torch.int64
        assert part.labels.shape == (len(part),)
        assert 0 <= part.labels.min() <= part.labels.max() < entry.classes
    values = set(batch.unique().tolist())
    assert (values <= {0.0, 1.0}) == (data.coding == "spikes")


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.kind == "images"])
def test_pictures_may_be_flattened_and_coded_into_spikes(name: str, tmp_path: Path) -> None:
    size = math.prod(ENTRIES[name].shape)
    flat = load_written(name, tmp_path, shape=(size,), coding="poisson", time_steps=3)
    again = load_data(name, path=tmp_path if ENTRIES[name].file else None, coding="poisson", time_steps=3)
    chosen, draws = torch.arange(2), [torch.Generator().manual_seed(3) for _ in range(2)]
    first, second = (data.train.batch(chosen, draw) for data, draw in zip((flat, again), draws, strict=True))
    assert flat.coding == "spikes"
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert first.shape == (3, 2, size)
    assert torch.equal(first, second.flatten(2))


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.file])
def test_a_set_on_disk_says_what_file_it_needs(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_data(name)
    assert f"data set '{name}' needs a file: give --data-path with {ENTRIES[name].file}" == str(error.value)
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing.whl", tmp_path / "a\0b"):
        with pytest.raises(InputError) as error:
            load_data(name, path=path)
        assert str(path).split("\0")[0] in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("digit", {}, "no data set is called 'digit'; did you mean 'digits'.*known: digits, vowels"),
        ("NMNIST", {}, "did you mean 'nmnist'"),
        ("imagenet-21k", {}, "known: digits"),
        ("digits", {"path": Path("x")}, "'digits' takes no file"),
        ("digits", {"coding": "binary"}, "holds images, which are coded 'direct' or 'poisson' or 'latency', not 'binary'"),
        ("shd", {"path": Path("x"), "coding": "latency"}, "holds events, which are coded 'binary' or 'counts', not 'latency'"),
        ("vowels", {"path": Path("x"), "coding": "poisson"}, "holds sequences, which are coded 'direct', not 'poisson'"),
        ("digits", {"shape": (8, 8)}, r"has shape \[1, 8, 8\] or, flattened, \[64\]; the network reads \[8, 8\]"),
        ("vowels", {"path": Path("x"), "shape": (6,)}, r"has shape \[12\]; the network reads \[6\]"),
        ("cifar10-dvs", {"path": Path("x"), "shape": (2, 48, 48)}, r"each size divided by a whole number if need be; the network reads \[2, 48, 48\]"),
        ("digits", {"time_steps": 0}, "time_steps must be at least 1"),
        ("digits", {"time_steps": 2**24}, "at most 2\\^27"),
        ("digits", {"seed": -1}, "seed must not be negative"),
        ("digits", {"difficulty": 0.5}, "a difficulty is only for 'temporal'"),
        ("temporal", {"difficulty": 1.5}, "difficulty must be between 0 and 1"),
        ("temporal", {"shape": (2, 8, 8)}, r"is generated for \(channels,\).*\[2, 8, 8\]"),
        ("temporal", {"time_steps": 8}, "needs 20 time steps or more.*got 8"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_data(name, **asked)
    assert "\n" not in str(error.value)


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"scikit-learn, which is not installed: pip install -c constraints.txt '\.\[validate\]'"):
        load_data("digits")


def test_too_few_samples_to_test_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist_5k.csv").write_text(",".join(["0"] * 785) + "\n")
    with pytest.raises(InputError, match="too few samples to train and to test"):
        load_data("mnist5k", path=tmp_path)


def test_without_torch_the_message_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom spikepipe_sched.validate.data import load_data\ntry: load_data('digits')\nexcept ValueError as error: print(error)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "data set 'digits' needs PyTorch (torch is not installed): pip install -c constraints.txt '.[validate]' in the repository\n"
