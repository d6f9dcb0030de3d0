"""TOML files -> `Network` and `Platform`; strict: an unknown key is an error.

A network file::

    name = "two_layers"
    summary = "..."
    source = "DOI, arXiv, or a sentence"
    input_shape = [2, 34, 34]     # channels, height, width; or [features]
    time_steps = 32

    [[layers]]
    name = "conv1"
    kind = "conv2d"               # linear conv2d avgpool2d sumpool2d maxpool2d flatten add concat
    out_channels = 16
    kernel = 5                    # or [height, width]; the same for stride, padding, dilation
    neuron = "lif"                # lif iir if li none

``inputs = ["a", "b"]`` names a layer's producers; left out, it is the layer before, or the input. A
platform file::

    name = "two_arrays"
    clock_hz = 500_000_000
    processors = ["array", "array"]   # the class of each processor

    [classes.array]
    rows = 32
    cols = 32
    lanes = 32

    [interconnect]
    latency_cycles = 8
    bandwidth_bytes_per_cycle = 64
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from spikepipe_sched.errors import InputError
from spikepipe_sched.network import INPUT, Layer, Network, NeuronKind
from spikepipe_sched.platform import Dataflow, Interconnect, Platform, SystolicArray

#: Larger files are refused unread; the largest library file has some 10 KB.
MAX_FILE_BYTES: Final = 16 * 2**20
MAX_LAYERS: Final = 10_000

Count = Annotated[int, Meta(ge=1, le=2**40)]
Size = Annotated[int, Meta(ge=1, le=2**31)]
Natural = Annotated[int, Meta(ge=0, le=2**31)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
SizePair = Size | Annotated[list[Size], Meta(min_length=2, max_length=2)]
NaturalPair = Natural | Annotated[list[Natural], Meta(min_length=2, max_length=2)]

S = TypeVar("S", bound=Struct)


class LayerSpec(Struct, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What all layers have; each kind adds its own fields."""

    name: Name
    inputs: list[Name] | None = None

    def core(self, before: str) -> Layer:
        """The layer of the core model; ``before`` is the producer if none is named."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "inputs"}
        for pair in ("kernel", "stride", "padding", "dilation"):
            if pair in fields:
                value = fields[pair]
                fields[pair] = (value, value) if isinstance(value, int) else tuple(value)
        if fields.get("stride") == (0, 0):  # pools: the kernel itself
            fields["stride"] = fields["kernel"]
        inputs = (before,) if self.inputs is None else tuple(self.inputs)
        return Layer(kind=type(self).__struct_config__.tag, inputs=inputs, **fields)  # pyright: ignore[reportArgumentType]  (the tags are the kinds)


class Linear(LayerSpec, tag="linear"):
    """Fully connected."""

    out_features: Size
    neuron: NeuronKind = "none"
    recurrent: bool = False
    bias: bool = False


class Conv2d(LayerSpec, tag="conv2d"):
    """Two-dimensional convolution."""

    out_channels: Size
    kernel: SizePair
    stride: SizePair = 1
    padding: NaturalPair = 0
    dilation: SizePair = 1
    groups: Size = 1
    neuron: NeuronKind = "none"
    bias: bool = False


class AvgPool2d(LayerSpec, tag="avgpool2d"):
    """Average pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class SumPool2d(LayerSpec, tag="sumpool2d"):
    """Sum pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class MaxPool2d(LayerSpec, tag="maxpool2d"):
    """Maximum pooling; ``stride`` left out: the kernel."""

    kernel: SizePair
    stride: NaturalPair = 0
    padding: NaturalPair = 0


class Flatten(LayerSpec, tag="flatten"):
    """(channels, height, width) -> (features,)."""


class Add(LayerSpec, tag="add"):
    """Element-wise sum of its inputs."""

    neuron: NeuronKind = "none"


class Concat(LayerSpec, tag="concat"):
    """Inputs side by side, over channels."""

    neuron: NeuronKind = "none"


class NetworkFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """A network file."""

    name: Name
    input_shape: Annotated[list[Size], Meta(min_length=1, max_length=3)]
    time_steps: Size
    layers: Annotated[list[Linear | Conv2d | AvgPool2d | SumPool2d | MaxPool2d | Flatten | Add | Concat], Meta(min_length=1, max_length=MAX_LAYERS)]
    summary: str = ""
    source: str = ""

    def core(self) -> Network:
        """The network of the core model."""
        layers, before = list[Layer](), INPUT
        for spec in self.layers:
            layers.append(spec.core(before))
            before = spec.name
        return Network(
            name=self.name,
            summary=self.summary,
            source=self.source,
            input_shape=tuple(self.input_shape),
            time_steps=self.time_steps,
            layers=tuple(layers),
        )


class ArrayClass(Struct, forbid_unknown_fields=True, kw_only=True):
    """A class of systolic array; see `SystolicArray`."""

    rows: Size
    cols: Size
    lanes: Size
    forward_dataflow: Dataflow = "auto"
    backward_dataflow: Dataflow = "auto"
    gradient_dataflow: Dataflow = "auto"
    memory_bytes: Count | None = None


class Links(Struct, forbid_unknown_fields=True, kw_only=True):
    """The interconnect; see `Interconnect`."""

    latency_cycles: Natural
    bandwidth_bytes_per_cycle: Count


class PlatformFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """A platform file."""

    name: Name
    clock_hz: Count
    processors: Annotated[list[Name], Meta(min_length=1, max_length=100_000)]
    classes: Annotated[dict[Name, ArrayClass], Meta(min_length=1)]
    interconnect: Links
    summary: str = ""
    source: str = ""

    def core(self) -> Platform:
        """The platform of the core model."""
        return Platform(
            name=self.name,
            summary=self.summary,
            source=self.source,
            classes={name: SystolicArray(**msgspec.structs.asdict(array)) for name, array in self.classes.items()},
            processors=tuple(self.processors),
            interconnect=Interconnect(**msgspec.structs.asdict(self.interconnect)),
            clock_hz=self.clock_hz,
        )


def read_network(file: Path | Traversable) -> Network:
    """Read a network file; InputError says file, layer and JSON path of a defect."""
    spec = _convert(file, NetworkFile)
    try:
        return spec.core()
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def read_platform(file: Path | Traversable) -> Platform:
    """Read a platform file; InputError says file and JSON path of a defect."""
    spec = _convert(file, PlatformFile)
    try:
        return spec.core()
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _convert(file: Path | Traversable, kind: type[S]) -> S:
    raw: dict[str, Any] = {}
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise InputError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB; no network or platform needs that")
        raw = tomllib.loads(data.decode("utf-8"))
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{file}: {_layer_name(raw, str(error))}{error}") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{file}: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except InputError:
        raise
    except ValueError as error:  # TOML syntax, and integers of thousands of digits
        raise InputError(f"{file}: not valid TOML: {error}") from None


def _layer_name(raw: dict[str, Any], message: str) -> str:
    """``layer 'conv1': `` where the message's JSON path leads into a layer that has a name."""
    found = re.search(r"`\$\.layers\[(\d+)\]", message)
    try:
        name = raw["layers"][int(found[1])]["name"] if found else None
    except (KeyError, IndexError, TypeError):
        name = None
    return f"layer '{name}': " if isinstance(name, str) else ""
