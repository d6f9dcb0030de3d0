"""Shapes and arguments of NIR nodes: what files say, and what must be inferred."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.nir_file import NirNode
from spikepipe_sched.importers.nir_graph import CONVOLUTIONS, LINEAR, Operations
from spikepipe_sched.network import Shape

#: A shape of which some dimensions are not known.
Partial = tuple[int | None, ...]

ASK = "give one sample's shape at one time step with --input-shape (input_shape=)"


def input_shape_of(operations: Operations, override: Shape | None) -> tuple[Shape, str | None]:
    """Shape of one sample at one step, and what was repaired to get it.

    What stands behind the input decides: linear weights take their columns, convolutions so many
    channels, neurons with a parameter of their own each have its shape. Whatever the file's Input
    has in front of these dimensions, such as batch or time, is left out.

    Raises
    ------
    InputError
        If the shape cannot be inferred, or contradicts what stands behind the input.
    """
    entry = operations.by_name[operations.entry].node
    teller, wanted = _wanted(operations)
    given = override if override is not None else entry.numbers("shape") or entry.numbers("input_type") or ()
    sequence = teller is not None and teller.kind == "Conv1d"
    where = f"node '{entry.name}'"
    if override is not None:
        return ((override[0], 1, override[1]) if sequence and len(override) == 2 else override), None
    require(all(size >= 1 for size in given), f"{where}: shape {list(given)} must be positive")
    if teller is None:
        while len(given) > 1 and len(given) != 3 and given[0] == 1:
            given = given[1:]
        require(given, f"{where}: it has no shape, and nothing behind it tells one; {ASK}")
        require(len(given) in (1, 3), f"{where}: nothing behind it tells which dimensions of {list(given)} are batch or time; {ASK}")
        return _with_note(entry, given)
    if not given:
        complete = tuple(size for size in wanted if size is not None)
        unknown = "and".join(f" {name} " for name, size in zip(("channels", "height", "width"), wanted, strict=False) if size is None).strip()
        require(len(complete) == len(wanted), f"{where}: it has no shape, and '{teller.name}' behind it does not tell {unknown}; {ASK}")
        return complete, f"has no shape; {list(complete)} follows from '{teller.name}' behind it"
    shape = _one_sample(given, wanted, sequence=sequence)
    if shape is None:
        form = f"[{', '.join('?' if size is None else str(size) for size in wanted)}]"
        takes = f"{form} (channels, height, width)" if len(wanted) == 3 else form
        raise InputError(f"{where}: shape {list(given)} does not fit '{teller.name}' behind it, which takes {takes}; {ASK}")
    if sequence and given == (shape[0], shape[2]):
        return shape, None  # (channels, length) is a Conv1d's own form
    return _with_note(entry, shape)


def _with_note(entry: NirNode, shape: Shape) -> tuple[Shape, str | None]:
    """The shape, and a note where the file says another."""
    given = entry.numbers("shape") or entry.numbers("input_type") or ()
    if shape == given:
        return shape, None
    more = math.prod(given) > math.prod(shape)
    return shape, f"shape {list(given)} {'holds more than one sample at one step; it ' if more else ''}is read as {list(shape)}"


def _one_sample(given: Shape, wanted: Partial, *, sequence: bool) -> Shape | None:
    """The dimensions at the end of ``given`` that make one sample of the wanted shape."""
    if len(wanted) == 1:
        (features,) = wanted
        if len(given) == 3 and math.prod(given) == features and given[:2] != (1, 1):
            return given  # a picture that a flatten will make fit
        ends = [given[cut:] for cut in range(len(given) - 1, -1, -1)]
        end = next((end for end in ends if math.prod(end) == features), None)
        return end if end is None or len(end) in (1, 3) else (math.prod(end),)
    channels = wanted[0]
    if sequence and len(given) >= 2 and given[-3:-1] != (channels, 1):
        return (given[-2], 1, given[-1]) if channels in (None, given[-2]) else None
    if len(given) >= 3 and channels in (None, given[-3]):
        return given[-3:]
    if len(given) == 2 and channels == 1:
        return (1, *given)
    complete = tuple(size for size in wanted if size is not None)
    return complete if len(complete) == 3 and math.prod(complete) == math.prod(given) else None


def _wanted(operations: Operations) -> tuple[NirNode | None, Partial]:
    """The input shape that the nearest nodes behind the input ask for, and the node that tells it.

    The first complete answer counts, else the first; weights speak before neurons, whose parameters
    may be one value for many, and these before pools. Behind a pool the channels alone are certain.
    """
    consumers = operations.consumers()
    waiting = deque((name, False) for name in consumers[operations.entry])
    seen = set[str]()
    told: list[tuple[int, NirNode, Partial]] = []
    while waiting:
        name, pooled = waiting.popleft()
        if name in seen:
            continue
        seen.add(name)
        operation = operations.by_name[name]
        rank, node, shape = 0, operation.node, _asked(operation.node)
        if operation.role in ("neuron", "sum") and operation.neuron is not None:
            rank, node, shape = 1, operation.neuron, _own_shape(operation.neuron)
        elif operation.role == "pool":
            rank, shape, pooled = 2, (None, None, None), True
        if shape is not None and len(shape) == 3:
            told.append((rank, node, (shape[0], None, None) if pooled else shape))
        elif shape is not None and len(shape) == 1 and not pooled:
            told.append((rank, node, shape))
        if rank > 0 or shape is None:  # what stands behind it may tell more
            waiting.extend((consumer, pooled) for consumer in consumers[name])
    told.sort(key=lambda answer: (None in answer[2], answer[0]))
    return told[0][1:] if told else (None, ())


def _own_shape(neuron: NirNode) -> Partial | None:
    """The shape of a neuron's parameters, where there is one for each."""
    return next((size for key, size in neuron.shapes.items() if key not in neuron.values and math.prod(size) > 1), None)


def _asked(node: NirNode) -> Partial | None:
    """The input shape that a node asks for by itself."""
    weight = node.shapes.get("weight", ())
    if node.kind == "Flatten":
        return node.numbers("input_type")
    if node.kind in LINEAR:
        return weight[1:] if len(weight) == 2 else None
    if node.kind not in CONVOLUTIONS:
        return None
    size = node.numbers("input_shape") or ()
    if len(weight) == 4:
        return (weight[1] * _pair(node, "groups", (1, 1))[0], *(size if len(size) == 2 else (None, None)))
    return (weight[1] * _pair(node, "groups", (1, 1))[0], 1, size[0] if len(size) == 1 else None) if len(weight) == 3 else None


def weight_shape(node: NirNode, rank: int) -> tuple[int, ...]:
    """Shape of the weights, checked for its rank."""
    shape = node.shapes.get("weight")
    if shape is None:
        raise InputError(f"node '{node.name}': it has no weight")
    require(len(shape) == rank and min(shape) >= 1, f"node '{node.name}': weight must have {rank} dimensions, got shape {list(shape)}")
    return shape


def conv_arguments(node: NirNode, shape: Shape, *, sequence: bool) -> tuple[dict[str, Any], str | None]:
    """Fields of a conv2d layer, and what in the file contradicts the shapes.

    A convolution of a ``sequence`` (Conv1d) has height 1.
    """
    weight = weight_shape(node, 3 if sequence else 4)
    groups = _pair(node, "groups", (1, 1))[0]
    form = "(channels, length), that is (channels, 1, length)" if sequence else "(channels, height, width)"
    require(len(shape) == 3 and (shape[1] == 1 or not sequence), f"node '{node.name}': takes {form}, got shape {list(shape)}")
    fits = weight[1] * groups == shape[0]
    require(fits, f"node '{node.name}': weights of shape {list(weight)} in {groups} groups do not fit an input of shape {list(shape)}")

    def pair(key: str, default: int) -> tuple[int, int]:
        height, width = _pair(node, key, (default, default))
        return (default, width) if sequence else (height, width)

    stride, dilation = pair("stride", 1), pair("dilation", 1)
    kernel = (1, weight[2]) if sequence else (weight[2], weight[3])
    padding = _named_padding(node, kernel, stride, dilation) or pair("padding", 0)
    said = node.numbers("input_shape")
    repair = None
    if said is not None and said[-2:] != shape[1:] and not (sequence and said == shape[2:]):
        repair = f"input_shape says {list(said)}, the network brings {list(shape[2:] if sequence else shape[1:])}"
    return {"out_channels": weight[0], "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}, repair


def pool_arguments(node: NirNode) -> dict[str, Any]:
    """Fields of a pooling layer; NIR's stride defaults to the kernel."""
    require("kernel_size" in node.values, f"node '{node.name}': it has no kernel_size")
    kernel = _pair(node, "kernel_size", (1, 1))
    return {"kernel": kernel, "stride": _pair(node, "stride", kernel), "padding": _pair(node, "padding", (0, 0))}


def _pair(node: NirNode, key: str, default: tuple[int, int]) -> tuple[int, int]:
    """One or two whole numbers as (height, width)."""
    value = node.values.get(key)
    if value is None or key in node.absent:
        return default
    if isinstance(value, str) or len(value) not in (1, 2):
        raise InputError(f"node '{node.name}': {key} must be one or two whole numbers, got {value!r}")
    return (value[0], value[-1])


def _named_padding(node: NirNode, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int] | None:
    """Padding that the file gives by name."""
    value = node.values.get("padding")
    if not isinstance(value, str):
        return None
    if value == "valid":
        return (0, 0)
    require(value == "same", f"node '{node.name}': padding must be numbers, 'same' or 'valid', got '{value}'")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    require(stride == (1, 1) and all(t % 2 == 0 for t in total), f"node '{node.name}': padding 'same' needs stride 1 and an odd kernel")
    return (total[0] // 2, total[1] // 2)
