"""A network one value of one step at a time, by recursion, differentiated by plain autograd: the oracle of the model.

``output(layer, t)`` asks for what it needs: the inputs at the steps that overlap step t in time, the
step before where the layer has a membrane, recurrent weights or feedback. Nothing is fused, folded or
ordered. Two versions of weights are two terms, the value of one of them taken out again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from spikepipe_sched.layer import INPUT, POOLS, RESHAPES, Layer
from spikepipe_sched.network import Network
from spikepipe_sched.validate.neurons import NeuronSettings
from spikepipe_sched.validate.parameters import Weights
from tests.validate.step_loop import parallel_sums, spiking


def two_versions(operation: Callable[[Tensor, Tensor], Tensor], values: Tensor, weight: Tensor, backward: Tensor) -> Tensor:
    """``operation(values, weight)`` with the gradient of the values taken at ``backward``."""
    other = operation(values, backward.detach())
    return operation(values.detach(), weight) + (other - other.detach())


class Oracle:
    """Outputs and potentials of a network; arguments as of the model. ``stepwise``: layers that are normalised step by step."""

    def __init__(
        self,
        network: Network,
        settings: NeuronSettings,
        inputs: Tensor,
        weights: Weights,
        backward: Weights | None = None,
        *,
        statistics: Weights | None = None,
        bptt_steps: int | None = None,
        windows: int = 1,
        micro_batches: int = 1,
        stepwise: Collection[str] = (),
    ) -> None:
        self.network, self.settings, self.inputs, self.statistics = network, settings, inputs, statistics
        self.weights, self.backward = weights, weights if backward is None else backward
        self.bptt_steps, self.stepwise = bptt_steps, stepwise
        self.windows, self.micro_batches = windows, micro_batches
        self.shapes = network.shapes()
        self.fired = cache(self._fired)
        self.currents = cache(self._currents)
        self.normalised = cache(self._normalised)

    def answer(self, name: str) -> tuple[Tensor, Tensor]:
        """Outputs and potentials of a layer over time."""
        both = [self.fired(name, t) for t in range(self.steps(name))]
        return torch.stack([outputs for outputs, _ in both]), torch.stack([potentials for _, potentials in both])

    def steps(self, name: str) -> int:
        if name == INPUT:
            return self.network.time_steps
        layer = self.network.layer(name)
        return self.steps(layer.inputs[0]) if layer.kind in POOLS or layer.kind in RESHAPES else self.network.steps(layer)

    def starts(self, layer: Layer, t: int) -> bool:
        """Whether step t begins a segment of truncated back-propagation."""
        length = self.segment(layer)
        return length is not None and t // length != (t - 1) // length

    def segment(self, layer: Layer) -> Fraction | None:
        """Length of a segment of truncated back-propagation, in steps of the layer."""
        return None if self.bptt_steps is None else Fraction(self.steps(layer.name) * self.bptt_steps, self.network.time_steps)

    def read(self, layer: Layer, name: str, t: int) -> Tensor:
        own, theirs = self.steps(layer.name), self.steps(name)
        if name in layer.feedback:
            t -= 1
            if t < 0:
                return self.inputs.new_zeros(self.inputs.shape[1], *self.shapes[name])
        total = self.inputs.new_zeros(self.inputs.shape[1], *self.shapes[name])
        for j in range(theirs):
            shared = min(Fraction(t + 1, own), Fraction(j + 1, theirs)) - max(Fraction(t, own), Fraction(j, theirs))
            if shared > 0:
                total = total + float(shared * own) * (self.inputs[j] if name == INPUT else self.fired(name, j)[0])
        return total.detach() if name in layer.feedback and self.starts(layer, t + 1) else total

    def _currents(self, name: str, t: int) -> Tensor:
        layer = self.network.layer(name)
        seen = [self.read(layer, source, t) for source in layer.inputs]
        first = seen[0]
        match layer.kind:
            case "linear" | "conv2d":
                mine, other = self.weights[name], self.backward[name]

                def product(values: Tensor, weight: Tensor) -> Tensor:
                    if layer.kind == "linear":
                        return values @ weight.t()
                    return functional.conv2d(values, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

                currents = two_versions(product, first, mine["weight"], other["weight"])
                if layer.bias:
                    currents = currents + (mine["bias"] if layer.kind == "linear" else mine["bias"][:, None, None])
                return currents
            case "add":
                return sum(seen[1:], first)
            case "concat":
                return torch.cat(seen, 1)
            case "matmul":
                return self.product(layer, *seen)
            case "flatten":
                return first.reshape(len(first), -1)
            case "tokens":
                return torch.stack([first[:, :, i, j] for i in range(first.shape[2]) for j in range(first.shape[3])], 1)
            case "mean":
                return sum((first[:, i] for i in range(first.shape[1])), torch.zeros_like(first[:, 0])) / first.shape[1]
            case "avgpool2d" | "sumpool2d":
                area = layer.kernel[0] * layer.kernel[1]
                return functional.avg_pool2d(first, layer.kernel, layer.stride, layer.padding) * (area if layer.kind == "sumpool2d" else 1)
            case "maxpool2d":
                return functional.max_pool2d(first, layer.kernel, layer.stride, layer.padding, layer.dilation)
            case _:
                return first

    def product(self, layer: Layer, left: Tensor, right: Tensor) -> Tensor:
        width = right.shape[-1] // layer.heads
        parts = [slice(h * width, (h + 1) * width) for h in range(layer.heads)]
        if layer.transpose:
            return torch.stack([left[..., part] @ right[..., part].transpose(1, 2) for part in parts], 1)
        return torch.cat([left[:, h] @ right[..., part] for h, part in enumerate(parts)], -1)

    def _normalised(self, name: str, t: int) -> Tensor:
        layer, mine, other = self.network.layer(name), self.weights.get(name, {}), self.backward.get(name, {})
        if layer.norm == "none":
            return self.currents(name, t)
        image = layer.kind == "conv2d"
        together = [s for s in range(self.steps(name)) if (s == t if name in self.stepwise else self.window(layer, s) == self.window(layer, t))]
        scale, shift, backward = ((v[:, None, None] if image else v) for v in (mine["scale"], mine["shift"], other["scale"]))
        parts = list[Tensor]()
        for part in range(self.micro_batches):
            every = torch.cat([self.currents(name, s).unflatten(0, (self.micro_batches, -1))[part] for s in together])
            over = (0, 2, 3) if image else tuple(range(every.ndim - 1))
            mean, variance = every.mean(over), every.var(over, correction=0)
            if self.statistics is not None:
                mean, variance = self.statistics[name]["mean"], self.statistics[name]["variance"]
            mean, variance = ((v[:, None, None] if image else v) for v in (mean, variance))
            centred = (self.currents(name, t).unflatten(0, (self.micro_batches, -1))[part] - mean) / (variance + 1e-5).sqrt()
            parts.append(two_versions(torch.mul, centred, scale, backward) + shift)
        return torch.cat(parts)

    def window(self, layer: Layer, t: int) -> int:
        """The last window that begins at step t or before."""
        return max(w for w in range(self.windows) if w * self.steps(layer.name) // self.windows <= t)

    def _fired(self, name: str, t: int) -> tuple[Tensor, Tensor]:
        layer, settings = self.network.layer(name), self.settings
        if layer.parallel:
            last = self.steps(name) if layer.neuron == "psn" else t + 1  # the causal ones may stand in a loop
            parameters = {key: values[..., :last] for key, values in self.weights.get(name, {}).items() if key in ("temporal", "offset")}
            backward = self.backward.get(name, {}).get("temporal", torch.zeros(0))
            currents = torch.stack([self.normalised(name, s) for s in range(last)])
            spikes, potentials = parallel_sums(currents, layer.neuron, settings, parameters, backward, self.segment(layer))
            return spikes[t], potentials[t]
        potential = self.normalised(name, t)
        if layer.stateful and t > 0:
            membrane, before = self.membrane(layer, t - 1), self.fired(name, t - 1)[0]
            if self.starts(layer, t):
                membrane, before = membrane.detach(), before.detach()
            potential = potential + membrane
            if layer.recurrence != "none":
                mine, other = self.weights[name]["recurrent"], self.backward[name]["recurrent"]
                potential = potential + two_versions((lambda s, w: s @ w.t()) if layer.recurrence == "full" else torch.mul, before, mine, other)
        if layer.neuron in ("lif", "if", "iir"):
            return spiking(potential, settings), potential
        outputs = potential.relu() if layer.neuron == "relu" else potential
        return outputs, outputs

    def membrane(self, layer: Layer, t: int) -> Tensor:
        outputs, potential = self.fired(layer.name, t)
        if layer.neuron in ("lif", "if"):
            spikes = outputs.detach()
            potential = potential - self.settings.threshold * spikes if self.settings.reset == "soft" else potential * (1 - spikes)
        return potential * (1 if layer.neuron == "if" else self.settings.decay)


def gradients(answer: tuple[Tensor, Tensor], weights: Mapping[str, Mapping[str, Tensor]], seed: int = 0) -> dict[str, Tensor]:
    """Gradients of all weights for a random sum of outputs and potentials."""
    values, potentials = answer
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(values.shape, generator=generator, dtype=torch.float64) for _ in range(2)]
    loss = (values * sides[0] + potentials * sides[1]).sum()
    named = {f"{layer}.{name}": tensor for layer, parameters in weights.items() for name, tensor in parameters.items()}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: torch.zeros_like(tensor) if gradient is None else gradient for (name, tensor), gradient in zip(named.items(), found, strict=True)}
