"""Reads the structure of an ONNX file and none of its weights.

ONNX (https://onnx.ai/onnx/intro/concepts.html) is one protobuf message. Only nodes, the shapes of
initializers and short integer constants (the target of a Reshape) are taken from it. Weights kept
in another file are known by their shape like all others: that file is never opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from spikepipe_sched.errors import InputError, require

MAX_FILE_BYTES: Final = 512 * 2**20
MAX_NODES: Final = 10_000
MAX_RANK: Final = 8
#: Elements of an integer constant that is read; those that name axes and shapes have a few.
MAX_INTEGERS: Final = 64

Integers = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNode:
    """A node: operator, inputs, outputs, and those attributes that are numbers or text."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def where(self) -> str:
        """How messages name the node."""
        return f"node '{self.name}' ({self.operator})"

    def source(self, index: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def integer(self, key: str, default: int) -> int:
        """An attribute that is one whole number."""
        value = self.attributes.get(key, default)
        require(isinstance(value, int), f"{self.where}: {key} must be a whole number, got {value!r}")
        return value

    def integers(self, key: str, default: Integers) -> Integers:
        """An attribute that is a list of whole numbers, as long as its default."""
        value = self.attributes.get(key, default)
        fits = isinstance(value, tuple) and all(isinstance(item, int) for item in value)
        require(fits and (not default or len(value) == len(default)), f"{self.where}: {key} must be {len(default) or 'some'} whole numbers, got {value!r}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """Nodes in order; the one input with its dimensions (None where symbolic); shapes of constants."""

    input_name: str
    input_shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    producer: str
    constants: dict[str, Integers] = field(default_factory=dict[str, Integers])
    #: Values of the short integer constants.
    values: dict[str, Integers] = field(default_factory=dict[str, Integers])


def read_graph(path: Path) -> OnnxGraph:
    """Read an ONNX file.

    Raises
    ------
    InputError
        If it is damaged, too large, or no graph with one input; the message names the place.
    """
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError:
        raise InputError(f"{path}: reading ONNX files needs the package onnx; run `pip install -c constraints.txt '.[onnx]'` in the repository") from None
    try:
        size = path.stat().st_size
        require(size <= MAX_FILE_BYTES, f"{path}: {size} bytes; at most {MAX_FILE_BYTES} are read")
        model = ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DecodeError as error:
        raise InputError(f"{path}: not a readable ONNX file: {error}") from None
    try:
        return _graph(model)
    except InputError as error:
        raise InputError(f"{path}: {printable(str(error))}") from None


def printable(text: str) -> str:
    """A text of the file that keeps to one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _text(value: str | bytes) -> str:
    """A string field; protobuf hands out bytes where it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", errors="replace")


def _graph(model: Any) -> OnnxGraph:
    proto = model.graph
    require(proto.node, "not an ONNX model: its graph has no nodes")
    require(len(proto.node) <= MAX_NODES, f"the graph has {len(proto.node)} nodes; at most {MAX_NODES} are read")
    constants, values = dict[str, Integers](), dict[str, Integers]()
    for tensor in proto.initializer:
        _add_constant(tensor, _text(tensor.name), constants, values)
    nodes = list[OnnxNode]()
    for node in proto.node:
        read = _node(node)
        if read.operator == "Constant":
            _add_constant_node(node, read, constants, values)
        else:
            nodes.append(read)
    # Before IR version 4 initializers had to be listed among the inputs.
    entries = {_text(entry.name): entry for entry in proto.input if _text(entry.name) not in constants}
    require(len(entries) == 1, f"the graph has {len(entries)} inputs ({', '.join(repr(name) for name in list(entries)[:5])}); exactly one is supported")
    ((name, entry),) = entries.items()
    kind = entry.type.tensor_type
    require(kind.HasField("shape"), f"input '{name}': it has no shape")
    shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
    require(len(shape) <= MAX_RANK, f"input '{name}': {len(shape)} dimensions; at most {MAX_RANK} are read")
    producer = printable(f"{_text(model.producer_name)} {_text(model.producer_version)}".strip())
    outputs = tuple(_text(output.name) for output in proto.output)
    return OnnxGraph(input_name=name, input_shape=shape, outputs=outputs, nodes=tuple(nodes), producer=producer, constants=constants, values=values)


def _node(node: Any) -> OnnxNode:
    attributes = dict[str, Any]()
    for attribute in node.attribute:
        kind, name = attribute.type, _text(attribute.name)
        if kind == attribute.INT:
            attributes[name] = attribute.i
        elif kind == attribute.INTS:
            attributes[name] = tuple(attribute.ints)
        elif kind == attribute.STRING:
            attributes[name] = printable(_text(attribute.s))
    inputs, outputs = (tuple(_text(name) for name in names) for names in (node.input, node.output))
    operator, domain = printable(_text(node.op_type)), printable(_text(node.domain))
    name = printable(_text(node.name) or (outputs[0] if outputs else "")) or operator
    operator = operator if domain in ("", "ai.onnx") else f"{domain}::{operator}"
    read = OnnxNode(name=name, operator=operator, inputs=inputs, outputs=outputs, attributes=attributes)
    require(outputs and outputs[0], f"{read.where}: it has no output")
    return read


def _add_constant(tensor: Any, name: str, constants: dict[str, Integers], values: dict[str, Integers]) -> None:
    from onnx import TensorProto

    # A file must not make its reader open another, and a model whose weights stand elsewhere is half a model.
    outside = tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
    require(not outside, f"initializer '{name}': keeps its data in another file; such models are not read, save it with its weights inside")
    shape = tuple(tensor.dims)
    require(len(shape) <= MAX_RANK and min(shape, default=1) >= 0, f"initializer '{name}': its shape {list(shape)} is damaged")
    constants[name] = shape
    integers = _integers(tensor, math.prod(shape))
    if integers is not None:
        values[name] = integers


def _add_constant_node(node: Any, read: OnnxNode, constants: dict[str, Integers], values: dict[str, Integers]) -> None:
    name = read.outputs[0]
    for attribute in node.attribute:
        if attribute.name == "value":
            _add_constant(attribute.t, name, constants, values)
        elif attribute.name in ("value_int", "value_ints"):
            few = tuple(attribute.ints) if attribute.name == "value_ints" else (attribute.i,)
            constants[name] = (len(few),) if attribute.name == "value_ints" else ()
            values[name] = few
        elif attribute.name == "value_float":
            constants[name] = ()
    require(name in constants, f"{read.where}: only tensors and whole numbers are read as constants")


def _integers(tensor: Any, count: int) -> Integers | None:
    """Values of a short 64-bit integer tensor that lies in this file; None for all others."""
    from onnx import TensorProto

    if tensor.data_type != TensorProto.INT64 or count > MAX_INTEGERS:
        return None
    raw = tensor.raw_data
    numbers = tuple(int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw) - 7, 8)) if raw else tuple(tensor.int64_data)
    return numbers if len(numbers) == count else None
