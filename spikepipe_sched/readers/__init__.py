"""Task graphs of the field come in: STG, DOT, modulo graphs of high-level synthesis, pipelines in TOML.

`load_problem` takes a file and returns the scheduling problem; `load_graph` stops before it is
compiled. The file's suffix says how it is read. Every defect is an `InputError` of one line that
says where it stands.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_sched.errors import InputError, require, require_one_of, require_whole
from spikepipe_sched.importers import GRAPH_SUFFIXES, list_networks

if TYPE_CHECKING:
    from spikepipe_sched.problem import Mode, Problem
    from spikepipe_sched.readers.graph_file import GraphFile
    from spikepipe_sched.readers.pipeline import Placement

__all__ = ["is_graph_file", "load_graph", "load_problem"]


def is_graph_file(source: str | os.PathLike[str]) -> bool:
    """Whether ``source`` names a task graph rather than a network: by its suffix, or by the tables of its TOML."""
    path, table = _split(source)
    if path.suffix.lower() != ".toml":
        return path.suffix.lower() in GRAPH_SUFFIXES
    if table is not None or not path.is_file():
        return table is not None
    from spikepipe_sched.importers.toml import read_toml
    from spikepipe_sched.readers.pipeline_file import is_pipeline

    return is_pipeline(read_toml(path))


def load_graph(
    source: str | os.PathLike[str],
    *,
    mode: Mode | None = None,
    micro_batches: int | None = None,
    resources: str | os.PathLike[str] | None = None,
    transfer: int | None = None,
    placement: Placement | None = None,
    chunks: int | None = None,
) -> GraphFile:
    """Read a task graph; see `load_problem` for the parameters."""
    path, table = _split(source)
    if not path.exists() and any(entry.name == str(path) for entry in list_networks()):
        raise InputError(f"{path}: a network of the library, no task graph; read it with load_network, and lower makes its tasks")
    require(path.is_file(), f"{path}: {'this is a folder, not a file' if path.is_dir() else 'there is no such file'}")
    suffix = path.suffix.lower()
    if suffix != ".graphml":
        require(resources is None, f"{path}: resources belong to modulo graphs (.graphml)")
    for name, value in (("transfer", transfer), ("placement", placement), ("chunks", chunks)):
        require(value is None or suffix == ".toml", f"{path}: {name} belongs to pipeline files (.toml)")
    if micro_batches is not None:
        require_whole(str(path), "micro_batches", micro_batches, 1)
    if suffix == ".toml":
        from spikepipe_sched.readers.pipeline_file import read_pipeline

        runs = 1 if mode == "periodic" and micro_batches is None else micro_batches  # a schedule that repeats needs no number
        found = read_pipeline(path, table, micro_batches=runs, transfer=transfer, placement=placement, chunks=chunks)
    elif suffix == ".stg":
        from spikepipe_sched.readers.stg import read_stg

        found = read_stg(path)
    elif suffix in (".dot", ".gv"):
        from spikepipe_sched.readers.dot import read_dot

        found = read_dot(path)
    elif suffix == ".graphml":
        from spikepipe_sched.readers.modulo import read_modulo

        found = read_modulo(path, None if resources is None else Path(resources))
    else:
        raise InputError(f"{path}: cannot read '{suffix}' files as task graphs; give a file ({', '.join(GRAPH_SUFFIXES)}, or .toml with a pipeline)")
    if mode is not None:
        require_one_of(str(path), "mode", mode, ("periodic", "finite"))
        found = replace(found, mode=mode)
    require(micro_batches is None or found.mode == "finite", f"{path}: micro-batches belong to finite mode (--mode finite); here the mode is periodic")
    return found if micro_batches is None else replace(found, micro_batches=micro_batches)


def load_problem(
    source: str | os.PathLike[str],
    *,
    processors: int | None = None,
    memory: int | None = None,
    mode: Mode | None = None,
    micro_batches: int | None = None,
    resources: str | os.PathLike[str] | None = None,
    transfer: int | None = None,
    placement: Placement | None = None,
    chunks: int | None = None,
    **options: Any,
) -> Problem:
    """Read a task graph as a scheduling problem.

    Parameters
    ----------
    source
        A file: ``.stg`` (Standard Task Graph), ``.dot`` or ``.gv``, ``.graphml`` (modulo graph of
        HatScheT), or ``.toml`` (pipeline; ``file.toml#name`` for one of several tables). The modules
        of this package state the formats.
    processors
        Number of processors, in place of the file's; STG files, and DOT files without a
        TargetSystem, have none.
    memory
        Memory of every processor: bytes, or activations of whole stages for a pipeline.
    mode
        ``finite`` or ``periodic``; if not given, periodic for modulo graphs and finite for all others.
    micro_batches
        How often the graph is run in finite mode: once if not given, or as a pipeline file says (there it has to stand in one of the two).
    resources
        The file of a modulo graph's resources (``.xml``).
    transfer, placement, chunks
        In place of what a pipeline file says; see `Pipeline.of_stages`.
    **options
        As in `Problem.from_graph`; the objective, if not given, is the makespan, or the period, alone.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, or the options do not go with it.

    Warns
    -----
    RepairWarning
        If edges of a DOT file have numbers, but none that is known to be a transfer.
    """
    found = load_graph(source, mode=mode, micro_batches=micro_batches, resources=resources, transfer=transfer, placement=placement, chunks=chunks)
    return found.problem(processors=processors, memory=memory, **options)


def _split(source: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The file, and the table that ``file.toml#table`` names."""
    text = os.fspath(source)
    end = text.lower().find(".toml#") + len(".toml")
    if end < len(".toml") or Path(text).is_file():
        return Path(text), None
    return Path(text[:end]), text[end + 1 :]
