"""A spiking network as layers and shapes; it knows no hardware.

A `Network` is a directed graph of layers in which an edge carries the spikes of one layer to
another, once per time step. ``"input"`` names the network's input. The only cycle is the one a
recurrent layer closes over itself (its spikes of the step before).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from spikepipe_sched.errors import InputError, require

LayerKind = Literal["linear", "conv2d", "avgpool2d", "sumpool2d", "maxpool2d", "flatten", "add", "concat"]
NeuronKind = Literal["lif", "iir", "if", "li", "none"]
Shape = tuple[int, ...]

INPUT: Final = "input"
POOLS: Final = frozenset({"avgpool2d", "sumpool2d", "maxpool2d"})
TRAINABLE: Final = frozenset({"linear", "conv2d"})
MERGES: Final = frozenset({"add", "concat"})
#: Limit on any one dimension and on the elements of a shape: beyond it a file is damaged, not large.
MAX_ELEMENTS: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: a synaptic operation followed by an optional neuron.

    Parameters
    ----------
    name
        Unique within the network.
    kind
        ``linear`` and ``conv2d`` have weights; pools and ``flatten`` join their producer when the
        network is lowered; ``add`` and ``concat`` (over channels) merge several producers.
    inputs
        Names of the producers, or ``"input"``. One, except for ``add`` and ``concat``.
    neuron
        ``lif`` (leaky integrate-and-fire), ``iir`` (LIF as a first-order IIR filter without reset),
        ``if`` (no leak), ``li`` (leaky integrator without spikes, for read-outs) or ``none``.
        All but ``none`` carry a membrane state over time.
    recurrent
        The layer's own spikes of the step before come back through an N x N weight matrix.
    out_features
        Width N of a linear layer.
    out_channels, kernel, stride, padding, dilation, groups
        Of a convolution; pools use ``kernel``, ``stride`` and ``padding``. Pairs are (height, width).
    bias
        Whether a bias is trained along with the weights.
    """

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    neuron: NeuronKind = "none"
    recurrent: bool = False
    out_features: int = 0
    out_channels: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = False

    def __post_init__(self) -> None:
        where = f"layer '{self.name}'"
        require(self.name and self.name != INPUT, f"{where}: a layer needs a name other than '{INPUT}'")
        require(self.inputs, f"{where}: inputs is empty; name its producers or '{INPUT}'")
        if self.kind in MERGES:
            require(len(self.inputs) >= 2, f"{where}: {self.kind} needs two or more inputs, got {len(self.inputs)}")
            require(len(set(self.inputs)) == len(self.inputs), f"{where}: the same input is named twice")
        else:
            require(len(self.inputs) == 1, f"{where}: {self.kind} takes one input, got {len(self.inputs)}; put an 'add' layer in front")
        require(self.kind in TRAINABLE or not self.recurrent, f"{where}: only linear layers can be recurrent")
        require(not (self.kind == "conv2d" and self.recurrent), f"{where}: a recurrent conv2d is not supported; use a linear layer")
        require(not self.recurrent or self.neuron != "none", f"{where}: a recurrent layer needs a neuron")
        require(
            self.neuron == "none" or self.kind in TRAINABLE or self.kind in MERGES,
            f"{where}: a {self.kind} has no neuron of its own; give it to the layer in front",
        )
        if self.kind == "linear":
            require(self.out_features >= 1, f"{where}: out_features must be at least 1, got {self.out_features}")
        if self.kind == "conv2d":
            require(self.out_channels >= 1, f"{where}: out_channels must be at least 1, got {self.out_channels}")
            require(self.groups >= 1 and self.out_channels % self.groups == 0, f"{where}: groups={self.groups} must divide out_channels={self.out_channels}")
        if self.kind == "conv2d" or self.kind in POOLS:
            for field in ("kernel", "stride", "dilation"):
                require(min(getattr(self, field)) >= 1, f"{where}: {field} must be at least 1, got {list(getattr(self, field))}")
            require(min(self.padding) >= 0, f"{where}: padding must not be negative, got {list(self.padding)}")

    @property
    def trainable(self) -> bool:
        """Whether the layer has weights."""
        return self.kind in TRAINABLE

    @property
    def stateful(self) -> bool:
        """Whether a state passes from one time step to the next."""
        return self.neuron != "none" or self.recurrent

    def output_shape(self, shapes: list[Shape]) -> Shape:
        """Shape of one sample's output at one time step, given the shapes of the inputs.

        Raises
        ------
        InputError
            If the shapes do not fit; the message names the layer.
        """
        where = f"layer '{self.name}'"
        (first, *rest) = shapes
        if self.kind == "linear":
            require(len(first) == 1, f"{where}: a linear layer takes a flat input, got shape {list(first)}; put a 'flatten' in front")
            return (self.out_features,)
        if self.kind == "flatten":
            return (math.prod(first),)
        if self.kind == "add":
            require(all(s == first for s in rest), f"{where}: cannot add shapes {[list(s) for s in shapes]}")
            return first
        if self.kind == "concat":
            alike = all(len(s) == len(first) and s[1:] == first[1:] for s in rest)
            require(alike, f"{where}: cannot concatenate shapes {[list(s) for s in shapes]} over channels")
            return (sum(s[0] for s in shapes), *first[1:])
        require(len(first) == 3, f"{where}: {self.kind} takes (channels, height, width), got shape {list(first)}")
        channels, height, width = first
        require(channels % self.groups == 0, f"{where}: groups={self.groups} must divide the {channels} input channels")
        out_height, out_width = (
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip((height, width), self.padding, self.dilation, self.kernel, self.stride, strict=True)
        )
        require(
            out_height >= 1 and out_width >= 1,
            f"{where}: kernel {list(self.kernel)} does not fit the {height}x{width} input (padding {list(self.padding)})",
        )
        return (self.out_channels if self.kind == "conv2d" else channels, out_height, out_width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Layers in topological order with one input.

    Parameters
    ----------
    name, summary, source
        What it is called, what it is, and where its figures come from (DOI, arXiv or a sentence).
    input_shape
        Shape of one sample at one time step: (features,) or (channels, height, width).
    time_steps
        Number T of time steps of one sample.
    layers
        Sorted on construction so that producers come before consumers.

    Raises
    ------
    InputError
        If names clash, an input is unknown, shapes do not fit, or layers form a cycle.
    """

    name: str
    input_shape: Shape
    time_steps: int
    layers: tuple[Layer, ...]
    summary: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        require(self.time_steps >= 1, f"network '{self.name}': time_steps must be at least 1, got {self.time_steps}")
        flat_or_image = len(self.input_shape) in (1, 3) and min(self.input_shape) >= 1
        require(flat_or_image, f"network '{self.name}': input_shape must be [features] or [channels, height, width], got {list(self.input_shape)}")
        require(self.layers, f"network '{self.name}': it has no layers")
        object.__setattr__(self, "layers", _sorted_layers(self.name, self.layers))
        require(any(layer.trainable for layer in self.layers), f"network '{self.name}': no layer has weights, there is nothing to train")
        _ = self.shapes()

    def layer(self, name: str) -> Layer:
        """The layer called ``name``; KeyError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer for one sample and time step, and of ``"input"``."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for layer in self.layers:
            shape = layer.output_shape([shapes[name] for name in layer.inputs])
            require(math.prod(shape) <= MAX_ELEMENTS, f"layer '{layer.name}': shape {list(shape)} has more than 2^40 elements")
            shapes[layer.name] = shape
        return shapes

    def parameters(self) -> dict[str, int]:
        """Number of weights of every trainable layer, biases and recurrent weights included."""
        shapes = self.shapes()
        counts: dict[str, int] = {}
        for layer in self.layers:
            if not layer.trainable:
                continue
            out, fan_in = shapes[layer.name][0], shapes[layer.inputs[0]][0]
            weights = out * (fan_in // layer.groups) * math.prod(layer.kernel if layer.kind == "conv2d" else (1,))
            counts[layer.name] = weights + (out * out if layer.recurrent else 0) + (out if layer.bias else 0)
        return counts


def _sorted_layers(network: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Topological order that keeps the given order where it can (Kahn's algorithm)."""
    names = [layer.name for layer in layers]
    duplicate = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    require(duplicate is None, f"network '{network}': two layers are called '{duplicate}'")
    known = {INPUT, *names}
    for layer in layers:
        for name in layer.inputs:
            require(name in known, f"layer '{layer.name}': its input '{name}' is not a layer of network '{network}'")
    done, ordered, waiting = {INPUT}, list[Layer](), list(layers)
    while waiting:
        ready = next((layer for layer in waiting if all(name in done for name in layer.inputs)), None)
        if ready is None:
            loop = ", ".join(f"'{layer.name}'" for layer in waiting[:5])
            message = (
                f"network '{network}': layers {loop} form a cycle through time; a loop over several layers needs one-step windows "
                "and is not supported, only a layer's own recurrence (recurrent = true) is"
            )
            raise InputError(message)
        waiting.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return tuple(ordered)
