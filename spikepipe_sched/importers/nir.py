"""NIR files -> `Network`, as real exporters write them.

Real files leave batch or time dimensions in the Input node, store scalar parameters, omit shapes,
flatten inner graphs into dotted names, and write a sum as several edges into one node. They are
read all the same, and every such repair is a `RepairWarning`. A neuron node folds into the layer
with weights in front of it; a linear node fed by a neuron and feeding only that neuron is its
recurrence. All shapes are inferred forward from the input and checked against the file's own.
"""

from __future__ import annotations

import math
import warnings
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, Literal

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.nir_file import NirGraph, NirNode, read_graph
from spikepipe_sched.importers.nir_shape import conv_arguments, input_shape_of, pool_arguments
from spikepipe_sched.importers.warning import RepairWarning
from spikepipe_sched.network import INPUT, Layer, Network, NeuronKind, Shape

NEURONS: Final[dict[str, NeuronKind]] = {"IF": "if", "LIF": "lif", "LI": "li", "CubaLIF": "lif", "CubaLI": "li"}
LINEAR: Final = ("Affine", "Linear")
POOL_KINDS: Final[dict[str, Literal["sumpool2d", "avgpool2d"]]] = {"SumPool2d": "sumpool2d", "AvgPool2d": "avgpool2d"}
SUPPORTED: Final = ("Input", "Output", *LINEAR, "Conv2d", *POOL_KINDS, "Flatten", "Scale", "Threshold", *NEURONS)


def read_nir(path: Path, *, time_steps: int, input_shape: Shape | None = None) -> Network:
    """Read a NIR file as a network of ``time_steps`` steps; NIR itself knows no steps.

    Raises
    ------
    InputError
        One line with the file, the node and the reason.
    """
    graph = read_graph(path)
    try:
        reader = _Reader(graph, path)
        layers, shape = reader.layers(input_shape)
        summary = f"NIR graph of {len(graph.nodes)} nodes" + (f", format {graph.version}" if graph.version else "")
        return Network(name=path.stem, summary=summary, source=path.name, input_shape=shape, time_steps=time_steps, layers=tuple(layers))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _Reader:
    """Simplifies the graph step by step, then reads the layers off it in topological order."""

    def __init__(self, graph: NirGraph, path: Path) -> None:
        self.path = path
        self.nodes = dict(graph.nodes)
        self.producers: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.consumers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            require(node.kind in SUPPORTED, f"node '{node.name}': NIR type '{node.kind}' is not supported; known: {', '.join(SUPPORTED)}")
        for source, target in graph.edges:
            if target in self.consumers[source]:
                self.repair(f"the edge '{source}' -> '{target}' is there twice; one is left out")
                continue
            self.consumers[source].append(target)
            self.producers[target].append(source)
        self.recurrent: dict[str, NirNode] = {}  # neuron -> its recurrent weights
        self.neuron_of: dict[str, tuple[NirNode, NeuronKind]] = {}  # node with weights -> neuron behind it
        self.name_of: dict[str, str] = {}  # node -> layer that makes its output
        self.shapes: dict[str, Shape] = {}
        self.made: list[Layer] = []
        self.inner_ports()
        self.fold_thresholds()
        self.drop_scales()
        self.find_recurrence()
        self.fold_neurons()

    def repair(self, message: str) -> None:
        warnings.warn(f"{self.path.name}: {message}", RepairWarning, stacklevel=2)

    # -- simplifying the graph -----------------------------------------------------------------

    def bypass(self, name: str) -> None:
        """Take a node out; its producers feed its consumers."""
        before, after = self.producers.pop(name), self.consumers.pop(name)
        del self.nodes[name]
        for source in before:
            self.consumers[source] = [*(c for c in self.consumers[source] if c != name), *after]
        for target in after:
            self.producers[target] = [*(p for p in self.producers[target] if p != name), *before]

    def inner_ports(self) -> None:
        """Inputs and outputs of inner graphs only pass on what they get."""
        for name, node in list(self.nodes.items()):
            if (node.kind == "Input" and self.producers[name]) or (node.kind == "Output" and self.consumers[name]):
                self.bypass(name)

    def fold_thresholds(self) -> None:
        """A leaky integrator with a threshold behind it is a LIF neuron without reset (``iir``)."""
        for name, node in list(self.nodes.items()):
            if node.kind != "Threshold":
                continue
            sources = [source for source in self.producers[name] if self.nodes[source].kind in ("LI", "CubaLI") and self.consumers[source] == [name]]
            alone = len(sources) == len(self.producers[name]) == 1
            require(alone, f"node '{name}': a Threshold is supported only behind a leaky integrator (LI, CubaLI) of its own")
            self.nodes[sources[0]].kind = "IIR"
            self.bypass(name)

    def drop_scales(self) -> None:
        """A Scale is a factor per value: it can be multiplied into the weights next to it."""
        for name, node in list(self.nodes.items()):
            if node.kind == "Scale":
                require(name not in self.producers[name], f"node '{name}': feeds itself")
                self.repair(f"node '{name}': a Scale costs nothing here; it is taken as part of the weights next to it")
                self.bypass(name)

    def neuron_kind(self, name: str) -> NeuronKind | None:
        kind = self.nodes[name].kind
        return "iir" if kind == "IIR" else NEURONS.get(kind)

    def find_recurrence(self) -> None:
        """Linear nodes that only a neuron feeds and that feed only it."""
        for name, node in list(self.nodes.items()):
            if node.kind not in LINEAR or len(self.producers[name]) != 1 or self.producers[name] != self.consumers[name]:
                continue
            neuron = self.producers[name][0]
            if self.neuron_kind(neuron) is None:
                continue
            size = weight_shape(node, 2)
            require(size[0] == size[1], f"node '{name}': recurrent weights must be square, got {list(size)}")
            require(neuron not in self.recurrent, f"node '{neuron}': has two sets of recurrent weights")
            self.recurrent[neuron] = node
            self.consumers[neuron].remove(name)
            self.producers[neuron].remove(name)
            del self.nodes[name], self.producers[name], self.consumers[name]

    def fold_neurons(self) -> None:
        """Give each neuron to the layer with weights in front of it, or to the sum."""
        for name, node in list(self.nodes.items()):
            kind = self.neuron_kind(name)
            if kind is None:
                continue
            sources = self.producers[name]
            require(name not in sources, f"node '{name}': feeds back into itself without weights, which is not supported")
            require(sources, f"node '{name}': nothing feeds it")
            if len(sources) == 1:
                source = self.nodes[sources[0]]
                require(
                    source.kind in (*LINEAR, "Conv2d") and self.consumers[source.name] == [name],
                    f"node '{name}': a neuron must stand directly behind a layer with weights of its own, not behind {source.kind} '{source.name}'",
                )
                owner = source.name
                require(name not in self.recurrent or source.kind in LINEAR, f"node '{name}': recurrent weights behind a {source.kind} are not supported")
                self.neuron_of[owner] = (node, kind)
                self.bypass(name)
                continue
            require(name not in self.recurrent, f"node '{name}': recurrence together with a sum of {len(sources)} inputs is not supported")
            self.neuron_of[name] = (node, kind)  # becomes the neuron of an add layer

    # -- layers --------------------------------------------------------------------------------

    def layers(self, override: Shape | None) -> tuple[list[Layer], Shape]:
        """The layers in topological order, and the shape of the input."""
        inputs = [node for node in self.nodes.values() if node.kind == "Input"]
        require(len(inputs) == 1, f"the graph has {len(inputs)} Input nodes; exactly one is supported")
        entry = inputs[0]
        consumers = [self.nodes[c] for c in self.consumers[entry.name]]
        shape, repair = (override, None) if override is not None else input_shape_of(entry, consumers)
        if repair:
            self.repair(f"node '{entry.name}': {repair}")
        self.name_of[entry.name], self.shapes[INPUT] = INPUT, shape
        orphan = next((name for name in self.nodes if name != entry.name and not self.producers[name]), None)
        require(orphan is None, f"node '{orphan}': nothing feeds it")
        try:
            order = list(TopologicalSorter(self.producers).static_order())
        except CycleError as error:
            loop = " -> ".join(f"'{name}'" for name in error.args[1][:6])
            raise InputError(f"nodes {loop} form a loop through time; only linear weights from a neuron back to itself are supported") from None
        for name in order:
            if name != entry.name:
                self.read(self.nodes[name])
        return self.made, shape

    def emit(self, name: str, **fields: Any) -> str:
        """Make a layer, infer its shape, and return its name."""
        unique = name
        while unique in self.shapes:  # "input" among them
            unique += "_"
        if unique != name:
            self.repair(f"node '{name}': is called '{unique}' here, the name is taken")
        layer = Layer(name=unique, **fields)
        self.shapes[unique] = layer.output_shape([self.shapes[p] for p in layer.inputs])
        self.made.append(layer)
        return unique

    def read(self, node: NirNode) -> None:
        """One node; several edges into it are a sum."""
        sources = list(dict.fromkeys(self.name_of[p] for p in self.producers[node.name]))
        if len(sources) < len(self.producers[node.name]):
            self.repair(f"node '{node.name}': the same output reaches it on several edges; one is kept")
        neuron, kind = self.neuron_of.get(node.name, (None, "none"))
        source = sources[0]
        if len(sources) > 1:
            is_neuron = neuron is node
            source = self.emit(f"{node.name}.sum", kind="add", inputs=tuple(sources), neuron=kind if is_neuron else "none")
            if is_neuron:
                self.name_of[node.name] = source
                self.check_neuron(node, self.shapes[source])
                return
        require(neuron is not node, f"node '{node.name}': its inputs are one and the same")
        shape = self.shapes[source]
        if node.kind == "Output":
            said = node.values.get("shape", node.values.get("input_type"))
            if said and not isinstance(said, str) and math.prod(said) % math.prod(shape):
                self.repair(f"node '{node.name}': says shape {list(said)}, the network has {list(shape)}")
            self.name_of[node.name] = source
        elif node.kind in LINEAR:
            self.name_of[node.name] = self.linear(node, source, shape, neuron, kind)
        elif node.kind == "Conv2d":
            fields, repair = conv_arguments(node, shape)
            if repair:
                self.repair(f"node '{node.name}': {repair}")
            self.name_of[node.name] = self.emit(node.name, kind="conv2d", inputs=(source,), neuron=kind, bias=has_bias(node), **fields)
        elif node.kind in POOL_KINDS:
            self.name_of[node.name] = self.emit(node.name, kind=POOL_KINDS[node.kind], inputs=(source,), **pool_arguments(node))
        else:  # Flatten: of all dimensions, whatever it says; what does not fit shows at the next weights
            self.name_of[node.name] = self.emit(node.name, kind="flatten", inputs=(source,))
        if neuron is not None:
            self.check_neuron(neuron, self.shapes[self.name_of[node.name]])

    def linear(self, node: NirNode, source: str, shape: Shape, neuron: NirNode | None, kind: NeuronKind) -> str:
        out, fan_in = weight_shape(node, 2)
        if shape != (fan_in,) and math.prod(shape) == fan_in:
            self.repair(f"node '{node.name}': a flatten is put in front, its input has shape {list(shape)}")
            source = self.emit(f"{node.name}.flatten", kind="flatten", inputs=(source,))
            shape = self.shapes[source]
        require(shape == (fan_in,), f"node '{node.name}': weights of shape {[out, fan_in]} do not fit an input of shape {list(shape)}")
        recurrence = self.recurrent.get(neuron.name) if neuron is not None else None
        bias = has_bias(node)
        if recurrence is not None:
            size = weight_shape(recurrence, 2)
            require(size[0] == out, f"node '{recurrence.name}': recurrent weights of shape {list(size)} do not fit {out} neurons")
            if has_bias(recurrence):
                self.repair(f"node '{recurrence.name}': its bias adds to that of '{node.name}'; one is kept")
                bias = True
        return self.emit(node.name, kind="linear", inputs=(source,), out_features=out, neuron=kind, recurrence="none" if recurrence is None else "full", bias=bias)

    def check_neuron(self, node: NirNode, shape: Shape) -> None:
        """Parameters have the shape of the neurons, or are one value for all."""
        scalar = False
        for key, size in node.shapes.items():
            if key in node.values or key in node.absent:
                continue
            while len(size) > len(shape) and size[0] == 1:
                size = size[1:]  # noqa: PLW2901  (leading ones say nothing)
            scalar |= size != shape and math.prod(size) == 1
            broadcast = len(size) == len(shape) and all(a in (1, b) for a, b in zip(size, shape, strict=True))
            require(
                math.prod(size) == 1 or broadcast or math.prod(size) == math.prod(shape),
                f"node '{node.name}': {key} has shape {list(size)}, but its input has shape {list(shape)}",
            )
        if scalar:
            self.repair(f"node '{node.name}': one parameter value serves all {math.prod(shape)} neurons")


def has_bias(node: NirNode) -> bool:
    """Whether a node stores a bias; some files store the boolean False in its place."""
    return "bias" in node.shapes and "bias" not in node.absent


def weight_shape(node: NirNode, rank: int) -> tuple[int, ...]:
    """Shape of the weights, checked for its rank."""
    shape = node.shapes.get("weight")
    if shape is None:
        raise InputError(f"node '{node.name}': it has no weight")
    require(len(shape) == rank and min(shape) >= 1, f"node '{node.name}': weight must have {rank} dimensions, got shape {list(shape)}")
    return shape
