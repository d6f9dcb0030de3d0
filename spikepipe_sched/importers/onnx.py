"""ONNX files -> `Network`: the layers of an artificial network, to be trained as such or spiking.

ONNX is no format of spiking networks, whose neurons it shatters into arithmetic; it brings the
shapes of artificial ones. They have one time step and ReLU neurons. With more time steps every
ReLU is read as a LIF neuron in its place (conversion by structure), and the input is shown at every
step as it is (direct coding). Batch normalisation belongs to
the layer in front (``norm="batch"``), as it is trained with it; an exporter may have multiplied it
into the weights before, which cannot be seen any more. Operators and their attributes follow
https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from spikepipe_sched.errors import InputError, require, require_whole
from spikepipe_sched.importers.onnx_file import OnnxGraph, OnnxNode, printable, read_graph
from spikepipe_sched.importers.onnx_tensors import Tensors
from spikepipe_sched.importers.onnx_value import joined_heads, operand, reshaped, window
from spikepipe_sched.network import INPUT, Layer, Network, NeuronKind, Shape

POOL_KINDS: Final[dict[str, Literal["avgpool2d", "maxpool2d"]]] = {
    "AveragePool": "avgpool2d",
    "MaxPool": "maxpool2d",
    "GlobalAveragePool": "avgpool2d",
    "GlobalMaxPool": "maxpool2d",
}
#: What stands between the last layer and the loss.
LOSS: Final = ("Softmax", "LogSoftmax")


def read_onnx(path: Path, *, time_steps: int, input_shape: Shape | None = None) -> Network:
    """Read an ONNX file; with more than one time step its ReLUs are LIF neurons.

    Raises
    ------
    InputError
        One line with the file, the node, its operator and the reason.
    """
    graph = read_graph(path)
    require_whole(str(path), "time_steps", time_steps, 1)
    try:
        reader = _Reader(graph, path, neuron="relu" if time_steps == 1 else "lif", given=input_shape)
        summary = f"ONNX graph of {len(graph.nodes)} nodes" + (f", written by {graph.producer}" if graph.producer else "")
        return Network(
            name=path.stem,
            summary=summary,
            source=path.name,
            input_shape=reader.shapes[INPUT],
            time_steps=time_steps,
            layers=tuple(reader.made.values()),
            coding="direct",
        )
    except InputError as error:
        raise InputError(f"{path}: {printable(str(error))}") from None


class _Reader(Tensors):
    """Takes the nodes in order and makes the layers."""

    def __init__(self, graph: OnnxGraph, path: Path, *, neuron: NeuronKind, given: Shape | None) -> None:
        super().__init__(graph, path, given)
        self.neuron: NeuronKind = neuron
        for node in graph.nodes:
            self.read(node)
        if neuron == "lif" and any(layer.neuron == "lif" for layer in self.made.values()):
            self.repair("read as a spiking network: every Relu is a LIF neuron; with time_steps=1 they stay ReLUs")

    def read(self, node: OnnxNode) -> None:
        taken = next((name for name in node.outputs if name in self.values or name in self.constants), None)
        require(taken is None, f"{node.where}: its output '{taken}' is there already")
        handler = getattr(self, f"read_{node.operator.lower()}", None) if node.operator in OPERATORS else None
        if handler is None:
            raise InputError(f"{node.where}: this operator is not supported; known: {', '.join(sorted(OPERATORS))}")
        if self.fold_shape(node):
            return
        handler(node)

    def read_conv(self, node: OnnxNode) -> None:
        value, weight = self.value(node, 0), self.constant(node, 1)
        groups = node.integer("group", 1)
        dimensions = len(weight) - 2
        require(
            len(weight) in (3, 4) and min(weight) >= 1 and groups >= 1, f"{node.where}: weights of shape {list(weight)} in {groups} groups are not supported"
        )
        fits = len(value.shape) == dimensions + 1 and value.shape[0] == weight[1] * groups
        require(fits, f"{node.where}: weights of shape {list(weight)} in {groups} groups do not fit an input of shape {list(value.shape)}")
        said = node.integers("kernel_shape", weight[2:])
        require(said == weight[2:], f"{node.where}: kernel_shape {list(said)} contradicts weights of shape {list(weight)}")
        fields, repair = window(node, value.shape[1:], weight[2:])
        if repair:
            self.repair(f"{node.where}: {repair}")
        bias = node.source(2) != ""
        self.image(node, self.title(node), kind="conv2d", out_channels=weight[0], groups=groups, bias=bias, **fields)

    def image(self, node: OnnxNode, name: str, **fields: Any) -> None:
        """A layer over images; one-dimensional ones have height 1."""
        source = self.plain(node, 0)
        flat = len(self.value(node, 0).shape) == 2
        made = self.emit(name, node, inputs=(source,), **fields)
        if flat:
            channels, _, length = self.shapes[made]
            self.natural[made] = (channels, length)
        self.put(node, made)

    def read_pool(self, node: OnnxNode) -> None:
        value = self.value(node, 0)
        require(len(value.shape) in (2, 3), f"{node.where}: takes images, got shape {list(value.shape)}")
        if node.operator.startswith("Global"):
            size = value.shape[1:]
            whole = (1, *size) if len(size) == 1 else size
            fields, repair = {"kernel": whole, "stride": whole}, None
        else:
            fields, repair = window(node, value.shape[1:], node.integers("kernel_shape", ()))
            require(fields.pop("dilation") == (1, 1), f"{node.where}: dilated pooling is not supported")
        if repair:
            self.repair(f"{node.where}: {repair}")
        self.image(node, self.title(node), kind=POOL_KINDS[node.operator], **fields)

    read_averagepool = read_maxpool = read_globalaveragepool = read_globalmaxpool = read_pool

    def read_gemm(self, node: OnnxNode) -> None:
        weight = self.constant(node, 1)
        require(node.integer("transA", 0) == 0, f"{node.where}: transA is not supported")
        require(len(weight) == 2, f"{node.where}: weights must have 2 dimensions, got shape {list(weight)}")
        fan_in, out = (weight[1], weight[0]) if node.integer("transB", 0) else weight
        self.linear(node, fan_in, out, bias=node.source(2) != "")

    def linear(self, node: OnnxNode, fan_in: int, out: int, *, bias: bool) -> None:
        value = self.value(node, 0)
        fits = f"{node.where}: weights of shape {[fan_in, out]} do not fit an input of shape {list(value.shape)}"
        require(value.shape and value.shape[-1] == fan_in and out >= 1, fits)
        self.put(node, self.emit(self.title(node), node, kind="linear", inputs=(self.plain(node, 0),), out_features=out, bias=bias))

    def read_matmul(self, node: OnnxNode) -> None:
        require(len(node.inputs) == 2, f"{node.where}: takes two inputs, got {len(node.inputs)}")
        if node.source(1) in self.constants:
            weight = self.constant(node, 1)
            require(len(weight) == 2, f"{node.where}: weights must have 2 dimensions, got shape {list(weight)}")
            self.linear(node, weight[0], weight[1], bias=False)
            return
        left, right = self.value(node, 0), self.value(node, 1)
        first, second = operand(left, self.shapes[left.layer]), operand(right, self.shapes[right.layer])
        forms = (first.form, second.form) if first is not None and second is not None and first.heads == second.heads else None
        if first is None or forms not in (("plain", "turned"), ("scores", "plain")):
            got = f"{node.where}: a product of activations of shapes {[list(left.shape), list(right.shape)]} is supported only as attention has it"
            raise InputError(f"{got}: queries times turned keys, or scores times values, head by head")
        transpose = forms == ("plain", "turned")
        made = self.emit(self.title(node), node, kind="matmul", inputs=(left.layer, right.layer), heads=first.heads, transpose=transpose)
        if transpose:
            self.natural[made] = self.shapes[made] if len(left.shape) == 3 else self.shapes[made][1:]
            self.put(node, made)
        else:
            self.put(node, made, joined_heads(made, self.shapes[made], first.heads, lead=len(left.shape) == 3))

    def read_batchnormalization(self, node: OnnxNode) -> None:
        value = self.value(node, 0)
        layer = self.foldable(value)
        if layer is None or layer.norm != "none" or math.prod(self.constant(node, 1)) != channels(layer):
            raise InputError(f"{node.where}: batch normalisation is supported only directly behind a Conv, Gemm or MatMul with weights of its own")
        self.made[layer.name] = replace(layer, norm="batch")
        self.put(node, layer.name, value)

    def read_relu(self, node: OnnxNode) -> None:
        value = self.value(node, 0)
        layer = self.foldable(value)
        if layer is not None:
            self.made[layer.name] = replace(layer, neuron=self.neuron)
            self.put(node, layer.name, value)
            return
        name = self.title(node)
        made = self.emit(name, node, self.value(node, 0).shape, kind="neuron", inputs=(self.plain(node, 0),), neuron=self.neuron)
        self.put(node, made)

    def read_add(self, node: OnnxNode) -> None:
        fixed = next((index for index, name in enumerate(node.inputs) if name in self.constants), None)
        if fixed is None or len(node.inputs) != 2:
            self.merge(node, "add")
            return
        value, shape = self.value(node, 1 - fixed), self.constant(node, fixed)
        layer = self.foldable(value)
        if layer is not None and layer.trainable and not layer.bias and layer.norm == "none" and math.prod(shape) == channels(layer):
            self.made[layer.name] = replace(layer, bias=True)
        else:
            self.repair(f"{node.where}: adding a constant of shape {list(shape)} is left out")
        self.put(node, value.layer, value)

    def merge(self, node: OnnxNode, kind: Literal["add", "concat"]) -> None:
        shapes = [list(self.value(node, index).shape) for index in range(len(node.inputs))]
        require(kind == "concat" or all(shape == shapes[0] for shape in shapes), f"{node.where}: cannot add shapes {shapes}")
        sources = tuple(self.plain(node, index) for index in range(len(node.inputs)))
        self.put(node, self.emit(self.title(node), node, self.value(node, 0).shape if kind == "add" else None, kind=kind, inputs=sources))

    def read_concat(self, node: OnnxNode) -> None:
        rank = len(self.value(node, 0).shape) + 1
        axis = node.integer("axis", 1)
        require(axis in (1, 1 - rank), f"{node.where}: inputs are put together over the first dimension behind the batch only, got axis {axis}")
        self.merge(node, "concat")
        made = self.values[node.outputs[0]]
        if rank == 3 and len(self.shapes[made.layer]) == 3:  # one-dimensional images
            channels, _, length = self.shapes[made.layer]
            self.natural[made.layer] = (channels, length)
            self.put(node, made.layer)

    def read_scale(self, node: OnnxNode) -> None:
        fixed = next((index for index, name in enumerate(node.inputs) if math.prod(self.constants.get(name, (0,))) == 1), None)
        if fixed is None or len(node.inputs) != 2 or (fixed == 0 and node.operator == "Div"):
            raise InputError(f"{node.where}: only a product with one constant number is supported")
        self.repair(f"{node.where}: one factor for all costs nothing here; it is taken as part of the weights next to it")
        self.pass_on(node, 1 - fixed)

    read_mul = read_div = read_scale

    def read_loss(self, node: OnnxNode) -> None:
        last = self.uses[node.outputs[0]] == 1 and node.outputs[0] in self.graph.outputs
        require(last, f"{node.where}: is supported only as the network's output, as part of the loss")
        self.repair(f"{node.where}: counts as part of the loss and is left out")
        self.pass_on(node)

    read_softmax = read_logsoftmax = read_loss

    def read_reducemean(self, node: OnnxNode) -> None:
        value = self.value(node, 0)
        axes = self.axes(node, len(value.shape) + 1)
        keep = bool(node.integer("keepdims", 1))
        if len(value.shape) == 3 and axes == (2, 3):
            size = (value.shape[1], value.shape[2])
            self.image(node, self.title(node, len(node.inputs)), kind="avgpool2d", kernel=size, stride=size)
            self.values[node.outputs[0]] = reshaped(self.values[node.outputs[0]], (value.shape[0], 1, 1) if keep else value.shape[:1])
            return
        source = self.plain(node, 0)
        tokens = len(value.shape) == 2 and len(self.shapes[source]) == 2 and axes == (1,)
        require(tokens, f"{node.where}: only means over height and width, or over tokens, are supported, got axes {list(axes)} of {['batch', *value.shape]}")
        self.put(node, self.emit(self.title(node, len(node.inputs)), node, kind="mean", inputs=(source,)))
        if keep:
            self.values[node.outputs[0]] = reshaped(self.values[node.outputs[0]], (1, value.shape[1]))


def channels(layer: Layer) -> int:
    """Output channels of a layer with weights; 0 for others."""
    return max(layer.out_features, layer.out_channels)


#: Operators that make layers or join one; that rearrange, or leave out; and that compute with shapes.
MAKERS: Final = frozenset({"Conv", "Gemm", "MatMul", *POOL_KINDS, "ReduceMean", "BatchNormalization", "Relu", "Add", "Concat"})
MOVERS: Final = frozenset({"Mul", "Div", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", *LOSS})
OPERATORS: Final = MAKERS | MOVERS | {"Shape", "Gather", "Slice"}
