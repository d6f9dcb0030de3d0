"""Shapes and arguments of NIR nodes: what files say, and what must be guessed."""

from __future__ import annotations

import math
from typing import Any

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.nir_file import NirNode
from spikepipe_sched.network import Shape


def input_shape_of(entry: NirNode, consumers: list[NirNode]) -> tuple[Shape, str | None]:
    """Shape of one sample at one step, and what was repaired to get it.

    The nodes behind the input decide: a linear node takes its columns, a convolution three
    dimensions. Anything in front of these, such as batch or time, is left out.
    """
    given = entry.values.get("shape", entry.values.get("input_type"))
    require(given is None or not isinstance(given, str), f"node '{entry.name}': shape must be numbers")
    shape: Shape = () if given is None or isinstance(given, str) else given
    require(all(size >= 1 for size in shape), f"node '{entry.name}': shape {list(shape)} must be positive")
    wanted = next((w for w in (_wanted(node, shape) for node in consumers) if w is not None), None)
    if wanted is None:
        if len(shape) in (1, 3):
            return shape, None
        require(shape, f"node '{entry.name}': has no shape and nothing behind it tells; give input_shape")
        wanted = shape[-3:] if len(shape) > 3 else shape[-1:]
    if shape == wanted or (len(shape) in (1, 3) and math.prod(shape) == math.prod(wanted) and len(wanted) == 1 and shape[:-1] != (1,) * (len(shape) - 1)):
        return shape, None  # as it is, or a picture that a flatten will make fit
    if not shape:
        return wanted, f"has no shape; {list(wanted)} follows from the weights behind it"
    if shape[-len(wanted) :] == wanted:
        return wanted, f"shape {list(shape)} holds more than one sample at one step; it is read as {list(wanted)}"
    if math.prod(shape) == math.prod(wanted):
        return wanted, f"shape {list(shape)} is read as {list(wanted)}"
    raise InputError(f"node '{entry.name}': shape {list(shape)} does not fit the weights behind it, which take {list(wanted)}; give input_shape")


def _wanted(node: NirNode, shape: Shape) -> Shape | None:
    """The input shape a node asks for, where it does."""
    weight = node.shapes.get("weight", ())
    if node.kind in ("Affine", "Linear") and len(weight) == 2:
        return (weight[1],)
    if node.kind != "Conv2d" or len(weight) != 4:
        return None
    channels = weight[1] * _pair(node, "groups", (1, 1))[0]
    if len(node.values.get("input_shape", ())) == 2 and not isinstance(node.values["input_shape"], str):
        size = _pair(node, "input_shape", (1, 1))
    elif len(shape) >= 2:
        size = (shape[-2], shape[-1])
    else:
        return None
    # The file's own Input wins over a convolution's input_shape where both are complete.
    if len(shape) >= 3 and shape[-3] == channels:
        return shape[-3:]
    return (channels, *size)


def conv_arguments(node: NirNode, shape: Shape) -> tuple[dict[str, Any], str | None]:
    """Fields of a conv2d layer, and what in the file contradicts the shapes."""
    weight = node.shapes.get("weight", ())
    require(len(weight) == 4 and min(weight) >= 1, f"node '{node.name}': weight must have 4 dimensions, got shape {list(weight)}")
    groups = _pair(node, "groups", (1, 1))[0]
    require(len(shape) == 3, f"node '{node.name}': takes (channels, height, width), got shape {list(shape)}")
    fits = weight[1] * groups == shape[0]
    require(fits, f"node '{node.name}': weights of shape {list(weight)} in {groups} groups do not fit an input of shape {list(shape)}")
    stride, dilation = _pair(node, "stride", (1, 1)), _pair(node, "dilation", (1, 1))
    kernel = (weight[2], weight[3])
    padding = _padding(node, kernel, stride, dilation)
    said = node.values.get("input_shape")
    repair = None
    if said is not None and not isinstance(said, str) and said and tuple(said[-2:]) != shape[1:]:
        repair = f"input_shape says {list(said)}, the network brings {list(shape[1:])}"
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


def _padding(node: NirNode, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    value = node.values.get("padding")
    if not isinstance(value, str):
        return _pair(node, "padding", (0, 0))
    if value == "valid":
        return (0, 0)
    require(value == "same", f"node '{node.name}': padding must be numbers, 'same' or 'valid', got '{value}'")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    require(stride == (1, 1) and all(t % 2 == 0 for t in total), f"node '{node.name}': padding 'same' needs stride 1 and an odd kernel")
    return (total[0] // 2, total[1] // 2)
