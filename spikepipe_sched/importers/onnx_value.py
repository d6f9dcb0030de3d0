"""What ONNX tensors are in terms of layers: reshapes, transposes and windows.

A tensor is the output of a layer with its elements in some order. A Reshape keeps the order, a
Transpose permutes it; both are followed element by element, so that what reaches a layer is known
for certain: the same tensor, its flattening, its tokens, or its division among attention heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.onnx_file import MAX_RANK, Integers, OnnxNode
from spikepipe_sched.network import Shape

if TYPE_CHECKING:
    import numpy as np

    Order = np.ndarray[Any, np.dtype[np.int64]]

#: Elements of a tensor whose transposition is followed.
MAX_ORDER: Final = 2**24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """A tensor without its batch dimension: the elements of ``layer``'s output in ``order`` (None: as they are).

    ``alone``: nothing else reads the layer, or anything between it and this tensor.
    """

    layer: str
    shape: Shape
    order: Order | None = None
    alone: bool = False


def reshaped(value: Value, shape: Shape) -> Value:
    """The same elements in the same order under another shape."""
    require(len(shape) <= MAX_RANK, f"a tensor of {len(shape)} dimensions; at most {MAX_RANK} are followed")
    return replace(value, shape=shape)


def transposed(value: Value, axes: Integers, where: str) -> Value:
    """The tensor with permuted axes; the batch is not among them."""
    import numpy as np

    size = math.prod(value.shape)
    require(size <= MAX_ORDER, f"{where}: tensors of more than {MAX_ORDER} elements are not transposed")
    order = np.arange(size) if value.order is None else value.order
    order = order.reshape(value.shape).transpose(axes)
    flat = order.reshape(-1)
    same = bool((flat == np.arange(size)).all())
    return replace(value, shape=order.shape, order=None if same else flat)


def _is(value: Value, shape: Shape, axes: Integers) -> bool:
    """Whether the tensor is its layer's output under ``shape``, transposed by ``axes``."""
    import numpy as np

    if value.order is None and (math.prod(shape) > MAX_ORDER or axes == tuple(range(len(shape)))):
        return value.shape == shape and axes == tuple(range(len(shape)))
    expected = np.arange(math.prod(shape)).reshape(shape).transpose(axes)
    order = np.arange(math.prod(value.shape)) if value.order is None else value.order
    return value.shape == expected.shape and bool((order == expected.reshape(-1)).all())


def adapter(value: Value, natural: Shape, where: str) -> Literal["flatten", "tokens"] | None:
    """The layer that makes this tensor of its layer's output, which has shape ``natural``.

    Raises
    ------
    InputError
        If no layer does.
    """
    if value.order is None:
        if value.shape == natural or (len(natural) == 1 and value.shape == (1, *natural)):  # a mean that kept its dimension
            return None
        if value.shape == (math.prod(natural),):
            return "flatten"
    elif len(natural) == 3 and _is(value, (natural[0], natural[1] * natural[2]), (1, 0)):
        return "tokens"
    raise InputError(f"{where}: reads {list(natural)} rearranged as {list(value.shape)}; only flattening and (channels, height, width) to tokens are supported")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """An operand of a product of activations: ``scores`` (heads, L, M), or (L, D) divided among heads, maybe turned."""

    form: Literal["plain", "turned", "scores"]
    heads: int


def operand(value: Value, natural: Shape) -> Operand | None:
    """How attention heads see this tensor; None if they cannot."""
    if len(natural) == 3 and value.order is None and value.shape in (natural, natural[1:] if natural[0] == 1 else natural):
        return Operand(form="scores", heads=natural[0])
    if len(natural) != 2:
        return None
    tokens, width = natural
    heads = value.shape[0] if len(value.shape) == 3 else 1
    if heads < 1 or width % heads or len(value.shape) not in (2, 3):
        return None
    split = (tokens, heads, width // heads)
    lead: Integers = (1,) if len(value.shape) == 3 else ()
    whole = split if lead else natural
    if _is(value, whole, (1, 0, 2) if lead else (0, 1)):
        return Operand(form="plain", heads=heads)
    if _is(value, whole, (1, 2, 0) if lead else (1, 0)):
        return Operand(form="turned", heads=heads)
    return None


def joined_heads(layer: str, natural: Shape, heads: int, *, lead: bool) -> Value:
    """The product of scores and values: (L, D) as ONNX has it, (heads, L, D / heads)."""
    tokens, width = natural
    value = Value(layer=layer, shape=natural, alone=True)
    return transposed(reshaped(value, (tokens, heads, width // heads)), (1, 0, 2), layer) if lead else value


def window(node: OnnxNode, size: Shape, kernel: Integers) -> tuple[dict[str, Any], str | None]:
    """Kernel, stride, padding and dilation of a window over ``size``, and what was repaired.

    A layer pads both sides alike. Padding that differs is read as the even padding that gives the
    same output size, where there is one.
    """
    count = len(size)
    require(
        count in (1, 2) and len(kernel) == count, f"{node.where}: a kernel of {len(kernel)} dimensions does not fit an input of {count}; one and two are read"
    )
    require(min(kernel) >= 1, f"{node.where}: kernel {list(kernel)} must be at least 1")
    stride = node.integers("strides", (1,) * count)
    dilation = node.integers("dilations", (1,) * count)
    require(min(*stride, *dilation) >= 1, f"{node.where}: strides and dilations must be at least 1")
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((math.ceil(n / s) - 1) * s + e - n, 0) for n, s, e in zip(size, stride, extent, strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    elif auto == "VALID":
        pads = [(0, 0)] * count
    else:
        require(auto == "NOTSET", f"{node.where}: auto_pad '{auto}' is unknown")
        given = node.integers("pads", (0,) * (2 * count))
        require(min(given) >= 0, f"{node.where}: pads must not be negative, got {list(given)}")
        pads = list(zip(given[:count], given[count:], strict=True))
    padding, repairs = list[int](), list[str]()
    ceil = bool(node.integer("ceil_mode", 0))
    for n, s, e, (before, after) in zip(size, stride, extent, pads, strict=True):
        room = n + before + after - e
        out = (-(-room // s) if ceil else room // s) + 1
        if ceil and (out - 1) * s >= n + before:  # the last window must start inside the input or its left padding
            out -= 1
        even = next((p for p in ((before + after + 1) // 2, (before + after) // 2) if (n + 2 * p - e) // s + 1 == out), None)
        if even is None:
            raise InputError(f"{node.where}: pads {[before, after]} with ceil_mode {int(ceil)} give {out} outputs of {n}, which no even padding does")
        if before != after:
            repairs.append(f"{[before, after]} as {[even, even]}")
        padding.append(even)
    repair = f"a layer pads both sides alike; {' and '.join(repairs)}, the output has the same size" if repairs else None
    one = {"kernel": (1,), "stride": (1,), "padding": (0,), "dilation": (1,)}
    fields = {"kernel": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation)}
    return {key: (*(one[key] if count == 1 else ()), *value) for key, value in fields.items()}, repair
