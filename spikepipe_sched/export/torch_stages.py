"""Is a problem a chain of stages, as torch.distributed.pipelining has them, and does a schedule keep each on one processor?"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING, Final

import numpy as np

from spikepipe_sched.errors import InputError, require

if TYPE_CHECKING:
    from spikepipe_sched.problem import Problem
    from spikepipe_sched.schedule import Schedule

#: How to get a schedule that keeps whole layers together.
WHOLE_LAYERS: Final = "solve a network with --solver 1f1b, gpipe, zb-h1, zb-h2, zb-v, interleaved or interleaved-zb, a pipeline file with any solver and --placement stages, v or interleaved"


def chain(problem: Problem) -> tuple[tuple[str, ...], int]:
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
        found[layer, kind].append(max(0, window))
    windows = sorted(found[0, "F"])
    for layer, name in enumerate(problem.layers):
        for kind in ("F", "B", "W") if layer or found[0, "B"] else ("F", "W"):
            require(found[layer, kind], f"torch-pipelining: layer '{name}' has no {kind} tasks; {_learning(problem, name)}")
            same = sorted(found[layer, kind]) == windows
            require(
                same,
                f"torch-pipelining: layers '{problem.layers[0]}' and '{name}' have unlike windows, and torch runs every chunk through all stages; lower with --windows 1",
            )
    once = windows == list(range(len(windows)))
    require(
        once, f"torch-pipelining: layer '{problem.layers[0]}' has tasks for the windows {windows}: torch's chunks are windows 0, 1, 2, ..., each of them once"
    )
    _require_equal_windows(problem, len(windows))
    edges, layer_of, window_of, kinds = problem.edges, tasks.layer, tasks.window, np.array(tasks.kinds)
    forward = (kinds[edges.source] == "F") & (kinds[edges.target] == "F") & (layer_of[edges.source] != layer_of[edges.target])
    source, target = edges.source[forward], edges.target[forward]
    for u, v in zip(source.tolist(), target.tolist(), strict=True):
        if window_of[u] == window_of[v]:
            continue
        raise InputError(
            f"torch-pipelining: task '{tasks.names[v]}' reads another window, '{tasks.names[u]}': torch's stages read the chunk that they run; lower with --windows 1"
        )
    links = set(zip(layer_of[source].tolist(), layer_of[target].tolist(), strict=True))
    wanted = set(pairwise(range(len(problem.layers))))
    for u, v in sorted(links ^ wanted):
        wrong = "reads" if (u, v) in links else "does not read"
        raise InputError(
            f"torch-pipelining: layer '{problem.layers[v]}' {wrong} layer '{problem.layers[u]}': torch runs chains alone, without skips, branches or loops over several layers"
        )
    return problem.layers, len(windows)


def _learning(problem: Problem, layer: str) -> str:
    """What to do about a layer without weights."""
    kinds = {} if problem.network is None else {each.name: each.kind for each in problem.network.layers}
    if kinds.get(layer) == "neuron":
        return "neurons alone are no stage of torch, as they learn nothing: give the layer with weights in front of them that neuron (a pool between them then follows it)"
    return "every stage of torch learns weights, and passes gradients back"


def _require_equal_windows(problem: Problem, windows: int) -> None:
    """Refuse chunks of unlike size, and layers whose windows would not meet one to one."""
    network = problem.network
    if network is None:
        return
    found = {f"'{network.name}'": network.time_steps} | {f"layer '{layer.name}'": network.steps(layer) for layer in network.layers if layer.trainable}
    fits = gcd(*found.values())
    for name, steps in found.items():
        require(
            steps % windows == 0,
            f"torch-pipelining: {windows} windows cut the {steps} time steps of {name} unevenly, but torch's chunks are of one size; "
            f"lower with --windows {f'that divide {fits}' if fits > 1 else 1}",
        )


def carrying(problem: Problem) -> frozenset[int]:
    """Layers whose state passes from window to window: those with such neurons, or without a network those whose passes wait for other windows."""
    if problem.network is not None:
        stateful = {layer.name for layer in problem.network.layers if layer.stateful}
        return frozenset(i for i, name in enumerate(problem.layers) if name in stateful)
    tasks, edges = problem.tasks, problem.edges
    u, v = edges.source, edges.target
    passes = np.array([kind != "U" for kind in tasks.kinds])
    joined = passes[u] & passes[v] & (tasks.layer[u] == tasks.layer[v]) & (tasks.window[u] != tasks.window[v])
    return frozenset(tasks.layer[u[joined]].tolist())


def homes(problem: Problem, schedule: Schedule, stages: int) -> list[int]:
    """The processor of every layer."""
    found: list[tuple[int, int]] = [(-1, -1)] * stages  # and a copy that runs there
    for v, (task, processor) in enumerate(zip(problem.instance.task.tolist(), schedule.processor.tolist(), strict=True)):
        layer = int(problem.tasks.layer[task])
        if problem.tasks.kinds[task] == "U":
            continue
        first, home = found[layer]
        if home not in (-1, processor):
            one, other = (f"{task_of(problem, copy)} on {problem.processors[p].name}" for copy, p in ((first, home), (v, processor)))
            raise InputError(
                f"torch-pipelining: layer '{problem.layers[layer]}' runs on two processors ({one}, {other}), a stage of torch on one; {WHOLE_LAYERS}"
            )
        found[layer] = (v, processor) if home == -1 else found[layer]
    return [home for _, home in found]


def task_of(problem: Problem, copy: int) -> str:
    """A task, and which micro-batch of it."""
    return f"{problem.tasks.names[int(problem.instance.task[copy])]} of micro-batch {int(problem.instance.copy[copy])}"
