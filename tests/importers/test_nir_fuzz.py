"""Damaged files and random graphs: a network or one `InputError` that says where, nothing else."""

from __future__ import annotations

import math
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network, nir_child, nir_graph
from spikepipe_sched.network import Network
from tests.importers.nir_files import Edges, Nodes, lif, node, put, read_here, write_nir

FILES = Path(__file__).parents[1] / "data" / "nir"
SMALL = ["01_lif__lif_norse.nir", "01_lif__lif_rockpool.nir", "03_rnn__braille_noDelay_bias_zero.nir"]


def load(content: bytes) -> Network | str:
    """What comes of a file: a network, or the one line that says why not."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(nir_child, "CPU_SECONDS", 1)
        path = Path(folder) / "net.nir"
        path.write_bytes(content)
        try:
            return load_network(path)
        except InputError as error:
            return str(error)


@pytest.mark.parametrize(
    ("name", "place", "byte"),
    [(SMALL[0], 2073, 42), (SMALL[1], 2072, 223), (SMALL[2], 34609, 255)],
)
def test_one_byte_on_which_the_hdf5_library_loops_or_crashes(name: str, place: int, byte: int) -> None:
    """Found by changing bytes at random: with HDF5 1.14 the first two never end, the last one crashes."""
    content = bytearray((FILES / name).read_bytes())
    content[place] = byte
    answer = load(bytes(content))
    assert isinstance(answer, str)
    assert "damaged" in answer or "not a readable NIR" in answer


@settings(max_examples=25)
@given(st.data())
def test_a_file_damaged_anywhere_loads_or_is_refused(data: st.DataObject) -> None:
    content = bytearray((FILES / data.draw(st.sampled_from(SMALL))).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "change", "change", "insert", "delete", "cut"])):
            case "change":
                content[place] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]))
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del content[place : place + 8]
            case _:
                del content[place + 1 :]
        content = content or bytearray(1)
    assert in_one_line(load(bytes(content)))


# -- graphs ----------------------------------------------------------------------------------------

VALUES: list[Any] = [
    3,
    -1,
    0,
    2.5,
    float("nan"),
    2**62,
    "word",
    "",
    "a\nb",
    b"\xff",
    True,
    False,
    [1, 2],
    [[1, 2]],
    [],
    ["x"],
    np.zeros((2, 0)),
    h5py.Empty("f4"),
]
FIELDS = [
    "type",
    "weight",
    "bias",
    "shape",
    "input_shape",
    "stride",
    "padding",
    "dilation",
    "groups",
    "kernel_size",
    "start_dim",
    "tau",
    "v_threshold",
    "nodes",
    "edges",
]
KINDS = ["Input", "Output", "Linear", "Affine", "Conv1d", "Conv2d", "SumPool2d", "Flatten", "Scale", "Threshold", "Delay", "LI", "LIF", "NIRGraph", "?"]


def read(nodes: Nodes, edges: Edges | None, *, shape: list[int] | None = None) -> tuple[Network | str, list[str]]:
    """What comes of a graph in a sound file, read in this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_nir(Path(folder) / "net.nir", nodes, edges, shape=shape)
        try:
            return read_here(path)
        except InputError as error:
            return str(error), []


def in_one_line(answer: Network | str) -> bool:
    return isinstance(answer, Network) or "\n" not in answer


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), max_size=5)), min_size=1, max_size=3))
def test_fields_of_any_form_load_or_are_refused(drawn: list[tuple[str, dict[str, Any]]]) -> None:
    answer, _ = read({f"v{index}": {"type": kind, **fields} for index, (kind, fields) in enumerate(drawn)}, None)
    assert in_one_line(answer)


@settings(max_examples=100)
@given(st.text(min_size=1, max_size=6).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", "input", "output")))
def test_any_name_loads_or_is_refused(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    answer, _ = read({name: {"type": "Linear", "weight": np.zeros((2, 4))}}, None)
    assert isinstance(answer, Network) == name.isprintable()
    assert in_one_line(answer)


def fields_of(kind: str, out: int, fan_in: int) -> dict[str, Any]:
    match kind:
        case "Linear":
            return node("Linear", weight=np.zeros((out, fan_in)))
        case "Conv1d":
            return node("Conv1d", weight=np.zeros((out, fan_in, 1)))
        case "Conv2d":
            return node("Conv2d", weight=np.zeros((out, fan_in, 1, 1)))
        case "SumPool2d":
            return node("SumPool2d", kernel_size=[1, 1])
        case "LIF" | "LI":
            return lif(*([] if out == 1 else [out]), kind=kind)
        case _:
            return node(kind)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Nodes, Edges, list[int]]:
    """A chain, some edges more (skips, cycles, islands), an inner graph now and then; shapes that mostly fit."""
    kinds = [
        "Linear",
        "Linear",
        "Linear",
        "LIF",
        "LIF",
        "LIF",
        "LI",
        "Scale",
        "Delay",
        "Threshold",
        "Flatten",
        "Conv1d",
        "Conv2d",
        "SumPool2d",
        "Input",
        "Output",
    ]
    sizes = st.sampled_from([3, 3, 3, 3, 3, 3, 2, 1])
    nodes = {
        f"v{index}": fields_of(kind, draw(sizes), draw(sizes)) for index, kind in enumerate(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=7)))
    }
    if draw(st.booleans()):
        inner: Nodes = {"in": node("Input"), "n": fields_of("LIF", 3, 3), "w": fields_of("Linear", 3, 3), "out": node("Output")}
        nodes["inner"] = {"nodes": inner, "edges": draw(st.sampled_from([list(pairwise(inner)), [("in", "n"), ("n", "w"), ("w", "n"), ("n", "out")], []]))}
    names = ["input", *nodes, "output"]
    more = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=4))
    kept = draw(st.lists(st.sampled_from(list(pairwise(names))), max_size=1))
    return nodes, [edge for edge in pairwise(names) if edge not in kept] + more, draw(st.sampled_from([[3], [3], [3], [2, 3], [3, 1, 1], [1, 3, 2, 2], []]))


ABOUT_THE_WHOLE = ("no Input node", "Input nodes", "no layer has weights", "it has no layers")


def test_a_random_graph_loses_no_weights_or_its_refusal_names_a_node() -> None:
    """And enough of them are networks with loops, or it would prove little."""
    loops = 0

    @settings(max_examples=300)
    @given(graphs())
    def check(graph: tuple[Nodes, Edges, list[int]]) -> None:
        nonlocal loops
        nodes, edges, shape = graph
        answer, repairs = read(nodes, edges, shape=shape)
        inner: Nodes = nodes.get("inner", {}).get("nodes", {})
        every = ["input", "output", *nodes, *(f"inner.{name}" for name in inner)]
        if isinstance(answer, str):
            assert any(f"'{name}" in answer for name in every) or any(words in answer for words in ABOUT_THE_WHOLE), answer
            return
        loops += any(layer.feedback for layer in answer.layers)
        weights = sum(fields["weight"].size for fields in [*nodes.values(), *inner.values()] if "weight" in fields)
        own = sum(math.prod(answer.shapes()[layer.name]) for layer in answer.layers if layer.recurrence == "self")
        assert sum(answer.parameters().values()) - own == weights
        assert all(any(f"'{name}" in text for name in every) for text in repairs), repairs

    check()
    assert loops >= 10


def test_edges_that_multiply_behind_a_scale_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many nodes before a Scale as behind it: its edges square when it is left out."""
    before, behind = [f"a{index}" for index in range(5)], [f"b{index}" for index in range(5)]
    nodes = {**{name: fields_of("Linear", 3, 4) for name in before}, "s": node("Scale"), **{name: fields_of("Linear", 3, 3) for name in behind}}
    edges = [*(("input", name) for name in before), *((name, "s") for name in before), *(("s", name) for name in behind), ("b0", "output")]
    path = write_nir(tmp_path / "net.nir", nodes, edges)
    assert len(read_here(path)[0].layers) == 15
    monkeypatch.setattr(nir_graph, "MAX_EDGES", 30)
    with pytest.raises(InputError, match=r"node 'b4': .* more than 30 edges"):
        read_here(path)


def test_graphs_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    nodes: Nodes = {"fc": fields_of("Linear", 3, 4)}
    for _ in range(20):
        nodes = {"in": node("Input"), "g": {"nodes": nodes, "edges": []}, "out": node("Output")}
    with h5py.File(tmp_path / "net.nir", "w") as file:
        put(file.create_group("node"), nodes, [])
    with pytest.raises(InputError, match="nested more than 16 deep"):
        read_here(tmp_path / "net.nir")
