"""ONNX models for the tests, built node by node; skips them where onnx is not installed."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikepipe_sched.importers import RepairWarning, load_network
from spikepipe_sched.network import Network

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
helper, TensorProto = onnx.helper, onnx.TensorProto

Dims = list[int | str | None]


class Model:
    """A graph in the making: nodes by chain, initializers by shape."""

    def __init__(self, *shape: int | str | None) -> None:
        self.shape: Dims = list(shape)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.outputs: list[str] = []

    def weight(self, name: str, *shape: int) -> str:
        self.initializers.append(helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(math.prod(shape), dtype=np.float32)))
        return name

    def numbers(self, name: str, *values: int) -> str:
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def conv(self, source: str, name: str, *weight: int, bias: bool = False, **attributes: Any) -> str:
        extra = [self.weight(f"{name}.bias", weight[0])] if bias else []
        return self.node("Conv", source, self.weight(f"{name}.weight", *weight), *extra, **attributes)

    def gemm(self, source: str, name: str, out: int, fan_in: int) -> str:
        return self.node("Gemm", source, self.weight(f"{name}.weight", out, fan_in), self.weight(f"{name}.bias", out), transB=1)

    def norm(self, source: str, name: str, channels: int) -> str:
        return self.node("BatchNormalization", source, *(self.weight(f"{name}.{part}", channels) for part in ("weight", "bias", "mean", "var")))

    def proto(self) -> Any:
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs or [f"t{len(self.nodes) - 1}"]]
        entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        graph = helper.make_graph(self.nodes, "g", [entry], outputs, self.initializers)
        return helper.make_model(graph, producer_name="test")

    def load(self, folder: Path, **options: Any) -> tuple[Network, list[str]]:
        path = folder / "net.onnx"
        path.write_bytes(self.proto().SerializeToString())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            network = load_network(path, **options)
        assert all(issubclass(entry.category, RepairWarning) for entry in caught)
        return network, [str(entry.message) for entry in caught]


def kinds(network: Network) -> list[tuple[str, str, str]]:
    return [(layer.name, layer.kind, layer.neuron) for layer in network.layers]


def lenet(model: Model) -> Model:
    """LeNet-5 (doi:10.1109/5.726791) as usually written down today: 61,706 parameters."""
    c1 = model.node("Relu", model.conv("x", "conv1", 6, 1, 5, 5, bias=True, pads=[2, 2, 2, 2]))
    c2 = model.node("Relu", model.conv(model.node("MaxPool", c1, kernel_shape=[2, 2], strides=[2, 2]), "conv2", 16, 6, 5, 5, bias=True))
    flat = model.node("Flatten", model.node("AveragePool", c2, kernel_shape=[2, 2], strides=[2, 2]))
    f1 = model.node("Relu", model.gemm(flat, "fc1", 120, 400))
    f2 = model.node("Relu", model.gemm(f1, "fc2", 84, 120))
    model.node("Softmax", model.gemm(f2, "fc3", 10, 84), name="prob")
    return model


def residual(model: Model) -> Model:
    first = model.node("Relu", model.norm(model.conv("x", "conv1", 4, 2, 3, 3, pads=[1] * 4, strides=[2, 2]), "bn1", 4))
    total = model.node("Relu", model.node("Add", model.conv(first, "conv2", 4, 4, 3, 3, pads=[1] * 4), model.conv("x", "down", 4, 2, 1, 1, strides=[2, 2])))
    model.gemm(model.node("Flatten", model.node("GlobalAveragePool", total)), "fc", 10, 4)
    return model


def attention(model: Model) -> Model:
    split = model.numbers("split", 2, 6, 4, 2)
    heads = [model.node("Reshape", model.node("MatMul", "x", model.weight(f"{name}.weight", 8, 8)), split) for name in "qkv"]
    q, k, v = (model.node("Transpose", part, perm=perm) for part, perm in zip(heads, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True))
    out = model.node("Transpose", model.node("MatMul", model.node("MatMul", q, k), v), perm=[0, 2, 1, 3])
    joined = model.node("Reshape", out, model.numbers("join", 0, 6, -1))
    model.node("MatMul", model.node("ReduceMean", joined, axes=[1], keepdims=0), model.weight("head.weight", 8, 3))
    return model


def structure(model: Model) -> bytes:
    """A small file: the weights are left out, which nobody reads."""
    proto = model.proto()
    for initializer in proto.graph.initializer:
        initializer.ClearField("float_data")
    return proto.SerializeToString()
