"""Layers of a recorded and folded run: neurons and normalisations join the layer in front of them."""

from __future__ import annotations

import math
from typing import Any

from spikepipe_sched.errors import require
from spikepipe_sched.importers.torch_fold import Folded
from spikepipe_sched.importers.torch_graph import Node
from spikepipe_sched.importers.torch_modules import conv_fields, linear_fields, neuron_kind, recurrence
from spikepipe_sched.layer import INPUT, Layer, Shape


class Layers:
    """Makes the layers, by name in `fields`; `natural` are the shapes of their outputs in the run.

    Producers are nodes as their reader sees them. A layer with weights has the name of its module,
    so it can be named before it is made: that is what closes loops through time.
    """

    def __init__(self, folded: Folded) -> None:
        self.folded, self.graph, self.calls = folded, folded.graph, folded.calls
        self.owners: dict[str, str] = {}  # neuron -> layer
        self.names: dict[int, str] = {}  # operation -> layer
        self.begun: set[int] = set()
        self.fields: dict[str, dict[str, Any]] = {}
        self.added: dict[str, dict[str, Any]] = {}  # what neurons and normalisations add to the layer in front
        self.natural: dict[str, Shape] = {INPUT: folded.input_shape()}
        self.shapes: dict[int, Shape | None] = {}
        for path, calls in self.calls.items():
            if calls.role == "neuron":
                self.owner(path)
            else:
                self.weighted(path)
        for root in folded.roots:
            self.read(root)

    def layers(self) -> tuple[Layer, ...]:
        """All layers."""
        return tuple(Layer(**{**fields, **self.added.get(name, {})}) for name, fields in self.fields.items())

    def put(self, name: str, shape: Shape, **fields: Any) -> None:
        """Make a layer, but for what is added to it."""
        self.natural[name] = shape
        self.fields[name] = {"name": name, **fields}

    def role(self, path: Any) -> str:
        """What kind of module stands at a path."""
        return self.calls[str(path)].role

    # -- layers with weights, and neurons ----------------------------------------------------------

    def weighted(self, path: str) -> None:
        """A convolution or a linear layer."""
        calls, where = self.calls[path], self.folded.where(path)
        shape = self.folded.output_shape(path)
        if calls.role == "conv":
            source, feedback = self.source(self.folded.views[path], where, None)
            have, wanted = self.shape(self.folded.views[path]), self.folded.image(path, calls.input_shape)
            require(have in (None, wanted), f"{where}: reads {list(have or ())} of '{source}' as {list(wanted)}, which is not supported")
            fields = {"kind": "conv2d", **conv_fields(calls.module, path)}
        else:
            source, feedback = self.source(self.folded.views[path], where, self.folded.sample(calls.input_shape))
            inner, neuron, repair = linear_fields(calls.module, path)
            fields = {"kind": "linear", **inner}
            self.added.setdefault(path, {}).update(neuron)
            if repair:
                self.folded.repair(repair)
        self.put(path, shape, inputs=(source,), feedback=feedback, time_steps=self.folded.own_steps({path}), **fields)

    def front(self, number: int, steps: int | None) -> str | None:
        """The layer that what stands behind it can join: with weights or a merge, the same time steps, and no other reader."""
        number, delay = self.folded.key(number)
        node = self.graph.nodes[number]
        if delay or self.folded.uses[number] > 1 or self.folded.own_steps(self.graph.paths(number)) != steps:
            return None
        if node.kind == "norm":
            return self.front(node.args[0], steps)
        if node.kind in ("add", "concat"):
            name = self.reserve(number)
        elif node.kind == "reads" and self.role(node.detail[0]) != "neuron":
            name = str(node.detail[0])
        else:
            return None
        return None if "neuron" in self.added.get(name, {}) else name

    def owner(self, path: str) -> str:
        """The layer that a neuron belongs to: the one in front of it, or one of its own."""
        if path in self.owners:
            return self.owners[path]
        module, view, where = self.calls[path].module, self.folded.views[path], self.folded.where(path)
        kind, repair = neuron_kind(module, path)
        if repair:
            self.folded.repair(repair)
        loop, bias = recurrence(module, path)
        front = self.front(view, self.folded.own_steps({path}))
        self.owners[path] = front or path
        if front is None or (loop != "none" and front not in self.calls):
            require(loop == "none", f"{where}: its recurrent weights need a layer with weights of its own in front")
            source, feedback = self.source(view, where, None)
            self.put(path, self.natural[source], kind="neuron", inputs=(source,), feedback=feedback, neuron=kind, time_steps=self.folded.own_steps({path}))
            return path
        extra = self.added.setdefault(front, {})
        extra.update(neuron=kind, recurrence=loop)
        _ = self.read(view)
        if bias:
            if self.calls[front].module.bias is not None:
                self.folded.repair(f"{where}: the bias of its recurrent weights adds to that of '{front}'; one is kept")
            extra["bias"] = True
        size = math.prod(self.shape(view) or ())
        if loop == "self" and module.recurrent.V.numel() != size:
            self.folded.repair(f"{where}: one recurrent weight serves all {size} neurons; here each has its own")
        return front

    def normalised(self, node: Node) -> str:
        """The layer with weights in front of a batch normalisation."""
        path, front = str(node.detail[0]), self.graph.nodes[node.args[0]]
        where = f"module '{path}' ({type(self.folded.recording.norms[path]).__name__})"
        alone = self.folded.uses[self.folded.key(node.args[0])[0]] == 1
        fits = alone and front.kind == "reads" and self.role(front.detail[0]) != "neuron"
        require(fits, f"{where}: batch normalisation is supported only directly behind a layer with weights of its own")
        if not self.folded.recording.norms[path].affine:
            self.folded.repair(f"{where}: has no trained parameters; it is counted with two a channel")
        self.added.setdefault(str(front.detail[0]), {})["norm"] = "batch"
        return str(front.detail[0])

    # -- producers ---------------------------------------------------------------------------------

    def source(self, number: int, where: str, wanted: Shape | None) -> tuple[str, tuple[str, ...]]:
        """Producer and feedback of a layer with one input, flattened where the run has it so."""
        at, delay = self.folded.key(number)
        require(
            self.graph.nodes[at].kind != "constant",
            f"{where}: is fed neither by the input nor by a layer, but by a constant or a function that cannot be followed (autograd.Function)",
        )
        name = self.read(number)
        name = name if wanted is None else self.adapted(name, self.shape(number), wanted, where)
        return name, (name,) if delay else ()

    def adapted(self, name: str, have: Shape | None, wanted: Shape, where: str) -> str:
        """A layer's output under another shape: itself, or flattened. A shape on a loop may not be known yet."""
        if have in (None, wanted):
            return name
        require(
            have is not None and wanted == (math.prod(have),), f"{where}: reads {list(have or ())} of '{name}' as {list(wanted)}; only flattening is supported"
        )
        flat = f"{name}.flatten"
        self.put(flat, wanted, kind="flatten", inputs=(name,))
        return flat

    def read(self, number: int) -> str:
        """The layer that gives a node, made if it is not there yet."""
        number, _ = self.folded.key(number)
        node = self.graph.nodes[number]
        if node.kind == "input":
            return INPUT
        if node.kind == "reads":
            path = str(node.detail[0])
            require(node.detail[2] == 0, f"{self.folded.where(path)}: another layer reads its membrane, which is not supported")
            return self.owner(path) if self.role(path) == "neuron" else path
        if node.kind == "norm":
            return self.normalised(node)
        if number not in self.begun:
            self.begun.add(number)
            self.operation(number, node)
        return self.names[number]

    def shape(self, number: int) -> Shape | None:
        """Shape of a node for one sample and step; None on a loop that is being followed already."""
        number, _ = self.folded.key(number)
        if number not in self.shapes:
            self.shapes[number] = None
            self.shapes[number] = self.shape_of(self.graph.nodes[number])
        return self.shapes[number]

    def shape_of(self, node: Node) -> Shape | None:
        """Shape of a node from those of its arguments."""
        if node.kind == "input":
            return self.natural[INPUT]
        if node.kind == "reads":
            path = str(node.detail[0])
            return self.shape(self.folded.views[path]) if self.role(path) == "neuron" else self.folded.output_shape(path)
        known = [shape for shape in map(self.shape, node.args) if shape is not None]
        if not known or (node.kind == "concat" and len(known) < len(node.args)):
            return None
        first = known[0]
        if node.kind == "add":
            return min(known, key=len)
        if node.kind == "concat":
            return (sum(shape[0] for shape in known), *first[1:])
        if node.kind == "turned":
            return (math.prod(first[1:]), first[0])
        if node.kind == "mean":
            return (first[0], 1, 1) if len(first) == 3 else first[1:]
        return self.pool(node).output_shape([first]) if node.kind == "pool" else first

    # -- operations --------------------------------------------------------------------------------

    def reserve(self, number: int) -> str:
        """The name of the layer of an operation."""
        if number not in self.names:
            base = name = self.graph.where[number]
            count = 1
            while name in self.calls or name in self.fields or name in self.names.values() or name == INPUT:
                count += 1
                name = f"{base}_{count}"
            self.names[number] = name
        return self.names[number]

    def pool(self, node: Node) -> Layer:
        """A pool without its place in the network."""
        kind, kernel, stride, padding, _ = node.detail
        fields: dict[str, Any] = {"kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
        return Layer(name="pool", inputs=(INPUT,), **fields)

    def operation(self, number: int, node: Node) -> None:
        """Make the layer of an operation."""
        where = self.folded.place(number)
        steps = self.folded.own_steps(self.graph.paths(number))
        front = self.front(node.args[0], steps) if node.kind == "relu" else None
        if front is not None:
            self.names[number] = front
            self.added.setdefault(front, {})["neuron"] = "relu"
            _ = self.read(node.args[0])
            return
        name = self.reserve(number)
        if node.kind in ("add", "concat"):
            self.merge(number, node, name, where)
            return
        source, feedback = self.source(node.args[0], where, None)
        have, shape = self.shape(node.args[0]) or (), self.shape(number) or ()
        if node.kind == "relu":
            self.put(name, shape, kind="neuron", inputs=(source,), feedback=feedback, neuron="relu", time_steps=steps)
            return
        require(not feedback, f"{where}: reads only what was computed the step before; the layer behind it can")
        if node.kind == "turned":
            image = len(have) == 3 and node.detail == (have[0], have[1] * have[2])
            require(image, f"{where}: of shape {list(have)}; only (channels, height * width) is transposed, to tokens")
            self.put(name, shape, kind="tokens", inputs=(source,))
        elif node.kind == "mean":
            require(
                node.detail == (-2, -1)[: len(have) - 1],
                f"{where}: only means over height and width, or over tokens, are supported, not over {list(node.detail)}",
            )
            fields = {"kind": "mean"} if len(have) == 2 else {"kind": "avgpool2d", "kernel": have[1:], "stride": have[1:]}
            self.put(name, shape, inputs=(source,), **fields)
        else:
            pool, run = self.pool(node), node.detail[-1]
            same = isinstance(run, tuple) and math.prod(run) % math.prod(shape) == 0 and run[-1:] == shape[-1:]
            require(same, f"{where}: gives {run} in the run, but {list(shape)} without ceil_mode, which is not supported")
            self.put(name, shape, kind=pool.kind, inputs=(source,), kernel=pool.kernel, stride=pool.stride, padding=pool.padding)

    def merge(self, number: int, node: Node, name: str, where: str) -> None:
        """A sum or a concatenation."""
        shape = self.shape(number)
        delays = [self.folded.key(argument)[1] for argument in node.args]
        sources = [self.read(argument) for argument in node.args]
        require(
            all(self.graph.nodes[argument].kind != "constant" for argument in node.args) and shape is not None,
            f"{where}: a constant takes part, which is not supported",
        )
        if shape is None:
            return
        if node.kind == "add":
            sources = [self.adapted(source, self.shape(argument), shape, where) for source, argument in zip(sources, node.args, strict=True)]
        else:
            fits = node.detail[0] == -len(shape) or (len(shape) == 3 and shape[1] == 1 and node.detail[0] == -2)
            require(fits, f"{where}: only the first dimension of a sample of shape {list(shape)} is concatenated over, not {node.detail[0]}")
        feedback = tuple(source for source, delay in zip(sources, delays, strict=True) if delay)
        self.put(name, shape, kind=node.kind, inputs=tuple(sources), feedback=feedback, time_steps=self.folded.own_steps(self.graph.paths(number)))
