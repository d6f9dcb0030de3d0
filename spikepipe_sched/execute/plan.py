"""What the processes are to execute: rows of actions, their costs, and the network that is really trained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from spikepipe_sched.check import durations
from spikepipe_sched.export.torch_pipelining import Rows, torch_rows
from spikepipe_sched.layer import INPUT, Layer
from spikepipe_sched.learning import NeuronSettings
from spikepipe_sched.network import Network

if TYPE_CHECKING:
    from spikepipe_sched.result import Result

#: Neurons of a layer, and samples of a micro-batch, where the schedule's own problem has no network.
STAND_IN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an action takes in the schedule.

    Parameters
    ----------
    cycles
        Of its tasks together.
    waits
        Row and place of every action whose results it must wait for, and for how many cycles after their end: transfers, and lags.
    """

    cycles: int
    waits: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A schedule, ready to be executed.

    Parameters
    ----------
    rows
        Actions of every process.
    costs
        Of every action, in the same shape.
    stages
        The layers of every stage: one that learns, the weightless ones behind it, and in the first
        stage those in front of it.
    network
        What is trained.
    stand_in
        Whether it only stands for the layers of a problem that has no network.
    samples
        Samples of a micro-batch.
    bptt_steps
        As in `TrainingSetup`.
    """

    rows: Rows
    costs: tuple[tuple[Cost, ...], ...]
    stages: tuple[tuple[Layer, ...], ...]
    network: Network
    stand_in: bool
    neurons: NeuronSettings
    samples: int
    bptt_steps: int | None
    seed: int

    @staticmethod
    def of_result(result: Result, *, neurons: NeuronSettings | None = None, seed: int = 0) -> Plan:
        """See `spikepipe_sched.execute.execute`.

        Raises
        ------
        InputError
            If PyTorch's runtime cannot execute the schedule.
        """
        rows, problem = torch_rows(result), result.problem
        network, windows = problem.network, rows.windows
        if network is None:
            names = [f"stage{stage}" for stage in range(len(rows.layers))]
            layers = [
                Layer(name=name, kind="linear", inputs=(before,), out_features=STAND_IN, neuron="li" if stage in rows.carrying or windows == 1 else "none")
                for stage, (before, name) in enumerate(pairwise([INPUT, *names]))
            ]
            network = Network(name=problem.name, input_shape=(STAND_IN,), time_steps=windows, layers=tuple(layers))
            learning = names
        else:
            learning = list(rows.layers)
        stages: list[list[Layer]] = [[]]
        for layer in network.layers:
            if layer.name in learning[1:]:
                stages.append([])
            stages[-1].append(layer)
        return Plan(
            rows=rows,
            costs=_costs(result, rows),
            stages=tuple(map(tuple, stages)),
            network=network,
            stand_in=problem.network is None,
            neurons=NeuronSettings() if neurons is None else neurons,
            samples=problem.samples_per_iteration or STAND_IN,
            bptt_steps=None if problem.training is None else problem.training.bptt_steps,
            seed=seed,
        )

    def steps(self, stage: int) -> int:
        """Time steps of a stage's outputs: those of its layer that learns."""
        return next(self.network.steps(layer) for layer in self.stages[stage] if layer.trainable)

    def earliest(self) -> list[list[tuple[int, int]]]:
        """Start and end [cycles] of every action, each as early as those before it allow: what the order promises."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.costs]
        moved = True
        while moved:
            moved = False
            for times, costs in zip(found, self.costs, strict=True):
                while len(times) < len(costs):
                    cost = costs[len(times)]
                    if any(place >= len(found[row]) for row, place, _ in cost.waits):
                        break
                    arrivals = (found[row][place][1] + transfer for row, place, transfer in cost.waits)
                    start = max(times[-1][1] if times else 0, *arrivals, 0)
                    times.append((start, start + cost.cycles))
                    moved = True
        assert all(len(times) == len(costs) for times, costs in zip(found, self.costs, strict=True)), "the rows wait for each other"
        return found


def _costs(result: Result, rows: Rows) -> tuple[tuple[Cost, ...], ...]:
    problem, schedule = result.problem, result.schedule
    assert schedule is not None
    instance, cycles = problem.instance, durations(problem, schedule)
    places = {v: (row, place) for row, actions in enumerate(rows.rows) for place, action in enumerate(actions) for v in action.copies}
    waits: dict[tuple[int, int], dict[tuple[int, int], int]] = {place: {} for place in places.values()}
    apart = schedule.processor[instance.source] != schedule.processor[instance.target]
    for e in np.flatnonzero(apart | (instance.lag > 0)).tolist():
        source, target = places.get(int(instance.source[e])), places.get(int(instance.target[e]))
        if source is not None and target is not None and source != target:
            found = waits[target]
            found[source] = max(found.get(source, 0), int(instance.transfer[e]) * int(apart[e]) + int(instance.lag[e]))
    return tuple(
        tuple(
            Cost(
                cycles=int(cycles[list(action.copies)].sum()),
                waits=tuple((*source, transfer) for source, transfer in waits[row, place].items()),
            )
            for place, action in enumerate(actions)
        )
        for row, actions in enumerate(rows.rows)
    )
