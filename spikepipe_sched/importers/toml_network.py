"""The structure of a network file: one class per kind of layer."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from spikepipe_sched.importers.toml_fields import Name, NaturalPair, Size, SizePair
from spikepipe_sched.layer import INPUT, Layer, NeuronKind, Norm, Recurrence
from spikepipe_sched.network import Coding, Network

MAX_LAYERS: Final = 10_000

Rate = Annotated[float, Meta(ge=0, le=1)]


class LayerSpec(Struct, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What all layers have; each kind adds its own fields."""

    name: Name
    inputs: list[Name] | None = None
    feedback: list[Name] = []
    time_steps: Size | None = None
    spike_rate: Rate | None = None

    def core(self, before: str) -> Layer:
        """The layer of the core model; ``before`` is the producer if none is named."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "inputs"}
        fields["feedback"] = tuple(self.feedback)
        for pair in ("kernel", "stride", "padding", "dilation"):
            if pair in fields:
                value = fields[pair]
                fields[pair] = (value, value) if isinstance(value, int) else tuple(value)
        if fields.get("stride") == (0, 0):  # pools: the kernel itself
            fields["stride"] = fields["kernel"]
        inputs = (before,) if self.inputs is None else tuple(self.inputs)
        return Layer(kind=type(self).__struct_config__.tag, inputs=inputs, **fields)  # pyright: ignore[reportArgumentType]  (the tags are the kinds)


class Linear(LayerSpec, tag="linear"):
    """Fully connected."""

    out_features: Size
    neuron: NeuronKind = "none"
    recurrence: Recurrence = "none"
    norm: Norm = "none"
    bias: bool = False


class Conv2d(LayerSpec, tag="conv2d"):
    """Two-dimensional convolution."""

    out_channels: Size
    kernel: SizePair
    stride: SizePair = 1
    padding: NaturalPair = 0
    dilation: SizePair = 1
    groups: Size = 1
    neuron: NeuronKind = "none"
    recurrence: Literal["none", "self"] = "none"
    norm: Norm = "none"
    bias: bool = False


class AvgPool2d(LayerSpec, tag="avgpool2d"):
    """Average pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class SumPool2d(LayerSpec, tag="sumpool2d"):
    """Sum pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class MaxPool2d(LayerSpec, tag="maxpool2d"):
    """Maximum pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class Matmul(LayerSpec, tag="matmul"):
    """Product of two activations, head by head."""

    heads: Size = 1
    transpose: bool = False
    neuron: NeuronKind = "none"


class Neuron(LayerSpec, tag="neuron"):
    """A neuron without synapses."""

    neuron: NeuronKind


class Mean(LayerSpec, tag="mean"):
    """Mean over tokens: (tokens, features) -> (features,)."""


class Tokens(LayerSpec, tag="tokens"):
    """(channels, height, width) -> (height * width, channels)."""


class Flatten(LayerSpec, tag="flatten"):
    """Any shape -> (features,)."""


class Add(LayerSpec, tag="add"):
    """Element-wise sum of its inputs."""

    neuron: NeuronKind = "none"


class Concat(LayerSpec, tag="concat"):
    """Inputs side by side, over the first dimension."""

    neuron: NeuronKind = "none"


AnyLayer = Linear | Conv2d | Matmul | AvgPool2d | SumPool2d | MaxPool2d | Mean | Flatten | Tokens | Add | Concat | Neuron


class NetworkFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """A network file."""

    name: Name
    input_shape: Annotated[list[Size], Meta(min_length=1, max_length=3)]
    time_steps: Size
    layers: Annotated[list[AnyLayer], Meta(min_length=1, max_length=MAX_LAYERS)]
    summary: str = ""
    source: str = ""
    coding: Coding = "spikes"

    def core(self) -> Network:
        """The network of the core model."""
        layers, before = list[Layer](), INPUT
        for spec in self.layers:
            layers.append(spec.core(before))
            before = spec.name
        return Network(
            name=self.name,
            summary=self.summary,
            source=self.source,
            input_shape=tuple(self.input_shape),
            time_steps=self.time_steps,
            coding=self.coding,
            layers=tuple(layers),
        )
