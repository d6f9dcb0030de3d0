"""NIR files: the NIR paper's own, every repair on its own, and what is refused."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import DEFAULT_TIME_STEPS, RepairWarning, load_network, load_platform, nir_file
from spikepipe_sched.lower import lower
from spikepipe_sched.network import Network
from spikepipe_sched.training import TrainingSetup
from tests.importers.nir_files import Edges, Nodes, conv2d, lif, read_here, weights, write_nir

FILES = Path(__file__).parents[1] / "data" / "nir"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write_nir` to a file of its own."""

    def make(nodes: Nodes, edges: Edges | None = None, *, shape: list[int] | None = None) -> Path:
        return write_nir(tmp_path / "net.nir", nodes, edges, shape=shape)

    return make


def load_with_repairs(path: Path, **options: Any) -> tuple[Network, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = load_network(path, **options)
    assert all(issubclass(entry.category, RepairWarning) for entry in caught)
    return network, [str(entry.message) for entry in caught]


# -- real files ------------------------------------------------------------------------------------


def test_sinabs_cnn_of_the_nir_paper_has_its_true_shapes() -> None:
    """34 x 34 N-MNIST frames, IF neurons; sum pools and flatten have no tasks of their own."""
    network = load_network(FILES / "02_cnn__cnn_sinabs.nir")
    shapes = network.shapes()
    assert (network.input_shape, network.coding) == ((2, 34, 34), "spikes")
    assert [(layer.kind, layer.neuron, shapes[layer.name]) for layer in network.layers] == [
        ("conv2d", "if", (16, 16, 16)),
        ("conv2d", "if", (16, 16, 16)),
        ("sumpool2d", "none", (16, 8, 8)),
        ("conv2d", "if", (8, 8, 8)),
        ("sumpool2d", "none", (8, 4, 4)),
        ("flatten", "none", (128,)),
        ("linear", "if", (256,)),
        ("linear", "if", (10,)),
    ]
    graph = lower(network, TrainingSetup(windows=4), load_platform("array32"))
    assert len(graph) == 4 * (5 + 4 + 5 + 1) + 5
    batch, steps = 16, DEFAULT_TIME_STEPS // 4
    assert graph.nodes["F(0,0)"]["macs"] == batch * steps * 16 * 16 * (2 * 25) * 16


def test_library_copies_equal_the_files_of_the_nir_paper() -> None:
    """`nmnist_cnn` and `braille_rnn` are these files with readable names."""
    for name, file in (("nmnist_cnn", "02_cnn__cnn_sinabs.nir"), ("braille_rnn", "03_rnn__braille_noDelay_bias_zero.nir")):
        copy = load_network(name)
        original, _ = load_with_repairs(FILES / file)
        assert list(copy.shapes().values()) == list(original.shapes().values())
        assert list(copy.parameters().values()) == list(original.parameters().values())
        fields = ("kind", "neuron", "recurrence", "kernel", "stride", "padding", "bias")
        assert [[getattr(layer, f) for f in fields] for layer in copy.layers] == [[getattr(layer, f) for f in fields] for layer in original.layers]


@pytest.mark.parametrize(("name", "parameters"), [("norse", 2), ("rockpool", 1)])
def test_single_neuron_of_the_nir_paper(name: str, parameters: int) -> None:
    network = load_network(FILES / f"01_lif__lif_{name}.nir")
    assert [(layer.kind, layer.neuron, layer.out_features) for layer in network.layers] == [("linear", "lif", 1)]
    assert sum(network.parameters().values()) == parameters
    assert network.time_steps == DEFAULT_TIME_STEPS


def test_braille_rnn_finds_the_recurrence_of_the_nir_paper() -> None:
    network, repairs = load_with_repairs(FILES / "03_rnn__braille_noDelay_noBias_subtract.nir", time_steps=256)
    assert [(layer.name, layer.recurrence, layer.out_features) for layer in network.layers] == [("fc1", "full", 40), ("fc2", "none", 7)]
    assert (network.input_shape, network.time_steps, repairs) == ((12,), 256, [])
    _, repairs = load_with_repairs(FILES / "03_rnn__braille_noDelay_bias_zero.nir")
    assert len(repairs) == 1
    assert "'lif1.w_rec'" in repairs[0]


@pytest.mark.reference
def test_every_reference_file_loads_and_lowers() -> None:
    """Exports of Rockpool, SpikingJelly, snnTorch, and NIR's own viewer."""
    folder = os.environ.get("SPIKEPIPE_DATA")
    if not folder:
        pytest.skip("set SPIKEPIPE_DATA to the folder that holds nir/*.nir")
    files = sorted((Path(folder) / "nir").glob("*.nir"))
    assert len(files) >= 10
    repaired: set[str] = set()
    for file in files:
        network, repairs = load_with_repairs(file)
        repaired |= {file.name} if repairs else set()
        assert len(lower(network, TrainingSetup(windows=2), load_platform("edge8"))) > 0
    assert "export__rockpool_fc.nir" in repaired
    viewer, _ = load_with_repairs(files[-1])
    assert [(layer.name, layer.neuron, layer.recurrence) for layer in viewer.layers] == [("affine1", "lif", "full"), ("affine2", "lif", "none")]


def test_what_the_nir_library_writes_has_the_shapes_it_infers(tmp_path: Path) -> None:
    """A sequence, an integrator with a threshold, and a recurrent inner graph, written by `nir.write`."""
    one = np.ones
    recurrent = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([4])}),
            "lif": nir.LIF(tau=one(4), r=one(4), v_leak=one(4), v_threshold=one(4)),
            "w_rec": nir.Linear(weight=one((4, 4))),
            "output": nir.Output({"output": np.array([4])}),
        },
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    nodes = {
        "input": nir.Input({"input": np.array([2, 20])}),
        "conv": nir.Conv1d(input_shape=20, weight=one((3, 2, 5)), stride=2, padding=1, dilation=1, groups=1, bias=one(3)),
        "sum": nir.I(r=one((3, 9))),
        "spike": nir.Threshold(threshold=one((3, 9))),
        "flatten": nir.Flatten(input_type={"input": np.array([3, 9])}, start_dim=0, end_dim=-1),
        "fc": nir.Affine(weight=one((4, 27)), bias=one(4)),
        "rnn": recurrent,
        "output": nir.Output({"output": np.array([4])}),
    }
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes=nodes, edges=list(pairwise(nodes))))
    network, repairs = load_with_repairs(tmp_path / "net.nir")
    assert [(layer.name, layer.kind, layer.neuron, layer.recurrence) for layer in network.layers] == [
        ("conv", "conv2d", "iir", "none"),
        ("flatten", "flatten", "none", "none"),
        ("fc", "linear", "lif", "full"),
    ]
    for layer, shape in network.shapes().items():
        assert [size for size in shape if size > 1] == nodes[layer].output_type["output"].tolist()
    assert repairs == []


# -- repairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "words"),
    [([1, 1, 4], "[1, 1, 4]"), ([16, 4], "[16, 4]"), ([], "has no shape")],
)
def test_batch_and_time_in_the_input_are_left_out(write: Write, shape: list[int], words: str) -> None:
    path = write({"fc": weights(3, 4), "n": lif(3)}, shape=shape)
    network, repairs = load_with_repairs(path)
    assert network.input_shape == (4,)
    assert len(repairs) == 1
    assert words in repairs[0]


def test_convolution_behind_a_batched_or_missing_input(write: Write) -> None:
    for shape in ([5, 2, 8, 8], [1, 5, 2, 8, 8]):
        network, repairs = load_with_repairs(write({"c": conv2d(3, 2, 3), "n": lif(3, 6, 6)}, shape=shape))
        assert network.input_shape == (2, 8, 8)
        assert len(repairs) == 1


def test_scalar_parameters_serve_all_neurons(write: Write) -> None:
    network, repairs = load_with_repairs(write({"fc": weights(3, 4), "n": lif()}))
    assert network.layers[0].neuron == "lif"
    assert len(repairs) == 1
    assert "all 3 neurons" in repairs[0]


def test_flatten_is_put_in_front_of_a_linear_node_that_needs_one(write: Write) -> None:
    nodes = {"c": conv2d(3, 2, 3), "n": lif(3, 2, 2), "fc": weights(5, 12), "m": lif(5)}
    network, repairs = load_with_repairs(write(nodes, shape=[2, 4, 4]))
    assert [layer.kind for layer in network.layers] == ["conv2d", "flatten", "linear"]
    assert "flatten" in repairs[0]


def test_several_edges_into_a_neuron_or_a_layer_are_a_sum(write: Write) -> None:
    nodes = {"a": weights(4, 4), "n": lif(4), "b": weights(4, 4), "s": lif(4, kind="IF"), "c": weights(2, 4), "m": lif(2)}
    edges = [("input", "a"), ("a", "n"), ("n", "b"), ("b", "s"), ("n", "s"), ("s", "c"), ("n", "c"), ("c", "m"), ("m", "output")]
    network, repairs = load_with_repairs(write(nodes, edges))
    assert [(layer.name, layer.kind, layer.inputs, layer.neuron) for layer in network.layers if layer.kind == "add"] == [
        ("s.sum", "add", ("b", "a"), "if"),
        ("c.sum", "add", ("s.sum", "a"), "none"),
    ]
    assert repairs == []


def test_scale_is_dropped_and_double_edges_are_single(write: Write) -> None:
    nodes = {"fc": weights(3, 4), "g": {"type": "Scale", "scale": np.ones(3)}, "n": lif(3)}
    edges = [("input", "fc"), ("fc", "g"), ("g", "n"), ("fc", "g"), ("n", "output")]
    network, repairs = load_with_repairs(write(nodes, edges))
    assert [layer.neuron for layer in network.layers] == ["lif"]
    assert len(repairs) == 2


def test_threshold_behind_a_leaky_integrator_is_a_neuron_without_reset(write: Write) -> None:
    network = load_network(write({"fc": weights(3, 4), "n": {"type": "LI", "tau": np.ones(3)}, "t": {"type": "Threshold", "threshold": np.ones(3)}}))
    assert network.layers[0].neuron == "iir"


def test_inner_graphs_are_written_out(write: Write) -> None:
    inner_nodes = {"input": {"type": "Input", "shape": [3]}, "lif": lif(3), "w_rec": weights(3, 3), "output": {"type": "Output", "shape": [3]}}
    inner_edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    nodes: Nodes = {"fc": weights(3, 4), "rnn": {"nodes": inner_nodes, "edges": inner_edges}, "out": weights(2, 3)}
    network = load_network(write(nodes))
    assert [(layer.name, layer.recurrence, layer.neuron) for layer in network.layers] == [("fc", "full", "lif"), ("out", "none", "none")]


def test_padding_by_name_and_one_number_for_two(write: Write) -> None:
    nodes = {"c": conv2d(3, 2, 3, padding="same", stride=1), "n": lif(3, 8, 8), "p": {"type": "AvgPool2d", "kernel_size": 2, "stride": 2, "padding": 0}}
    network = load_network(write(nodes, shape=[2, 8, 8]))
    assert (network.layers[0].padding, network.shapes()["p"]) == ((1, 1), (3, 4, 4))


def test_a_boolean_false_bias_is_no_bias(write: Write) -> None:
    network = load_network(write({"fc": {**weights(3, 4), "type": "Affine", "bias": False}, "n": lif(3)}))
    assert network.parameters() == {"fc": 12}


def test_an_output_of_another_size_is_reported(write: Write) -> None:
    path = write({"fc": weights(3, 4), "n": lif(3)})
    with h5py.File(path, "a") as file:
        file["node/nodes/output/shape"] = [5]
    _, repairs = load_with_repairs(path)
    assert len(repairs) == 1
    assert "[5]" in repairs[0]


def test_input_shape_and_time_steps_can_be_given(write: Write) -> None:
    network = load_network(write({"c": conv2d(3, 2, 3), "n": lif(3, 8, 8)}, shape=[2, 4, 4]), input_shape=(2, 10, 10), time_steps=7)
    assert (network.shapes()["c"], network.time_steps) == ((3, 8, 8), 7)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"fc": weights(3, 4), "d": {"type": "Sigmoid"}}, ["'d'", "'Sigmoid'", "not supported"]),
        ({"fc": weights(3, 5), "n": lif(3)}, ["'input'", "[4]", "[5]"]),
        ({"fc": weights(3, 4), "n": lif(3), "gc": weights(3, 5)}, ["'gc'", "[3, 5]", "[3]"]),
        ({"fc": weights(3, 4), "n": lif(7)}, ["'n'", "[7]", "[3]"]),
        ({"fc": {"type": "Linear"}, "n": lif(3)}, ["'fc'", "no weight"]),
        ({"fc": {"type": "Linear", "weight": np.zeros((2, 3, 4))}}, ["'fc'", "2 dimensions"]),
        ({"c": conv2d(3, 4, 1)}, ["'c'", "channels, height, width"]),
    ],
)
def test_what_cannot_be_read_names_the_node(write: Write, nodes: Nodes, words: list[str]) -> None:
    path = write(nodes)
    with pytest.raises(InputError) as error:
        load_network(path)
    assert all(word in str(error.value) for word in [str(path), *words])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"groups": [2, 2, 2]}, "groups"),
        ({"padding": "odd"}, "'odd'"),
        ({"stride": [0, 0]}, "stride"),
        ({"stride": [1.5, 1]}, "whole numbers"),
        ({"stride": [1, 1, 1]}, "stride"),
    ],
)
def test_damaged_convolutions_name_the_node(write: Write, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        load_network(write({"c": conv2d(3, 2, 3, **fields)}, shape=[2, 8, 8]))
    assert "'c'" in str(error.value)


def test_nodes_that_nothing_feeds_and_edges_to_nowhere_are_refused(write: Write) -> None:
    nodes = {"a": weights(4, 4), "n": lif(4), "b": weights(4, 4), "m": lif(4)}
    island = [("input", "a"), ("a", "n"), ("b", "m"), ("m", "output")]
    with pytest.raises(InputError, match="'b': nothing feeds it"):
        load_network(write(nodes, island))
    with pytest.raises(InputError, match="'gone'"):
        load_network(write(nodes, [("input", "gone")]))


def edit(path: Path, change: Callable[[h5py.Group], None]) -> None:
    with h5py.File(path, "a") as file:
        group = file["node/nodes/fc"]
        assert isinstance(group, h5py.Group)
        change(group)


def external_link(node: h5py.Group) -> None:
    del node["weight"]
    node["weight"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(node: h5py.Group) -> None:
    del node["weight"]
    node["weight"] = h5py.SoftLink("/node/nodes/other")


def external_storage(node: h5py.Group) -> None:
    del node["weight"]
    node.create_dataset("weight", shape=(3, 4), dtype="f4", external=[("/dev/zero", 0, 48)])


def virtual(node: h5py.Group) -> None:
    del node["weight"]
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "weight", shape=(3, 4))
    node.create_virtual_dataset("weight", layout)


@pytest.mark.parametrize("change", [external_link, soft_link, external_storage, virtual])
def test_data_outside_the_file_is_refused(write: Write, change: Callable[[h5py.Group], None]) -> None:
    path = write({"fc": weights(3, 4), "n": lif(3)})
    edit(path, change)
    with pytest.raises(InputError, match=r"weight.*not read"):
        load_network(path)


def test_weights_are_never_read(write: Write) -> None:
    """A data set of 4 TB that takes no space loads by its shape alone."""
    path = write({"fc": weights(3, 4), "n": lif()})

    def swell(node: h5py.Group) -> None:
        del node["weight"]
        node.create_dataset("weight", shape=(2**20, 4), dtype="f4", chunks=(2**16, 4))

    edit(path, swell)
    network, _ = load_with_repairs(path)
    assert network.parameters() == {"fc": 2**22}


def test_oversized_fields_are_not_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write({"fc": weights(3, 4), "n": lif(3)})
    monkeypatch.setattr(nir_file, "MAX_READ_BYTES", 10)
    with pytest.raises(InputError, match="at most 10 are read"):
        read_here(path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nir"
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match="not a readable NIR"):
        load_network(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InputError, match="no /node"):
        load_network(path)
