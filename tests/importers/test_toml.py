"""TOML files: defaults, pairs, and damaged files that give one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network, load_platform, toml
from spikepipe_sched.layer import LayerKind, NeuronKind

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


def test_the_input_brings_spikes_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert load_network(write(tmp_path, NETWORK)).coding == "spikes"
    assert load_network(write(tmp_path, 'coding = "spikes"\n' + NETWORK)).coding == "spikes"
    assert load_network(write(tmp_path, 'coding = "direct"\n' + NETWORK), time_steps=2).coding == "direct"


def test_platform_fields(tmp_path: Path) -> None:
    platform = load_platform(str(write(tmp_path, PLATFORM)))
    assert platform.processors == ("big", "small")
    assert (platform.classes["big"].rows, platform.classes["big"].forward_dataflow, platform.classes["big"].memory_bytes) == (16, "ws", 1024)
    assert (platform.classes["small"].gradient_dataflow, platform.classes["small"].memory_bytes) == ("auto", None)
    assert (platform.interconnect.latency_cycles, platform.interconnect.bandwidth_bytes_per_cycle, platform.clock_hz) == (3, 8, 1_000_000)
    assert platform.interconnect.sharing == "none"
    shared = load_platform(write(tmp_path, f'{PLATFORM}sharing = "ports"\n'))
    assert shared.interconnect.sharing == "ports"


SIZE = "a whole number from 1 to 2^31"
LINEAR = ("kind", "out_features", "neuron", "recurrence", "norm", "bias", "name", "inputs", "feedback", "time_steps", "spike_rate")
KINDS = "linear, conv2d, matmul, avgpool2d, sumpool2d, maxpool2d, mean, flatten, tokens, add, concat, neuron"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kernel = [3, 5]", 'kernel = "big"', f"layer 'conv' at $.layers[0].kernel: expected {SIZE} or a list of 2 values, each {SIZE}, got 'big'"),
        ("kernel = [3, 5]", "kernel = [3, 5, 7]", f"layer 'conv' at $.layers[0].kernel: expected {SIZE} or a list of 2 values, each {SIZE}, got [3, 5, 7]"),
        ("kernel = [3, 5]", "kernel = 3.5", f"layer 'conv' at $.layers[0].kernel: expected {SIZE} or a list of 2 values, each {SIZE}, got 3.5"),
        ("kernel = [3, 5]", "kernel = [3, 0]", f"layer 'conv' at $.layers[0].kernel[1]: expected {SIZE}, got 0"),
        ("kernel = [3, 5]", "kernel = [9, 9]\nstride = 2020-01-01", "got a date or time"),
        ("kernel = [3, 5]", "kernel = [30, 5]", "layer 'conv' at $.layers[0]: kernel [30, 5] does not fit the 8x8 input (padding [1, 2])"),
        ("kernel = [3, 5]", "kernal = 3", "layer 'conv' at $.layers[0]: unknown field 'kernal'; did you mean 'kernel'?"),
        ("kernel = [3, 5]", "", f"layer 'conv' at $.layers[0]: the field 'kernel' is missing: {SIZE} or a list of 2 values, each {SIZE}"),
        ("out_features = 3", "out_features = -3", f"layer 'fc' at $.layers[3].out_features: expected {SIZE}, got -3"),
        ("out_features = 3", "out_features = true", f"layer 'fc' at $.layers[3].out_features: expected {SIZE}, got true"),
        ("out_features = 3", "out_features = {a = 1}", f"layer 'fc' at $.layers[3].out_features: expected {SIZE}, got a table"),
        (
            "out_features = 3",
            "out_features = 3\nkernel = 3",
            f"layer 'fc' at $.layers[3]: unknown field 'kernel'; known: {', '.join(LINEAR)}",
        ),
        ("out_features = 3", "", f"layer 'fc' at $.layers[3]: the field 'out_features' is missing: {SIZE}"),
        ("out_features = 3", "out_features = 3\nspike_rate = nan", "layer 'fc' at $.layers[3].spike_rate: expected a number from 0 to 1, got nan"),
        ("out_features = 3", 'out_features = 3\nbias = "yes"', "layer 'fc' at $.layers[3].bias: expected true or false, got 'yes'"),
        ('kind = "linear"', 'kind = "conv3d"', f"layer 'fc' at $.layers[3].kind: expected one of {KINDS}, got 'conv3d'; did you mean 'conv2d'?"),
        ('kind = "linear"', "", f"layer 'fc' at $.layers[3]: the field 'kind' is missing: one of {KINDS}"),
        ('kind = "linear"', "kind = 7", f"layer 'fc' at $.layers[3].kind: expected one of {KINDS}, got 7"),
        (
            'neuron = "li"',
            'neuron = "swish"',
            "layer 'fc' at $.layers[3].neuron: expected one of if, iir, ipsu, li, lif, none, psn, psu, relu, rpsu, got 'swish'",
        ),
        ('neuron = "li"', 'inputs = ["nowhere"]', "layer 'fc' at $.layers[3]: its input 'nowhere' is not a layer of network 'net'"),
        (
            'neuron = "li"',
            'inputs = "conv"',
            "layer 'fc' at $.layers[3].inputs: expected a list of values, each text of 1 to 200 printable characters, got 'conv'",
        ),
        ('name = "fc"', "", "$.layers[3]: the field 'name' is missing: text of 1 to 200 printable characters"),
        ('name = "fc"', 'name = "a\\nb"', "layer 'a\\nb' at $.layers[3].name: expected text of 1 to 200 printable characters, got 'a\\nb'"),
        ("time_steps = 4", "time_steps = 0", f"$.time_steps: expected {SIZE}, got 0"),
        ("time_steps = 4", "time_steps = 99999999999999999999999999", f"$.time_steps: expected {SIZE}, got a number beyond 2^64"),
        ("time_steps = 4", "time_steps = -0x" + "f" * 5000, "not valid TOML"),
        ("time_steps = 4", "time_steps = 0x" + "f" * 5000, f"$.time_steps: expected {SIZE}, got a number beyond 2^64"),
        ("time_steps = 4", "time_steps = 4\nepochs = 3", "$: unknown field 'epochs'; known: name, input_shape, time_steps, layers, summary, source, coding"),
        ("time_steps = 4", 'time_steps = 4\ncoding = "rate"', "$.coding: expected one of direct, spikes, got 'rate'"),
        ("time_steps = 4", "time_steps = 4\ncoding = true", "$.coding: expected one of direct, spikes, got true"),
        ("time_steps = 4", 'time_steps = 4\n"x` - at `$.layers[9]" = 3', "$: unknown field 'x` - at `$.layers[9]'; known: name"),
        ("time_steps = 4", 'time_steps = 4\n"' + "long" * 50 + '" = 3', f"$: unknown field '{'long' * 8}lon...'; known: name"),
        ("time_steps = 4", "", f"$: the field 'time_steps' is missing: {SIZE}"),
        ("time_steps = 4", "time_steps = " + "9" * 5000, "not valid TOML"),
        ("time_steps = 4", "time_steps = = 4", "not valid TOML: Invalid value (at line 4, column 14)"),
        ("input_shape = [2, 8, 8]", "input_shape = [2, 8, 8, 8]", f"$.input_shape: expected a list of 1 to 3 values, each {SIZE}, got [2, 8, 8, 8]"),
        ("input_shape = [2, 8, 8]", "input_shape = [[2, 8, 8]]", f"$.input_shape[0]: expected {SIZE}, got [2, 8, 8]"),
        ("input_shape = [2, 8, 8]", "input_shape = " + "[" * 100_000, "nested too deeply"),
        ("input_shape = [2, 8, 8]", "a." * 100_000 + "b = 1", "a line with thousands of dots"),
        (NETWORK, 'name = "n"\ninput_shape = [3]\ntime_steps = 4\nlayers = []', "$.layers: expected a list of 1 to 10000 values, each a table, got []"),
    ],
)
def test_damaged_network_gives_one_line_with_file_place_and_expectation(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in NETWORK
    assert_one_line(load_network, write(tmp_path, NETWORK.replace(old, new)), message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 16", "rows = 0", f"$.classes.big.rows: expected {SIZE}, got 0"),
        ("rows = 8", 'rows = "many"', f"$.classes.small.rows: expected {SIZE}, got 'many'"),
        ("rows = 16", "row = 16", "$.classes.big: unknown field 'row'; did you mean 'rows'?"),
        ("lanes = 4\nforward", "forward", f"$.classes.big: the field 'lanes' is missing: {SIZE}"),
        ('forward_dataflow = "ws"', 'forward_dataflow = "rs"', "$.classes.big.forward_dataflow: expected one of auto, is, os, ws, got 'rs'"),
        ("[classes.small]", '[classes."s\\tm"]', "$.classes: expected text of 1 to 200 printable characters as a name, got 's\\tm'"),
        (
            "lanes = 4\nforward",
            "lanes = 4\ndram_bytes_per_cycle = 0\nforward",
            "$.classes.big.dram_bytes_per_cycle: expected a number above 0 and up to 2^40, got 0",
        ),
        ("lanes = 4\nforward", "lanes = 4\nenergy = 3\nforward", "$.classes.big.energy: expected a table, got 3"),
        (
            "rows = 8",
            "rows = 8\nenergy = {mac_pj = 1, add_pj = 1, vector_pj = 1, sram_pj_per_byte = 1, dram_pj_per_byte = 1, source = ''}",
            "$.classes.small.energy.source: expected text that is not empty, got ''",
        ),
        ("[classes.small]", '[classes.""]', "$.classes: expected text of 1 to 200 printable characters as a name, got ''"),
        ("[classes.small]\nrows = 8", '[classes."a b"]\nrows = -1', f"$.classes.'a b'.rows: expected {SIZE}, got -1"),
        ('["big", "small"]', '["big", "huge"]', "'huge'"),
        ('["big", "small"]', "[]", "$.processors: expected a list of 1 to 100000 values, each text of 1 to 200 printable characters, got []"),
        ('["big", "small"]', "2", "$.processors: expected a list of 1 to 100000 values, each text of 1 to 200 printable characters, got 2"),
        ("latency_cycles = 3", "latency_cycles = -3", "$.interconnect.latency_cycles: expected a whole number from 0 to 2^31, got -3"),
        ("bandwidth_bytes_per_cycle = 8", "", "$.interconnect: the field 'bandwidth_bytes_per_cycle' is missing: a whole number from 1 to 2^40"),
        ("latency_cycles = 3", 'latency_cycles = 3\nsharing = "mesh"', "$.interconnect.sharing: expected one of bus, none, pairs, ports, got 'mesh'"),
        (PLATFORM[PLATFORM.index("[classes.big]") : PLATFORM.index("[interconnect]")], "classes = {}\n", "got an empty table"),
    ],
)
def test_damaged_platform_gives_one_line_with_file_place_and_expectation(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PLATFORM
    assert_one_line(load_platform, write(tmp_path, PLATFORM.replace(old, new)), message)


def assert_one_line(load: Callable[[Path], object], path: Path, message: str) -> None:
    with pytest.raises(InputError) as error:
        load(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert text.isprintable()
    assert len(text) < 500
    assert error.value.__cause__ is None


def test_every_kind_of_layer_and_every_neuron_has_a_name_in_toml(tmp_path: Path) -> None:
    assert sorted(get_args(LayerKind)) == sorted(KINDS.split(", "))
    for neuron in get_args(NeuronKind):
        assert load_network(write(tmp_path, NETWORK.replace('"li"', f'"{neuron}"'))).layer("fc").neuron == neuron


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        load_network(write(tmp_path, b'name = "\xff"'))


def test_oversized_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toml, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        load_network(write(tmp_path, NETWORK))
