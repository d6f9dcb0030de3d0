"""Training, task by task, exactly as a schedule runs it: slow, in float64, with NumPy alone.

Every iteration of every task is a run of its own. Runs take place in the order of their starts; each
gets the tensors that the problem's edges bring it, from runs whose results have arrived by then, and
whatever it computes is handed to the edges that leave it. It shares no code with the validator, the
checker or the lowering; delays are those of `tests.replay`, found from events alone.

The replay asserts on its way that
- every tensor has arrived when its reader starts (the update a delay names among them),
- every tensor has as many bytes as the problem says (of 64 bits a value), and
- every tensor that an edge brings is read: the lowering moves nothing that no task needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from spikepipe_sched.network import Network
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.training import TrainingSetup
from tests.replay import Replay
from tests.validate.replay_numpy import Array, Bundle, Neurons, Optimizer, size_of
from tests.validate.replay_tasks import CARRIED, Arithmetic, Batch, Inbox

Weights = Mapping[str, Mapping[str, Array]]
Run = tuple[int, int]


class TrainingReplay:
    """A network in training under a schedule.

    Parameters
    ----------
    network, setup, problem
        What was lowered with ``setup``, whose widths must all be 64 bits, and its problem.
    schedule
        A feasible one.
    initial
        Version 0 of the weights, {layer: {parameter: values}}.

    Attributes
    ----------
    weights
        The newest, after `train`.
    versions
        {(kind, layer, iteration): versions that these tasks have read}, kind F or B (all that is no F).
    arithmetic
        Its ``margin`` is the least distance of a potential from the threshold, ``losses`` those of every iteration.
    """

    def __init__(
        self, network: Network, setup: TrainingSetup, problem: Problem, schedule: Schedule, initial: Weights, neurons: Neurons, optimizer: Optimizer, loss: str
    ) -> None:
        self.problem, self.optimizer = problem, optimizer
        self.times = Replay(problem, schedule)
        self.delays = self.times.delays() if self.times.periodic else ({}, {})
        tasks = problem.tasks
        own = {problem.layers[int(layer)] for kind, part, layer in zip(tasks.kinds, tasks.parts, tasks.layer, strict=True) if kind == "E" and part != "synapse"}
        self.arithmetic = Arithmetic(network, setup, neurons, loss, own_errors=own, samples=setup.batch * problem.micro_batches)
        self.network = network
        self.weights: dict[str, Bundle] = {layer: {name: np.array(value, dtype=float) for name, value in values.items()} for layer, values in initial.items()}
        self.state = {layer: optimizer.initial(values) for layer, values in self.weights.items()}
        self.versions: dict[tuple[str, str, int], set[int]] = defaultdict(set)
        self.into: dict[int, list[int]] = defaultdict(list)
        self.out_of: dict[int, dict[str, int]] = defaultdict(dict)
        for e, (source, target) in enumerate(zip(problem.edges.source.tolist(), problem.edges.target.tolist(), strict=True)):
            self.into[target].append(e)
            self.out_of[source] |= {problem.tensors[t]: int(problem.tensor_bytes[t]) for t in self.times.tensors(e)}

    def train(self, batches: list[Batch]) -> None:
        """Run all tasks: one iteration for every batch (periodic), or one after another run of all micro-batches (finite)."""
        together = len(batches) if self.times.periodic else self.problem.micro_batches
        for first in range(0, len(batches), together):
            self._train(batches[first : first + together], first // together)

    def _train(self, batches: list[Batch], updates: int) -> None:
        """``updates`` have been made before."""
        before = {layer: self._packed(self.weights[layer]) | {"optimizer": self.state[layer]} for layer in self.weights}
        sent: dict[Run, dict[str, Any]] = {}
        for run in self._in_order(len(batches)):
            inbox = Inbox(self._collect(run, sent, before, updates))
            sent[run] = self._execute(run, inbox, batches[run[1]], updates + run[1])
            self._check(run, inbox, sent[run])

    def _in_order(self, iterations: int) -> list[Run]:
        """By start; of runs with the same start the earlier iteration first, then in the order of the graph."""
        edges = self.problem.edges
        graph: dict[int, set[int]] = {task: set() for task in range(len(self.problem.tasks.names))}
        for e in np.flatnonzero(edges.distance == 0).tolist():
            graph[int(edges.target[e])].add(int(edges.source[e]))
        place = {task: i for i, task in enumerate(TopologicalSorter(graph).static_order())}
        runs = [(task, j) for task in graph for j in range(1 if self.times.single(task) else iterations)]
        return sorted(runs, key=lambda run: (self.times.start(run), run[1], place[run[0]]))

    def _collect(self, run: Run, sent: dict[Run, dict[str, Any]], before: dict[str, Any], updates: int) -> dict[str, list[Any]]:
        """{tensor: its values, by window and iteration of the producers}."""
        found: dict[str, list[tuple[int, int, Any]]] = defaultdict(list)
        for e in self.into[run[0]]:
            tensors = [self.problem.tensors[t] for t in self.times.tensors(e)]
            for producer in self._producers(e, run):
                task, iteration = producer
                if iteration >= 0:
                    assert self.times.ready(e, producer, run) <= self.times.start(run), (
                        f"{self._name(run)} starts before the results of {self._name(producer)} arrive"
                    )
                    values = sent[producer]
                else:
                    layer = self.problem.layers[int(self.problem.tasks.layer[task])]
                    values = {f"{layer}.{part}": value for part, value in before[layer].items()}
                # Gradients of a normalisation's scale and shift, a few values, go with the error.
                beside = [name for tensor in tensors if (name := tensor.replace(".error[", ".norm_gradient[")) != tensor and name in values]
                for tensor in tensors if self.problem.tasks.kinds[run[0]] != "W" else tensors + beside:
                    found[tensor].append((iteration, int(self.problem.tasks.window[task]), values[tensor]))
                if (layer := int(self.problem.edges.delay_layer[e])) >= 0:
                    kind = "F" if self.problem.tasks.kinds[run[0]] == "F" else "B"
                    reading, version = (run[1], max(0, iteration + 1)) if self.times.periodic else (updates, updates)
                    self.versions[kind, self.problem.layers[layer], reading].add(version)
        return {tensor: [value for *_, value in sorted(values, key=lambda entry: entry[:2])] for tensor, values in found.items()}

    def _producers(self, edge: int, run: Run) -> list[Run]:
        """Runs whose results an edge brings to a run; iteration -1: what was there before."""
        edges, task = self.problem.edges, int(self.problem.edges.source[edge])
        layer, distance = int(edges.delay_layer[edge]), int(edges.distance[edge])
        if not self.times.periodic and self.times.single(run[0]) and distance == 0:
            return [(task, j) for j in range(1 if self.times.single(task) else self.problem.micro_batches)]
        if not self.times.periodic and self.times.single(task):
            return [(task, -1)]
        if layer >= 0:
            distance = self.delays[0 if self.problem.tasks.kinds[run[0]] == "F" else 1][layer]
        return [(task, max(-1, run[1] - distance))]

    def _execute(self, run: Run, inbox: Inbox, batch: Batch, update: int) -> dict[str, Any]:
        tasks, sums = self.problem.tasks, self.arithmetic
        kind, part, window = tasks.kinds[run[0]], tasks.parts[run[0]], int(tasks.window[run[0]])
        layer = self.network.layer(self.problem.layers[int(tasks.layer[run[0]])])
        match kind, part:
            case "F", "synapse":
                return sums.currents(layer, window, inbox, batch)
            case "F", "neuron":
                return sums.products(layer, window, inbox)
            case "F", "":
                return sums.forward(layer, window, inbox, batch)
            case "E", "synapse":
                return sums.earlier_error(layer, window, inbox)
            case "E", _:
                return sums.error(layer, window, inbox, batch)
            case "B", "":
                return sums.input_error(layer, window, inbox, batch)
            case "W", "neuron":
                return sums.temporal_gradient(layer, window, inbox)
            case "W", _:
                return sums.gradient(layer, window, inbox, batch, {name: value.shape for name, value in self.weights[layer.name].items()})
            case "U", _:
                return self._update(layer.name, inbox, update)
        raise AssertionError(f"the replay knows no task {tasks.names[run[0]]}")

    def _update(self, layer: str, inbox: Inbox, number: int) -> dict[str, Any]:
        """U: sum the windows' gradients in their order, make the next version."""
        gradient: Bundle = {}
        for tensor in ("gradient", "temporal_gradient"):
            if f"{layer}.{tensor}" in inbox.tensors:
                for part in inbox.all(f"{layer}.{tensor}"):
                    gradient |= {name: gradient[name] + value if name in gradient else value for name, value in part.items()}
        weights: Bundle = {}
        for part in self._packed(self.weights[layer]):
            weights |= inbox[f"{layer}.{part}"]
        # Its own results stay with it from one update to the next.
        self.weights[layer], self.state[layer] = self.optimizer.update(weights, gradient, inbox[f"{layer}.optimizer"], number)
        return {f"{layer}.{part}": value for part, value in (self._packed(self.weights[layer]) | {"optimizer": self.state[layer]}).items()}

    def _packed(self, weights: Bundle) -> dict[str, Any]:
        """Parameters by the tensor that carries them."""
        packed = {part: {name: weights[name] for name in names if name in weights} for part, names in CARRIED.items()}
        return {part: values for part, values in packed.items() if values}

    def _check(self, run: Run, inbox: Inbox, sent: dict[str, Any]) -> None:
        unread = set(inbox.tensors) - inbox.read
        assert not unread, f"edges bring {self._name(run)} {sorted(unread)}, which it does not read"
        for tensor, size in self.out_of[run[0]].items():
            assert tensor in sent, f"{self._name(run)} is to send {tensor}, which it does not make"
            made = size_of(sent[tensor])
            assert made == size, f"{self._name(run)} makes {made} bytes of {tensor}, the problem says {size}"

    def _name(self, run: Run) -> str:
        return f"{self.problem.tasks.names[run[0]]} of iteration {run[1]}"
