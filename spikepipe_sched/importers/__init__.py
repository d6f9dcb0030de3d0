"""Networks and platforms come in: from the library, TOML, NIR and ONNX files, and PyTorch.

`load_network` and `load_platform` take the name of a library entry or the path of a file and
return frozen core objects; `from_torch` takes a live module; `list_networks` and `list_platforms`
say what the library holds. Every defect is an `InputError` of one line that says where it stands.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.importers.library import LibraryEntry, library_file, list_networks, list_platforms
from spikepipe_sched.importers.warning import RepairWarning

if TYPE_CHECKING:
    from spikepipe_sched.network import Network
    from spikepipe_sched.platform import Platform

__all__ = ["DEFAULT_TIME_STEPS", "GRAPH_SUFFIXES", "LibraryEntry", "RepairWarning", "list_networks", "list_platforms", "load_network", "load_platform"]

#: Time steps of a network whose file names none: NIR graphs are continuous in time.
DEFAULT_TIME_STEPS: Final = 32
#: Suffixes of files that hold a task graph and no network; see `spikepipe_sched.readers`.
GRAPH_SUFFIXES: Final = (".stg", ".dot", ".gv", ".graphml")


def load_network(source: str | os.PathLike[str], *, time_steps: int | None = None, input_shape: tuple[int, ...] | None = None) -> Network:
    """Load a network.

    Parameters
    ----------
    source
        The name of a library network (`list_networks`), or the path of a ``.toml``, ``.nir`` or
        ``.onnx`` file.
    time_steps
        Number T of time steps, in place of the file's. NIR files have none (their equations are in
        continuous time): there the default is `DEFAULT_TIME_STEPS`, 32. ONNX files hold artificial
        networks: one step with ReLUs by default, and LIF neurons in place of these with more.
        Their input brings real values (``coding="direct"``), that of NIR files spikes.
    input_shape
        Shape of one sample at one time step, in place of the file's.

    Raises
    ------
    InputError
        If there is no such network, or the file is damaged or not supported.

    Warns
    -----
    RepairWarning
        For every place where a NIR or ONNX file had to be read otherwise than it is written.
    """
    path = _file(source, "networks", (".toml", ".nir", ".onnx"))
    if path is not None and path.suffix.lower() == ".nir":
        from spikepipe_sched.importers.nir import read_nir

        return read_nir(path, time_steps=DEFAULT_TIME_STEPS if time_steps is None else time_steps, input_shape=input_shape)
    if path is not None and path.suffix.lower() == ".onnx":
        from spikepipe_sched.importers.onnx import read_onnx

        return read_onnx(path, time_steps=1 if time_steps is None else time_steps, input_shape=input_shape)
    from spikepipe_sched.importers.toml import read_network

    network = read_network(library_file("networks", os.fspath(source)) if path is None else path)
    changes: dict[str, object] = {}
    if time_steps is not None:
        changes["time_steps"] = time_steps
    if input_shape is not None:
        changes["input_shape"] = tuple(input_shape)
    return replace(network, **changes) if changes else network


def load_platform(source: str | os.PathLike[str]) -> Platform:
    """Load a platform: the name of a library platform (`list_platforms`), or a ``.toml`` path.

    Raises
    ------
    InputError
        If there is no such platform, or the file is damaged.
    """
    path = _file(source, "platforms", (".toml",))
    from spikepipe_sched.importers.toml import read_platform

    return read_platform(library_file("platforms", os.fspath(source)) if path is None else path)


def _file(source: str | os.PathLike[str], folder: str, suffixes: tuple[str, ...]) -> Path | None:
    """The path ``source`` names, or None if it is the name of a library entry."""
    text = os.fspath(source)
    require(text.strip(), f"an empty name for one of the {folder}; give a library name or a file")
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in suffixes:
        require(not path.is_dir(), f"{text}: this is a folder, not a file")
        require(path.is_file(), f"{text}: there is no such file")
        return path
    if suffix or len(path.parts) > 1 or not isinstance(source, str):
        require(
            folder != "networks" or suffix not in GRAPH_SUFFIXES,
            f"{text}: a task graph is no network; load_problem reads it, and the commands solve, compare and pareto",
        )
        graphs = f"; a task graph is {', '.join(GRAPH_SUFFIXES)} or .toml" if folder == "networks" else ""
        raise InputError(f"{text}: cannot read '{suffix}' files as {folder}; give a file ({', '.join(suffixes)}{graphs}) or a library name")
    return None
