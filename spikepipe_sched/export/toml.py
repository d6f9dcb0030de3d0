"""`Network` -> the TOML that `load_network` reads: what a live module or another format gave can be kept and edited."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from spikepipe_sched.files import write_atomically
from spikepipe_sched.importers.toml_network import AnyLayer
from spikepipe_sched.network import Layer, Network


def save_network(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as a TOML file; `load_network` reads an equal one back."""
    lines = [f"{key} = {_value(getattr(network, key))}" for key in ("name", "summary", "source", "input_shape", "coding", "time_steps")]
    for layer in network.layers:
        lines += ["", "[[layers]]", *(f"{key} = {_value(value)}" for key, value in _given(layer).items())]
    write_atomically(Path(path), "\n".join([*lines, ""]))


def _given(layer: Layer) -> dict[str, Any]:
    """The fields that the file's layer of this kind has and whose values are not its defaults."""
    (spec,) = [kind for kind in AnyLayer.__args__ if kind.__struct_config__.tag == layer.kind]
    defaults = {field.name: field.default for field in fields(Layer)}
    known = [name for name in spec.__struct_fields__ if name not in ("name", "inputs")]
    # A pool's stride is its kernel where none is written, not the 1 of other layers.
    told = {name: getattr(layer, name) for name in known if getattr(layer, name) != defaults[name] or name in ("kernel", "stride")}
    return {"name": layer.name, "kind": layer.kind, "inputs": layer.inputs, **told}


def _value(value: Any) -> str:
    """A string, number, flag or tuple; TOML's basic strings take JSON's escapes, but pairs of surrogates."""
    if isinstance(value, tuple):
        return f"[{', '.join(_value(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
