"""Keeps the books while an ONNX graph is read: tensors, the layers made so far, their shapes.

The operators that only rearrange a tensor, or compute a shape from shapes, are read here.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.onnx_file import MAX_INTEGERS, Integers, OnnxGraph, OnnxNode
from spikepipe_sched.importers.onnx_value import Value, adapter, reshaped, transposed
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.network import INPUT, MAX_ELEMENTS, Layer, Shape


class Tensors:
    """Every tensor is the output of a layer in some arrangement."""

    def __init__(self, graph: OnnxGraph, path: Path, given: Shape | None) -> None:
        self.graph = graph
        self.path = path
        self.constants = dict(graph.constants)  # shapes of weights and other constants, transposed ones too
        self.numbers = dict(graph.values)  # integer tensors: constants, and shapes computed from constants
        self.uses = Counter(name for node in graph.nodes for name in node.inputs) + Counter(graph.outputs)
        self.values: dict[str, Value] = {}
        self.shapes: dict[str, Shape] = {}  # of the layers' outputs
        self.natural: dict[str, Shape] = {}  # the same as ONNX tensors: without the height 1 of one-dimensional layers
        self.made: dict[str, Layer] = {}
        self.titles = Counter[str]()
        self.batch = 1
        self.start(given)

    def repair(self, message: str) -> None:
        """Say how the file is read otherwise than it is written."""
        warnings.warn(f"{self.path.name}: {message}", RepairWarning, stacklevel=2)

    def start(self, given: Shape | None) -> None:
        """The input, without its batch dimension."""
        name, dims = self.graph.input_name, self.graph.input_shape
        require(len(dims) >= 2, f"input '{name}': a batch and at least one more dimension are needed, got {len(dims)}")
        self.batch = dims[0] or 1
        shape = tuple(size or 0 for size in dims[1:])
        flat = any(node.operator == "Conv" and node.source(0) == name and len(self.constants.get(node.source(1), ())) == 3 for node in self.graph.nodes)
        if given is not None:
            require(
                not flat or (len(given) == 3 and given[1] == 1),
                f"input_shape {list(given)} does not fit '{name}': a one-dimensional image is (channels, 1, length)",
            )
            shape = (given[0], given[2]) if flat else given
        require(
            min(shape) >= 1,
            f"input '{name}': dimensions {['?' if size is None else size for size in dims[1:]]} are not all known; give --input-shape (input_shape=)",
        )
        require(math.prod(shape) * self.batch <= MAX_ELEMENTS, f"input '{name}': shape {list(shape)} has more than 2^40 elements")
        self.shapes[INPUT] = (shape[0], 1, shape[1]) if flat and len(shape) == 2 else shape
        self.natural[INPUT] = shape
        self.values[name] = Value(layer=INPUT, shape=shape)

    # -- tensors ---------------------------------------------------------------------------------

    def value(self, node: OnnxNode, index: int) -> Value:
        """The tensor a node reads."""
        name = node.source(index)
        require(name in self.values, f"{node.where}: input {index} ('{name}') must be computed from the network's input by a node before")
        return self.values[name]

    def constant(self, node: OnnxNode, index: int) -> Shape:
        """Shape of a constant a node reads."""
        name = node.source(index)
        require(name in self.constants, f"{node.where}: input {index} ('{name}') must be a constant")
        return self.constants[name]

    def integers(self, node: OnnxNode, index: int) -> Integers:
        """Values of a short integer tensor that is known without running the network."""
        name = node.source(index)
        require(name in self.numbers, f"{node.where}: input {index} ('{name}') must be a few whole numbers that stand in the file")
        return self.numbers[name]

    def plain(self, node: OnnxNode, index: int) -> str:
        """The layer whose output is just what the node reads; a flatten or tokens layer is put in where needed."""
        value = self.value(node, index)
        kind = adapter(value, self.natural[value.layer], node.where)
        return value.layer if kind is None else self.emit(f"{value.layer}.{kind}", node, kind=kind, inputs=(value.layer,))

    def emit(self, name: str, node: OnnxNode, natural: Shape | None = None, **fields: Any) -> str:
        """Make a layer, infer its shape, and return its name."""
        unique = name
        while unique in self.shapes:  # "input" among them
            same = self.made.get(unique)
            if same is not None and same.kind == fields["kind"] in ("flatten", "tokens") and same.inputs == fields["inputs"]:
                return unique
            self.titles[name] += 1
            unique = f"{name}_{self.titles[name] + 1}"
        layer = Layer(name=unique, **fields)
        shape = layer.output_shape([self.shapes[p] for p in layer.inputs])
        require(math.prod(shape) <= MAX_ELEMENTS, f"{node.where}: its output {list(shape)} has more than 2^40 elements")
        self.shapes[unique] = shape
        self.natural[unique] = natural or shape
        self.made[unique] = layer
        return unique

    def put(self, node: OnnxNode, layer: str, value: Value | None = None) -> None:
        """Name the node's output."""
        value = value or Value(layer=layer, shape=self.natural[layer], alone=True)
        self.values[node.outputs[0]] = replace(value, alone=value.alone and self.uses[node.outputs[0]] <= 1)

    def foldable(self, value: Value) -> Layer | None:
        """The layer that makes this tensor, if it can still take a neuron or a normalisation of its own."""
        layer = self.made.get(value.layer)
        own = layer is not None and (layer.trainable or layer.kind in ("add", "concat", "matmul"))
        return layer if own and value.alone and layer is not None and layer.neuron == "none" else None

    def title(self, node: OnnxNode, index: int = 1) -> str:
        """A layer's name: that of its weights without the last part (``conv1.weight``), else the node's."""
        stem, _, last = node.source(index).rpartition(".")
        if stem and last == "weight":
            return stem
        name = node.name.strip("/")
        return (name.removesuffix(f"/{node.operator}") if node.source(index) in self.constants else name) or node.operator

    def pass_on(self, node: OnnxNode, index: int = 0) -> None:
        """The output is the input."""
        value = self.value(node, index)
        self.put(node, value.layer, value)

    read_identity = read_dropout = read_cast = pass_on

    # -- shapes ----------------------------------------------------------------------------------

    def fold_shape(self, node: OnnxNode) -> bool:
        """Arithmetic on shapes, as exporters write it for a view whose batch is left open."""
        if node.operator == "Shape":
            result: Integers | None = (self.batch, *self.value(node, 0).shape)
        elif node.inputs and all(name in self.numbers for name in node.inputs):
            result = self.computed(node)
        else:
            result = None
        if result is not None:
            small = len(result) <= MAX_INTEGERS and all(abs(number) <= MAX_ELEMENTS for number in result)
            require(small, f"{node.where}: computes more numbers, or larger ones, than a shape can have")
            self.numbers[node.outputs[0]] = result
        return result is not None

    def computed(self, node: OnnxNode) -> Integers | None:
        """What an operator makes of integers that are all known; None for others."""
        data = self.integers(node, 0)
        if node.operator in ("Unsqueeze", "Identity", "Cast"):
            return data
        if node.operator == "Concat":
            return tuple(number for index in range(len(node.inputs)) for number in self.integers(node, index))
        if node.operator == "Gather":
            place = self.single(node, 1)
            require(-len(data) <= place < len(data), f"{node.where}: picks dimension {place} of {len(data)}")
            return (data[place],)
        if node.operator == "Slice":
            require(not node.source(4) or self.single(node, 4) == 1, f"{node.where}: only slices of step 1 are read from a shape")
            return data[self.single(node, 1) : self.single(node, 2)]
        if node.operator not in ("Mul", "Div", "Add"):
            return None
        first, second = self.single(node, 0), self.single(node, 1)
        require(node.operator != "Div" or second > 0, f"{node.where}: divides by {second}")
        return (first * second if node.operator == "Mul" else first + second if node.operator == "Add" else first // second,)

    def single(self, node: OnnxNode, index: int) -> int:
        """The value of an integer tensor of one element."""
        numbers = self.integers(node, index)
        require(len(numbers) == 1, f"{node.where}: input {index} must be one number, got {list(numbers)}")
        return numbers[0]

    def read_shape(self, node: OnnxNode) -> None:
        """What `fold_shape` could not compute."""
        raise InputError(f"{node.where}: a shape can only be the target of a Reshape")

    read_gather = read_slice = read_shape

    # -- rearrangements --------------------------------------------------------------------------

    def read_flatten(self, node: OnnxNode) -> None:
        """(batch, ...) -> (batch, features)."""
        value = self.value(node, 0)
        require(node.integer("axis", 1) == 1, f"{node.where}: only axis 1, everything behind the batch, is supported")
        self.put(node, value.layer, reshaped(value, (math.prod(value.shape),)))

    def read_reshape(self, node: OnnxNode) -> None:
        """Another shape; 0 copies a dimension, -1 takes what is left."""
        value, target = self.value(node, 0), list(self.integers(node, 1))
        full = (self.batch, *value.shape)
        for index, size in enumerate(target):
            if size == 0 and not node.integer("allowzero", 0):
                require(index < len(full), f"{node.where}: dimension {index} of the target {target} copies one that is not there")
                target[index] = full[index]
        known = math.prod(size for size in target if size != -1)
        fits = target.count(-1) <= 1 and min(target, default=0) >= -1 and known >= 1
        require(fits and (math.prod(full) == known if -1 not in target else math.prod(full) % known == 0), f"{node.where}: {list(full)} cannot become {target}")
        shape = tuple(math.prod(full) // known if size == -1 else size for size in target)
        require(len(shape) >= 2 and shape[0] == self.batch, f"{node.where}: {list(full)} -> {list(shape)} mixes the batch with what is behind it")
        self.put(node, value.layer, reshaped(value, shape[1:]))

    def read_squeeze(self, node: OnnxNode) -> None:
        """Dimensions of 1 go."""
        value = self.value(node, 0)
        axes = self.axes(node, len(value.shape) + 1)
        fits = axes and min(axes) >= 1 and all(value.shape[axis - 1] == 1 for axis in axes)
        require(fits, f"{node.where}: axes {list(axes)} of {['batch', *value.shape]} are not dimensions of 1 behind the batch")
        self.put(node, value.layer, reshaped(value, tuple(size for axis, size in enumerate(value.shape, start=1) if axis not in axes)))

    def read_unsqueeze(self, node: OnnxNode) -> None:
        """Dimensions of 1 come."""
        value = self.value(node, 0)
        count = len(node.integers("axes", ()) if "axes" in node.attributes else self.integers(node, 1))
        axes = self.axes(node, len(value.shape) + 1 + count)
        shape = list(value.shape)
        for axis in axes:
            require(axis >= 1, f"{node.where}: nothing is put in front of the batch")
            shape.insert(axis - 1, 1)
        self.put(node, value.layer, reshaped(value, tuple(shape)))

    def read_transpose(self, node: OnnxNode) -> None:
        """Dimensions behind the batch change places."""
        weight = self.constants.get(node.source(0))
        if weight is not None:
            places = node.integers("perm", tuple(reversed(range(len(weight)))))
            require(sorted(places) == list(range(len(weight))), f"{node.where}: perm {list(places)} does not fit shape {list(weight)}")
            self.constants[node.outputs[0]] = tuple(weight[place] for place in places)
            return
        value = self.value(node, 0)
        rank = len(value.shape) + 1
        axes = node.integers("perm", tuple(reversed(range(rank))))
        require(axes[0] == 0 and sorted(axes) == list(range(rank)), f"{node.where}: perm {list(axes)} must keep the batch in front")
        self.put(node, value.layer, transposed(value, tuple(axis - 1 for axis in axes[1:]), node.where))

    def axes(self, node: OnnxNode, rank: int) -> Integers:
        """Axes as an attribute or, in newer operator sets, as an input; counted from the front, in order."""
        axes = node.integers("axes", ()) if "axes" in node.attributes or len(node.inputs) < 2 else self.integers(node, 1)
        require(all(-rank <= axis < rank for axis in axes), f"{node.where}: axes {list(axes)} are not among {rank} dimensions")
        return tuple(sorted({axis % rank for axis in axes}))
