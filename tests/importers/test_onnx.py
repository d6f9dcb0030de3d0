"""ONNX files: whole networks, and every way to write one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_platform
from spikepipe_sched.lower import lower
from spikepipe_sched.training import TrainingSetup
from tests.importers.onnx_models import Model, TensorProto, kinds, lenet, onnx

# -- whole networks --------------------------------------------------------------------------------


def test_lenet_has_its_known_parameters_and_products(tmp_path: Path) -> None:
    network, repairs = lenet(Model("batch", 1, 28, 28)).load(tmp_path)
    assert kinds(network) == [
        ("conv1", "conv2d", "relu"),
        ("t2", "maxpool2d", "none"),
        ("conv2", "conv2d", "relu"),
        ("t5", "avgpool2d", "none"),
        ("t5.flatten", "flatten", "none"),
        ("fc1", "linear", "relu"),
        ("fc2", "linear", "relu"),
        ("fc3", "linear", "none"),
    ]
    assert (network.name, network.input_shape, network.time_steps) == ("net", (1, 28, 28), 1)
    assert sum(network.parameters().values()) == 61_706
    assert network.macs() == {"conv1": 28 * 28 * 6 * 25, "conv2": 10 * 10 * 16 * 6 * 25, "fc1": 48_000, "fc2": 10_080, "fc3": 840}
    assert len(repairs) == 1
    assert "'prob' (Softmax)" in repairs[0]
    assert "loss" in repairs[0]
    assert len(lower(network, TrainingSetup(windows=1), load_platform("edge8"))) > 0


def test_more_time_steps_make_a_spiking_network(tmp_path: Path) -> None:
    network, repairs = lenet(Model(1, 1, 28, 28)).load(tmp_path, time_steps=8)
    assert (network.time_steps, network.coding) == (8, "direct")
    assert [layer.neuron for layer in network.layers if layer.trainable] == ["lif", "lif", "lif", "lif", "none"]
    assert sum("LIF" in repair for repair in repairs) == 1
    ann, repairs = lenet(Model(1, 1, 28, 28)).load(tmp_path, time_steps=1)
    assert {layer.neuron for layer in ann.layers} == {"relu", "none"}
    assert ann.coding == "direct"
    assert not any("LIF" in repair for repair in repairs)


def test_a_residual_block_is_an_add_with_a_neuron(tmp_path: Path) -> None:
    """Batch normalisation belongs to the convolution in front, the last ReLU to the sum."""
    model = Model(4, 8, 16, 16)
    first = model.node("Relu", model.norm(model.conv("x", "conv1", 16, 8, 3, 3, pads=[1] * 4, strides=[2, 2]), "bn1", 16))
    second = model.norm(model.conv(first, "conv2", 16, 16, 3, 3, pads=[1] * 4), "bn2", 16)
    short = model.norm(model.conv("x", "down", 16, 8, 1, 1, strides=[2, 2]), "bn3", 16)
    total = model.node("Relu", model.node("Add", second, short, name="/block/Add"))
    model.gemm(model.node("Flatten", model.node("GlobalAveragePool", total)), "fc", 10, 16)
    network, repairs = model.load(tmp_path)
    assert repairs == []
    assert [(layer.name, layer.norm, layer.neuron) for layer in network.layers[:4]] == [
        ("conv1", "batch", "relu"),
        ("conv2", "batch", "none"),
        ("down", "batch", "none"),
        ("block/Add", "none", "relu"),
    ]
    assert network.layer("block/Add").inputs == ("conv2", "down")
    assert sum(network.parameters().values()) == 16 * 8 * 9 + 16 * 16 * 9 + 16 * 8 + 3 * 2 * 16 + 170
    assert (network.shapes()["block/Add"], network.shapes()["fc"]) == ((16, 8, 8), (10,))


def test_one_dimensional_convolutions_have_height_one(tmp_path: Path) -> None:
    model = Model("n", 2, 100)
    c1 = model.node("Relu", model.conv("x", "c1", 4, 2, 5, pads=[2, 2], strides=[2]))
    c2 = model.conv(model.node("MaxPool", c1, kernel_shape=[2], strides=[2]), "c2", 8, 4, 3, dilations=[2])
    model.gemm(model.node("Flatten", c2), "fc", 3, 8 * 21)
    network, _ = model.load(tmp_path)
    assert network.input_shape == (2, 1, 100)
    assert [network.shapes()[name] for name in ("c1", "t2", "c2")] == [(4, 1, 50), (4, 1, 25), (8, 1, 21)]
    assert network.parameters() == {"c1": 40, "c2": 96, "fc": 3 * 168 + 3}


@pytest.mark.parametrize("heads", [None, 1, 4])
def test_attention_without_softmax_is_two_products(tmp_path: Path, heads: int | None) -> None:
    """Queries, keys and values of 6 tokens and 8 features; ``None``: never divided among heads."""
    model = Model(2, 6, 8)
    parts = [model.node("Relu", model.node("MatMul", "x", model.weight(f"{name}.weight", 8, 8))) for name in "qkv"]
    count = heads or 1
    if heads is None:
        q, k, v = parts
        scores = model.node("MatMul", q, model.node("Transpose", k, perm=[0, 2, 1]))
        joined = model.node("MatMul", scores, v)
    else:
        split = model.numbers("split", 2, 6, heads, 8 // heads)
        q, k, v = (
            model.node("Transpose", model.node("Reshape", part, split), perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = model.node("Mul", model.node("MatMul", q, k), model.weight("scale"))
        out = model.node("Transpose", model.node("MatMul", scores, v), perm=[0, 2, 1, 3])
        joined = model.node("Reshape", out, model.numbers("join", 0, 6, -1))
    model.node("MatMul", model.node("ReduceMean", joined, axes=[1], keepdims=0), model.weight("head.weight", 8, 3))
    network, repairs = model.load(tmp_path)
    products = [layer for layer in network.layers if layer.kind == "matmul"]
    assert [(layer.heads, layer.transpose, layer.inputs[0]) for layer in products] == [(count, True, "q"), (count, False, products[0].name)]
    assert [layer.inputs[1] for layer in products] == ["k", "v"]
    assert [network.shapes()[layer.name] for layer in products] == [(count, 6, 6), (6, 8)]
    assert [network.macs()[layer.name] for layer in products] == [6 * 6 * 8, 6 * 6 * 8]
    assert network.layer("head").inputs == (network.layers[-2].name,)
    assert network.layers[-2].kind == "mean"
    assert len(repairs) == (0 if heads is None else 1)


def test_patches_become_tokens(tmp_path: Path) -> None:
    model = Model(2, 3, 8, 8)
    patches = model.conv("x", "embed", 16, 3, 4, 4, strides=[4, 4], bias=True)
    tokens = model.node("Transpose", model.node("Reshape", patches, model.numbers("flat", 0, 16, -1)), perm=[0, 2, 1])
    first = model.node("MatMul", tokens, model.weight("fc1.weight", 16, 32))
    model.node("Relu", model.node("Add", first, model.weight("fc1.bias", 32)))
    network, repairs = model.load(tmp_path)
    assert repairs == []
    assert [(layer.kind, network.shapes()[layer.name]) for layer in network.layers] == [("conv2d", (16, 2, 2)), ("tokens", (4, 16)), ("linear", (4, 32))]
    assert network.parameters()["fc1"] == 16 * 32 + 32


def test_a_view_with_an_open_batch_is_followed(tmp_path: Path) -> None:
    """Exporters compute the target of such a Reshape from the shape of the tensor."""
    model = Model("batch", 4, 3, 3)
    c1 = model.conv("x", "c1", 2, 4, 3, 3, pads=[1, 1, 1, 1])
    zero = model.node("Constant", value_int=0)
    size = model.node("Unsqueeze", model.node("Gather", model.node("Shape", c1), zero), model.numbers("axis", 0))
    target = model.node("Concat", size, model.numbers("rest", -1), axis=0)
    model.gemm(model.node("Reshape", c1, target), "fc", 5, 18)
    network, _ = model.load(tmp_path)
    assert [layer.kind for layer in network.layers] == ["conv2d", "flatten", "linear"]


def test_shapes_computed_in_the_graph_and_weights_turned_in_it(tmp_path: Path) -> None:
    """As written for ``x.flatten(2)`` and for heads of ``channels // 4``, with weights that were not folded."""
    model = Model("batch", 8, 2, 3)
    size = model.node("Shape", "x")
    front = model.node("Slice", size, model.numbers("zero", 0), model.numbers("two", 2), model.numbers("axis", 0))
    rest = model.node("Mul", model.numbers("height", 2), model.numbers("width", 3))
    flat = model.node("Reshape", "x", model.node("Cast", model.node("Concat", front, rest, axis=0), to=TensorProto.INT64))
    tokens = model.node("Transpose", flat, perm=[0, 2, 1])
    model.node("MatMul", tokens, model.node("Transpose", model.weight("w", 5, 8)), name="/fc/MatMul")
    network, _ = model.load(tmp_path)
    assert [(layer.name, layer.kind, network.shapes()[layer.name]) for layer in network.layers] == [
        ("input.tokens", "tokens", (6, 8)),
        ("fc", "linear", (6, 5)),
    ]


# -- details ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "size", "out", "repaired"),
    [
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 32, 16, True),
        ({"auto_pad": "SAME_UPPER"}, 32, 32, False),
        ({"auto_pad": "VALID"}, 32, 30, False),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, 32, 16, True),
        ({"pads": [2, 1, 2, 1], "dilations": [2, 1]}, 32, 32, False),
    ],
)
def test_padding_gives_the_sizes_of_the_onnx_operator(tmp_path: Path, attributes: dict[str, Any], size: int, out: int, repaired: bool) -> None:
    model = Model(1, 4, size, size)
    model.conv("x", "c", 8, 2, 3, 3, group=2, **attributes)
    network, repairs = model.load(tmp_path)
    assert network.shapes()["c"] == (8, out, out)
    assert network.parameters() == {"c": 8 * 2 * 9}
    assert len(repairs) == repaired
    with_shapes = onnx.shape_inference.infer_shapes(model.proto(), strict_mode=True)
    assert [dim.dim_value for dim in with_shapes.graph.output[0].type.tensor_type.shape.dim] == [1, 8, out, out]


def test_a_norm_or_neuron_needs_a_layer_of_its_own(tmp_path: Path) -> None:
    """The ReLU stands behind a pool, and what the second one reads is read elsewhere too."""
    model = Model(1, 2, 8, 8)
    pooled = model.node("Relu", model.node("MaxPool", model.conv("x", "c", 2, 2, 3, 3, pads=[1] * 4), kernel_shape=[2, 2], strides=[2, 2]), name="act")
    shared = model.conv(pooled, "d", 2, 2, 1, 1)
    model.node("Add", model.node("Relu", shared, name="act2"), shared, name="sum")
    network, _ = model.load(tmp_path)
    assert kinds(network)[2:] == [("act", "neuron", "relu"), ("d", "conv2d", "none"), ("act2", "neuron", "relu"), ("sum", "add", "none")]
    model.norm(shared, "bn", 2)
    with pytest.raises(InputError, match=r"BatchNormalization.*weights of its own"):
        model.load(tmp_path)


def test_concatenation_is_over_channels(tmp_path: Path) -> None:
    model = Model(1, 2, 4, 4)
    both = [model.conv("x", name, 3, 2, 1, 1) for name in "ab"]
    model.node("Relu", model.node("Concat", *both, axis=-3, name="cat"))
    network, _ = model.load(tmp_path)
    assert (network.layers[-1].neuron, network.shapes()["cat"]) == ("relu", (6, 4, 4))
    model.node("Concat", *both, axis=2)
    with pytest.raises(InputError, match=r"Concat.*axis 2"):
        model.load(tmp_path)


def test_an_input_with_open_sizes_needs_input_shape(tmp_path: Path) -> None:
    model = Model("n", 3, "h", "w")
    model.conv("x", "c", 4, 3, 3, 3)
    with pytest.raises(InputError, match="give --input-shape"):
        model.load(tmp_path)
    network, _ = model.load(tmp_path, input_shape=(3, 10, 12))
    assert network.shapes()["c"] == (4, 8, 10)


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    model = Model(1, 4)
    source = "x"
    for _ in range(3):
        source = model.node("Relu", model.node("Gemm", source, model.weight(f"w{len(model.nodes)}", 4, 4), name="input"))
    assert [layer.name for layer in model.load(tmp_path)[0].layers] == ["input_2", "input_3", "input_4"]


def test_identity_dropout_and_a_constant_sum(tmp_path: Path) -> None:
    model = Model(1, 4)
    out = model.node("Dropout", model.node("Identity", model.gemm("x", "fc", 4, 4)))
    model.node("Add", out, model.weight("positions", 1, 4), name="pos")
    network, repairs = model.load(tmp_path)
    assert [layer.name for layer in network.layers] == ["fc"]
    assert len(repairs) == 1
    assert "'pos'" in repairs[0]


def test_dimensions_of_one_come_and_go(tmp_path: Path) -> None:
    model = Model(1, 2, 4, 4)
    pooled = model.node("GlobalAveragePool", model.conv("x", "c", 6, 2, 3, 3))
    squeezed = model.node("Squeeze", pooled, model.numbers("axes", -1, -2))
    hidden = model.node("Relu", model.gemm(squeezed, "a", 5, 6))
    wide = model.node("Squeeze", model.node("Unsqueeze", hidden, axes=[1]), axes=[1])
    model.gemm(wide, "b", 3, 5)
    network, repairs = model.load(tmp_path)
    assert repairs == []
    assert [(layer.name, layer.kind) for layer in network.layers[2:]] == [("t1.flatten", "flatten"), ("a", "linear"), ("b", "linear")]
    model.node("Unsqueeze", squeezed, axes=[0])
    with pytest.raises(InputError, match="in front of the batch"):
        model.load(tmp_path)


def test_one_dimensional_images_side_by_side(tmp_path: Path) -> None:
    model = Model(1, 2, 10)
    both = [model.conv("x", name, 3, 2, 1) for name in "ab"]
    model.conv(model.node("Concat", *both, axis=1, name="cat"), "c", 4, 6, 3)
    network, _ = model.load(tmp_path)
    assert [network.shapes()[name] for name in ("cat", "c")] == [(6, 1, 10), (4, 1, 8)]


def test_two_readers_share_one_flatten(tmp_path: Path) -> None:
    model = Model(1, 2, 4, 4)
    picture = model.conv("x", "c", 2, 2, 1, 1)
    heads = [model.gemm(model.node("Flatten", picture), name, 3, 32) for name in "ab"]
    model.node("Add", *heads)
    network, _ = model.load(tmp_path)
    assert [layer.kind for layer in network.layers] == ["conv2d", "flatten", "linear", "linear", "add"]
