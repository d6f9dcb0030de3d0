"""NIR files -> `Network`, as real exporters write them.

Real files leave batch or time dimensions in the Input node, store scalar parameters, omit shapes,
flatten inner graphs into dotted names, and write a sum as several edges into one node. They are
read all the same, and every such repair is a `RepairWarning`. NIR does not say what its input
brings: it is taken for spikes (``coding="spikes"``). The file's structure is read in a child
process, simplified to operations, its loops opened, and the operations become layers with shapes
inferred from the input and checked against the file's own.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, Final, Literal

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.nir_child import read_limited_graph
from spikepipe_sched.importers.nir_file import NirGraph, NirNode
from spikepipe_sched.importers.nir_graph import Operation, Operations, Repair, simplify
from spikepipe_sched.importers.nir_loops import open_loops
from spikepipe_sched.importers.nir_shape import conv_arguments, input_shape_of, pool_arguments, weight_shape
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.network import INPUT, Layer, Network, Shape

POOL_KINDS: Final[dict[str, Literal["sumpool2d", "avgpool2d"]]] = {"SumPool2d": "sumpool2d", "AvgPool2d": "avgpool2d"}


def read_nir(path: Path, *, time_steps: int, input_shape: Shape | None = None) -> Network:
    """Read a NIR file as a network of ``time_steps`` steps; NIR itself knows no steps.

    ``input_shape`` stands in place of the file's; (channels, length) of a sequence is read as
    (channels, 1, length), as in the file.

    Raises
    ------
    InputError
        One line with the file, the node and the reason.
    """
    repairs: list[str] = []
    try:
        graph = read_limited_graph(path)
        return network_of(graph, name=path.stem, source=path.name, time_steps=time_steps, input_shape=input_shape, repair=repairs.append)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    finally:
        for message in repairs:
            warnings.warn(f"{path.name}: {message}", RepairWarning, stacklevel=3)  # at the line that called load_network


def network_of(graph: NirGraph, *, name: str, source: str, time_steps: int, input_shape: Shape | None, repair: Repair) -> Network:
    """The network of a NIR graph; what is read otherwise than it is written goes to ``repair``.

    Raises
    ------
    InputError
        If the graph holds what is not supported, or shapes do not fit; the message names the node.
    """
    operations = simplify(graph, repair)
    order, feedback = open_loops(operations)
    shape, mended = input_shape_of(operations, input_shape)
    if mended:
        repair(f"node '{operations.entry}': {mended}")
    reader = _Reader(operations, shape, feedback, repair)
    for operation in order:
        if operation != operations.entry:
            reader.read(operation)
    reader.check_loops()
    reader.check_ends()
    summary = f"NIR graph of {len(graph.nodes)} nodes" + (f", format {graph.version}" if graph.version else "")
    return Network(name=name, summary=summary, source=source, input_shape=shape, time_steps=time_steps, layers=tuple(reader.layers))


class _Reader:
    """Turns operations into layers one by one, each with its shape."""

    def __init__(self, operations: Operations, shape: Shape, feedback: dict[str, set[str]], repair: Repair) -> None:
        self.operations = operations
        self.feedback = feedback
        self.repair = repair
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.layers: list[Layer] = []

    def read(self, name: str) -> None:
        """Make the layer of an operation; what it gets in the same step has been read."""
        operation = self.operations.by_name[name]
        node, late = operation.node, self.feedback.get(name, set())
        sources = tuple(INPUT if source == self.operations.entry else source for source in operation.inputs)
        loop = tuple(source for source in sources if source in late)
        if operation.role == "sum":
            self.emit(name, kind="add", inputs=sources, feedback=loop, neuron=operation.neuron_kind)
        elif operation.role == "linear":
            self.linear(name, operation, sources[0], loop)
        elif operation.role == "conv":
            fields, mended = conv_arguments(node, self.shapes[sources[0]], sequence=node.kind == "Conv1d")
            if mended:
                self.repair(f"node '{node.name}': {mended}")
            self.emit(name, kind="conv2d", inputs=sources, neuron=operation.neuron_kind, recurrence=operation.recurrence_kind, bias=has_bias(node), **fields)
        elif operation.role == "pool":
            self.emit(name, kind=POOL_KINDS[node.kind], inputs=sources, **pool_arguments(node))
        elif operation.role == "flatten":
            rank = len(self.shapes[sources[0]])
            partial = node.numbers("start_dim") not in (None, (0,), (-rank,)) or node.numbers("end_dim") not in (None, (-1,), (rank - 1,))
            if partial:  # with a batch in front; what does not fit shows at the next weights
                self.repair(f"node '{node.name}': it keeps some dimensions; all dimensions of one sample are flattened")
            self.emit(name, kind="flatten", inputs=sources)
        else:
            self.emit(name, kind="neuron", inputs=sources, neuron=operation.neuron_kind)
        if operation.neuron is not None:
            self.check_neuron(operation.neuron, self.shapes[name])
        if operation.recurrence is not None:
            self.check_recurrence(operation.recurrence, self.shapes[name])

    def emit(self, name: str, **fields: Any) -> None:
        """Make a layer and infer its shape."""
        layer = Layer(name=name, **fields)
        self.shapes[name] = layer.output_shape([self.shapes.get(source) for source in layer.inputs])
        self.layers.append(layer)

    def linear(self, name: str, operation: Operation, source: str, loop: tuple[str, ...]) -> None:
        recurrence = operation.recurrence
        bias = has_bias(operation.node)
        if operation.recurrence_kind == "full" and recurrence is not None and has_bias(recurrence):
            self.repair(f"node '{recurrence.name}': its bias adds to that of '{name}'; one is kept")
            bias = True
        if not loop:
            source = self.flat(operation.node, source)
        self.emit(
            name,
            kind="linear",
            inputs=(source,),
            feedback=loop,
            out_features=weight_shape(operation.node, 2)[0],
            neuron=operation.neuron_kind,
            recurrence=operation.recurrence_kind,
            bias=bias,
        )

    def flat(self, node: NirNode, source: str) -> str:
        """What linear weights read: their source, or a flatten behind it."""
        out, fan_in = weight_shape(node, 2)
        shape = self.shapes[source]
        if len(shape) in (1, 2) and shape[-1] == fan_in:  # a second dimension in front is tokens, which only the user can have given
            return source
        require(math.prod(shape) == fan_in, f"node '{node.name}': weights of shape {[out, fan_in]} do not fit an input of shape {list(shape)}")
        self.repair(f"node '{node.name}': a flatten is put in front, its input has shape {list(shape)}")
        name = f"{node.name}.flatten"
        while name in self.shapes or name in self.operations.by_name:
            name += "_"
        self.emit(name, kind="flatten", inputs=(source,))
        return name

    def check_loops(self) -> None:
        """Linear weights that only a loop feeds: by now what it brings has a shape."""
        for layer in self.layers:
            if layer.kind == "linear" and layer.feedback:
                weight, shape = weight_shape(self.operations.by_name[layer.name].node, 2), self.shapes[layer.inputs[0]]
                require(shape == weight[1:], f"node '{layer.name}': weights of shape {list(weight)} do not fit its loop, which brings shape {list(shape)}")

    def check_ends(self) -> None:
        """What the file says of its outputs, and layers that lead to none."""
        fed = set[str]()
        for node, source in self.operations.outputs:
            fed.add(source)
            shape = self.shapes[INPUT if source == self.operations.entry else source]
            said = node.numbers("shape") or node.numbers("input_type")
            if said and math.prod(said) % math.prod(shape):
                self.repair(f"node '{node.name}': says shape {list(said)}, the network has {list(shape)}")
        for name, consumers in self.operations.consumers().items():
            if fed and not consumers and name not in fed and name != self.operations.entry:
                self.repair(f"node '{name}': it feeds nothing, no Output either; it is taken as a read-out")

    def check_neuron(self, node: NirNode, shape: Shape) -> None:
        """Parameters have the shape of the neurons, or are one value for all."""
        scalar = False
        for key, size in node.shapes.items():
            if key in node.values or key in node.absent:
                continue
            while len(size) > len(shape) and size[0] == 1:
                size = size[1:]  # noqa: PLW2901  (leading ones say nothing)
            scalar |= size != shape and math.prod(size) == 1
            tokens = len(shape) == 2 and size == shape[1:]  # neurons of all tokens share theirs
            broadcast = len(size) == len(shape) and all(a in (1, b) for a, b in zip(size, shape, strict=True))
            require(
                math.prod(size) in (1, math.prod(shape)) or broadcast or tokens,
                f"node '{node.name}': {key} has shape {list(size)}, but its input has shape {list(shape)}",
            )
        if scalar:
            self.repair(f"node '{node.name}': one parameter value serves all {math.prod(shape)} neurons")

    def check_recurrence(self, node: NirNode, shape: Shape) -> None:
        """Recurrent weights fit the neurons."""
        if node.kind == "Scale":
            size = node.shapes.get("scale", ())
            fits = math.prod(size) in (1, math.prod(shape))
        else:
            size = weight_shape(node, 2)
            fits = size == (shape[-1], shape[-1])
        require(fits, f"node '{node.name}': recurrent weights of shape {list(size)} do not fit neurons of shape {list(shape)}")


def has_bias(node: NirNode) -> bool:
    """Whether a node stores a bias; some files store the boolean False in its place."""
    return "bias" in node.shapes and "bias" not in node.absent
