"""Files from strangers: whatever a TOML file holds, it is a network, a platform, or one clear line."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import list_networks, list_platforms, load_network, load_platform
from spikepipe_sched.layer import Layer
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Energy, Platform, SystolicArray

FOLDERS: Final = {"networks": (load_network, Network), "platforms": (load_platform, Platform)}
LIBRARY: Final = [("networks", entry.name) for entry in list_networks()] + [("platforms", entry.name) for entry in list_platforms()]
#: What mutations put into a file: values of the wrong kind, at the limits, and pieces of syntax.
ODD: Final = (
    *("0", "-1", "1", "2", "3.5", "nan", "-inf", "true", "2147483648", "2147483649", "9" * 5000, "0x" + "f" * 5000, "1e400", "2020-01-01T00:00:00Z"),
    *(
        '"lif"',
        '"psn"',
        '"full"',
        '"batch"',
        '"input"',
        '"conv2d"',
        '"add"',
        '"matmul"',
        '""',
        '"\\u0000"',
        "'''",
        '"""',
        '"fc1"',
        '["fc1", "fc2"]',
        "[]",
        "[[[1]]]",
    ),
    *("{}", "{a = {b = 1}}", "[[layers]]", "[classes.big]", "[layers]", "[interconnect]", "name", "kind", "inputs", "feedback", "time_steps", "kernel", "rows"),
    *("=", "\n", "#", "\\", "\t", "\x00", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "a." * 300, "[" * 300),
)


def outcome(folder: str, path: Path) -> object:
    """What the loader makes of the file: an object, or the error's one line."""
    load, kind = FOLDERS[folder]
    try:
        found = load(path)
    except InputError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 2000
        return message
    assert type(found) is kind
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file.toml"


mutations = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(ODD) | st.text(max_size=5) | st.just("")), min_size=1, max_size=6)


@given(entry=st.sampled_from(LIBRARY), edits=mutations)
@settings(max_examples=200)
def test_a_library_file_with_random_edits_loads_or_gives_one_line(path: Path, entry: tuple[str, str], edits: list[tuple[float, int, str]]) -> None:
    folder, name = entry
    text = (files("spikepipe_problems") / folder / f"{name}.toml").read_text(encoding="utf-8")
    for where, length, new in edits:
        at = int(where * len(text))
        text = text[:at] + new + text[at + length :]
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    outcome(folder, path)


@given(entry=st.sampled_from(LIBRARY), line=st.floats(0, 1), value=st.sampled_from(ODD))
@settings(max_examples=200)
def test_a_library_file_with_one_value_replaced_loads_or_gives_one_line(path: Path, entry: tuple[str, str], line: float, value: str) -> None:
    folder, name = entry
    lines = (files("spikepipe_problems") / folder / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    assignments = [i for i, text in enumerate(lines) if " = " in text]
    i = assignments[int(line * (len(assignments) - 1))]
    lines[i] = f"{lines[i].split(' = ')[0]} = {value}"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    outcome(folder, path)


def written(value: object) -> str:
    """A value in TOML; the escapes of its strings are those of JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(content: dict[str, Any]) -> str:
    return "\n".join(f"{written(key)} = {written(value)}" for key, value in content.items())


NAMES: Final = st.sampled_from(["a", "b", "c", "input", "", "x\ny", "`$.layers[0]`"])
SIZES: Final = st.sampled_from([0, 1, 2, 3, 4, 7, -1, 2**31, 2**40, 2**70, 1.5, True, "2", [1, 2], [2, 2], [0, 3], [], [1, 1, 1]])
JUNK: Final = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_infinity=False, allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def table(known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the known fields, seldom with junk for a value or a field that nobody knows."""
    some = st.fixed_dictionaries({}, optional=known)
    junk = st.dictionaries(st.sampled_from([*known, "surprise", "x` - at `$.layers[0]"]), JUNK, max_size=1)
    return st.builds(lambda first, second, spoilt: {**first, **second} if spoilt else first, some, junk, st.sampled_from([False] * 5 + [True]))


LAYERS: Final = table(
    {
        **{field.name: SIZES for field in fields(Layer)},
        "name": NAMES,
        "kind": st.sampled_from(["linear", "conv2d", "matmul", "avgpool2d", "flatten", "tokens", "mean", "add", "concat", "neuron", "lstm"]),
        "inputs": st.lists(NAMES, max_size=3),
        "feedback": st.lists(NAMES, max_size=2),
        "neuron": st.sampled_from(["lif", "psn", "relu", "none", "swish"]),
        "recurrence": st.sampled_from(["none", "full", "self"]),
        "norm": st.sampled_from(["none", "batch"]),
        "spike_rate": st.floats(-0.5, 1.5),
        "bias": st.booleans(),
        "transpose": st.booleans(),
    }
)
SIMPLE: Final = st.builds(
    lambda i, kind, extra: {"name": "abc"[i], **kind, **extra},
    st.integers(0, 2),
    st.sampled_from(
        [{"kind": "linear", "out_features": 2}, {"kind": "flatten"}, {"kind": "add", "inputs": ["input", "a"]}, {"kind": "neuron", "neuron": "lif"}]
    ),
    LAYERS.map(lambda fields: dict(list(fields.items())[:1])),
)
CLASS: Final = table({**{field.name: SIZES for field in fields(SystolicArray)}, "energy": table({field.name: SIZES for field in fields(Energy)})})
NETWORKS: Final = table(
    {
        "name": NAMES,
        "input_shape": st.lists(SIZES, max_size=4),
        "time_steps": SIZES,
        "layers": st.lists(LAYERS | SIMPLE, max_size=4),
        "source": JUNK,
        "coding": st.sampled_from(["spikes", "direct", "rate"]),
    }
)
PLATFORMS: Final = table(
    {
        "name": NAMES,
        "clock_hz": SIZES,
        "processors": st.lists(NAMES, max_size=3),
        "classes": st.dictionaries(NAMES, CLASS, max_size=3),
        "interconnect": table(dict.fromkeys(["latency_cycles", "bandwidth_bytes_per_cycle"], SIZES)),
    }
)


GOOD: Final[dict[str, dict[str, Any]]] = {
    "networks": {"name": "n", "input_shape": [2, 4, 4], "time_steps": 4, "layers": [{"name": "z", "kind": "conv2d", "out_channels": 1, "kernel": 1}]},
    "platforms": {
        "name": "p",
        "clock_hz": 1,
        "processors": ["a"],
        "classes": {"a": {"rows": 1, "cols": 1, "lanes": 1}},
        "interconnect": {"latency_cycles": 0, "bandwidth_bytes_per_cycle": 1},
    },
}


@given(
    content=st.one_of(st.tuples(st.just("networks"), NETWORKS), st.tuples(st.just("platforms"), PLATFORMS)),
    replaced=st.none() | st.sampled_from(["layers", "layers", "classes", "input_shape", "interconnect"]),
)
@settings(max_examples=300)
def test_a_random_structure_loads_or_gives_one_line(path: Path, content: tuple[str, dict[str, Any]], replaced: str | None) -> None:
    folder, fields = content
    if replaced is not None:  # one field of a good file: what lies deeper is reached
        fields = GOOD[folder] | {name: value for name, value in fields.items() if name == replaced}
    path.write_text(document(fields), encoding="utf-8", newline="")
    outcome(folder, path)


@pytest.mark.parametrize("name", [entry.name for entry in list_networks()])
def test_a_network_written_field_by_field_reads_back_equal(path: Path, name: str) -> None:
    network = load_network(name)
    content = {field: getattr(network, field) for field in ("name", "summary", "source", "input_shape", "time_steps", "coding")}
    defaults = {field.name: field.default for field in fields(Layer)}
    pairs = ("kernel", "stride", "padding")
    layers = [
        {
            field: value
            for field in defaults
            if (value := getattr(layer, field)) != defaults[field] or (field in pairs and (layer.kind == "conv2d" or layer.kind.endswith("pool2d")))
        }
        for layer in network.layers
    ]
    path.write_text(document({**content, "layers": layers}), encoding="utf-8")
    assert load_network(path) == network


@given(data=st.binary(max_size=200))
@settings(max_examples=200)
def test_random_bytes_give_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for folder in FOLDERS:
        assert isinstance(outcome(folder, path), str)
