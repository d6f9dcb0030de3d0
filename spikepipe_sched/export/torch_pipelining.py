"""Schedules for the runtime of torch.distributed.pipelining (PyTorch 2.13), which loads them as CSV.

A row for every processor that holds layers; a cell is an action ``[stage][kind][chunk]``. A stage is a
layer: synapses, neurons and the weightless layers behind them. Chunk m * windows + w is window w of
micro-batch m. Kinds:

====  ================================================  ===================================
F     forward                                           F(l, w)
I     error and gradient of the stage's inputs          E(l, w), B(l, w)
W     gradient of its weights                           W(l, w)
B     both at once                                      E(l, w), W(l, w), B(l, w)
====  ================================================  ===================================

U tasks have no cell: an optimizer steps when the runtime has ended. A cell says nothing about time; the
runtime begins an action as soon as the one before it has ended and its inputs are there, sends and
receives what lies between. Its own loader checks less than it needs. Where the last stage takes its
forwards in another order than that of the chunks, it takes one chunk's loss for another's (losses are
appended as they come, and looked up by chunk): it fails, or computes wrong gradients without a word if
the last module returns a view. And it knows nothing of states that pass from window to window. What
would go wrong is refused here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from spikepipe_sched.check import durations
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.export.bars import drawable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule

Kind = Literal["F", "I", "W", "B"]

#: How to get a schedule that keeps whole layers together.
WHOLE_LAYERS: Final = "solve a network with --solver 1f1b, gpipe, zb-h1, zb-h2, zb-v, interleaved or interleaved-zb, a pipeline file with any solver and --placement stages, v or interleaved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A cell; ``copies`` of `Problem.instance` are the tasks that it stands for."""

    stage: int
    kind: Kind
    chunk: int
    copies: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.stage}{self.kind}{self.chunk}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the runtime executes.

    Parameters
    ----------
    layers
        The layer of every stage.
    windows, micro_batches
        Chunk m * windows + w is window w of micro-batch m.
    processors
        The problem's processor of every row; those that hold no layer have none.
    rows
        Actions in the order in which they run.
    """

    layers: tuple[str, ...]
    windows: int
    micro_batches: int
    processors: tuple[int, ...]
    rows: tuple[tuple[Action, ...], ...]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.windows * self.micro_batches

    def to_csv(self) -> str:
        """A line for every row."""
        return "\n".join(",".join(map(str, row)) for row in self.rows) + "\n"


def torch_csv(result: Result) -> str:
    """The schedule as the CSV that torch's runtime loads with the format ``compute_only``.

    Raises
    ------
    InputError
        If there is no schedule, or that runtime cannot run it, or would run it wrongly.
    """
    return torch_rows(result).to_csv()


def torch_rows(result: Result) -> Rows:
    """The actions of every processor, in the order in which they run.

    W stays where the schedule has it if its B has run before. Where W follows directly and nothing that
    reads the gradient starts before it has ended, in all chunks of a layer, the schedule has them as one
    task, as 1F1B does, and so have the rows. torch cannot compute W before B: where nothing but backward
    passes lie between W and B, both become one in the place of the schedule's B; forwards between are
    refused.

    Raises
    ------
    InputError
        As `torch_csv`.
    """
    problem, schedule = drawable(result)
    require(
        problem.mode == "finite",
        "torch-pipelining: a periodic schedule delays gradients, but torch's runtime ends every step with an empty pipeline; solve with --mode finite",
    )
    layers, windows = _stages(problem)
    homes = _homes(problem, schedule, len(layers))
    processors = tuple(sorted(set(homes)))
    rows = Rows(
        layers=layers,
        windows=windows,
        micro_batches=problem.micro_batches,
        processors=processors,
        rows=tuple(_joined(problem, schedule, _row(problem, row, windows)) for row in _in_order(problem, schedule, processors)),
    )
    for row in rows.rows:
        _check_order(problem, rows, row)
    return rows


def _stages(problem: Problem) -> tuple[tuple[str, ...], int]:
    """The layers, a chain, and the number of windows that each has tasks for."""
    tasks = problem.tasks
    found: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for name, kind, part, layer, window in zip(tasks.names, tasks.kinds, tasks.parts, tasks.layer.tolist(), tasks.window.tolist(), strict=True):
        known = layer >= 0 and kind in ("F", "E", "B", "W", "U")
        require(
            known,
            f"torch-pipelining: task '{name}' is no pass of a layer (kinds F, E, B, W, U with a layer each); torch runs forward and backward passes of stages",
        )
        require(
            not part,
            f"torch-pipelining: task '{name}' is a part of a pass ('{part}'), and torch's stages run whole passes; leave out --split and parallel neurons",
        )
        found[layer, kind].append(window)
    windows = sorted(found[0, "F"])
    for layer, name in enumerate(problem.layers):
        for kind in ("F", "W") if layer == 0 else ("F", "B", "W"):
            require(found[layer, kind], f"torch-pipelining: layer '{name}' has no {kind} tasks; every stage of torch learns weights, and passes gradients back")
            same = sorted(found[layer, kind]) == windows
            require(
                same,
                f"torch-pipelining: layers '{problem.layers[0]}' and '{name}' have unlike windows, and torch runs every chunk through all stages; lower with --windows 1",
            )
    layer_of, kinds = tasks.layer, np.array(tasks.kinds)
    forward = (kinds[problem.edges.source] == "F") & (kinds[problem.edges.target] == "F")
    ends = zip(layer_of[problem.edges.source[forward]].tolist(), layer_of[problem.edges.target[forward]].tolist(), strict=True)
    links = {(u, v) for u, v in ends if u != v}
    wanted = set(pairwise(range(len(problem.layers))))
    for u, v in sorted(links ^ wanted):
        wrong = "reads" if (u, v) in links else "does not read"
        raise InputError(
            f"torch-pipelining: layer '{problem.layers[v]}' {wrong} layer '{problem.layers[u]}': torch runs chains alone, without skips, branches or loops over several layers"
        )
    return problem.layers, len(windows)


def _homes(problem: Problem, schedule: Schedule, stages: int) -> list[int]:
    """The processor of every layer."""
    homes: list[tuple[int, int]] = [(-1, -1)] * stages  # and a copy that runs there
    for v, (task, processor) in enumerate(zip(problem.instance.task.tolist(), schedule.processor.tolist(), strict=True)):
        layer = int(problem.tasks.layer[task])
        if problem.tasks.kinds[task] == "U":
            continue
        first, home = homes[layer]
        if home not in (-1, processor):
            one, other = (f"{_name(problem, copy)} on {problem.processors[p].name}" for copy, p in ((first, home), (v, processor)))
            raise InputError(
                f"torch-pipelining: layer '{problem.layers[layer]}' runs on two processors ({one}, {other}), a stage of torch on one; {WHOLE_LAYERS}"
            )
        homes[layer] = (v, processor) if home == -1 else homes[layer]
    return [home for _, home in homes]


def _in_order(problem: Problem, schedule: Schedule, processors: Sequence[int]) -> list[list[int]]:
    """The copies of every processor by start, without updates; tasks of no cycles in topological order."""
    place = np.empty(problem.instance.size, dtype=np.int64)
    place[problem.instance.order] = np.arange(problem.instance.size)
    rows: dict[int, list[int]] = {processor: [] for processor in processors}
    for v in np.lexsort((place, schedule.start)).tolist():
        if problem.tasks.kinds[int(problem.instance.task[v])] != "U":
            rows[int(schedule.processor[v])].append(v)
    return list(rows.values())


def _row(problem: Problem, copies: list[int], windows: int) -> tuple[Action, ...]:
    """The actions of a processor."""
    tasks, instance = problem.tasks, problem.instance

    def told(v: int) -> tuple[str, int, int]:
        task = int(instance.task[v])
        return tasks.kinds[task], int(tasks.layer[task]), int(instance.copy[v]) * windows + max(0, int(tasks.window[task]))

    ends = not any(kind == "B" and layer == 0 for kind, layer in zip(tasks.kinds, tasks.layer.tolist(), strict=True))  # nothing learns before layer 0
    actions: list[Action] = []
    errors: defaultdict[tuple[int, int], tuple[int, ...]] = defaultdict(tuple)
    early: dict[tuple[int, int], int] = {}  # W tasks that wait for their B
    done: set[tuple[int, int]] = set()
    for v in copies:
        kind, stage, chunk = told(v)
        key = (stage, chunk)
        if kind == "F" and early:
            raise InputError(
                f"torch-pipelining: {_name(problem, next(iter(early.values())))} runs before its B with {_name(problem, v)} between them, "
                f"but torch computes a layer's weight gradient after that of its inputs; solve with --solver zb-h1 or 1f1b"
            )
        if kind == "E":
            errors[key] = (v,)
        elif kind == "F":
            actions.append(Action(stage=stage, kind="F", chunk=chunk, copies=(v,)))
        elif kind == "W" and ends and stage == 0:
            actions.append(Action(stage=stage, kind="B", chunk=chunk, copies=(*errors[key], v)))
        elif kind == "W" and key not in done:
            early[key] = v
        elif kind == "W":
            actions.append(Action(stage=stage, kind="W", chunk=chunk, copies=(v,)))
        else:
            done.add(key)
            both = (early.pop(key),) if key in early else ()
            actions.append(Action(stage=stage, kind="B" if both else "I", chunk=chunk, copies=(*errors[key], *both, v)))
    return tuple(actions)


def _joined(problem: Problem, schedule: Schedule, row: tuple[Action, ...]) -> tuple[Action, ...]:
    """I and W as one, in the layers that the schedule has it so."""
    instance = problem.instance
    follows = {
        first: second
        for first, second in pairwise(row)
        if first.kind == "I" and second.kind == "W" and (first.stage, first.chunk) == (second.stage, second.chunk)
    }
    apart = {action.stage for action in row if action.kind == "I" and action not in follows}
    ends = schedule.start + durations(problem, schedule)
    for first, second in follows.items():
        (w,), b = second.copies, first.copies[-1]
        out = np.flatnonzero((instance.source == b) & (instance.target != w))
        readers = instance.target[out]
        arrival = ends[w] + instance.lag[out] + np.where(schedule.processor[readers] == schedule.processor[b], 0, instance.transfer[out])
        if (schedule.start[readers] < arrival).any():
            apart.add(first.stage)
    actions: list[Action] = []
    for action in row:
        if action in follows and action.stage not in apart:
            actions.append(replace(action, kind="B", copies=(*action.copies, *follows[action].copies)))
        elif not (actions and actions[-1].kind == "B" and action.kind == "W" and (action.stage, action.chunk) == (actions[-1].stage, actions[-1].chunk)):
            actions.append(action)
    return tuple(actions)


def _check_order(problem: Problem, rows: Rows, row: tuple[Action, ...]) -> None:
    """Windows forwards in time in F, backwards in I and B (and W of the first stage), and the last stage's chunks in turn."""
    passes, last, done = _passes(problem, rows.windows), len(rows.layers) - 1, set[tuple[int, bool, int]]()
    turn = 0
    for action in row:
        stage, chunk, forward = action.stage, action.chunk, action.kind == "F"
        if action.kind == ("I" if stage == 0 else "W"):  # torch's first stage computes nothing in I, and all in W
            continue
        if forward and stage == last:
            require(
                chunk == turn,
                f"torch-pipelining: the last layer '{rows.layers[last]}' runs {_chunk(rows, chunk)} where {_chunk(rows, turn)} is due: torch's runtime would take "
                "one chunk's loss for another's, and fail or compute wrong gradients; solve with --solver 1f1b or zb-h1",
            )
            turn += 1
        window = chunk % rows.windows
        other = chunk - 1 if forward else chunk + 1
        waits = window > 0 if forward else window + 1 < rows.windows and passes[window + 1]
        require(
            not waits or (stage, forward, other) in done,
            f"torch-pipelining: layer '{rows.layers[stage]}' runs {_chunk(rows, chunk)} before window {other % rows.windows} in its {'forward' if forward else 'backward'} pass, "
            "but torch's stages hand their states on in that order; solve with --solver 1f1b or zb-h1",
        )
        done.add((stage, forward, chunk))


def _passes(problem: Problem, windows: int) -> list[bool]:
    """Whether a gradient passes from every window to the one before: truncated back-propagation cuts some."""
    if problem.network is None or problem.training is None or problem.training.bptt_steps is None:
        return [True] * windows
    steps, segment = problem.network.time_steps, problem.training.bptt_steps
    return [w * steps // windows % segment > 0 for w in range(windows)]


def _chunk(rows: Rows, chunk: int) -> str:
    micro_batch, window = divmod(chunk, rows.windows)
    return f"micro-batch {micro_batch}" + (f", window {window}" if rows.windows > 1 else "")


def _name(problem: Problem, copy: int) -> str:
    """A task, and which micro-batch of it."""
    return f"{problem.tasks.names[int(problem.instance.task[copy])]} of micro-batch {int(problem.instance.copy[copy])}"
