"""One layer of a spiking network: a synaptic operation and a neuron; it knows no hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from spikepipe_sched.errors import require

LayerKind = Literal["linear", "conv2d", "matmul", "avgpool2d", "sumpool2d", "maxpool2d", "flatten", "tokens", "mean", "add", "concat", "neuron"]
NeuronKind = Literal["lif", "iir", "if", "li", "psu", "ipsu", "rpsu", "psn", "relu", "none"]
Recurrence = Literal["none", "full", "self"]
Shape = tuple[int, ...]

INPUT: Final = "input"
POOLS: Final = frozenset({"avgpool2d", "sumpool2d", "maxpool2d", "mean"})
#: Layers that only name the elements of a tensor anew: they move no data.
RESHAPES: Final = frozenset({"flatten", "tokens"})
TRAINABLE: Final = frozenset({"linear", "conv2d"})
MERGES: Final = frozenset({"add", "concat", "matmul"})
#: Neurons whose membrane passes from one time step to the next.
STATEFUL: Final = frozenset({"lif", "iir", "if", "li"})
#: Parallel neurons: T x T products over time in place of a chain.
PARALLEL: Final = frozenset({"psu", "ipsu", "rpsu", "psn"})
#: Parallel neurons whose T x T weights are trained.
LEARNED: Final = frozenset({"ipsu", "rpsu", "psn"})
SPIKING: Final = frozenset({"lif", "iir", "if", *PARALLEL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: a synaptic operation followed by an optional neuron.

    Parameters
    ----------
    name
        Unique within the network.
    kind
        ``linear`` and ``conv2d`` have weights; ``matmul`` multiplies two activations (attention);
        ``add`` and ``concat`` (over the first dimension) merge several producers; ``neuron`` is a
        neuron without synapses. Pools, ``mean`` (over tokens), ``flatten`` and ``tokens``
        (channels, height, width -> height * width tokens of so many features) join their producer
        when the network is lowered.
    inputs
        Names of the producers, or ``"input"``. Two for ``matmul``, two or more for ``add`` and
        ``concat``, one for all others.
    feedback
        Those of ``inputs`` that are read as they were one time step before; zero at the first step.
    neuron
        ``lif`` (leaky integrate-and-fire), ``iir`` (LIF as a first-order IIR filter without reset),
        ``if`` (no leak), ``li`` (leaky integrator without spikes, for read-outs): these carry a
        membrane over time. ``psu``, ``ipsu``, ``rpsu`` (parallel spiking units, arXiv:2402.00449)
        and ``psn`` (parallel spiking neuron, arXiv:2304.12760) have T x T products in its place.
        ``relu`` (of ANN layers) and ``none`` know no time.
    recurrence
        The layer's own spikes of the step before come back through N x N weights (``full``), or
        each neuron's own through a weight of its own (``self``).
    norm
        ``batch``: batch normalisation between synapses and neuron, two parameters a channel.
    out_features
        Width N of a linear layer; it works on the last dimension.
    out_channels, kernel, stride, padding, dilation, groups
        Of a convolution; pools use ``kernel``, ``stride`` and ``padding``. Pairs are (height, width).
    heads, transpose
        Of a matmul: the features of both operands are divided among the heads; ``transpose`` turns
        the second operand: (L, D) x (M, D) -> (heads, L, M). Without it
        (heads, L, M) x (M, D) -> (L, D).
    bias
        Whether a bias is trained along with the weights.
    time_steps
        Number T_l of time steps of this layer, where it differs from the network's; 1 in ANN layers.
    spike_rate
        Measured spikes per neuron and time step, 0..1; the training set-up's rate if not given.
    """

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    feedback: tuple[str, ...] = ()
    neuron: NeuronKind = "none"
    recurrence: Recurrence = "none"
    norm: Literal["none", "batch"] = "none"
    out_features: int = 0
    out_channels: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    heads: int = 1
    transpose: bool = False
    bias: bool = False
    time_steps: int | None = None
    spike_rate: float | None = None

    def __post_init__(self) -> None:
        where = f"layer '{self.name}'"
        require(self.name and self.name != INPUT, f"{where}: a layer needs a name other than '{INPUT}'")
        require(self.inputs, f"{where}: inputs is empty; name its producers or '{INPUT}'")
        if self.kind in MERGES:
            fits = len(self.inputs) == 2 if self.kind == "matmul" else len(self.inputs) >= 2
            require(fits, f"{where}: {self.kind} needs two {'' if self.kind == 'matmul' else 'or more '}inputs, got {len(self.inputs)}")
            require(len(set(self.inputs)) == len(self.inputs), f"{where}: the same input is named twice")
        else:
            require(len(self.inputs) == 1, f"{where}: {self.kind} takes one input, got {len(self.inputs)}; put an 'add' layer in front")
        own = self.kind in TRAINABLE or self.kind in MERGES or self.kind == "neuron"  # it has tasks of its own
        for name in self.feedback:
            require(name in self.inputs and name != INPUT, f"{where}: feedback names '{name}', which is not a layer among its inputs")
        require(own or not self.feedback, f"{where}: a {self.kind} cannot read the step before; the layer behind it can")
        require(self.kind != "matmul" or not self.feedback, f"{where}: a matmul cannot read the step before")
        require(own or self.time_steps is None, f"{where}: a {self.kind} has the time steps of the layer in front of it")
        require(self.time_steps is None or self.time_steps >= 1, f"{where}: time_steps must be at least 1, got {self.time_steps}")
        require(self.spike_rate is None or 0 <= self.spike_rate <= 1, f"{where}: spike_rate must be between 0 and 1, got {self.spike_rate}")
        require(self.neuron == "none" or own, f"{where}: a {self.kind} has no neuron of its own; give it to the layer in front")
        require(self.kind != "neuron" or self.neuron != "none", f"{where}: a layer of kind 'neuron' needs a neuron")
        self._check_recurrence(where)
        require(self.norm == "none" or self.trainable, f"{where}: only linear and conv2d layers are normalised")
        if self.kind == "linear":
            require(self.out_features >= 1, f"{where}: out_features must be at least 1, got {self.out_features}")
        if self.kind == "matmul":
            require(self.heads >= 1, f"{where}: heads must be at least 1, got {self.heads}")
        if self.kind == "conv2d":
            require(self.out_channels >= 1, f"{where}: out_channels must be at least 1, got {self.out_channels}")
            require(self.groups >= 1 and self.out_channels % self.groups == 0, f"{where}: groups={self.groups} must divide out_channels={self.out_channels}")
        if self.kind == "conv2d" or self.kind in POOLS:
            for field in ("kernel", "stride", "dilation"):
                require(min(getattr(self, field)) >= 1, f"{where}: {field} must be at least 1, got {list(getattr(self, field))}")
            require(min(self.padding) >= 0, f"{where}: padding must not be negative, got {list(self.padding)}")

    def _check_recurrence(self, where: str) -> None:
        if self.recurrence == "none":
            return
        require(self.trainable, f"{where}: only layers with weights can be recurrent")
        require(self.recurrence == "self" or self.kind == "linear", f'{where}: a conv2d can be recurrent only neuron by neuron (recurrence = "self")')
        require(self.neuron in STATEFUL, f"{where}: a recurrent layer needs a neuron with a membrane ({', '.join(sorted(STATEFUL))}), not '{self.neuron}'")

    @property
    def trainable(self) -> bool:
        """Whether the layer has synaptic weights."""
        return self.kind in TRAINABLE

    @property
    def stateful(self) -> bool:
        """Whether a state passes from one time step to the next."""
        return self.neuron in STATEFUL

    @property
    def parallel(self) -> bool:
        """Whether its neuron multiplies over time in place of a chain."""
        return self.neuron in PARALLEL

    def output_shape(self, shapes: Sequence[Shape | None]) -> Shape:
        """Shape of one sample's output at one time step, given the shapes of the inputs.

        A shape is None where it comes from a loop through time and is not known yet; that of a
        linear layer or a sum follows without it.

        Raises
        ------
        InputError
            If the shapes do not fit; the message names the layer.
        """
        where = f"layer '{self.name}'"
        known = [shape for shape in shapes if shape is not None]
        if self.kind == "linear" and not known:
            return (self.out_features,)
        require(known and (len(known) == len(shapes) or self.kind == "add"), f"{where}: its shape cannot be told from a loop; let another layer feed it")
        (first, *rest) = known
        if self.kind == "linear":
            flat = f"{where}: a linear layer takes (features,) or (tokens, features), got shape {list(first)}; put a 'flatten' in front"
            require(len(first) <= 2, flat)
            return (*first[:-1], self.out_features)
        if self.kind == "neuron":
            return first
        if self.kind == "flatten":
            return (math.prod(first),)
        if self.kind in ("tokens", "mean"):
            rank, form = (3, "(channels, height, width)") if self.kind == "tokens" else (2, "(tokens, features)")
            require(len(first) == rank, f"{where}: {self.kind} takes {form}, got shape {list(first)}")
            return (first[1] * first[2], first[0]) if self.kind == "tokens" else first[1:]
        if self.kind == "add":
            require(all(s == first for s in rest), f"{where}: cannot add shapes {[list(s) for s in known]}")
            return first
        if self.kind == "concat":
            alike = all(len(s) == len(first) and s[1:] == first[1:] for s in rest)
            require(alike, f"{where}: cannot concatenate shapes {[list(s) for s in known]} over the first dimension")
            return (sum(s[0] for s in known), *first[1:])
        if self.kind == "matmul":
            return self._product_shape(first, rest[0])
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

    def _product_shape(self, left: Shape, right: Shape) -> Shape:
        form = f"layer '{self.name}': a matmul {'with' if self.transpose else 'without'} transpose takes"
        got = f", got shapes {[list(left), list(right)]}"
        require(len(right) == 2 and right[1] % self.heads == 0, f"{form} (tokens, features) on the right, with features divisible by heads={self.heads}{got}")
        if self.transpose:
            require(left[1:] == right[1:] and len(left) == 2, f"{form} (L, D) and (M, D){got}")
            return (self.heads, left[0], right[0])
        require(len(left) == 3 and (left[0], left[2]) == (self.heads, right[0]), f"{form} ({self.heads}, L, M) and (M, D){got}")
        return (left[1], right[1])
