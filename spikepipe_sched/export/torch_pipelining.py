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
from typing import TYPE_CHECKING, Literal

import numpy as np

from spikepipe_sched.check import durations
from spikepipe_sched.errors import InputError, require
from spikepipe_sched.export.bars import drawable
from spikepipe_sched.export.torch_stages import carrying, chain, homes, task_of
from spikepipe_sched.order import ready_in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikepipe_sched.problem import Problem
    from spikepipe_sched.result import Result
    from spikepipe_sched.schedule import Schedule

Kind = Literal["F", "I", "W", "B"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A cell; ``copies`` of `Problem.instance` are the tasks that it stands for, the one whose place it has at the end."""

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
    carrying
        Stages whose neurons' states pass from window to window.
    processors
        The problem's processor of every row; those that hold no layer have none.
    rows
        Actions in the order in which they run.
    moved
        E and W tasks that the schedule has apart from their B, in whose place torch computes them.
    """

    layers: tuple[str, ...]
    windows: int
    micro_batches: int
    carrying: frozenset[int]
    processors: tuple[int, ...]
    rows: tuple[tuple[Action, ...], ...]
    moved: int

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
    task, as 1F1B does, and so have the rows. torch computes E with B, and cannot compute W before B: both
    move to the place of the schedule's B, which `Rows.moved` counts.

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
    layers, windows = chain(problem)
    processors = tuple(sorted(set(homes(problem, schedule, len(layers)))))
    in_order = _in_order(problem, schedule, processors)
    actions = tuple(_joined(problem, schedule, _row(problem, copies, windows)) for copies in in_order)
    rows = Rows(
        layers=layers,
        windows=windows,
        micro_batches=problem.micro_batches,
        carrying=carrying(problem),
        processors=processors,
        rows=actions,
        moved=sum(map(_moved, in_order, actions)),
    )
    for row in actions:
        _check_order(result, rows, row)
    _check_waits(problem, rows)
    return rows


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
    early: dict[tuple[int, int], int] = {}  # W tasks that wait for their B, which torch computes before
    done: set[tuple[int, int]] = set()
    for v in copies:
        kind, stage, chunk = told(v)
        key = (stage, chunk)
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
            actions.append(replace(action, kind="B", copies=(*follows[action].copies, *action.copies)))
        elif not (actions and actions[-1].kind == "B" and action.kind == "W" and (action.stage, action.chunk) == (actions[-1].stage, actions[-1].chunk)):
            actions.append(action)
    return tuple(actions)


def _moved(copies: Sequence[int], row: tuple[Action, ...]) -> int:
    """E and W tasks of a processor that have others between them and their B."""
    place = {v: i for i, v in enumerate(copies)}
    moved = 0
    for action in row:
        *others, own = (place[v] for v in action.copies)
        for other in others:
            low, high = sorted((own, other))
            moved += high - low - 1 > sum(low < each < high for each in others)
    return moved


def _check_order(result: Result, rows: Rows, row: tuple[Action, ...]) -> None:
    """The last stage's chunks in turn; where states pass between windows, these forwards in F, backwards in I and B (and W of the first stage)."""
    passes, last, done = _passes(result.problem, rows.windows), len(rows.layers) - 1, set[tuple[int, bool, int]]()
    others = " or ".join(solver for solver in ("1f1b", "zb-h1", "gpipe") if solver != result.provenance.solver)
    advice = f"solve with --solver {others}" + (", or lower with --windows 1" if rows.windows > 1 else "")
    turn = 0
    for action in row:
        stage, chunk, forward = action.stage, action.chunk, action.kind == "F"
        if action.kind == ("I" if stage == 0 else "W"):  # torch's first stage computes nothing in I, and all in W
            continue
        if forward and stage == last:
            require(
                chunk == turn,
                f"torch-pipelining: the last layer '{rows.layers[last]}' runs {_chunk(rows, chunk)} where {_chunk(rows, turn)} is due: torch's runtime would take "
                f"one chunk's loss for another's, and fail or compute wrong gradients; {advice}",
            )
            turn += 1
        window = chunk % rows.windows
        other = chunk - 1 if forward else chunk + 1
        waits = stage in rows.carrying and (window > 0 if forward else window + 1 < rows.windows and passes[window + 1])
        require(
            not waits or (stage, forward, other) in done,
            f"torch-pipelining: layer '{rows.layers[stage]}' runs {_chunk(rows, chunk)} before window {other % rows.windows} in its {'forward' if forward else 'backward'} pass, "
            f"but torch's stages hand their states on in that order; {advice}",
        )
        done.add((stage, forward, chunk))


def _check_waits(problem: Problem, rows: Rows) -> None:
    """No action comes before one that it waits for, in torch or in the problem: tasks may lack edges that torch's stages have."""
    actions = [action for row in rows.rows for action in row]
    number = {(action.stage, "I" if action.kind == "B" else action.kind, action.chunk): i for i, action in enumerate(actions)}
    cell = np.full(problem.instance.size, -1)
    for i, action in enumerate(actions):
        cell[list(action.copies)] = i
    source, target = cell[problem.instance.source], cell[problem.instance.target]
    reads = (source >= 0) & (target >= 0) & (source != target)
    waits = set(zip(source[reads].tolist(), target[reads].tolist(), strict=True))
    for i, action in enumerate(actions):
        stage, chunk = action.stage, action.chunk
        before = [(stage - 1, "F", chunk)] if action.kind == "F" else [(stage, "F", chunk), (stage + 1, "I", chunk)]
        waits |= {(number[key], i) for key in before if key in number}
    ends = np.cumsum([len(row) for row in rows.rows]).tolist()
    in_turn = [(i, i + 1) for i in range(len(actions) - 1) if i + 1 not in ends]
    u, v = np.array([*waits, *in_turn], dtype=np.int64).reshape(-1, 2).T
    ready = set(ready_in_turn(len(actions), u, v).tolist())
    held = {after for before, after in in_turn if before not in ready}
    for before, after in sorted(waits):
        if before not in ready and after not in held:
            one, other = (task_of(problem, actions[i].copies[-1]) for i in (after, before))
            raise InputError(
                f"torch-pipelining: {one} would wait for {other} for ever: a task graph needs the edges that torch's stages have "
                "(F of a layer to F of the next one, F to B and E, B to B and E of the layer before), and nothing but U may read what W makes"
            )


def _passes(problem: Problem, windows: int) -> list[bool]:
    """Whether a gradient passes from every window to the one before: truncated back-propagation cuts some."""
    if problem.network is None or problem.training is None or problem.training.bptt_steps is None:
        return [True] * windows
    steps, segment = problem.network.time_steps, problem.training.bptt_steps
    return [w * steps // windows % segment > 0 for w in range(windows)]


def _chunk(rows: Rows, chunk: int) -> str:
    micro_batch, window = divmod(chunk, rows.windows)
    return f"micro-batch {micro_batch}" + (f", window {window}" if rows.windows > 1 else "")
