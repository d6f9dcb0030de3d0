"""ONNX files that are refused: each message names node and operator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers import load_network, onnx_file
from tests.importers.onnx_models import Model, TensorProto, helper, lenet


@pytest.mark.parametrize(
    ("operator", "attributes", "words"),
    [
        ("Sigmoid", {}, ["(Sigmoid)", "not supported", "Conv"]),
        ("If", {}, ["(If)", "not supported"]),
        ("Softmax", {}, ["(Softmax)", "output"]),
        ("Transpose", {"perm": [1, 0]}, ["(Transpose)", "batch"]),
        ("Flatten", {"axis": 0}, ["(Flatten)", "axis"]),
        ("MaxPool", {"kernel_shape": [2]}, ["(MaxPool)", "[8]"]),
        ("MatMul", {}, ["(MatMul)", "two inputs"]),
        ("ReduceMean", {"axes": [0]}, ["(ReduceMean)", "axes"]),
        ("Gemm", {}, ["(Gemm)", "constant"]),
        ("Mul", {}, ["(Mul)", "one constant number"]),
        ("BatchNormalization", {}, ["(BatchNormalization)", "constant"]),
    ],
)
def test_what_cannot_be_read_names_node_and_operator(tmp_path: Path, operator: str, attributes: dict[str, Any], words: list[str]) -> None:
    model = Model(1, 4)
    model.gemm(model.node(operator, model.gemm("x", "a", 8, 4), name="it", **attributes), "b", 3, 8)
    with pytest.raises(InputError) as error:
        model.load(tmp_path)
    assert all(word in str(error.value) for word in [str(tmp_path / "net.onnx"), "'it'", *words])
    assert "\n" not in str(error.value)


def test_operators_of_other_domains_are_refused(tmp_path: Path) -> None:
    model = Model(1, 4)
    model.node("Gemm", "x", model.weight("w", 4, 4), domain="com.example")
    with pytest.raises(InputError, match=r"com\.example::Gemm"):
        model.load(tmp_path)


@pytest.mark.parametrize(
    ("weight", "attributes", "words"),
    [
        ((4, 3, 3, 3), {}, "do not fit"),
        ((4, 2, 3, 3), {"group": 0}, "groups"),
        ((4, 2, 3, 3), {"strides": [0, 1]}, "at least 1"),
        ((4, 2, 3, 3), {"strides": [1]}, "strides"),
        ((4, 2, 3, 3), {"strides": 3}, "strides"),
        ((4, 2, 3, 3), {"pads": [-1, 0, 0, 0]}, "pads"),
        ((4, 2, 3, 3), {"kernel_shape": [5, 5]}, "contradicts"),
        ((4, 2, 3, 3, 3), {}, "not supported"),
        ((4, 2, 9, 9), {}, "does not fit"),
        ((4, 2, 3, 3), {"auto_pad": "HALF"}, "HALF"),
        ((4, 2, 2, 2), {"pads": [0, 0, 1, 1]}, "no even padding"),
    ],
)
def test_damaged_convolutions_name_the_place(tmp_path: Path, weight: tuple[int, ...], attributes: dict[str, Any], words: str) -> None:
    model = Model(1, 2, 8, 8)
    model.conv("x", "c", *weight, **attributes)
    with pytest.raises(InputError, match=words) as error:
        model.load(tmp_path)
    assert "\n" not in str(error.value)


def test_two_inputs_or_no_batch_are_refused(tmp_path: Path) -> None:
    model = Model(4)
    model.node("MatMul", "x", model.weight("w", 4, 4))
    with pytest.raises(InputError, match="batch"):
        model.load(tmp_path)
    proto = lenet(Model(1, 1, 28, 28)).proto()
    proto.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    path = tmp_path / "two.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match=r"2 inputs \('x', 'y'\)"):
        load_network(path)


def test_rearrangements_that_no_layer_makes_are_refused(tmp_path: Path) -> None:
    for target in ((1, 2, 16), (2, 4, 4)):
        model = Model(1, 2, 4, 4)
        c1 = model.conv("x", "c", 2, 2, 1, 1)
        turned = model.node("Transpose", c1, perm=[0, 3, 2, 1])
        model.node("MatMul", model.node("Reshape", turned, model.numbers("to", *target)), model.weight("w", target[-1], 4))
        with pytest.raises(InputError, match="rearranged" if target[0] == 1 else "mixes the batch"):
            model.load(tmp_path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = Model(1, 4)
    model.gemm("x", "fc", 3, 4)
    tensor = model.initializers[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(InputError, match=rf"initializer '{tensor.name}': keeps its data in another file"):
        model.load(tmp_path)


def test_files_and_graphs_beyond_the_limits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lenet(Model(1, 1, 28, 28))
    monkeypatch.setattr(onnx_file, "MAX_NODES", 5)
    with pytest.raises(InputError, match="at most 5"):
        model.load(tmp_path)
    monkeypatch.setattr(onnx_file, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="at most 100"):
        model.load(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x08\x07", b"\xff" * 64])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a") as error:
        load_network(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("operator", ["Concat", "Mul"])
def test_shapes_cannot_grow_without_bound(tmp_path: Path, operator: str) -> None:
    """Doubled or squared a hundred times, a few numbers would fill the memory."""
    model = Model(1, 4)
    number, attributes = model.numbers("n", 3), dict[str, Any](axis=0) if operator == "Concat" else {}
    for _ in range(100):
        number = model.node(operator, number, number, **attributes)
    model.node("Reshape", "x", number)
    with pytest.raises(InputError, match="than a shape can have"):
        model.load(tmp_path)


def test_products_of_huge_activations_take_no_memory(tmp_path: Path) -> None:
    model = Model(1, 2**19, 2**19)
    model.node("MatMul", "x", "x")
    with pytest.raises(InputError, match="as attention has it"):
        model.load(tmp_path)


def test_a_convolution_without_weights_is_refused(tmp_path: Path) -> None:
    model = Model(1, 2, 8, 8)
    model.node("Conv", "x", name="bare")
    with pytest.raises(InputError, match=r"'bare' \(Conv\): input 1"):
        model.load(tmp_path)


def test_without_onnx_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install -c constraints.txt '\.\[onnx\]'"):
        load_network(path)


def test_a_picture_is_not_read_as_another(tmp_path: Path) -> None:
    """Four rows of one channel are not one row of four channels, whatever a Reshape says."""
    model = Model(1, 4, 5)
    rows = model.conv("x", "a", 4, 4, 1)
    model.conv(model.node("Reshape", rows, model.numbers("to", 1, 1, 4, 5)), "b", 2, 1, 1, 1)
    with pytest.raises(InputError, match=r"'t\d' \(Conv\): reads \[4, 5\] rearranged as \[1, 4, 5\]"):
        model.load(tmp_path)
