"""Network and Layer: shapes, parameters, order, and messages that name the layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.network import Layer, Network


def linear(name: str, before: str, out: int = 4, **fields: object) -> Layer:
    return Layer(name=name, kind="linear", inputs=(before,), out_features=out, **fields)  # type: ignore[arg-type]


def network(*layers: Layer, shape: tuple[int, ...] = (6,)) -> Network:
    return Network(name="net", input_shape=shape, time_steps=4, layers=layers)


def test_layers_are_sorted_producers_first_and_keep_their_order_otherwise() -> None:
    net = network(linear("c", "b"), linear("a", "input"), linear("b", "a"), linear("d", "input"))
    assert [layer.name for layer in net.layers] == ["a", "b", "c", "d"]


def test_shapes_and_parameters_of_conv_pool_groups_and_recurrence() -> None:
    net = network(
        Layer(name="conv", kind="conv2d", inputs=("input",), out_channels=8, kernel=(5, 3), stride=(2, 1), padding=(1, 1), groups=2, bias=True),
        Layer(name="pool", kind="maxpool2d", inputs=("conv",), kernel=(2, 2), stride=(2, 2)),
        Layer(name="flat", kind="flatten", inputs=("pool",)),
        linear("rec", "flat", 5, neuron="lif", recurrence="full", bias=True),
        shape=(4, 9, 8),
    )
    assert net.shapes() == {"input": (4, 9, 8), "conv": (8, 4, 8), "pool": (8, 2, 4), "flat": (64,), "rec": (5,)}
    assert net.parameters() == {"conv": 8 * 2 * 15 + 8, "rec": 64 * 5 + 25 + 5}


def test_dilation_widens_the_kernel() -> None:
    layer = Layer(name="conv", kind="conv2d", inputs=("input",), out_channels=1, kernel=(3, 3), dilation=(2, 2))
    assert layer.output_shape([(1, 7, 7)]) == (1, 3, 3)


def test_add_keeps_and_concat_sums_channels() -> None:
    add = Layer(name="sum", kind="add", inputs=("a", "b"))
    cat = Layer(name="cat", kind="concat", inputs=("a", "b"))
    assert add.output_shape([(3, 2, 2), (3, 2, 2)]) == (3, 2, 2)
    assert cat.output_shape([(3, 2, 2), (5, 2, 2)]) == (8, 2, 2)


@pytest.mark.parametrize(
    ("layers", "shape", "words"),
    [
        ([linear("fc", "input")], (1, 4, 4), ["'fc'", "flatten"]),
        ([Layer(name="cv", kind="conv2d", inputs=("input",), out_channels=4, kernel=(9, 9))], (1, 4, 4), ["'cv'", "does not fit", "4x4"]),
        ([Layer(name="cv", kind="conv2d", inputs=("input",), out_channels=4, groups=2)], (3, 4, 4), ["'cv'", "groups=2", "3 input channels"]),
        ([Layer(name="cv", kind="conv2d", inputs=("input",), out_channels=4)], (6,), ["'cv'", "channels, height, width"]),
        ([linear("a", "input"), linear("b", "input", 5), Layer(name="s", kind="add", inputs=("a", "b"))], (6,), ["'s'", "cannot add"]),
        ([linear("a", "nowhere")], (6,), ["'a'", "'nowhere'"]),
        ([linear("a", "input"), linear("a", "input")], (6,), ["two layers", "'a'"]),
        ([linear("a", "b"), linear("b", "a")], (6,), ["cycle", "feedback", "'a'", "'b'"]),
        ([Layer(name="f", kind="flatten", inputs=("input",))], (6,), ["no layer has weights"]),
        ([], (6,), ["no layers"]),
        ([linear("a", "input", 2**41)], (6,), ["'a'", "2^40"]),
        (["fc"], (6,), ["'net'", "layers must be a tuple of layers"]),
        ([linear("a", "input")], [6], ["'net'", "input_shape", "tuple of whole numbers", "got [6]"]),
        ([linear("a", "input")], 6, ["'net'", "input_shape", "got 6"]),
        ([linear("a", "input")], (6.0,), ["'net'", "input_shape", "got (6.0,)"]),
        ([linear("a", "input")], (True,), ["'net'", "input_shape", "got (True,)"]),
        ([linear("a", "input")], (0,), ["'net'", "input_shape", "at least 1", "got (0,)"]),
        ([linear("a", "input")], (), ["'net'", "input_shape", "got ()"]),
        ([linear("a", "input")], (1, 2, 3, 4), ["'net'", "input_shape", "got (1, 2, 3, 4)"]),
    ],
)
def test_errors_name_the_layer(layers: list[Any], shape: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        network(*layers, shape=shape)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "linear", "inputs": ("a", "b"), "out_features": 3}, "takes one input"),
        ({"kind": "linear", "inputs": (), "out_features": 3}, "inputs is empty"),
        ({"kind": "add", "inputs": ("a",)}, "two or more"),
        ({"kind": "add", "inputs": ("a", "a")}, "named twice"),
        ({"kind": "linear", "inputs": ("a",)}, "out_features"),
        ({"kind": "conv2d", "inputs": ("a",)}, "out_channels"),
        ({"kind": "conv2d", "inputs": ("a",), "out_channels": 3, "groups": 2}, "groups=2"),
        ({"kind": "conv2d", "inputs": ("a",), "out_channels": 2, "stride": (0, 1)}, "stride"),
        ({"kind": "avgpool2d", "inputs": ("a",), "padding": (-1, 0)}, "padding"),
        ({"kind": "conv2d", "inputs": ("a",), "out_channels": 2, "recurrence": "full", "neuron": "lif"}, "recurrent"),
        ({"kind": "linear", "inputs": ("a",), "out_features": 2, "recurrence": "full"}, "needs a neuron"),
        ({"kind": "maxpool2d", "inputs": ("a",), "neuron": "lif"}, "no neuron of its own"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        Layer(name="odd", **fields)  # type: ignore[arg-type]
    assert "'odd'" in str(error.value)


LINEAR: dict[str, Any] = {"kind": "linear", "inputs": ("a",), "out_features": 3}
CONV: dict[str, Any] = {"kind": "conv2d", "inputs": ("a",), "out_channels": 4}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (LINEAR | {"kind": "lstm"}, "kind must be one of linear, conv2d, matmul,"),
        (LINEAR | {"kind": ["linear"]}, "got ['linear']"),
        (LINEAR | {"neuron": "swish"}, "neuron must be one of lif, iir, if, li, psu, ipsu, rpsu, psn, relu, none, got 'swish'"),
        (LINEAR | {"neuron": None}, "neuron must be one of lif, iir, if, li, psu, ipsu, rpsu, psn, relu, none, got None"),
        (LINEAR | {"recurrence": True}, "recurrence must be one of none, full, self, got True"),
        (LINEAR | {"norm": "layer"}, "norm must be one of none, batch, got 'layer'"),
        (LINEAR | {"norm": "x\n" * 99}, "..."),
        (LINEAR | {"out_features": 2.0}, "out_features must be a whole number, got 2.0"),
        (LINEAR | {"out_features": True}, "out_features must be a whole number, got True"),
        (LINEAR | {"out_features": "3"}, "out_features must be a whole number, got '3'"),
        (LINEAR | {"out_features": -1}, "out_features must be at least 1, got -1"),
        (LINEAR | {"out_channels": 2.5}, "out_channels must be a whole number, got 2.5"),
        (LINEAR | {"heads": None}, "heads must be a whole number, got None"),
        (LINEAR | {"groups": 2}, "only conv2d layers have groups"),
        (LINEAR | {"time_steps": 2.5}, "time_steps must be a whole number, got 2.5"),
        (LINEAR | {"time_steps": False}, "time_steps must be a whole number, got False"),
        (LINEAR | {"time_steps": 0}, "time_steps must be at least 1, got 0"),
        (LINEAR | {"spike_rate": "0.1"}, "spike_rate must be a number between 0 and 1, got '0.1'"),
        (LINEAR | {"spike_rate": 1.5}, "spike_rate must be between 0 and 1, got 1.5"),
        (LINEAR | {"spike_rate": float("nan")}, "spike_rate must be between 0 and 1, got nan"),
        (LINEAR | {"bias": "no"}, "bias must be True or False, got 'no'"),
        (LINEAR | {"transpose": 1}, "transpose must be True or False, got 1"),
        (LINEAR | {"inputs": "a"}, "inputs must be a tuple of names, got 'a'"),
        (LINEAR | {"inputs": ["a"]}, "inputs must be a tuple of names, got ['a']"),
        (LINEAR | {"inputs": (1,)}, "inputs must be a tuple of names, got (1,)"),
        (LINEAR | {"feedback": ["a"]}, "feedback must be a tuple of names, got ['a']"),
        (CONV | {"out_channels": 4.0}, "out_channels must be a whole number, got 4.0"),
        (CONV | {"groups": 2.0}, "groups must be a whole number, got 2.0"),
        (CONV | {"kernel": 3}, "kernel must be a tuple of two whole numbers, (height, width), got 3"),
        (CONV | {"kernel": [3, 3]}, "kernel must be a tuple of two whole numbers, (height, width), got [3, 3]"),
        (CONV | {"stride": (1, 2, 3)}, "stride must be a tuple of two whole numbers, (height, width), got (1, 2, 3)"),
        (CONV | {"dilation": (1, 1.0)}, "dilation must be a tuple of two whole numbers, (height, width), got (1, 1.0)"),
        (CONV | {"padding": (True, 0)}, "padding must be a tuple of two whole numbers, (height, width), got (True, 0)"),
        (CONV | {"padding": (0, -1)}, "padding must not be negative, got [0, -1]"),
        (CONV | {"stride": (0, 1)}, "stride must be at least 1, got [0, 1]"),
    ],
)
def test_a_value_that_is_not_of_its_fields_type_is_refused_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Layer(name="odd", **fields)
    text = str(error.value)
    assert text.startswith("layer 'odd': ")
    assert message in text
    assert text.isprintable()
    assert len(text) < 200


@pytest.mark.parametrize("name", [None, 3, b"fc"])
def test_a_name_that_is_not_text_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match="name must be text"):
        Layer(name=name, **LINEAR)
    with pytest.raises(InputError, match="name must be text"):
        Network(name=name, input_shape=(6,), time_steps=4, layers=(linear("a", "input"),))


@pytest.mark.parametrize("whole", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_make_the_same_network(whole: Callable[[int], Any]) -> None:
    def made(number: Callable[[int], Any]) -> Network:
        pair = (number(2), number(1))
        layers = (
            Layer(name="conv", kind="conv2d", inputs=("input",), out_channels=number(4), kernel=pair, stride=pair, padding=pair, groups=number(2)),
            Layer(name="flat", kind="flatten", inputs=("conv",)),
            linear("fc", "flat", number(5), time_steps=number(1), spike_rate=number(1), neuron="lif"),
        )
        return Network(name="net", input_shape=(number(2), number(6), number(6)), time_steps=number(3), layers=layers)

    assert made(whole) == made(int)
    assert made(whole).shapes() == made(int).shapes()
    assert made(whole).parameters() == made(int).parameters()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_steps": 2.5}, "time_steps must be a whole number, got 2.5"),
        ({"time_steps": True}, "time_steps must be a whole number, got True"),
        ({"time_steps": 0}, "time_steps must be at least 1, got 0"),
        ({"coding": "rate"}, "coding must be one of spikes, direct, got 'rate'"),
        ({"coding": None}, "coding must be one of spikes, direct, got None"),
        ({"layers": [linear("a", "input")]}, "layers must be a tuple of layers"),
        ({"layers": linear("a", "input")}, "layers must be a tuple of layers"),
        ({"source": 3}, "source must be text, got 3"),
    ],
)
def test_a_network_checks_its_own_fields(fields: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"name": "net", "input_shape": (6,), "time_steps": 4, "layers": (linear("a", "input"),)}
    assert Network(**good).coding == "spikes"
    with pytest.raises(InputError) as error:
        Network(**good | fields)
    assert str(error.value) == f"network 'net': {message}"


def test_layer_looks_up_by_name() -> None:
    net = network(linear("a", "input"))
    assert net.layer("a").out_features == 4
    with pytest.raises(KeyError):
        net.layer("b")


def conv(name: str, before: str, channels: int) -> Layer:
    return Layer(name=name, kind="conv2d", inputs=(before,), out_channels=channels)


def test_a_loop_opens_at_its_linear_weights() -> None:
    """A concatenation of the input with what a linear layer made of it a step before."""
    layers = (
        Layer(name="both", kind="concat", inputs=("input", "back"), feedback=("back",)),
        linear("out", "both", 5),
        Layer(name="n", kind="neuron", inputs=("out",), neuron="lif"),
        linear("back", "n", 3),
    )
    network = Network(name="loop", input_shape=(6,), time_steps=2, layers=layers)
    assert (network.shapes()["both"], network.parameters()) == ((9,), {"out": 45, "back": 15})


def test_what_a_loop_brings_must_fit() -> None:
    layers = (linear("a", "input", 4), Layer(name="s", kind="add", inputs=("a", "b"), feedback=("b",), neuron="lif"), linear("b", "s", 5))
    with pytest.raises(InputError, match=r"layer 's': cannot add shapes \[\[4\], \[5\]\]"):
        Network(name="loop", input_shape=(6,), time_steps=2, layers=layers)
    pool = Layer(name="p", kind="maxpool2d", inputs=("b",), kernel=(2, 2))
    layers = (Layer(name="a", kind="concat", inputs=("p", "input"), feedback=("p",)), conv("b", "a", 3), pool)
    with pytest.raises(InputError, match="layer 'a': its shape cannot be told from a loop"):
        Network(name="loop", input_shape=(2, 4, 4), time_steps=2, layers=layers)


def test_a_cycle_is_named_without_what_hangs_behind_it() -> None:
    layers = (linear("a", "input"), Layer(name="s", kind="add", inputs=("a", "b")), linear("b", "s"), linear("out", "b"))
    with pytest.raises(InputError, match="layers 'b', 's' form a cycle"):
        network(*layers)
