"""A spiking network as layers and shapes; it knows no hardware.

A `Network` is a directed graph of layers in which an edge carries the spikes of one layer to
another, once per time step. ``"input"`` names the network's input. Loops pass through time: over
a layer's own recurrence, or over inputs that a layer names as feedback (the value of the step
before); without those the graph is acyclic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, Literal, get_args

from spikepipe_sched.errors import InputError, is_tuple_of, is_whole, require, require_one_of, require_whole, shown
from spikepipe_sched.layer import INPUT, LEARNED, Layer, LayerKind, NeuronKind, Shape

__all__ = ["INPUT", "MAX_ELEMENTS", "Coding", "Layer", "LayerKind", "Network", "NeuronKind", "Shape"]

Coding = Literal["spikes", "direct"]

#: Limit on any one dimension and on the elements of a shape: beyond it a file is damaged, not large.
MAX_ELEMENTS: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Layers in topological order with one input.

    Parameters
    ----------
    name, summary, source
        What it is called, what it is, and where its figures come from (DOI, arXiv or a sentence).
    input_shape
        Shape of one sample at one time step: (features,), (tokens, features) or
        (channels, height, width).
    time_steps
        Number T of time steps of one sample.
    layers
        Sorted on construction so that producers come before consumers, feedback aside.
    coding
        What the input brings at every time step. ``spikes``: ones and zeros, be they events of a
        sensor or an image coded into spikes (rate or latency). ``direct``: real values, such as
        the pixels of an image that is shown at every step (direct coding), frames in which events
        are counted, or currents; the layers that read the input then multiply in full.

    Raises
    ------
    InputError
        If a value is not of its field's type, names clash, an input is unknown, shapes do not fit, or
        layers form a cycle without feedback.
    """

    name: str
    input_shape: Shape
    time_steps: int
    layers: tuple[Layer, ...]
    summary: str = ""
    source: str = ""
    coding: Coding = "spikes"
    _shapes: dict[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        where = f"network '{self.name}'"
        for text in ("name", "summary", "source"):
            require(isinstance(getattr(self, text), str), f"{where}: {text} must be text, got {shown(getattr(self, text))}")
        object.__setattr__(self, "time_steps", require_whole(where, "time_steps", self.time_steps, 1))
        require_one_of(where, "coding", self.coding, get_args(Coding))
        fits = is_tuple_of(self.input_shape, is_whole) and len(self.input_shape) in (1, 2, 3) and min(self.input_shape) >= 1
        forms = "(features,), (tokens, features) or (channels, height, width), a tuple of whole numbers of at least 1"
        require(fits, f"{where}: input_shape must be {forms}, got {shown(self.input_shape)}")
        object.__setattr__(self, "input_shape", tuple(map(int, self.input_shape)))
        require(is_tuple_of(self.layers, lambda layer: isinstance(layer, Layer)), f"{where}: layers must be a tuple of layers")
        require(self.layers, f"{where}: it has no layers")
        object.__setattr__(self, "layers", _sorted_layers(self.name, self.layers))
        require(any(layer.trainable for layer in self.layers), f"network '{self.name}': no layer has weights, there is nothing to train")
        object.__setattr__(self, "_shapes", self._infer_shapes())

    def layer(self, name: str) -> Layer:
        """The layer called ``name``; KeyError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def steps(self, layer: Layer) -> int:
        """Time steps T_l of a layer that has tasks."""
        return self.time_steps if layer.time_steps is None else layer.time_steps

    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer for one sample and time step, and of ``"input"``."""
        return dict(self._shapes)

    def _infer_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        waiting, guessed = list(self.layers), list[Layer]()

        def infer(layer: Layer) -> None:
            shape = layer.output_shape([shapes.get(name) for name in layer.inputs])
            require(math.prod(shape) <= MAX_ELEMENTS, f"layer '{layer.name}': shape {list(shape)} has more than 2^40 elements")
            if any(name not in shapes for name in layer.inputs):
                guessed.append(layer)
            shapes[layer.name] = shape

        while waiting:
            for layer in waiting:
                known = [name in shapes for name in layer.inputs]
                if all(known) or (layer.kind == "add" and any(known)):  # a sum has the shape of whichever input is known
                    infer(layer)
            stuck = [layer for layer in waiting if layer.name not in shapes]
            if len(stuck) == len(waiting):  # a loop opens at linear weights, which know their output
                infer(next((layer for layer in stuck if layer.kind == "linear"), stuck[0]))
            waiting = [layer for layer in stuck if layer.name not in shapes]
        for layer in guessed:
            shape = layer.output_shape([shapes[name] for name in layer.inputs])
            require(shape == shapes[layer.name], f"layer '{layer.name}': its loop brings shape {list(shape)} where {list(shapes[layer.name])} is needed")
        return {name: shapes[name] for name in (INPUT, *(layer.name for layer in self.layers))}

    def parameters(self) -> dict[str, int]:
        """Number of trained values of every layer that has any.

        Biases, recurrent weights, normalisation (two a channel) and the T x T weights of parallel
        neurons (with T thresholds or offsets) are included.
        """
        shapes, counts = self._shapes, dict[str, int]()
        for layer in self.layers:
            learned = temporal_parameters(layer, self.steps(layer))
            if layer.trainable:
                image = layer.kind == "conv2d"
                out = layer.out_channels if image else layer.out_features
                fan_in = shapes[layer.inputs[0]][0 if image else -1]
                weights = out * (fan_in // layer.groups) * (math.prod(layer.kernel) if image else 1)
                recurrent = {"none": 0, "full": out * out, "self": math.prod(shapes[layer.name])}[layer.recurrence]
                learned += weights + recurrent + (out if layer.bias else 0) + (2 * out if layer.norm == "batch" else 0)
            if learned:
                counts[layer.name] = learned
        return counts

    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of every layer's synapses: forward, one sample, one time step."""
        shapes, counts = self._shapes, dict[str, int]()
        for layer in self.layers:
            before, out = shapes[layer.inputs[0]], shapes[layer.name]
            if layer.kind == "conv2d":
                counts[layer.name] = math.prod(out) * (before[0] // layer.groups) * math.prod(layer.kernel)
            elif layer.kind == "linear":
                counts[layer.name] = math.prod(out) * before[-1] + (math.prod(out) * out[-1] if layer.recurrence == "full" else 0)
            elif layer.kind == "matmul":
                contracted = before[1] // layer.heads if layer.transpose else before[2]
                counts[layer.name] = math.prod(out) * contracted
        return counts


def temporal_parameters(layer: Layer, steps: int) -> int:
    """Trained values of a parallel neuron: T x T weights and T thresholds or offsets."""
    return steps * steps + steps if layer.neuron in LEARNED else 0


def _sorted_layers(network: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Topological order that keeps the given order where it can (Kahn's algorithm)."""
    names = [layer.name for layer in layers]
    duplicate = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    require(duplicate is None, f"network '{network}': two layers are called '{duplicate}'")
    known = {INPUT, *names}
    for layer in layers:
        for name in layer.inputs:
            require(name in known, f"layer '{layer.name}': its input '{name}' is not a layer of network '{network}'")
    # Kahn's algorithm; the heap of places keeps the given order where it can.
    behind: dict[str, list[int]] = {name: [] for name in names}
    waits = [0] * len(layers)
    for i, layer in enumerate(layers):
        for name in layer.inputs:
            if name != INPUT and name not in layer.feedback:
                behind[name].append(i)
                waits[i] += 1
    ready, ordered = [i for i, count in enumerate(waits) if not count], list[Layer]()
    while ready:
        layer = layers[heappop(ready)]
        ordered.append(layer)
        for i in behind[layer.name]:
            waits[i] -= 1
            if not waits[i]:
                heappush(ready, i)
    if len(ordered) < len(layers):
        loop = ", ".join(f"'{name}'" for name in _cycle({layer.name: layer for i, layer in enumerate(layers) if waits[i]})[:5])
        message = (
            f"network '{network}': layers {loop} form a cycle; a loop passes through time where a layer names the input "
            "that closes it as feedback (the value of the step before)"
        )
        raise InputError(message)
    return tuple(ordered)


def _cycle(waiting: dict[str, Layer]) -> list[str]:
    """Names of layers that wait for each other in a circle; each of ``waiting`` waits for another of them."""
    name, path = next(iter(waiting)), list[str]()
    while name not in path:
        path.append(name)
        name = next(other for other in waiting[name].inputs if other in waiting and other not in waiting[name].feedback)
    return path[path.index(name) :][::-1]
