"""Modules and functions of PyTorch, snnTorch and SpikingJelly by their names; none of these is imported.

Sources: the classes' own documentation (PyTorch 2.13, snnTorch 1.0, SpikingJelly 2.0). A neuron
with several states (synaptic current, adaptation) counts as the chain over time that it is:
``lif``. Thresholds, leaks and slopes that are trained are no synaptic parameters and not counted.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.network import NeuronKind

Pair = tuple[int, int]
#: Kind of layer, kernel, stride, padding.
Pool = tuple[str, Pair, Pair, Pair]
Role = Literal["linear", "conv", "norm", "pool", "adaptive", "relu", "neuron", "pass", "other"]

ROLES: Final[dict[str, Role]] = {
    "Linear": "linear",
    "LeakyParallel": "linear",
    "Conv1d": "conv",
    "Conv2d": "conv",
    "BatchNorm1d": "norm",
    "BatchNorm2d": "norm",
    "AvgPool1d": "pool",
    "AvgPool2d": "pool",
    "MaxPool1d": "pool",
    "MaxPool2d": "pool",
    "AdaptiveAvgPool1d": "adaptive",
    "AdaptiveAvgPool2d": "adaptive",
    "ReLU": "relu",
    "Flatten": "pass",
    "Unflatten": "pass",
    "Identity": "pass",
    "Dropout": "pass",
    "Dropout1d": "pass",
    "Dropout2d": "pass",
    "AlphaDropout": "pass",
}
NEURONS: Final[dict[str, NeuronKind]] = {
    # snnTorch
    "Leaky": "lif",
    "Lapicque": "lif",
    "Synaptic": "lif",
    "Alpha": "lif",
    "RLeaky": "lif",
    "RSynaptic": "lif",
    "StateLeaky": "iir",
    # SpikingJelly
    "IFNode": "if",
    "SimpleIFNode": "if",
    "LIFNode": "lif",
    "SimpleLIFNode": "lif",
    "ParametricLIFNode": "lif",
    "QIFNode": "lif",
    "EIFNode": "lif",
    "IzhikevichNode": "lif",
    "KLIFNode": "lif",
    "CUBALIFNode": "lif",
    "GatedLIFNode": "lif",
    "NonSpikingLIFNode": "li",
    "NonSpikingIFNode": "li",
    "PSN": "psn",
    "MaskedPSN": "psn",
    "SlidingPSN": "psn",
}
#: Modules that take all time steps at once, as (time, batch, ...), whatever their mode.
WHOLE_SEQUENCES: Final = frozenset({"StateLeaky", "LeakyParallel", "PSN", "NonSpikingLIFNode", "NonSpikingIFNode"})
#: Modules of the frameworks that only run what is in them.
CONTAINERS: Final = frozenset({"Sequential", "LinearRecurrentContainer", "ElementWiseRecurrentContainer"})
#: Where the frameworks keep their building blocks: a class from here that is not known is not looked into.
NEURON_BLOCKS: Final = ("snntorch._", "spikingjelly.activation_based.neuron", "spikingjelly.activation_based.rnn")
BLOCKS: Final = ("torch.nn.modules", "torch.ao", "spikingjelly.activation_based.layer", *NEURON_BLOCKS)
KNOWN: Final = (*ROLES, *NEURONS)

#: Functions that only rearrange, choose or copy elements (``get``: properties such as ``Tensor.T``).
RESHAPES: Final = frozenset({"view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "detach", "to"})
CHOICES: Final = frozenset({"permute", "transpose", "movedim", "swapaxes", "t", "get", "getitem", "select", "narrow", "unbind", "iter", "split", "chunk"})
MOVES: Final = RESHAPES | CHOICES | {"float", "repeat", "expand", "expand_as", "broadcast_to"}
ADDITIONS: Final = frozenset({"add", "radd", "iadd"})
#: With a number: one factor for all.
SCALES: Final = frozenset({"mul", "rmul", "imul", "multiply", "div", "truediv", "itruediv", "divide", "true_divide"})
POOLS: Final = frozenset({"avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"})
#: Over the first dimension they are read-outs over time.
READOUTS: Final = frozenset({"mean", "sum", "amax", "max", "cumsum"})


def base_name(module: Any) -> str:
    """Name of the nearest class of a framework; a class of the user's own counts as what it is derived from."""
    return _base(module).__name__


def _base(module: Any) -> type:
    return next(kind for kind in type(module).__mro__ if kind.__module__.startswith(BLOCKS))  # every module is a torch.nn.Module


def role(module: Any, path: str) -> Role | None:
    """What a module is; None for one that only runs others.

    A block that is not known and has no parameters may stand behind the last layer, as part of the
    loss, unless it is a neuron.

    Raises
    ------
    InputError
        For any other block that is not known.
    """
    base = _base(module)
    known = next((kind.__name__ for kind in base.__mro__ if kind.__name__ in NEURONS and kind.__module__.startswith(NEURON_BLOCKS)), None)
    if known is not None:
        return "neuron"
    if base.__name__ == "Module" or any(kind.__name__ in CONTAINERS for kind in base.__mro__):
        return None
    if base.__name__ in ROLES:
        return ROLES[base.__name__]
    if next(iter(module.parameters()), None) is None and not base.__module__.startswith(NEURON_BLOCKS):
        return "other"
    raise InputError(f"module '{path}' ({type(module).__name__}): this class is not supported; known: {', '.join(KNOWN)}, and modules made of these")


def neuron_kind(module: Any, path: str) -> tuple[NeuronKind, str | None]:
    """The neuron of a module, and what of it was not taken over."""
    name = next(kind.__name__ for kind in type(module).__mro__ if kind.__name__ in NEURONS)
    kind = NEURONS[name]
    if kind == "lif" and getattr(module, "reset_mechanism", None) == "none":
        kind = "iir"
    if name == "StateLeaky" and not getattr(module, "output", True):
        kind = "li"
    if name == "SlidingPSN":
        return kind, f"module '{path}' (SlidingPSN): it has {module.k} weights over time; it is read as a psn with all T x T"
    return kind, None


def takes_sequences(module: Any) -> bool:
    """Whether a module takes (time, batch, ...)."""
    return base_name(module) in WHOLE_SEQUENCES or getattr(module, "step_mode", "s") == "m"


def recurrence(module: Any, path: str) -> tuple[Literal["none", "full", "self"], bool]:
    """Recurrent weights of a neuron of snnTorch, and whether they have a bias."""
    inner = getattr(module, "recurrent", None)
    if inner is None:
        return "none", False
    name = base_name(inner)
    if getattr(module, "all_to_all", True):
        require(name == "Linear", f"module '{path}' ({type(module).__name__}): recurrent weights of kind {name} are not supported; only linear ones are")
        return "full", inner.bias is not None
    return "self", False


def linear_fields(module: Any, path: str) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Fields of a linear layer, those of a neuron that is part of it, and what was not taken over."""
    if base_name(module) != "LeakyParallel":
        return {"out_features": module.out_features, "bias": module.bias is not None}, {}, None
    # snnTorch's linear layer and neuron without reset in one, as a recurrent network with a diagonal of leaks.
    leaks = module.rnn.weight_hh_l0
    diagonal = bool((leaks == leaks.diagonal().diag()).all())
    require(diagonal, f"module '{path}' (LeakyParallel): a full matrix of leaks is not supported; use weight_hh_enable=False")
    repair = f"module '{path}' (LeakyParallel): it has two biases a neuron; one is kept" if module.rnn.bias else None
    return {"out_features": module.rnn.hidden_size, "bias": module.rnn.bias}, {"neuron": "iir"}, repair


def pair(value: Any, dimensions: int, path: str) -> tuple[int, int]:
    """One or two whole numbers as (height, width); one-dimensional modules have height 1."""
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * dimensions
    require(len(numbers) in (1, dimensions) and all(isinstance(n, int) for n in numbers), f"module '{path}': {value!r} is not {dimensions} whole numbers")
    return (numbers[0], numbers[-1]) if dimensions == 2 else (1, numbers[0])


def conv_fields(module: Any, path: str) -> dict[str, Any]:
    """Fields of a conv2d layer."""
    dimensions = len(module.kernel_size)
    kernel, stride, dilation = (pair(v, dimensions, path) for v in (module.kernel_size, module.stride, module.dilation))
    padding = module.padding
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        require(all(t % 2 == 0 for t in total), f"module '{path}': padding 'same' needs an odd kernel, not {list(kernel)}")
        sides = (total[0] // 2, total[1] // 2)
    else:
        sides = (0, 0) if padding == "valid" else pair(padding, dimensions, path)
        sides = (0, sides[1]) if dimensions == 1 else sides
    fields = {"kernel": kernel, "stride": stride, "padding": sides, "dilation": dilation}
    return {"out_channels": module.out_channels, "groups": module.groups, "bias": module.bias is not None, **fields}


def pool_detail(kind: str, kernel: Any, stride: Any, padding: Any, dilation: Any, path: str) -> Pool:
    """Kind of layer, kernel, stride and padding of a pool by its class or function."""
    dimensions = 1 if kind.lower().endswith("1d") else 2
    require(pair(dilation, dimensions, path) == (1, 1), f"module '{path}' ({kind}): dilated pooling is not supported")
    sizes, sides = pair(kernel, dimensions, path), pair(padding, dimensions, path)
    steps = pair(stride, dimensions, path) if stride not in (None, (), []) else sizes
    return "avgpool2d" if "avg" in kind.lower() else "maxpool2d", sizes, steps, sides if dimensions == 2 else (0, sides[1])


def adaptive_detail(kind: str, before: tuple[int, ...], after: tuple[int, ...], path: str) -> Pool:
    """The same of an adaptive pool, from the sizes it met; they must divide."""
    dimensions = 1 if kind.lower().endswith("1d") else 2
    sizes = tuple(zip(before[-dimensions:], after[-dimensions:], strict=True))
    divides = all(size % out == 0 for size, out in sizes)
    require(
        divides,
        f"module '{path}' ({kind}): {list(before[-dimensions:])} does not divide into {list(after[-dimensions:])}; windows of unlike size are not supported",
    )
    kernel = tuple(size // out for size, out in sizes)
    whole = (kernel[0], kernel[-1]) if dimensions == 2 else (1, kernel[0])
    return "avgpool2d", whole, whole, (0, 0)
