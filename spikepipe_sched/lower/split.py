"""Splitting tasks: parts of one matrix product that different arrays run.

The product M x K x N of an F, B or W task is cut over one of its dimensions. Over M or N each part
makes a slice of the result, with its share of the element-wise work. Over K each part makes a sum
over a slice, as large as the result; a task of its own (``part="sum"``) adds them and does the
element-wise work. Parts read slices of their operands where the cut allows it, and all of the
operand where it does not, or where its producer is cut otherwise; a slice counts as a tensor of its
own. Samples are cut whole, with all their steps, and channels with all taps of the kernel. The
updates stay whole, as do products over time, attention, recurrence, and statistics over samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

from spikepipe_sched.cost import Gemm, Work
from spikepipe_sched.errors import require
from spikepipe_sched.lower.graph import GraphBuilder
from spikepipe_sched.lower.plan import Plan, byte_count
from spikepipe_sched.lower.sites import Site

Axis = Literal["m", "k", "n"]
#: What a slice runs over: samples or features of an activation or its gradient, rows or columns of weights.
Along: TypeAlias = str | None

# (kind, role of the tensor) -> by axis, what each part reads a slice of; a missing axis: all of it.
_SLICED: dict[tuple[str, str], dict[Axis, str]] = {
    ("F", "left"): {"m": "samples", "k": "features"},
    ("F", "right"): {"n": "columns", "k": "rows"},
    ("B", "left"): {"m": "samples", "k": "features"},
    ("B", "right"): {"n": "rows", "k": "columns"},
    ("W", "left"): {"m": "features", "k": "samples"},
    ("W", "right"): {"n": "features", "k": "samples"},
    ("F", "parameter"): {"n": "columns"},
    ("B", "parameter"): {"n": "columns"},
    ("F", "result"): {"m": "samples", "n": "features"},
    ("B", "result"): {"m": "samples", "n": "features"},
    ("W", "result"): {"m": "rows", "n": "columns"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Cut the ``kind`` tasks (F, B or W) of a layer, or of all layers that allow it, into ``parts`` over an axis.

    ``axis`` is a dimension of the product M x K x N: for F the samples, the inputs and the neurons
    or channels; for B the samples, the layer's neurons and its inputs; for W the inputs, the samples
    (with all their time steps) and the neurons. Where ``layer`` is empty, layers whose tasks cannot be cut that
    often stay whole.
    """

    kind: Literal["F", "B", "W"]
    axis: Axis
    parts: int
    layer: str = ""

    def __post_init__(self) -> None:
        require(self.kind in ("F", "B", "W"), f"split: kind must be F, B or W, got '{self.kind}'")
        require(self.axis in ("m", "k", "n"), f"split: axis must be m, k or n, got '{self.axis}'")
        require(2 <= self.parts <= 4096, f"split: parts must be between 2 and 4096, got {self.parts}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A split as it applies to one task."""

    split: Split
    parts: tuple[str, ...]
    total: str  # the task that adds the parts of a cut over K, else empty


def split_tasks(plan: Plan, builder: GraphBuilder, splits: tuple[Split, ...]) -> None:
    """Replace the tasks that ``splits`` name by their parts.

    Raises
    ------
    InputError
        If a layer does not exist or its tasks cannot be cut that way, or two splits name the same task.
    """
    chosen: dict[str, Split] = {}
    for split in splits:
        require(not split.layer or split.layer in plan.sites, f"split: the network has no layer '{split.layer}' with tasks; it has {', '.join(plan.sites)}")
        tasks = [v for v, d in builder.graph.nodes(data=True) if d["kind"] == split.kind and split.layer in ("", d["layer"])]
        obstacles = {task: _obstacle(plan, builder, split, task) for task in tasks}
        if split.layer:
            require(tasks, f"split: layer '{split.layer}' has no {split.kind} task")
            hindered = next(((task, why) for task, why in obstacles.items() if why), None)
            require(hindered is None, f"split: {hindered[0]} {hindered[1]}" if hindered else "")
        for task, why in obstacles.items():
            require(why or task not in chosen, f"split: {task} is named by two splits")
            if not why:
                chosen[task] = split
    require(chosen or not splits, "split: no task can be cut that way; name a layer to see why")
    cuts = {task: _cut(plan, builder, task, split) for task, split in chosen.items()}
    _reconnect(builder, cuts)
    for task in cuts:
        builder.remove(task)


def _obstacle(plan: Plan, builder: GraphBuilder, split: Split, task: str) -> str:
    """Why a task cannot be split, or nothing."""
    works = builder.works[task]
    data = builder.graph.nodes[task]
    site = plan.sites[data["layer"]]
    if data["part"] == "neuron":
        return "is a product over time; it stays whole"
    if site.layer.kind == "matmul":
        return "is a product for every sample and head; it stays whole"
    if site.layer.recurrence == "full" and split.kind != "W":
        return "works step by step on all neurons of a recurrent layer; it stays whole"
    if len(works[0].gemms) != 1 or any(work.gemms for work in works[1:]):
        return "is not a single matrix product; it stays whole"
    riding = [plan.sites[name] for name, host in plan.hosts.items() if host == (site.name, data["part"])] if split.kind == "B" else []
    if _runs_over_samples(split) and split.kind != "W" and any(s.layer.norm == "batch" for s in (riding if split.kind == "B" else [site])):
        return "normalises over all samples; it stays whole along them"
    size = _units(plan, split, site, works[0].gemms[0])
    what = "samples" if _runs_over_samples(split) else f"channels or features along {split.axis.upper()}"
    return "" if size >= split.parts else f"cannot be cut into {split.parts} parts: it has {size} {what}"


def _units(plan: Plan, split: Split, site: Site, gemm: Gemm) -> int:
    """What is cut is whole: samples with all their steps and pixels, channels with all taps of the kernel."""
    if _runs_over_samples(split):
        return plan.setup.batch
    size = {"m": gemm.m, "k": gemm.k, "n": gemm.n}[split.axis]
    unrolled = {"F": "k", "W": "m", "B": "k" if plan.setup.dgrad == "transposed" else "n"}[split.kind]
    return size // math.prod(site.layer.kernel) if site.layer.kind == "conv2d" and split.axis == unrolled else size


def _shares(total: int, parts: int) -> list[int]:
    """``total`` in equal parts, up to one."""
    borders = [total * i // parts for i in range(parts + 1)]
    return [b - a for a, b in pairwise(borders)]


def _cut(plan: Plan, builder: GraphBuilder, task: str, split: Split) -> _Cut:
    """Add the parts of a task, and the task that adds them."""
    works, data, count = builder.works[task], builder.graph.nodes[task], split.parts
    (gemm,), axis = works[0].gemms, split.axis
    size, units = {"m": gemm.m, "k": gemm.k, "n": gemm.n}[axis], _units(plan, split, plan.sites[data["layer"]], gemm)
    sizes = [share * (size // units) for share in _shares(units, count)]
    total = f"{task[:-1]},sum)" if axis == "k" else ""
    names = tuple(f"{task[:-1]},{i + 1}/{count})" for i in range(count))
    vector = [_shares(work.vector_ops, count) for work in works]
    stash = _shares(data["stash_bytes"], count)
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        part = _resized(gemm, axis, size)
        first = replace(works[0], gemms=(part,), vector_ops=0 if total else vector[0][i], vector_calls=0 if total else works[0].vector_calls)
        rest = () if total else tuple(replace(work, vector_ops=ops[i]) for work, ops in zip(works[1:], vector[1:], strict=True))
        label = f"{data['part']} {i + 1}/{count}".strip()
        builder.add(
            name,
            kind=split.kind,
            layer=data["layer"],
            window=data["window"],
            part=label,
            works=(first, *rest),
            stash_bytes=0 if total else stash[i],
        )
    if total:
        values = gemm.m * gemm.n * gemm.count
        adding = Work(gemms=(), vector_ops=(count - 1) * values, vector_calls=1, part=works[0].part)
        kept = (replace(works[0], gemms=()), *works[1:])
        label = f"{data['part']} sum".strip()
        builder.add(total, kind=split.kind, layer=data["layer"], window=data["window"], part=label, works=(adding, *kept), stash_bytes=data["stash_bytes"])
        bits = max(array.accumulator_bits for array in builder.platform.classes.values())
        for name in names:
            builder.connect(name, total, {f"{name}.partial": byte_count(values, bits)})
    return _Cut(split=split, parts=names, total=total)


def _resized(gemm: Gemm, axis: Axis, size: int) -> Gemm:
    changed = {"m": gemm.m, "k": gemm.k, "n": gemm.n, axis: size}
    # A cut within samples may leave time steps of unequal size: they count as one.
    steps = gemm.steps if changed[gemm.time_axis] % gemm.steps == 0 else 1
    image = gemm.left_values
    if image is not None:
        image = -(-image * changed["m"] * changed["k"] // (gemm.m * gemm.k))
    return replace(gemm, m=changed["m"], k=changed["k"], n=changed["n"], steps=steps, left_values=image)


def _runs_over_samples(split: Split) -> bool:
    """Whether the axis is that of the samples (times steps and pixels), which are cut whole."""
    return split.axis == ("k" if split.kind == "W" else "m")


def _role(kind: str, layer: str, tensor: str, source_kind: str) -> str:
    """Which operand of a task's product a tensor is; ``parameter``, ``result``: it goes with the element-wise work."""
    part = tensor.rpartition("[")[0] or tensor
    if part == f"{layer}.weights":
        return "right"
    if part == f"{layer}.error":
        return {"B": "left", "W": "right"}.get(kind, "result")
    if source_kind == "F" and part.endswith(".out") and kind in ("F", "W"):
        return "left"
    if part.endswith((".norm", ".recurrent")):  # one for each channel or neuron
        return "parameter"
    return "result"


def _reconnect(builder: GraphBuilder, cuts: dict[str, _Cut]) -> None:
    """Edges of the whole tasks become edges of their parts."""
    graph = builder.graph
    touched = [(u, v, data) for u, v, data in graph.edges(data=True) if u in cuts or v in cuts]
    for u, v, data in touched:
        attributes = {"delay_layer": data["delay_layer"]} if "delay_layer" in data else {"distance": data["distance"]}
        kinds = graph.nodes[u]["kind"], graph.nodes[v]["kind"]
        for tensor, size in data["tensors"].items():
            for source, target, name, count in _slices(cuts.get(u), cuts.get(v), u, v, tensor, size, kinds, graph.nodes[v]["layer"]):
                builder.connect(source, target, {name: count}, **attributes)


def _slices(
    giver: _Cut | None, taker: _Cut | None, u: str, v: str, tensor: str, size: int, kinds: tuple[str, str], layer: str
) -> list[tuple[str, str, str, int]]:
    """(source, target, tensor, bytes) of the edges that carry one tensor from u to v."""
    made, makers = _made(giver, u)
    wanted, takers = _wanted(taker, v, tensor, kinds, layer)
    if made is not None and wanted == made and len(makers) == len(takers):
        return [(a, b, *_slice(tensor, size, made, i, len(makers))) for i, (a, b) in enumerate(zip(makers, takers, strict=True))]
    if made is not None:
        return [(a, b, *_slice(tensor, size, made, i, len(makers))) for i, a in enumerate(makers) for b in takers]
    if wanted is not None:
        return [(makers[0], b, *_slice(tensor, size, wanted, i, len(takers))) for i, b in enumerate(takers)]
    return [(makers[0], b, tensor, size) for b in takers]


def _made(giver: _Cut | None, task: str) -> tuple[Along, tuple[str, ...]]:
    if giver is None or giver.total:
        return None, (giver.total if giver else task,)
    return _SLICED[giver.split.kind, "result"][giver.split.axis], giver.parts


def _wanted(taker: _Cut | None, task: str, tensor: str, kinds: tuple[str, str], layer: str) -> tuple[Along, tuple[str, ...]]:
    if taker is None:
        return None, (task,)
    role = _role(taker.split.kind, layer, tensor, kinds[0])
    if role in ("parameter", "result") and taker.total:
        return None, (taker.total,)
    return _SLICED[taker.split.kind, role].get(taker.split.axis), taker.parts


def _slice(tensor: str, size: int, along: str, place: int, count: int) -> tuple[str, int]:
    return f"{tensor}#{along} {place + 1}/{count}", _shares(size, count)[place]
