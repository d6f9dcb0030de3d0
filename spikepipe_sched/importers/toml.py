"""TOML files -> `Network` and `Platform`; strict: an unknown key is an error.

A network file::

    name = "two_layers"
    summary = "..."
    source = "DOI, arXiv, or a sentence"
    input_shape = [2, 34, 34]     # channels, height, width; or [features]
    time_steps = 32
    coding = "spikes"             # or direct: what the input brings at every step; spikes if left out

    [[layers]]
    name = "conv1"
    kind = "conv2d"               # linear conv2d matmul avgpool2d sumpool2d maxpool2d mean flatten tokens add concat neuron
    out_channels = 16
    kernel = 5                    # or [height, width]; the same for stride, padding, dilation
    neuron = "lif"                # lif iir if li psu ipsu rpsu psn relu none

``inputs = ["a", "b"]`` names a layer's producers; left out, it is the layer before, or the input. The
other fields are those of `Layer`, with the same names. A platform file::

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
    sharing = "bus"                   # or ports, pairs, none (the default); see `Interconnect`

The other fields of a class are those of `SystolicArray`.
"""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.toml_errors import explain, printable
from spikepipe_sched.importers.toml_network import NetworkFile
from spikepipe_sched.importers.toml_platform import PlatformFile
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Platform

#: Larger files are refused unread; the largest library file has some 10 KB.
MAX_FILE_BYTES: Final = 4 * 2**20
#: Bound on the sum of (dots in a line)^2: `tomllib` takes quadratic time for a key of many parts.
MAX_DOTS_SQUARED: Final = 10**7

S = TypeVar("S", bound=Struct)


def read_network(file: Path | Traversable) -> Network:
    """Read a network file; InputError says file, layer and JSON path of a defect."""
    raw = read_toml(file)
    if not raw.keys() & {"input_shape", "time_steps", "layers"}:
        raise InputError(
            f"{file}: neither a network (input_shape, time_steps, layers), nor a pipeline (stages, and tables with F, B and W), which load_problem reads"
        )
    spec = converted(file, raw, NetworkFile)
    try:
        return spec.core()
    except InputError as error:
        message = str(error)
    for i, layer in enumerate(spec.layers):
        found = f"layer '{layer.name}': "
        if message.startswith(found):
            message = f"layer '{layer.name}' at $.layers[{i}]: {message.removeprefix(found)}"
            break
    raise InputError(f"{file}: {printable(message)}")


def file_schema(kind: Literal["network", "platform"]) -> dict[str, Any]:
    """JSON Schema of network or platform files, as TOML is read."""
    return msgspec.json.schema(NetworkFile if kind == "network" else PlatformFile)


def read_platform(file: Path | Traversable) -> Platform:
    """Read a platform file; InputError says file and JSON path of a defect."""
    spec = converted(file, read_toml(file), PlatformFile)
    try:
        return spec.core()
    except InputError as error:
        raise InputError(f"{file}: {printable(str(error))}") from None


def converted(file: Path | Traversable, raw: dict[str, Any], kind: type[S]) -> S:
    """The tables of a file as a ``kind``; InputError says file and JSON path of a defect."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{file}: {explain(str(error), raw, kind)}") from None


def read_toml(file: Path | Traversable) -> dict[str, Any]:
    """The tables of a TOML file; InputError says file and line of a defect in its syntax."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        require(len(data) <= MAX_FILE_BYTES, f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB; no file of this kind needs that")
        text = data.decode("utf-8")
        require(
            sum(line.count(".") ** 2 for line in text.split("\n")) <= MAX_DOTS_SQUARED,
            f"{file}: a line with thousands of dots, which as a key would take minutes to read; break the line",
        )
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{file}: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except InputError:
        raise
    except ValueError as error:  # TOML syntax, and integers of thousands of digits
        raise InputError(f"{file}: not valid TOML: {printable(str(error))}") from None
