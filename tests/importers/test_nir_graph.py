"""NIR graphs -> layers: neurons, sequences, and shapes that must be inferred."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikepipe_sched.errors import InputError
from tests.importers.nir_files import Edges, Nodes, conv1d, conv2d, forms, lif, node, pool, read, weights

# -- neurons ---------------------------------------------------------------------------------------


def test_neurons_without_weights_of_their_own_are_layers(tmp_path: Path) -> None:
    """Behind the input, behind a pool, behind another neuron."""
    nodes = {"in": lif(2, 8, 8), "c": conv2d(3, 2, 3), "p": pool(2), "n": lif(3, 3, 3, kind="IF"), "m": lif(), "fc": weights(5, 27)}
    network, repairs = read(tmp_path, nodes, shape=[2, 8, 8])
    assert forms(network) == [
        ("in", "neuron", "lif", ("input",), (), "none"),
        ("c", "conv2d", "none", ("in",), (), "none"),
        ("p", "sumpool2d", "none", ("c",), (), "none"),
        ("n", "neuron", "if", ("p",), (), "none"),
        ("m", "neuron", "lif", ("n",), (), "none"),
        ("fc.flatten", "flatten", "none", ("m",), (), "none"),
        ("fc", "linear", "none", ("fc.flatten",), (), "none"),
    ]
    assert [("'m'" in text, "'fc'" in text) for text in repairs] == [(True, False), (False, True)]


def test_weights_that_feed_two_neurons_belong_to_neither(tmp_path: Path) -> None:
    nodes = {"a": weights(4, 4), "n": lif(4), "m": lif(4, kind="LI")}
    network, repairs = read(tmp_path, nodes, [("input", "a"), ("a", "n"), ("a", "m"), ("n", "output"), ("m", "output")])
    assert forms(network) == [
        ("a", "linear", "none", ("input",), (), "none"),
        ("m", "neuron", "li", ("a",), (), "none"),
        ("n", "neuron", "lif", ("a",), (), "none"),
        ("output.sum", "add", "none", ("n", "m"), (), "none"),
    ]
    assert repairs == []


def test_several_outputs_are_several_read_outs_and_a_forgotten_one_is_reported(tmp_path: Path) -> None:
    nodes = {"a": weights(4, 4), "b": weights(3, 4), "c": weights(2, 4), "second": node("Output", shape=[3])}
    edges = [("input", "a"), ("a", "output"), ("input", "b"), ("b", "second"), ("input", "c")]
    network, repairs = read(tmp_path, nodes, edges)
    assert [layer.inputs for layer in network.layers] == [("input",)] * 3
    assert len(repairs) == 1
    assert "'c'" in repairs[0]


@pytest.mark.parametrize(("kind", "neuron"), [("I", "li"), ("LI", "li"), ("CubaLI", "li"), ("IF", "if"), ("LIF", "lif"), ("CubaLIF", "lif")])
def test_every_neuron_type_is_read(tmp_path: Path, kind: str, neuron: str) -> None:
    network, repairs = read(tmp_path, {"a": weights(3, 4), "n": node(kind, r=np.ones(3))})
    assert forms(network) == [("a", "linear", neuron, ("input",), (), "none")]
    assert repairs == []


def test_a_threshold_without_an_integrator_is_a_neuron_and_says_so(tmp_path: Path) -> None:
    network, repairs = read(tmp_path, {"a": weights(3, 4), "t": node("Threshold", threshold=np.ones(3))})
    assert forms(network) == [("a", "linear", "if", ("input",), (), "none")]
    assert len(repairs) == 1
    assert "'t'" in repairs[0]
    integrator = {"a": weights(3, 4), "n": node("I", r=np.ones(3)), "t": node("Threshold", threshold=np.ones(3))}
    assert forms(read(tmp_path, integrator)[0]) == [("a", "linear", "iir", ("input",), (), "none")]
    read_twice = [("input", "a"), ("a", "n"), ("n", "t"), ("t", "output"), ("n", "output")]
    network, repairs = read(tmp_path, integrator, read_twice)
    assert [(layer.name, layer.neuron) for layer in network.layers] == [("a", "li"), ("t", "if"), ("output.sum", "none")]
    assert len(repairs) == 1


def test_a_delay_is_left_out_and_says_so(tmp_path: Path) -> None:
    network, repairs = read(tmp_path, {"a": weights(3, 4), "d": node("Delay", delay=np.ones(3)), "n": lif(3)})
    assert forms(network) == [("a", "linear", "lif", ("input",), (), "none")]
    assert len(repairs) == 1
    assert "'d'" in repairs[0]


@pytest.mark.parametrize(
    ("fields", "kind", "neuron"),
    [
        ({"r": np.ones(3), "v_threshold": np.ones(3)}, "IF", "if"),
        ({"r": np.ones(3)}, "I", "li"),
        ({"tau": np.ones(3), "r": np.ones(3), "v_threshold": np.ones(3)}, "LIF", "lif"),
        ({"tau_mem": np.ones(3), "tau_syn": np.ones(3), "v_threshold": np.ones(3)}, "CubaLIF", "lif"),
    ],
)
def test_the_fields_tell_a_type_that_is_missing(tmp_path: Path, fields: dict[str, Any], kind: str, neuron: str) -> None:
    network, repairs = read(tmp_path, {"a": {**weights(3, 4), "type": None}, "n": fields})
    assert forms(network) == [("a", "linear", neuron, ("input",), (), "none")]
    assert [text.rsplit(" ", 1)[1] for text in repairs] == ["Linear", kind]
    with pytest.raises(InputError, match="'p': it has no type"):
        read(tmp_path, {"p": {**pool(2), "type": None}})


def test_what_the_file_says_otherwise_is_reported(tmp_path: Path) -> None:
    """A convolution's size, a flatten that keeps the batch, parameters with the batch in front."""
    nodes = {"c": conv2d(3, 2, 3, input_shape=[9, 9]), "n": lif(1, 3, 6, 6), "f": node("Flatten", start_dim=1, end_dim=-1), "fc": weights(5, 108)}
    network, repairs = read(tmp_path, nodes, shape=[2, 8, 8])
    assert [layer.kind for layer in network.layers] == ["conv2d", "flatten", "linear"]
    assert ["'c'" in repairs[0] and "[9, 9]" in repairs[0], "'f'" in repairs[1], len(repairs)] == [True, True, 2]


# -- sequences -------------------------------------------------------------------------------------


def test_a_conv1d_is_a_convolution_of_height_one(tmp_path: Path) -> None:
    nodes = {
        "c": conv1d(8, 2, 5, stride=2, padding=[1], dilation=2),
        "n": lif(8, 47),
        "d": conv1d(4, 4, 3, groups=2, padding="same", input_shape=47),
        "m": lif(4, 47),
    }
    network, repairs = read(tmp_path, {**nodes, "f": node("Flatten", start_dim=0, end_dim=-1), "fc": weights(3, 188)}, shape=[2, 100])
    first, second = network.layers[:2]
    assert (network.input_shape, list(network.shapes().values())[1:]) == ((2, 1, 100), [(8, 1, 47), (4, 1, 47), (188,), (3,)])
    assert (first.kernel, first.stride, first.padding, first.dilation) == ((1, 5), (1, 2), (0, 1), (1, 2))
    assert (second.kernel, second.padding, second.groups, second.neuron) == ((1, 3), (0, 1), 2, "lif")
    assert repairs == []
    for shape in ([16, 2, 100], [1, 1, 2, 100]):
        network, repairs = read(tmp_path, {"c": nodes["c"]}, shape=shape)
        assert network.input_shape == (2, 1, 100)
        assert len(repairs) == 1
    network, _ = read(tmp_path, {"c": nodes["c"]}, shape=[2, 50], override=(2, 100))
    assert network.input_shape == (2, 1, 100)
    with pytest.raises(InputError, match=r"'c': takes .*length"):
        read(tmp_path, {"c": nodes["c"]}, shape=[2, 50], override=(2, 8, 100))


# -- shapes ----------------------------------------------------------------------------------------

PICTURE = conv2d(3, 2, 3)
SIZED = conv2d(3, 2, 3, input_shape=[8, 9])
FLAT = node("Flatten", start_dim=0, end_dim=-1)


@pytest.mark.parametrize(
    ("shape", "nodes", "expected", "repaired"),
    [
        ([4], {"n": lif(4), "a": weights(3, 4)}, (4,), 0),
        ([10, 4], {"n": lif(), "a": weights(3, 4)}, (4,), 2),
        ([10, 4], {"n": lif(4)}, (4,), 1),
        ([2, 8, 9], {"c": PICTURE}, (2, 8, 9), 0),
        ([5, 1, 2, 8, 9], {"p": pool(2), "c": PICTURE}, (2, 8, 9), 1),
        ([5, 2, 8, 9], {"p": pool(2), "f": FLAT, "a": weights(3, 32)}, (2, 8, 9), 1),
        ([5, 2, 8, 9], {"f": FLAT, "a": weights(3, 144)}, (2, 8, 9), 1),
        ([2, 8, 9], {"f": FLAT, "a": weights(3, 144)}, (2, 8, 9), 0),
        ([8, 9], {"c": conv2d(3, 1, 3)}, (1, 8, 9), 1),
        ([144], {"c": SIZED}, (2, 8, 9), 1),
        ([], {"c": SIZED}, (2, 8, 9), 1),
        ([], {"n": lif(4), "m": lif(4), "a": weights(3, 4)}, (4,), 1),
        ([], {"n": lif(2, 8, 9), "c": PICTURE}, (2, 8, 9), 1),
        ([], {"f": node("Flatten", start_dim=0, end_dim=-1, input_type=[2, 8, 9]), "a": weights(3, 144)}, (2, 8, 9), 1),
        ([1, 1, 6], {"n": lif(), "m": node("IF", r=np.ones(()))}, (1, 1, 6), 2),
        ([1, 6], {"n": lif()}, (6,), 2),
    ],
)
def test_the_input_shape_follows_from_what_stands_behind_it(tmp_path: Path, shape: list[int], nodes: Nodes, expected: tuple[int, ...], repaired: int) -> None:
    """A read-out by its own input keeps the networks trainable whose shape the weights shall not tell."""
    if any(fields.get("type") in ("Linear", "Conv2d") for fields in nodes.values()):
        network, repairs = read(tmp_path, nodes, shape=shape)
    else:
        nodes = {**nodes, "w": weights(2, 2), "m2": lif(2), "o": node("Output")}
        chain = ["input", *list(nodes)[:-3], "output"]
        network, repairs = read(tmp_path, nodes, [*pairwise(chain), ("w", "m2"), ("m2", "w"), ("m2", "o")], shape=shape)
    assert network.input_shape == expected
    assert len(repairs) == repaired, repairs


@pytest.mark.parametrize(
    ("shape", "nodes", "words"),
    [
        ([], {"c": PICTURE}, ["no shape", "'c'", "height and width"]),
        ([], {"p": pool(2), "a": weights(3, 9)}, ["no shape", "'p'", "channels and height and width"]),
        ([], {"n": lif()}, ["no shape"]),
        ([7, 6], {"n": lif()}, ["[7, 6]", "batch or time"]),
        ([5, 4], {"a": weights(3, 7)}, ["[5, 4]", "'a'", "[7]"]),
        ([5, 4, 4], {"c": PICTURE}, ["[5, 4, 4]", "'c'", "[2, ?, ?]"]),
        ([5, 7], {"c": conv1d(3, 2, 3)}, ["[5, 7]", "'c'"]),
        ([0], {"a": weights(3, 4)}, ["[0]"]),
    ],
)
def test_a_shape_that_cannot_be_inferred_is_asked_for(tmp_path: Path, shape: list[int], nodes: Nodes, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, nodes, shape=shape)
    assert all(word in str(error.value) for word in ["'input'", *words]), str(error.value)
    assert "--input-shape" in str(error.value) or shape == [0]


def test_tokens_can_be_given(tmp_path: Path) -> None:
    network, repairs = read(tmp_path, {"a": weights(3, 4), "n": lif(3)}, override=(16, 4))
    assert (network.shapes()["a"], repairs) == ((16, 3), [])


@pytest.mark.parametrize(
    ("inputs", "edges", "words"),
    [
        (["second"], [("second", "b")], "'input', 'second'"),
        (["second"], [], None),
    ],
)
def test_of_several_inputs_one_may_feed_something(tmp_path: Path, inputs: list[str], edges: Edges, words: str | None) -> None:
    nodes = {"a": weights(3, 4), "b": weights(3, 4), **{name: node("Input", shape=[4]) for name in inputs}}
    all_edges = [("input", "a"), ("a", "output"), ("b", "output"), *(edges or [("input", "b")])]
    if words is None:
        network, repairs = read(tmp_path, nodes, all_edges)
        assert [layer.name for layer in network.layers] == ["a", "b", "output.sum"]
        assert len(repairs) == 1
        assert "'second'" in repairs[0]
        return
    with pytest.raises(InputError, match=words):
        read(tmp_path, nodes, all_edges)


def test_layers_never_take_the_name_of_another(tmp_path: Path) -> None:
    """A node may be called like the input of the network, or like a sum or a flatten that is added."""
    nodes = {"x": node("Input", shape=[4]), "a.sum": weights(4, 4), "input": weights(4, 4), "a": weights(3, 4)}
    network, repairs = read(tmp_path, nodes, [("x", "a.sum"), ("x", "input"), ("a.sum", "a"), ("input", "a"), ("a", "output")])
    assert [(layer.name, layer.inputs) for layer in network.layers] == [
        ("a.sum", ("input",)),
        ("input_", ("input",)),
        ("a.sum_", ("a.sum", "input_")),
        ("a", ("a.sum_",)),
    ]
    assert len(repairs) == 2
    nodes = {"b.flatten": conv2d(3, 2, 3), "b": weights(5, 108)}
    network, _ = read(tmp_path, nodes, shape=[2, 8, 8])
    assert [layer.name for layer in network.layers] == ["b.flatten", "b.flatten_", "b"]
