"""``spikepipe-sched cost``."""

from __future__ import annotations

import json

import pytest

from spikepipe_sched import CostModel, TrainingSetup, load_network, load_platform
from spikepipe_sched.export.costs import cost_table, total


def test_the_table_is_that_of_python(run):
    done = run("cost", "nmnist_mlp", "--batch", 3, "--windows", 2)
    rows = cost_table(load_network("nmnist_mlp"), TrainingSetup(batch=3, windows=2), load_platform("array32"))
    assert (done.code, done.err) == (0, "")
    title, _, header, *lines = done.out.splitlines()
    assert title == "nmnist_mlp on array32: 32 x 32 elements; batch 3, 2 windows"
    assert header.split()[:6] == ["layer", "pass", "tasks", "M", "K", "N"]
    table = lines[: lines.index("")]
    assert [line.split()[:2] for line in table[:-1]] == [[row.layer, row.kind] for row in rows]
    assert table[-1].split()[0] == "total"
    assert f"{total(rows).cycles:,}" in table[-1]
    assert lines[-2].startswith("gemm (scalesim)")
    assert lines[-1].startswith("vector")


def test_costing_options_reach_the_model(run):
    options = ["--timing", "pipelined", "--stalls", "--sparsity", "skip", "--no-time-batching", "--no-vector", "--spike-rate", "0.3", "--windows", "2"]
    found = json.loads(run("cost", "nmnist_mlp", *options, "--json").out)
    model = CostModel(timing="pipelined", stalls=True, sparsity="skip", time_batching=False, vector=False)
    rows = cost_table(load_network("nmnist_mlp"), TrainingSetup(windows=2, spike_rate=0.3), load_platform("array32"), model)
    assert [row["cycles"] for row in found["rows"]] == [row.cycles for row in rows]
    assert tuple(found["cost_terms"]["array32"]) == model.terms


def test_array_replaces_all_and_scales_the_lanes_with_the_columns(run):
    found = json.loads(run("cost", "tiny", "--platform", "unlike", "--array", "16x64", "--json").out)
    first = load_platform("unlike").classes["large"]
    assert list(found["arrays"]) == ["16x64"]
    array = found["arrays"]["16x64"]
    assert (array["rows"], array["cols"], array["lanes"], array["sram_bytes"]) == (16, 64, first.lanes * 64 // first.cols, first.sram_bytes)
    assert {row["array"] for row in found["rows"]} == {"16x64"}


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_dataflow_holds_for_all_passes(run, dataflow):
    found = json.loads(run("cost", "nmnist_mlp", "--platform", "unlike", "--dataflow", dataflow, "--json").out)
    assert {product["dataflow"] for row in found["rows"] for product in row["products"]} == {dataflow}


def test_no_dataflow_beats_auto(run):
    cycles = {flow: json.loads(run("cost", "nmnist_mlp", "--dataflow", flow, "--json").out)["totals"][0]["cycles"] for flow in ("os", "ws", "is", "auto")}
    assert cycles["auto"] < min(cycles["os"], cycles["ws"], cycles["is"])


def test_unlike_arrays_are_told_apart(run):
    done = run("cost", "tiny", "--platform", "unlike")
    assert done.out.startswith("tiny on unlike: large 32 x 32 elements, small 16 x 16 elements; ")
    assert "Columns that name no array are those of large" in done.out


@pytest.fixture
def topology(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\nconv1,34,34,3,3,3,64,1,\n")
    return path


def test_a_topology_has_scale_sims_figure(run, topology):
    """SCALE-Sim v3 reports 41983 cycles for this layer on 8 x 8, output stationary."""
    done = run("cost", topology, "--array", "8x8", "--dataflow", "os")
    assert (done.code, done.err) == (0, "")
    (line,) = (line for line in done.out.splitlines() if line.startswith("conv1"))
    assert line.split()[-1] == "41,983"
    assert "41,984" in line
    (row,) = json.loads(run("cost", topology, "--array", "8x8", "--dataflow", "os", "--json").out)["rows"]
    assert (row["cycles"], row["scalesim_cycles"]) == (41984, 41983)


def test_a_topology_waits_for_dram_too(run, topology):
    (row,) = json.loads(run("cost", topology, "--stalls", "--json").out)["rows"]
    assert row["stall_cycles"] >= 0
    assert row["scalesim_cycles"] is None


def test_options_of_networks_do_not_apply_to_a_topology(run, topology):
    done = run("cost", topology, "--batch", 4, "--no-time-batching")
    assert done.code == 2
    assert done.err == f"error: {topology}: a topology holds products of fixed sizes, to which --batch, --no-time-batching cannot apply\n"


def test_a_damaged_topology_is_one_line(run, topology):
    topology.write_text(topology.read_text() + "conv2,34,34,3,3,3\n")
    done = run("cost", topology)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {topology}, line 3: 6 values, but the header names 8 columns\n"


@pytest.mark.filterwarnings("always")
def test_a_mended_topology_is_said(run, topology):
    topology.write_text(topology.read_text().replace("64,1,", "64,1,2:4,"))
    done = run("cost", topology)
    assert done.code == 0
    assert done.err.startswith("warning: ")
    assert "sparsity of line 2" in done.err


def test_roofline_writes_a_page(run, tmp_path):
    path = tmp_path / "roof.html"
    done = run("cost", "tiny", "--roofline", path)
    assert done.code == 0
    assert done.out.endswith(f"written to {path}\n")
    assert "Roofline of tiny on array32" in path.read_text()
    asjson = run("cost", "tiny", "--roofline", path, "--json")
    assert json.loads(asjson.out)["name"] == "tiny"
    assert asjson.err == f"written to {path}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tiny", "--array", "32"), "--array takes ROWSxCOLUMNS such as 32x32, with 1 to 999999 of each, not '32'"),
        (("tiny", "--array", "0x8"), "not '0x8'"),
        (("tiny", "--array", "8x8x8"), "not '8x8x8'"),
        (("tiny", "--array", "9999999x1"), "not '9999999x1'"),
        (("tiny", "--dataflow", "rs"), "dataflow"),
        (("tiny", "--roofline", "roof.svg"), "--roofline writes an HTML page; give a name that ends in .html, not 'roof.svg'"),
        (("tiny", "--roofline", "nowhere/roof.html"), "there is no folder nowhere"),
        (("none.csv",), "none.csv: there is no such file"),
        (("nosuchnet",), "no library network is called 'nosuchnet'"),
    ],
)
def test_misuse_is_one_line(run, arguments, words):
    done = run("cost", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
