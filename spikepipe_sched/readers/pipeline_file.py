"""TOML files -> pipelines stated by the costs of their stages; strict: an unknown key is an error.

A pipeline file::

    stages = 4                    # in every table below
    micro_batches = [8, 16, 32]   # one number, or several to choose from; may be left out and given later
    transfer = [0, 1]             # latency of what crosses between processors; as above; 0 if left out
    placement = "stages"          # or interleaved, v, free: see `Pipeline.of_stages`; stages if left out
    chunks = 1                    # equal parts of each stage; if left out: 2 where placement is v or interleaved, else 1
    activations = 4               # of whole stages that a processor can hold, or one number each; unlimited if left out

    [balanced]                    # one or more tables, with names of your own
    F = [1, 1, 1, 1]              # cycles of each stage, for one micro-batch
    B = [1, 1, 1, 1]
    W = [1, 1, 1, 1]

``file.toml#balanced`` names one of several tables. With several chunks a cycle of the problem is
1 / chunks of the file's unit of time, since chunks share a stage's cycles out. A byte of the problem
stands for the activation of a chunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from spikepipe_sched.errors import InputError, require, require_one_of, require_whole, shown
from spikepipe_sched.importers.toml import read_toml
from spikepipe_sched.importers.toml_errors import explain, printable
from spikepipe_sched.importers.toml_fields import Natural, Size
from spikepipe_sched.readers.graph_file import GraphFile
from spikepipe_sched.readers.pipeline import PLACEMENTS, Pipeline, Placement

PASSES: Final = ("F", "B", "W")
#: Most chunks of all stages: a task has an entry for every processor, since each is a class of its own.
MAX_CHUNKS: Final = 4096
Stages = Annotated[int, Meta(ge=1, le=1024)]
Chunks = Annotated[int, Meta(ge=1, le=1024)]
Costs = Annotated[list[Natural], Meta(min_length=1, max_length=1024)]

S = TypeVar("S", bound=Struct)


class Head(Struct, forbid_unknown_fields=True, kw_only=True):
    """What all tables of a file share."""

    stages: Stages
    micro_batches: Size | Annotated[list[Size], Meta(min_length=1, max_length=1000)] | None = None
    transfer: Natural | Annotated[list[Natural], Meta(min_length=1, max_length=1000)] = 0
    placement: Placement = "stages"
    chunks: Chunks | None = None
    activations: Size | Annotated[list[Size], Meta(min_length=1, max_length=1024)] | None = None


class Table(Struct, forbid_unknown_fields=True, kw_only=True):
    """The cycles of every stage."""

    F: Costs
    B: Costs
    W: Costs


def is_pipeline(raw: dict[str, Any]) -> bool:
    """Whether a TOML document is meant to hold pipelines: it has stages, or cycles of passes, in a table or not."""
    return "stages" in raw or any(name in place for place in (raw, *raw.values()) if isinstance(place, dict) for name in PASSES)


def read_pipeline(
    path: Path,
    table: str | None = None,
    *,
    micro_batches: int | None = None,
    transfer: int | None = None,
    placement: Placement | None = None,
    chunks: int | None = None,
) -> GraphFile:
    """Read a table of a pipeline file.

    Parameters
    ----------
    table
        Its name; the only one if None.
    micro_batches, transfer, placement, chunks
        In place of the file's.

    Raises
    ------
    InputError
        With the JSON path of a defect, or the names and numbers to choose from.
    """
    raw = read_toml(path)
    outside = any(name in raw for name in PASSES)
    require(not outside, f"{path}: put F, B and W into a table, such as [name]; they stand before the first one")
    costly = any(isinstance(value, dict) and any(name in value for name in PASSES) for value in raw.values())
    require(costly, f"{path}: no table in it has F, B and W, as a pipeline needs; networks are read by load_network")
    head = _convert(path, "", {key: value for key, value in raw.items() if not isinstance(value, dict)}, Head)
    tables = {name: _convert(path, f"table {shown(name)} at ", value, Table) for name, value in raw.items() if isinstance(value, dict)}
    for name, costs in tables.items():
        for key in PASSES:
            count = len(getattr(costs, key))
            require(count == head.stages, f"{path}: table {shown(name)} at $.{key}: {count} stages, but stages = {head.stages}")
    known = printable(", ".join([*tables][:24]))
    require(table is None or table in tables, f"{path}: there is no table {shown(table)}; there are {known}")
    choose: list[str] = []
    if table is None and len(tables) > 1:
        choose.append(f"a table ({path}#NAME with NAME one of {known})")
    runs = micro_batches if head.micro_batches is None else head.micro_batches
    if runs is None:
        raise InputError(f"{path}: $: the field 'micro_batches' is missing; write it into the file, or give it (--micro-batches 8)")
    microbatches = _choice(micro_batches, runs, "--micro-batches", choose)
    latency = _choice(transfer, head.transfer, "--transfer", choose)
    require(not choose, f"{path}: there are several to choose from; name {' and '.join(choose)}")
    name = next(iter(tables)) if table is None else table
    costs, where, activations = tables[name], str(path), head.activations
    kind, parts = head.placement if placement is None else placement, head.chunks if chunks is None else chunks
    require_one_of(where, "placement", kind, PLACEMENTS)
    parts = (2 if kind in ("v", "interleaved") else 1) if parts is None else require_whole(where, "chunks", parts, 1)
    require(head.stages * parts <= MAX_CHUNKS, f"{path}: {head.stages} stages of {parts} chunks are more than {MAX_CHUNKS} chunks")
    try:
        pipeline = Pipeline.of_stages(
            name,
            *(tuple(getattr(costs, key)) for key in PASSES),
            micro_batches=microbatches,
            placement=kind,
            chunks=parts,
            transfer_cycles=latency,
            memory=tuple(activations) if isinstance(activations, list) else activations,
        )
    except InputError as error:
        raise InputError(f"{path}: {printable(str(error))}") from None
    note = "memory is counted in activations: a byte stands for that of a stage"
    if parts > 1:
        note = f"stages are cut into {parts} chunks: a cycle is 1/{parts} of the file's unit of time, and a byte stands for the activation of a chunk"
    return GraphFile(
        path=path,
        name=name,
        graph=pipeline.graph(),
        platform=pipeline.platform(),
        processors="default" if kind == "free" else "fixed",
        micro_batches=microbatches,
        unit=parts,
        note=note,
    )


def _convert(path: Path, where: str, raw: dict[str, Any], kind: type[S]) -> S:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {where}{explain(str(error), raw, kind)}") from None


def _choice(asked: int | None, offered: int | list[int], option: str, choose: list[str]) -> int:
    """What was asked for, or the only number offered; else one line more in ``choose``."""
    numbers = offered if isinstance(offered, list) else [offered]
    if asked is None and len(set(numbers)) > 1:
        choose.append(f"{option} (one of {', '.join(map(str, numbers))})")
    return numbers[0] if asked is None else asked
