"""One layer of a spiking network: a synaptic operation and a neuron; it knows no hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from spikepipe_sched.errors import is_tuple_of, is_whole, require, require_one_of, require_share, require_whole, shown

LayerKind = Literal["linear", "conv2d", "matmul", "avgpool2d", "sumpool2d", "maxpool2d", "flatten", "tokens", "mean", "add", "concat", "neuron"]
NeuronKind = Literal["lif", "iir", "if", "li", "psu", "ipsu", "rpsu", "psn", "relu", "none"]
Recurrence = Literal["none", "full", "self"]
Norm = Literal["none", "batch"]
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

#: What the fields of words may hold, in the order in which messages name it.
_KINDS, _NEURONS, _RECURRENCES, _NORMS = (dict.fromkeys(get_args(words)) for words in (LayerKind, NeuronKind, Recurrence, Norm))
_TEXT: Final = {str}


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

    Raises
    ------
    InputError
        If a value is not of its field's type, or the fields do not go together; the message names the layer.
    """

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    feedback: tuple[str, ...] = ()
    neuron: NeuronKind = "none"
    recurrence: Recurrence = "none"
    norm: Norm = "none"
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
        if not self._has_plain_types():
            self._check_types(where)
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
        if self.time_steps is not None:
            object.__setattr__(self, "time_steps", require_whole(where, "time_steps", self.time_steps, 1))
        if self.spike_rate is not None:
            require_share(where, "spike_rate", self.spike_rate)
        require(self.neuron == "none" or own, f"{where}: a {self.kind} has no neuron of its own; give it to the layer in front")
        require(self.kind != "neuron" or self.neuron != "none", f"{where}: a layer of kind 'neuron' needs a neuron")
        self._check_recurrence(where)
        require(self.norm == "none" or self.trainable, f"{where}: only linear and conv2d layers are normalised")
        if self.kind == "linear":
            require_whole(where, "out_features", self.out_features, 1)
        if self.kind == "matmul":
            require_whole(where, "heads", self.heads, 1)
        if self.kind == "conv2d":
            require_whole(where, "out_channels", self.out_channels, 1)
            require(self.groups >= 1 and self.out_channels % self.groups == 0, f"{where}: groups={self.groups} must divide out_channels={self.out_channels}")
        else:
            require(self.groups == 1, f"{where}: only conv2d layers have groups")
        if self.kind == "conv2d" or self.kind in POOLS:
            for field in ("kernel", "stride", "dilation"):
                object.__setattr__(self, field, _require_pair(where, field, getattr(self, field), 1))
            object.__setattr__(self, "padding", _require_pair(where, "padding", self.padding, 0))

    def _has_plain_types(self) -> bool:
        """Whether names and types are right at first sight, as in nearly every layer: networks may have a million."""
        return (
            type(self.kind) is type(self.neuron) is type(self.recurrence) is type(self.norm) is str
            and self.kind in _KINDS
            and self.neuron in _NEURONS
            and self.recurrence in _RECURRENCES
            and self.norm in _NORMS
            and type(self.out_features) is type(self.out_channels) is type(self.groups) is type(self.heads) is int
            and type(self.bias) is type(self.transpose) is bool
            and type(self.name) is str
            and type(self.inputs) is type(self.feedback) is tuple
            and set(map(type, self.inputs)) == _TEXT
            and (not self.feedback or set(map(type, self.feedback)) == _TEXT)
        )

    def _check_types(self, where: str) -> None:
        """Check every value against what its field promises; what is left are plain integers."""
        words: tuple[tuple[str, Any], ...] = (("kind", _KINDS), ("neuron", _NEURONS), ("recurrence", _RECURRENCES), ("norm", _NORMS))
        for field, allowed in words:
            require_one_of(where, field, getattr(self, field), allowed)
        for field in ("out_features", "out_channels", "groups", "heads"):
            object.__setattr__(self, field, require_whole(where, field, getattr(self, field), 0))
        for field in ("bias", "transpose"):
            require(isinstance(getattr(self, field), bool), f"{where}: {field} must be True or False, got {shown(getattr(self, field))}")
        require(isinstance(self.name, str), f"{where}: its name must be text")  # pyright: ignore[reportUnnecessaryIsInstance]
        for field in ("inputs", "feedback"):  # a name alone, without the comma that makes a tuple, is a common slip
            names = getattr(self, field)
            require(is_tuple_of(names, lambda name: isinstance(name, str)), f"{where}: {field} must be a tuple of names, got {shown(names)}")

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


def _require_pair(where: str, field: str, pair: tuple[int, ...], low: int) -> tuple[int, ...]:
    if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is type(pair[1]) is int and min(pair) >= low:  # nearly always
        return pair
    fits = is_tuple_of(pair, is_whole) and len(pair) == 2
    require(fits, f"{where}: {field} must be a tuple of two whole numbers, (height, width), got {shown(pair)}")
    plain = tuple(map(int, pair))
    require(min(plain) >= low, f"{where}: {field} must {f'be at least {low}' if low else 'not be negative'}, got {list(plain)}")
    return plain
