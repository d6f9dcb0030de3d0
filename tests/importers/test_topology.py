"""SCALE-Sim topologies: every spelling found in its own files, and one clear line for all else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.errors import InputError
from spikepipe_sched.export.costs import topology_table
from spikepipe_sched.importers import RepairWarning, topology
from spikepipe_sched.importers.topology import TopologyLayer, read_topology
from spikepipe_sched.platform import Interconnect, Platform, SystolicArray
from tests.cost.reference import ReferenceRow, reference_rows

CONV: Final = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
GEMM: Final = "Layer, M, N, K,\n"

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def call(content: str | bytes) -> Path:
        path = tmp_path / "net.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return call


def sizes(layers: tuple[TopologyLayer, ...]) -> list[tuple[str, int, int, int, int]]:
    return [(layer.name, layer.gemm.m, layer.gemm.k, layer.gemm.n, layer.gemm.count) for layer in layers]


# -- what is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        CONV,
        "Layer name,Ifmap height,ifmap width,filter height,filter width,channels,num filters,strides,\n",
        "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides\n",
        "Layer name, IFMAP  Height ,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides, Batch Size,\n",
        "Layer name,IFMAP height,IFMAP width,Filter height,Filter width,Channels,Num filter,Stride height,\n",
    ],
)
@pytest.mark.parametrize("line", ["conv1, 224, 224, 11, 11, 3, 96, 4,\n", "\n \tconv1 ,224 ,224,11,11,3,96,4", "conv1,224,224,11,11,3,96,4,#first\r\n"])
def test_every_spelling_of_a_convolution(write: Write, header: str, line: str) -> None:
    """AlexNet's first layer: 55 x 55 pixels, as ceil((224 - 11 + 4) / 4) = 55."""
    assert sizes(read_topology(write(header + line))) == [("conv1", 55 * 55, 11 * 11 * 3, 96, 1)]


@pytest.mark.parametrize("header", [GEMM, "Layer Name, M, N, K\n", "\ufeffLayer,M,N,K,\r\n"])
def test_every_spelling_of_a_product(write: Write, header: str) -> None:
    """The file's order is M, N, K."""
    assert sizes(read_topology(write(f"{header}fc1, 16, 512, 2312,\nfc2,16,10,512"))) == [("fc1", 16, 2312, 512, 1), ("fc2", 16, 512, 10, 1)]


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), kernel=st.tuples(st.integers(1, 40), st.integers(1, 40)), strides=st.tuples(*[st.integers(1, 9)] * 2)
)
@settings(max_examples=50)
def test_a_part_of_a_stride_counts_as_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, kernel: tuple[int, int], strides: tuple[int, int]
) -> None:
    """A filter stands wherever a stride takes it whose first row is less than a stride beyond the last full fit."""
    high, wide = min(kernel[0], height), min(kernel[1], width)
    path = tmp_path_factory.getbasetemp() / "strides.csv"
    header = CONV.replace("Strides", "Stride height, Stride width")
    path.write_text(f"{header}c,{height},{width},{high},{wide},5,7,{strides[0]},{strides[1]},\n")
    ((_, m, k, n, count),) = sizes(read_topology(path))
    places = len(range(0, height - high + strides[0], strides[0])) * len(range(0, width - wide + strides[1], strides[1]))
    assert (m, k, n, count) == (places, high * wide * 5, 7, 1)


def test_a_depthwise_layer_is_a_product_for_every_channel(write: Write) -> None:
    (layer,) = read_topology(write(f"{CONV}Conv2 DP,28,28,3,3,64,1,1,\n"))
    assert sizes((layer,)) == [("Conv2 DP", 26 * 26, 9, 1, 64)]
    assert layer.gemm.left_values == 28 * 28


def test_layers_may_share_a_name(write: Write) -> None:
    assert len(read_topology(write(f"{GEMM}a,1,2,3,\na,1,2,3,\n"))) == 2


@pytest.mark.parametrize(
    "text", [CONV.replace("Strides,", "Strides, Sparsity") + "c1,9,9,3,3,2,4,1,1:1,\nc2,9,9,3,3,2,4,1,2:4,\n", f"{GEMM}g1,1,2,3,\ng2,1,2,3,2:4,\n"]
)
def test_sparsity_is_left_out_and_said(write: Write, text: str) -> None:
    path = write(text)
    with pytest.warns(RepairWarning, match="the sparsity of line 3 is not modelled; products are dense") as caught:
        layers = read_topology(path)
    assert len(caught) == 1
    assert layers[0].gemm == layers[1].gemm


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: not the header of a SCALE-Sim topology; expected 'Layer name, IFMAP Height"),
        ("conv1,224,224,11,11,3,96,4,\n", "line 1: column 1 is called 'conv1', not 'layer name'"),
        ("Layer,M,K,N\na,1,2,3\n", "line 1: column 3 is called 'K', not 'n'"),
        (GEMM, "it holds no layers"),
        (CONV.replace("Strides", "Strides,Padding") + "c,1,1,1,1,1,1,1,1\n", "line 1: column 9, 'Padding', is not known"),
        ("Layer,M,N,K,Batch,Batch size\na,1,1,1,1,1\n", "line 1: column 6 is a second 'batch size'"),
        (f"{GEMM}a,1,2\n", "line 2: 3 values, but the header names 4 columns"),
        (f"{GEMM}a,1,2,3,4,\n", "line 2: 5 values, but the header names 4 columns"),
        (f"{GEMM}\na,1,2,0,\n", r"line 3: k must be a whole number from 1 to 2\^40, got '0'"),
        (f"{GEMM}a,1,-2,3,\n", "line 2: n must be a whole number from 1 to 2.40, got '-2'"),
        (f"{GEMM}a,1.5,2,3,\n", "got '1.5'"),
        (f"{GEMM}a,,2,3,\n", "m must be a whole number from 1 to 2.40, got ''"),
        (f"{GEMM}a,{'9' * 5000},2,3,\n", "got '" + "9" * 40 + "'"),
        (f"{GEMM}a,{2**40 + 1},2,3,\n", "got '1099511627777'"),
        (f"{GEMM},1,2,3,\n", "line 2: a layer needs a name of 1 to 200 characters"),
        (f"{GEMM}{'a' * 201},1,2,3,\n", "line 2: a layer needs a name of 1 to 200 characters"),
        (f"{CONV}c,5,9,7,3,1,1,1,\n", "line 2: filter height 7 is larger than ifmap height 5"),
        (f"{CONV}c,5,9,3,13,1,1,1,\n", "line 2: filter width 13 is larger than ifmap width 9"),
        (f"{CONV}c,{2**30},{2**30},3,3,1,1,1,\n", r"line 2: the product has M = \d+, more than 2\^40"),
        (f"{CONV}c,{2**20},{2**20},{2**20},{2**20},2,1,1,\n", r"the product has K = \d+, more than 2\^40"),
        ("Layer,M,N,K,Batch\na,1,1,1,4\n", "line 2: a batch of 4 is not read"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(write: Write, text: str, words: str) -> None:
    path = write(text)
    with pytest.raises(InputError, match=words) as caught:
        read_topology(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 500


def test_bytes_that_are_no_text(write: Write) -> None:
    with pytest.raises(InputError, match=r"net.csv: not UTF-8 text \(byte 3\)"):
        read_topology(write(b"abc\xff"))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_topology(tmp_path / "none.csv")
    with pytest.raises(InputError, match="this is a folder"):
        read_topology(tmp_path)


def test_files_that_are_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(f"{GEMM}a,1,2,3,\nb,1,2,3,\n")
    monkeypatch.setattr(topology, "MAX_LAYERS", 1)
    with pytest.raises(InputError, match="line 3: more than 1 layers"):
        read_topology(path)
    monkeypatch.setattr(topology, "MAX_FILE_BYTES", 20)
    with pytest.raises(InputError, match="at most 20 are read"):
        read_topology(path)


#: What mutations put into a file: pieces of syntax, and numbers at the limits and beyond.
ODD: Final = (
    ",",
    ",,",
    "\n",
    "#",
    ":",
    "2:4",
    "-1",
    "0",
    "1",
    "9" * 5000,
    "2199023255552",
    "\x00",
    "\x1b[31m",
    "\ufeff",
    "\u0665",
    "DP",
    "M",
    "Batch",
    '"',
    ";",
    "\r",
    " ",
)


@given(
    start=st.sampled_from((f"{CONV}c1,9,9,3,3,2,4,1,\nc2 DP,7,7,3,3,4,4,2,\n", f"{GEMM}a,1,2,3,\nb,4,5,6,2:4,\n")),
    edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 8), st.sampled_from(ODD)), max_size=4),
)
@settings(max_examples=300)
def test_whatever_a_file_holds_it_is_layers_or_one_line(tmp_path_factory: pytest.TempPathFactory, start: str, edits: list[tuple[int, int, str]]) -> None:
    for place, length, piece in edits:
        start = start[:place] + piece + start[place + length :]
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(start.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        try:
            layers = read_topology(path)
        except InputError as error:
            message = str(error)
            assert message.startswith(str(path))
            assert message.isprintable()
            return
    assert layers
    assert all(layer.name.isprintable() and layer.gemm.macs >= 1 for layer in layers)


# -- SCALE-Sim's own figures -------------------------------------------------------------------------


def as_gemm(row: ReferenceRow) -> str:
    return f"{row.m},{row.n},{row.k},"


def as_conv(row: ReferenceRow) -> str:
    """As SCALE-Sim itself takes a product for a convolution: a map of M x K under a filter of 1 x K."""
    return f"{row.m},{row.k},1,{row.k},1,{row.n},1,"


@pytest.mark.reference
@pytest.mark.parametrize(("header", "line"), [(GEMM, as_gemm), (CONV, as_conv)])
def test_cycles_are_those_that_scale_sim_prints(reference_data: Path, write: Write, header: str, line: Callable[[ReferenceRow], str]) -> None:
    """Every reference row written as a topology, read back and priced."""

    def setting(row: ReferenceRow) -> tuple[int, int, str]:
        return row.rows, row.cols, row.dataflow

    for (height, width, dataflow), some in groupby(sorted(reference_rows(reference_data), key=setting), key=setting):
        rows = list(some)
        layers = read_topology(write(header + "".join(f"l{i},{line(row)}\n" for i, row in enumerate(rows))))
        array = SystolicArray(rows=height, cols=width, forward_dataflow=dataflow)  # pyright: ignore[reportArgumentType]
        platform = Platform(name="one", classes={"a": array}, processors=("a",), interconnect=Interconnect(), clock_hz=1)
        table = topology_table(layers, platform)
        assert [row.scalesim_cycles for row in table] == [row.cycles for row in rows]
        assert [row.cycles for row in table] == [row.cycles + 1 for row in rows]
