"""What was lowered, as JSON: the network and the training set-up that a problem was made from."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from spikepipe_sched.document import Document, Number, Positive, Share
from spikepipe_sched.layer import Layer, LayerKind, NeuronKind, Norm, Recurrence
from spikepipe_sched.network import Coding, Network
from spikepipe_sched.training import InputGradient, Loss, Membrane, TrainingSetup

Pair = tuple[Number, Number]


class LayerDocument(Document, frozen=True, omit_defaults=True):
    """One layer; what is left out has its default, which for most kinds means that it does not apply."""

    name: Annotated[str, Meta(description="Name, unique within the network.")]
    kind: Annotated[LayerKind, Meta(description="Synaptic operation.")]
    inputs: Annotated[tuple[str, ...], Meta(description="Names of the producers, or 'input'.")]
    feedback: Annotated[tuple[str, ...], Meta(description="Those of `inputs` that are read as they were one time step before.")] = ()
    neuron: Annotated[NeuronKind, Meta(description="Neuron behind the synapses.")] = "none"
    recurrence: Annotated[Recurrence, Meta(description="Whether its own spikes come back: through N x N weights (full), or neuron by neuron (self).")] = "none"
    norm: Annotated[Norm, Meta(description="Normalisation between synapses and neuron.")] = "none"
    out_features: Annotated[Number, Meta(description="Width of a linear layer [count].")] = 0
    out_channels: Annotated[Number, Meta(description="Channels of a convolution [count].")] = 0
    kernel: Annotated[Pair | None, Meta(description="Height and width of the kernel [count]; left out: 1.")] = None
    stride: Annotated[Pair | None, Meta(description="Stride, vertical and horizontal [count]; left out: 1.")] = None
    padding: Annotated[Pair | None, Meta(description="Padding, vertical and horizontal [count]; left out: 0.")] = None
    dilation: Annotated[Pair | None, Meta(description="Dilation, vertical and horizontal [count]; left out: 1.")] = None
    groups: Annotated[Positive, Meta(description="Groups of a convolution [count].")] = 1
    heads: Annotated[Positive, Meta(description="Heads of a product of activations [count].")] = 1
    transpose: Annotated[bool, Meta(description="Whether a product of activations transposes its second operand.")] = False
    bias: Annotated[bool, Meta(description="Whether a bias is trained.")] = False
    time_steps: Annotated[Positive | None, Meta(description="Time steps of this layer [count]; null: the network's.")] = None
    spike_rate: Annotated[Share | None, Meta(description="Measured spikes per neuron and time step [ratio]; null: unknown.")] = None


class NetworkDocument(Document, frozen=True):
    """The network that was lowered."""

    name: Annotated[str, Meta(description="What it is called.")]
    summary: Annotated[str, Meta(description="What it is.")]
    source: Annotated[str, Meta(description="Where its figures come from.")]
    input_shape: Annotated[tuple[Positive, ...], Meta(description="Shape of one sample at one time step [count].")]
    time_steps: Annotated[Positive, Meta(description="Time steps of a sample [count].")]
    coding: Annotated[Coding, Meta(description="What the input brings: spikes, or real values (direct).")]
    layers: Annotated[tuple[LayerDocument, ...], Meta(description="Layers, producers first.")]


class TrainingDocument(Document, frozen=True):
    """The training set-up that it was lowered with."""

    batch: Annotated[Positive, Meta(description="Samples of an iteration [samples].")]
    windows: Annotated[Positive, Meta(description="Windows that the time steps are cut into [count].")]
    loss: Annotated[Loss, Meta(description="Whether the error of a window needs all outputs (sequence) or its own (step).")]
    dgrad: Annotated[InputGradient, Meta(description="Form of the product of a convolution's activation gradient.")]
    membrane: Annotated[Membrane, Meta(description="Whether membranes are kept for the backward pass or computed again.")]
    bptt_steps: Annotated[
        Positive | None, Meta(description="Length of truncated back-propagation through time, in time steps [count]; null: the whole sequence.")
    ]
    weight_bits: Annotated[Positive, Meta(description="Width of a weight, in bits [count].")]
    gradient_bits: Annotated[Positive, Meta(description="Width of a gradient, in bits [count].")]
    membrane_bits: Annotated[Positive, Meta(description="Width of a membrane potential, in bits [count].")]
    activation_bits: Annotated[Positive, Meta(description="Width of a real-valued output, in bits [count].")]
    spike_bits: Annotated[Positive, Meta(description="Width of a spike, in bits [count].")]
    spike_rate: Annotated[Share, Meta(description="Spikes per neuron and time step where a layer names none [ratio].")]
    error_density: Annotated[Share, Meta(description="Share of nonzero errors at the synapses of spiking layers [ratio].")]
    optimizer_ops: Annotated[Number, Meta(description="Vector operations per weight and update [count].")]
    optimizer_state: Annotated[Number, Meta(description="Values kept per weight beside it [count].")]
    loss_ops: Annotated[Number, Meta(description="Vector operations of the loss per output and time step [count].")]


def network_document(network: Network) -> NetworkDocument:
    """The document of a network."""
    layers = tuple(LayerDocument(**_given(layer)) for layer in network.layers)
    parts: dict[str, Any] = {**_fields(NetworkDocument, network), "layers": layers}
    return NetworkDocument(**parts)


def network_of(document: NetworkDocument) -> Network:
    """The network of a document; InputError if its parts do not fit together."""
    layers = tuple(Layer(**{name: value for name, value in msgspec.structs.asdict(layer).items() if value is not None}) for layer in document.layers)
    parts: dict[str, Any] = {**msgspec.structs.asdict(document), "layers": layers}
    return Network(**parts)


def training_document(training: TrainingSetup) -> TrainingDocument:
    """The document of a training set-up."""
    return TrainingDocument(**_fields(TrainingDocument, training))


def training_of(document: TrainingDocument) -> TrainingSetup:
    """The training set-up of a document; InputError if a value is not allowed."""
    return TrainingSetup(**msgspec.structs.asdict(document))


def _fields(document: type[Document], core: object) -> dict[str, Any]:
    """What the core's object says in the fields of its document."""
    return {name: getattr(core, name) for name in document.__struct_fields__}


def _given(layer: Layer) -> dict[str, Any]:
    """What of a layer differs from its defaults."""
    defaults = {field.name: field.default for field in fields(Layer)}
    return {name: value for name, value in _fields(LayerDocument, layer).items() if value != defaults[name]}
