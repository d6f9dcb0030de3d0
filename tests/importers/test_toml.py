"""TOML files: defaults, pairs, and damaged files that give one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network, load_platform, toml

NETWORK = """
name = "net"
input_shape = [2, 8, 8]
time_steps = 4
[[layers]]
name = "conv"
kind = "conv2d"
out_channels = 4
kernel = [3, 5]
padding = [1, 2]
neuron = "lif"
[[layers]]
name = "pool"
kind = "maxpool2d"
kernel = 2
[[layers]]
name = "flat"
kind = "flatten"
[[layers]]
name = "fc"
kind = "linear"
out_features = 3
neuron = "li"
"""
PLATFORM = """
name = "two"
clock_hz = 1_000_000
processors = ["big", "small"]
[classes.big]
rows = 16
cols = 8
lanes = 4
forward_dataflow = "ws"
memory_bytes = 1024
[classes.small]
rows = 8
cols = 8
lanes = 4
[interconnect]
latency_cycles = 3
bandwidth_bytes_per_cycle = 8
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_network_defaults_and_pairs(tmp_path: Path) -> None:
    network = load_network(write(tmp_path, NETWORK))
    conv, pool, flat, fc = network.layers
    assert [layer.inputs for layer in network.layers] == [("input",), ("conv",), ("pool",), ("flat",)]
    assert (conv.kernel, conv.stride, conv.padding, conv.neuron) == ((3, 5), (1, 1), (1, 2), "lif")
    assert (pool.kernel, pool.stride) == ((2, 2), (2, 2))
    assert (flat.kind, fc.out_features, fc.neuron, fc.recurrence) == ("flatten", 3, "li", "none")
    assert network.shapes()["pool"] == (4, 4, 4)


def test_platform_fields(tmp_path: Path) -> None:
    platform = load_platform(str(write(tmp_path, PLATFORM)))
    assert platform.processors == ("big", "small")
    assert (platform.classes["big"].rows, platform.classes["big"].forward_dataflow, platform.classes["big"].memory_bytes) == (16, "ws", 1024)
    assert (platform.classes["small"].gradient_dataflow, platform.classes["small"].memory_bytes) == ("auto", None)
    assert (platform.interconnect.latency_cycles, platform.interconnect.bandwidth_bytes_per_cycle, platform.clock_hz) == (3, 8, 1_000_000)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kernel = [3, 5]", 'kernel = "big"', ["layer 'conv'", "$.layers[0].kernel"]),
        ("kernel = [3, 5]", "kernel = [3, 5, 7]", ["layer 'conv'", "$.layers[0].kernel"]),
        ("kernel = [3, 5]", "kernel = 3.5", ["layer 'conv'", "$.layers[0].kernel"]),
        ("kernel = [3, 5]", "kernel = [9, 9]\nstride = 0", ["layer 'conv'", "$.layers[0].stride"]),
        ("kernel = [3, 5]", "kernel = [30, 5]", ["layer 'conv'", "does not fit"]),
        ("out_features = 3", "out_features = -3", ["layer 'fc'", "$.layers[3].out_features"]),
        ("out_features = 3", "out_features = 3\nkernel = 3", ["layer 'fc'", "unknown field `kernel`", "$.layers[3]"]),
        ("out_features = 3", "", ["layer 'fc'", "missing required field `out_features`"]),
        ('kind = "linear"', 'kind = "conv3d"', ["layer 'fc'", "conv3d", "$.layers[3].kind"]),
        ('kind = "linear"', "", ["layer 'fc'", "`kind`"]),
        ('neuron = "li"', 'neuron = "swish"', ["layer 'fc'", "swish", "$.layers[3].neuron"]),
        ('neuron = "li"', 'inputs = ["nowhere"]', ["layer 'fc'", "'nowhere'"]),
        ('neuron = "li"', 'inputs = "conv"', ["layer 'fc'", "$.layers[3].inputs"]),
        ("time_steps = 4", "time_steps = 0", ["$.time_steps"]),
        ("time_steps = 4", "time_steps = 99999999999999999999999999", ["time_steps"]),
        ("time_steps = 4", "time_steps = 4\nepochs = 3", ["unknown field `epochs`"]),
        ("time_steps = 4", "", ["missing required field `time_steps`"]),
        ("time_steps = 4", "time_steps = " + "9" * 5000, ["not valid TOML"]),
        ("time_steps = 4", "time_steps = = 4", ["not valid TOML", "line 4"]),
        ("input_shape = [2, 8, 8]", "input_shape = [2, 8, 8, 8]", ["input_shape"]),
        ("input_shape = [2, 8, 8]", "input_shape = " + "[" * 100_000, ["file.toml"]),
    ],
)
def test_damaged_network_gives_one_line_with_file_and_place(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in NETWORK
    path = write(tmp_path, NETWORK.replace(old, new))
    with pytest.raises(InputError) as error:
        load_network(path)
    message = str(error.value)
    assert all(word in message for word in [str(path), *words])
    assert "\n" not in message
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rows = 16", "rows = 0", ["$.classes", "rows"]),
        ("rows = 16", 'rows = "many"', ["$.classes", "rows"]),
        ("lanes = 4\nforward", "forward", ["`lanes`"]),
        ('forward_dataflow = "ws"', 'forward_dataflow = "rs"', ["rs"]),
        ('["big", "small"]', '["big", "huge"]', ["'huge'", "small"]),
        ('["big", "small"]', "[]", ["$.processors"]),
        ('["big", "small"]', "2", ["$.processors"]),
        ("latency_cycles = 3", "latency_cycles = -3", ["$.interconnect.latency_cycles"]),
        ("bandwidth_bytes_per_cycle = 8", "", ["bandwidth_bytes_per_cycle"]),
    ],
)
def test_damaged_platform_gives_one_line_with_file_and_place(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in PLATFORM
    path = write(tmp_path, PLATFORM.replace(old, new))
    with pytest.raises(InputError) as error:
        load_platform(path)
    message = str(error.value)
    assert all(word in message for word in [str(path), *words])
    assert "\n" not in message


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        load_network(write(tmp_path, b'name = "\xff"'))


def test_oversized_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        load_network(write(tmp_path, NETWORK))
