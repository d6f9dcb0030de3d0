"""Training at a schedule's weight versions: the validator, a replay of the schedule's tasks and plain PyTorch agree.

Three programs that share no code: `Trainer` trains layer by layer from a table of versions; `TrainingReplay`
runs the tasks one by one in the order of their starts, in NumPy; `plain` is a step loop with autograd.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched.layer import Layer
from spikepipe_sched.lower import lower
from spikepipe_sched.network import Network
from spikepipe_sched.problem import Problem
from spikepipe_sched.schedule import Schedule
from spikepipe_sched.solver import solve
from spikepipe_sched.training import TrainingSetup
from spikepipe_sched.validate.model import Model
from spikepipe_sched.validate.neurons import NeuronSettings
from spikepipe_sched.validate.optimise import OptimizerSettings
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.versions import WeightDelays
from tests.helpers import platform
from tests.lower.graphs import conv, linear
from tests.validate import plain
from tests.validate.replay_numpy import Array, Neurons, Optimizer
from tests.validate.replay_tasks import Batch
from tests.validate.replay_training import TrainingReplay

STEPS, CLASSES, SAMPLES = 4, 3, 3
#: The replay counts the bytes of its float64 arrays against the problem's.
WIDTHS = {"weight_bits": 64, "gradient_bits": 64, "membrane_bits": 64, "activation_bits": 64, "spike_bits": 64}


def layer(name: str, kind: Any, *inputs: str, **fields: Any) -> Layer:
    return Layer(name=name, kind=kind, inputs=inputs, **fields)


def network(*layers: Layer, shape: tuple[int, ...] = (6,)) -> Network:
    return Network(name="net", input_shape=shape, time_steps=STEPS, layers=layers, coding="direct")


NETWORKS = {
    "mlp": network(linear("a", "input", 8, bias=True), linear("b", "a", 7), linear("c", "b", 6), linear("out", "c", CLASSES)),
    "neurons": network(
        linear("a", "input", 8, neuron="if"), linear("b", "a", 7, neuron="iir"), linear("c", "b", 7, neuron="relu"), linear("out", "c", CLASSES, neuron="li")
    ),
    "conv": network(
        conv("a", "input", 4, stride=(2, 1), bias=True),
        layer("pool", "avgpool2d", "a", kernel=(2, 2), stride=(2, 2)),
        conv("b", "pool", 6, groups=2, padding=(1, 2), dilation=(1, 2)),
        layer("max", "maxpool2d", "b", kernel=(2, 2)),
        layer("flat", "flatten", "max"),
        linear("out", "flat", CLASSES, neuron="li"),
        shape=(2, 7, 6),
    ),
    "recurrent": network(
        linear("a", "input", 7, recurrence="full"), linear("b", "a", 6, recurrence="self", bias=True), linear("out", "b", CLASSES, neuron="li")
    ),
    "skip": network(
        linear("a", "input", 7),
        linear("b", "a", 7),
        layer("sum", "add", "a", "b"),
        linear("c", "sum", 5),
        layer("cat", "concat", "c", "sum"),
        linear("out", "cat", CLASSES),
    ),
    "parallel": network(
        linear("a", "input", 7, neuron="psn", bias=True),
        linear("b", "a", 6, neuron="ipsu"),
        layer("c", "neuron", "b", neuron="psn"),
        linear("out", "c", CLASSES, neuron="li"),
    ),
    "sigmoids": network(
        linear("a", "input", 7), linear("b", "a", 6, neuron="psu"), linear("c", "b", 5, neuron="rpsu"), linear("out", "c", CLASSES, neuron="rpsu")
    ),
    "norm": network(
        conv("a", "input", 4, norm="batch"), layer("flat", "flatten", "a"), linear("b", "flat", 6, norm="batch"), linear("out", "b", CLASSES), shape=(2, 4, 3)
    ),
    "late": network(  # feedback that closes no loop, of as many time steps and of others
        linear("a", "input", 7, neuron="none"),
        linear("b", "a", 7),
        layer("sum", "add", "a", "b", feedback=("b",), neuron="lif"),
        linear("c", "sum", 5, feedback=("sum",), time_steps=2),
        layer("cat", "concat", "c", "sum", feedback=("c",)),
        linear("out", "cat", CLASSES, neuron="li"),
    ),
    "layerwise": network(  # time steps of their own; fewer than windows, or shared by none
        linear("a", "input", 7, time_steps=6),
        linear("b", "a", 6, time_steps=3, recurrence="full"),
        linear("ann", "b", 6, neuron="relu", time_steps=1),
        layer("sum", "add", "b", "ann", time_steps=2),
        linear("c", "sum", 5, neuron="psn", time_steps=5),
        linear("out", "c", CLASSES, neuron="li", time_steps=2),
    ),
    "loop": network(
        linear("a", "input", 6, neuron="none"),
        layer("sum", "add", "a", "back", feedback=("back",), neuron="lif"),
        linear("back", "sum", 6),
        linear("out", "sum", CLASSES, neuron="li"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, how it is trained, and the solver that schedules it."""

    network: str | Network
    solver: str = "modulo"
    unroll: int = 1
    processors: int = 3
    sharing: Any = "none"
    weights: str = "stash"
    optimizer: Any = "sgd"
    loss: Any = "rate"
    micro_batches: int | None = None
    setup: dict[str, Any] = field(default_factory=dict)
    neurons: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __str__(self) -> str:
        told = {k: v for k, v in vars(self).items() if k != "network" and v not in ({}, None, getattr(Case, k, None))}
        return f"{self.network}-" + "-".join(f"{k}={v}" for k, v in told.items())


@cache
def scheduled(
    network: Network, setup: TrainingSetup, *, solver: str, processors: int, sharing: Any, weights: Any, unroll: int, micro_batches: int | None
) -> tuple[Problem, Schedule]:
    """What is scheduled, and how; cases that differ in how they train alone share it."""
    options: dict[str, Any] = {"mode": "periodic", "unroll": unroll} if micro_batches is None else {"mode": "finite", "micro_batches": micro_batches}
    machine = platform(processors)
    machine = replace(machine, interconnect=replace(machine.interconnect, sharing=sharing))
    problem = Problem.from_graph(lower(network, setup, machine), machine, weights=weights, **options)
    schedule = solve(problem, solver, deterministic_limit=0.1, workers=1).schedule
    assert schedule is not None
    return problem, schedule


class Trial:
    """A case, scheduled, with initial weights and samples."""

    def __init__(self, case: Case, iterations: int = 14) -> None:
        self.case, self.neurons, self.network = case, Neurons(**case.neurons), NETWORKS[case.network] if isinstance(case.network, str) else case.network
        self.setup = TrainingSetup(**{"batch": SAMPLES, "optimizer_state": 2 if case.optimizer == "adam" else 1, **WIDTHS, **case.setup})
        how = {name: getattr(case, name) for name in ("solver", "processors", "sharing", "weights", "unroll", "micro_batches")}
        self.problem, self.schedule = scheduled(self.network, self.setup, **how)
        self.iterations, self.random = iterations, np.random.default_rng(case.seed)
        self.initial = self._initial()
        shape = (STEPS, SAMPLES, *self.network.input_shape)
        runs = iterations * (case.micro_batches or 1)
        self.batches = [Batch(inputs=self.random.normal(0.3, 1.0, shape), labels=self.random.integers(0, CLASSES, SAMPLES)) for _ in range(runs)]
        self.rate = 0.1 if case.optimizer == "sgd" else 0.02
        rates = tuple(self.rate * (1 + math.cos(math.pi * j / iterations)) / 2 for j in range(iterations))
        self.optimizer = Optimizer(name=case.optimizer, rates=rates)

    def _initial(self) -> dict[str, dict[str, Array]]:
        """Weights with which neurons fire, and nothing is zero."""
        weights = Model(self.network, dtype=torch.float64).initial(0)
        for values in weights.values():
            for name, value in values.items():
                width = 1.5 / math.sqrt(max(1, value[0].numel())) if name in ("weight", "temporal") else 0.3
                value.copy_(torch.from_numpy(self.random.normal(float(name == "scale"), width, value.shape)))
        return {name: {key: value.numpy() for key, value in values.items()} for name, values in weights.items()}

    def replay(self) -> TrainingReplay:
        """The schedule, task by task."""
        replay = TrainingReplay(self.network, self.setup, self.problem, self.schedule, self.initial, self.neurons, self.optimizer, self.case.loss)
        replay.train(self.batches)
        assert replay.arithmetic.margin > 1e-9, "a potential lies so close to the threshold that rounding may decide; take another seed"
        return replay

    def together(self) -> list[Batch]:
        """What one update sees: all of its micro-batches."""
        count = self.case.micro_batches or 1
        groups = [self.batches[i : i + count] for i in range(0, len(self.batches), count)]
        return [Batch(inputs=np.concatenate([b.inputs for b in group], axis=1), labels=np.concatenate([b.labels for b in group])) for group in groups]

    def trainer(self, delays: WeightDelays) -> Any:
        """The validator's weights."""
        initial = self.initial

        class Started(Model):
            def initial(self, seed: int) -> Any:
                return {name: {key: torch.tensor(value) for key, value in values.items()} for name, values in initial.items()}

        model = Started(
            self.network,
            NeuronSettings(**asdict(self.neurons)),
            bptt_steps=self.setup.bptt_steps,
            windows=self.setup.windows,
            micro_batches=self.case.micro_batches or 1,
            dtype=torch.float64,
        )
        optimizer = OptimizerSettings(name=self.case.optimizer, rate=self.rate, schedule="cosine")
        trainer = Trainer(model, delays, policy=self.case.weights, optimizer=optimizer, loss=self.case.loss, updates=self.iterations, seed=0)
        for batch in self.together():
            trainer.step(torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels))
        return {name: {key: value.detach().numpy() for key, value in values.items()} for name, values in trainer.weights.items()}

    def plain(self, delays: WeightDelays | None) -> Any:
        """Plain PyTorch's weights, at the versions of ``delays``."""
        groups = (self.setup.windows, self.case.micro_batches or 1)
        model = plain.Plain(self.network, self.neurons, self.initial, bptt_steps=self.setup.bptt_steps, groups=groups)
        versions = None if delays is None else dict(zip(delays.layers, delays.tables(self.iterations)[0].tolist(), strict=True))
        plain.train(model, self.together(), self.optimizer, self.case.loss, versions)
        return plain.weights_of(model)


def difference(ours: Any, theirs: Any) -> float:
    """The largest relative difference of any layer's parameter: max |a - b| / max |b|."""
    assert {name: set(values) for name, values in ours.items()} == {name: set(values) for name, values in theirs.items()}
    return max(float(np.abs(ours[name][key] - value).max() / np.abs(value).max()) for name, values in theirs.items() for key, value in values.items())


DELAYED = [
    Case(network="mlp"),
    Case(network="mlp", solver="pipedream", processors=4, setup={"windows": 2}, optimizer="adam"),
    Case(network="mlp", solver="spikepipe", setup={"windows": 4, "loss": "step"}, loss="step"),
    Case(network="mlp", solver="spikepipe", sharing="bus", setup={"windows": 2}),
    Case(network="mlp", unroll=2, processors=4, optimizer="adam", setup={"windows": 2, "membrane": "recompute"}),
    Case(network="mlp", solver="layerpipe", setup={"windows": 3}, loss="count-mse", neurons={"reset": "hard", "surrogate": "sigmoid"}),
    Case(network="neurons", setup={"windows": 2}, loss="membrane", neurons={"surrogate": "fast-sigmoid", "surrogate_width": 0.7}),
    Case(network="neurons", solver="spikepipe", optimizer="adam", neurons={"surrogate": "boxcar", "surrogate_width": 1.6, "decay": 0.8}),
    Case(network="conv", solver="pipedream", processors=2),
    Case(network="conv", unroll=2, setup={"windows": 4}),
    Case(network="recurrent", setup={"windows": 4}),
    Case(network="recurrent", solver="spikepipe", processors=4, setup={"windows": 2, "bptt_steps": 2}),
    Case(network="recurrent", unroll=2, optimizer="adam"),
    Case(network="skip", processors=4, setup={"windows": 2}, optimizer="adam"),
    Case(network="skip", solver="spikepipe", setup={"windows": 4, "membrane": "recompute"}),
    Case(network="parallel", setup={"windows": 2}),
    Case(network="parallel", solver="spikepipe", setup={"windows": 4}),
    Case(network="sigmoids", setup={"windows": 2}),
    Case(network="sigmoids", solver="spikepipe", setup={"windows": 4}),
    Case(network="parallel", setup={"windows": 4, "bptt_steps": 2}),
    Case(network="sigmoids", solver="spikepipe", setup={"windows": 2, "bptt_steps": 2}),
    Case(network="norm", solver="spikepipe"),
    Case(network="norm", setup={"windows": 2}),
    Case(network="norm", solver="spikepipe", setup={"windows": 4}),
    Case(network="late", setup={"windows": 1}),
    Case(network="late", solver="spikepipe", setup={"windows": 2}),
    Case(network="late", setup={"windows": 2, "bptt_steps": 2, "membrane": "recompute"}),
    Case(network="late", solver="spikepipe", setup={"windows": 4, "bptt_steps": 2}),
    Case(network="layerwise", setup={"windows": 3}),
    Case(network="layerwise", solver="spikepipe", setup={"windows": 4}),
]
LATEST = [
    Case(network="mlp", solver="spikepipe", weights="latest"),
    Case(network="mlp", weights="latest", unroll=2, setup={"windows": 4}, optimizer="adam"),
    Case(network="conv", solver="spikepipe", weights="latest", setup={"windows": 2}),
    Case(network="recurrent", solver="spikepipe", weights="latest", setup={"windows": 4}),
    Case(network="skip", solver="spikepipe", weights="latest", processors=4),
    Case(network="parallel", weights="latest", setup={"windows": 2}),
    Case(network="sigmoids", solver="spikepipe", weights="latest", setup={"windows": 2}),
    Case(network="norm", solver="spikepipe", weights="latest", setup={"windows": 2}),
    Case(network="layerwise", solver="spikepipe", weights="latest", setup={"windows": 2}),
    Case(network="loop", solver="spikepipe", processors=4, weights="latest", setup={"windows": 4}),
]
#: Those that the step loop of plain PyTorch cannot run: a loop through several layers, and two versions in one iteration.
LOOPS = [Case(network="loop", setup={"windows": 4}), Case(network="loop", solver="spikepipe", setup={"windows": 4, "bptt_steps": 2})]
SYNCHRONOUS = [
    Case(network="mlp", solver="sequential", optimizer="adam"),
    Case(network="conv", solver="sequential", setup={"windows": 2}),
    Case(network="recurrent", solver="sequential", setup={"windows": 4}),
    Case(network="norm", solver="sequential"),
    Case(network="norm", solver="1f1b", micro_batches=2, setup={"windows": 2}),
    Case(network="norm", solver="list", micro_batches=4, optimizer="adam"),
    Case(network="skip", solver="list", micro_batches=1, optimizer="adam"),
    Case(network="mlp", solver="1f1b", micro_batches=4, setup={"windows": 2}, optimizer="adam"),
    Case(network="conv", solver="list", micro_batches=3, setup={"loss": "step", "windows": 2}, loss="step"),
]


@pytest.mark.parametrize("case", DELAYED + LATEST + LOOPS, ids=str)
def test_training_at_the_versions_of_a_schedule_gives_the_weights_of_its_tasks_run_one_by_one(case: Case) -> None:
    trial = Trial(case)
    delays = WeightDelays.of_schedule(trial.problem, trial.schedule)
    tells = delays.forward != delays.backward if case in LATEST else max(delays.forward) > 1
    assert tells, f"{delays} cannot tell right from wrong; take another solver"
    replay = trial.replay()
    assert difference(trial.trainer(delays), replay.weights) <= 1e-12
    if case not in LATEST + LOOPS:
        assert difference(trial.plain(delays), replay.weights) <= 1e-12


@pytest.mark.parametrize("case", DELAYED[:4] + LATEST[:3], ids=str)
def test_the_tasks_of_every_iteration_read_the_versions_of_the_tables(case: Case) -> None:
    trial = Trial(case)
    delays, replay = WeightDelays.of_schedule(trial.problem, trial.schedule), trial.replay()
    for kind, table in zip("FB", delays.tables(trial.iterations), strict=True):
        for name, versions in zip(delays.layers, table.tolist(), strict=True):
            read = [replay.versions[kind, name, j] for j in range(trial.iterations)]
            assert read == [{version} for version in versions] or (kind == "B" and not any(read))  # nothing reads those of the first layer backward


@pytest.mark.parametrize("case", SYNCHRONOUS, ids=str)
def test_without_delays_all_three_train_as_plain_pytorch_does(case: Case) -> None:
    trial = Trial(case, 10)
    delays = WeightDelays.of_schedule(trial.problem, trial.schedule)
    assert delays == WeightDelays.synchronous(delays.layers)
    expected = trial.plain(None)
    assert difference(trial.replay().weights, expected) <= 1e-12
    assert difference(trial.trainer(delays), expected) <= 1e-12


@pytest.mark.parametrize("late", ["a", "out"])
def test_one_more_iteration_of_delay_in_one_layer_shows_in_the_weights(late: str) -> None:
    trial = Trial(DELAYED[0])
    right = WeightDelays.of_schedule(trial.problem, trial.schedule)
    later = tuple(delay + (name == late) for name, delay in zip(right.layers, right.forward, strict=True))
    wrong = replace(right, forward=later, backward=later)
    assert difference(trial.trainer(wrong), trial.replay().weights) > 1e-6


def test_the_replay_misses_an_edge_that_the_graph_lacks() -> None:
    trial = Trial(DELAYED[0])
    graph = lower(trial.network, trial.setup, platform(3))
    graph.remove_edge("F(a,0)", "W(b,0)")
    trial.problem = Problem.from_graph(graph, platform(3), mode="periodic")
    with pytest.raises(KeyError, match=r"a\.out\[0\]"):
        trial.replay()


def test_the_replay_sees_a_task_that_starts_before_its_inputs_arrive() -> None:
    trial = Trial(DELAYED[0])
    task = trial.problem.tasks.names.index("F(b,0)")
    start = trial.schedule.start.copy()
    start[task] = start[trial.problem.tasks.names.index("F(a,0)")]
    trial.schedule = replace(trial.schedule, start=start)
    with pytest.raises(AssertionError, match=r"F\(b,0\) of iteration 0 starts before the results of F\(a,0\) of iteration 0 arrive"):
        trial.replay()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A chain of linear layers with skips, of which some come a step late, any windows, solver, platform and weights."""
    layers, names = list[Layer](), ["input"]
    width = draw(st.integers(3, 6))
    for i in range(draw(st.integers(1, 3))):
        before = names[-1]
        layers.append(
            linear(f"l{i}", before, width, neuron=draw(st.sampled_from(("lif", "if", "iir"))), recurrence=draw(st.sampled_from(("none", "full", "self"))))
        )
        names.append(f"l{i}")
        earlier = draw(st.sampled_from([None, *names[1:-1]]))
        if earlier is not None:
            layers.append(layer(f"s{i}", "add", names[-1], earlier, feedback=draw(st.sampled_from([(), (earlier,)]))))
            names.append(f"s{i}")
    layers.append(linear("out", names[-1], CLASSES, neuron=draw(st.sampled_from(("lif", "li", "none")))))
    unroll = draw(st.integers(1, 3))
    return Case(
        network=network(*layers),
        solver="modulo" if unroll > 1 else draw(st.sampled_from(("modulo", "spikepipe", "pipedream", "sequential"))),
        unroll=unroll,
        processors=draw(st.integers(1, 4)),
        weights=cast("str", draw(st.sampled_from(("stash", "latest")))),
        setup={"windows": draw(st.integers(1, STEPS))},
        seed=draw(st.integers(0, 99)),
    )


@given(case=cases())
@settings(max_examples=12)
def test_any_schedule_of_any_small_network_trains_as_its_replay(case: Case) -> None:
    trial = Trial(case, 8)
    assert difference(trial.trainer(WeightDelays.of_schedule(trial.problem, trial.schedule)), trial.replay().weights) <= 1e-12
