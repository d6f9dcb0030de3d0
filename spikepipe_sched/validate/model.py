"""A network as a PyTorch model whose weights come in with every call.

All time steps of a layer run at once, one product for its synapses and one function for its neurons;
only layers on a cycle through time go step by step. The model keeps the structure and the running
statistics of batch normalisation; weights are the caller's, so that several versions may live side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikepipe_sched.errors import require
from spikepipe_sched.layer import INPUT, POOLS, RESHAPES, SPIKING, Layer
from spikepipe_sched.lower.loops import check_loop, is_loop, parts
from spikepipe_sched.lower.sites import read_outs
from spikepipe_sched.network import Network
from spikepipe_sched.validate.layers import Run
from spikepipe_sched.validate.loops import run_loop
from spikepipe_sched.validate.neurons import NeuronSettings
from spikepipe_sched.validate.outputs import Outputs
from spikepipe_sched.validate.parameters import Weights, initial_weights
from spikepipe_sched.validate.timing import is_constant, retime, step_before, truncation

__all__ = ["Model", "Weights"]


class Model:
    """A network that can be trained.

    Parameters
    ----------
    network
        Its last layer, the only one whose output leaves the network, puts out one value for each class.
    neurons
        What the neurons share.
    bptt_steps
        Length K of truncated back-propagation through time, in the network's time steps; None: the
        whole sequence.
    windows, micro_batches
        In training, batch normalisation takes the statistics of every window of time (`lower.windows`)
        of every micro-batch by themselves, as the tasks of a schedule do that see no more; the samples
        are divided among the micro-batches evenly, in order.
    dtype, device
        Of weights, statistics and activations.

    Attributes
    ----------
    layers
        Names of the layers that learn: those that have updates.
    classes
        Number of values that the last layer puts out.
    statistics
        Running ``mean`` and ``variance`` of every normalised layer; training moves them.

    Raises
    ------
    InputError
        If the network has several outputs or one that is no list of classes, a loop cannot turn, a
        pool is none that PyTorch has, or ``bptt_steps`` does not fit the layers.
    """

    def __init__(
        self,
        network: Network,
        neurons: NeuronSettings = NeuronSettings(),  # noqa: B008 - frozen
        *,
        bptt_steps: int | None = None,
        windows: int = 1,
        micro_batches: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.neurons, self.dtype, self.device = network, neurons, dtype, torch.device(device)
        self.layers, self._groups = tuple(network.parameters()), (windows, micro_batches)
        self._shapes = network.shapes()
        self._parts = parts(network)
        self._output = _output(network, self._shapes)
        (self.classes,) = self._shapes[self._output]
        self._truncate = {layer.name: truncation(network, layer, bptt_steps) for layer in network.layers}
        for part in self._parts:
            if is_loop(part):
                check_loop(network, part)
        for layer in network.layers:
            _check_pool(layer)
        self._last_reader = {name: i for i, part in enumerate(self._parts) for layer in part for name in layer.inputs}
        self.statistics: Weights = {
            layer.name: {"mean": self._new(torch.zeros(self._channels(layer))), "variance": self._new(torch.ones(self._channels(layer)))}
            for layer in network.layers
            if layer.norm == "batch"
        }

    def initial(self, seed: int) -> Weights:
        """Initial weights, without gradients (`parameters` has the rule).

        Parameters
        ----------
        seed
            Of the random numbers, 0 or more; every layer draws its own.
        """
        weights = initial_weights(self.network, self.neurons, seed)
        return {name: {key: self._new(values) for key, values in parameters.items()} for name, parameters in weights}

    def forward(self, inputs: Tensor, weights: Weights, backward: Weights | None = None, *, training: bool) -> Outputs:
        """What the network answers.

        Parameters
        ----------
        inputs
            Shape (T, n, *input_shape): n samples over the network's time steps. If one step is shown
            again and again (`torch.Tensor.expand`), the synapses that read it work only once.
        weights
            Of every layer of `layers`; gradients go to those that require them.
        backward
            Another version of them, of the same shapes, which the backward pass multiplies errors by on
            their way to the inputs of a layer and to its earlier steps; None: the same. A layer whose two
            versions agree is best given the same tensors: it then runs PyTorch's own operations.
        training
            Whether batch normalisation takes the batch's statistics, and `statistics` learn from them:
            micro-batch by micro-batch, of each window by window.

        Raises
        ------
        InputError
            If the inputs are not of the network's shape, or cannot be normalised as told.
        """
        run = Run(
            neurons=self.neurons, weights=weights, backward=backward, statistics=self.statistics, groups=self._groups if training else (1, 1), training=training
        )
        values = {INPUT: self._checked(inputs)}
        for i, part in enumerate(self._parts):
            if is_loop(part):
                inside = {layer.name for layer in part}
                outside = {layer.name: [None if name in inside else self._read(values[name], layer, name) for name in layer.inputs] for layer in part}
                done = run_loop(run, part, outside, self._shapes, self._truncate[part[0].name])
            else:
                (layer,) = part
                currents = run.currents(layer, [self._read(values[name], layer, name) for name in layer.inputs])
                done = {layer.name: run.fire(layer, currents, self._truncate[layer.name])}
            if self._output in done:
                outputs, potentials = done[self._output]
                return Outputs(values=outputs, potentials=potentials, spiking=self.network.layer(self._output).neuron in SPIKING)
            values |= {name: outputs for name, (outputs, _) in done.items()}
            for name in {name for layer in part for name in layer.inputs}:
                if self._last_reader[name] == i:
                    del values[name]
        raise AssertionError(self._output)

    def _read(self, outputs: Tensor, layer: Layer, name: str) -> Tensor:
        """What a layer reads of an input's outputs."""
        if layer.kind in POOLS or layer.kind in RESHAPES:  # they have the steps of what they read
            return outputs
        seen = retime(outputs, self.network.steps(layer))
        return step_before(seen, self._truncate[layer.name]) if name in layer.feedback else seen

    def _checked(self, inputs: Tensor) -> Tensor:
        wanted = (self.network.time_steps, *self.network.input_shape)
        fits = inputs.ndim == len(wanted) + 1 and (len(inputs), *inputs.shape[2:]) == wanted
        form = f"({wanted[0]} time steps, samples, {', '.join(map(str, wanted[1:]))})"
        require(fits, f"network '{self.network.name}': inputs must have the shape {form}, got {list(inputs.shape)}")
        if is_constant(inputs):  # a change of type or device would write it out
            return self._new(inputs[0]).expand(inputs.shape)
        return self._new(inputs)

    def _new(self, values: Tensor) -> Tensor:
        return values.to(self.device, self.dtype)

    def _channels(self, layer: Layer) -> int:
        return self._shapes[layer.name][0 if layer.kind == "conv2d" else -1]


def _output(network: Network, shapes: dict[str, tuple[int, ...]]) -> str:
    """The layer that answers."""
    found = read_outs(network)
    names = ", ".join(f"'{name}'" for name in found)
    require(len(found) == 1, f"network '{network.name}': the outputs of {len(found)} layers leave it ({names}); training needs one, which puts out the classes")
    shape = shapes[found[0]]
    require(
        len(shape) == 1,
        f"network '{network.name}': its output '{found[0]}' has shape {list(shape)}; training needs (classes,): end it with 'flatten', 'mean' or a linear layer",
    )
    return found[0]


def _check_pool(layer: Layer) -> None:
    if layer.kind not in POOLS or layer.kind == "mean":
        return
    where = f"layer '{layer.name}'"
    require(layer.kind == "maxpool2d" or layer.dilation == (1, 1), f"{where}: PyTorch has no {layer.kind} with dilation={list(layer.dilation)}")
    fits = all(2 * pad <= kernel for pad, kernel in zip(layer.padding, layer.kernel, strict=True))
    require(fits, f"{where}: PyTorch pads a pool by half its kernel {list(layer.kernel)} at most, not by {list(layer.padding)}")
