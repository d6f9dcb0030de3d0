"""TOML files -> `Network` and `Platform`; strict: an unknown key is an error.

A network file::

    name = "two_layers"
    summary = "..."
    source = "DOI, arXiv, or a sentence"
    input_shape = [2, 34, 34]     # channels, height, width; or [features]
    time_steps = 32

    [[layers]]
    name = "conv1"
    kind = "conv2d"               # linear conv2d matmul avgpool2d sumpool2d maxpool2d mean flatten tokens add concat neuron
    out_channels = 16
    kernel = 5                    # or [height, width]; the same for stride, padding, dilation
    neuron = "lif"                # lif iir if li psu ipsu rpsu psn relu none

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
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from spikepipe_sched.errors import InputError
from spikepipe_sched.importers.toml_network import NetworkFile
from spikepipe_sched.importers.toml_platform import PlatformFile
from spikepipe_sched.network import Network
from spikepipe_sched.platform import Platform

#: Larger files are refused unread; the largest library file has some 10 KB.
MAX_FILE_BYTES: Final = 16 * 2**20

S = TypeVar("S", bound=Struct)


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
