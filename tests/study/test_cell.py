"""Keys change with everything an answer depends on and with nothing else; whatever goes wrong is a row."""

from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass, replace
from importlib.resources import files
from typing import Any, get_args

import pytest

from spikepipe_sched import (
    CostModel,
    Energy,
    InputError,
    Interconnect,
    Layer,
    Limits,
    Network,
    Platform,
    Split,
    SystolicArray,
    TrainingSetup,
    load_network,
    load_platform,
    solve,
)
from spikepipe_sched.cut import contiguous_cut
from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.export.summary import overhead
from spikepipe_sched.network import Coding
from spikepipe_sched.study import cell as module
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.training import Loss

TINY = load_network("tiny")
MACHINE = load_platform("array32").with_processors(2)
CELL = Cell(network=TINY, platform=MACHINE, setup=TrainingSetup(windows=2), solver="stages", deterministic_limit=0.3)
BUDGET = ("solver", "time_limit_s", "deterministic_limit", "seed")
#: Texts about a network or a platform, which nothing depends on.
SILENT = {(Network, "summary"), (Network, "source"), (Platform, "summary"), (Platform, "source"), (Energy, "source")}

#: Another value for every field of every part; what is not here has one by its type.
OTHERS: dict[tuple[type, str], Any] = {
    (Cell, "network"): replace(TINY, time_steps=8),
    (Cell, "platform"): MACHINE.with_processors(3),
    (Cell, "setup"): TrainingSetup(windows=4),
    (Cell, "cost"): CostModel(stalls=True),
    (Cell, "splits"): (Split(kind="W", axis="k", parts=2),),
    (Cell, "mode"): "finite",
    (Cell, "micro_batches"): 3,
    (Cell, "weights"): "latest",
    (Cell, "objective"): ("delay",),
    (Cell, "limits"): Limits(delay=7),
    (Cell, "solver"): "modulo",
    (Network, "input_shape"): (17,),
    (Network, "layers"): (*TINY.layers, Layer(name="more", kind="linear", inputs=("fc2",), out_features=3)),
    (Network, "coding"): get_args(Coding)[1],
    (Platform, "classes"): {name: replace(array, rows=8) for name, array in MACHINE.classes.items()},
    (Platform, "processors"): (*MACHINE.processors, MACHINE.processors[0]),
    (Platform, "interconnect"): Interconnect(latency_cycles=1),
    (SystolicArray, "energy"): Energy(mac_pj=1.0, add_pj=1.0, vector_pj=1.0, sram_pj_per_byte=1.0, dram_pj_per_byte=1.0, source="made up"),
    (Interconnect, "sharing"): "bus",
    (TrainingSetup, "loss"): get_args(Loss)[1],
    (TrainingSetup, "dgrad"): "transposed",
    (TrainingSetup, "membrane"): "recompute",
    (CostModel, "timing"): "paper",
    (CostModel, "sparsity"): "skip",
    (Limits, "layer_delay"): (("fc1", 2),),
    (Split, "kind"): "F",
    (Split, "axis"): "m",
    (Layer, "kind"): "conv2d",
    (Layer, "inputs"): ("input", "fc1"),
    (Layer, "feedback"): ("input",),
    (Layer, "neuron"): "iir",
    (Layer, "recurrence"): "full",
    (Layer, "norm"): "batch",
}


def other(kind: type, name: str, value: Any) -> Any:
    """A value that differs from ``value``."""
    if (kind, name) in OTHERS:
        return OTHERS[kind, name]
    if value is None:
        return 5
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2
        case str():
            return f"{value}x"
        case tuple():
            return (2, 2)
    raise AssertionError(f"no other value for {kind.__name__}.{name}")


def variants(part: Any) -> list[tuple[str, Any]]:
    """The part once with each of its fields changed."""
    found = []
    for field in fields(part):
        if not field.init:
            continue
        value = other(type(part), field.name, getattr(part, field.name))
        if isinstance(part, SystolicArray) and field.name.endswith("dataflow"):
            value = "os"
        copy = replace(part) if not isinstance(part, Layer) else pickle.loads(pickle.dumps(part))
        object.__setattr__(copy, field.name, value)  # a layer or a limit need not make sense to be told from another
        found.append((field.name, copy))
    return found


def holders() -> list[tuple[Any, Any]]:
    """Every kind of part, and what makes a cell of one."""
    layers = TINY.layers[1:]
    array = next(iter(MACHINE.classes.values()))

    def with_layer(layer: Layer) -> Cell:
        network = pickle.loads(pickle.dumps(TINY))
        object.__setattr__(network, "layers", (layer, *layers))
        return replace(CELL, network=network)

    def with_energy(energy: Energy) -> Cell:
        return replace(CELL, platform=replace(MACHINE, classes=dict.fromkeys(MACHINE.classes, replace(array, energy=energy))))

    split = Split(kind="W", axis="k", parts=2)
    return [
        (TINY, lambda network: replace(CELL, network=network)),
        (TINY.layers[0], with_layer),
        (MACHINE, lambda platform: replace(CELL, platform=platform)),
        (array, lambda array: replace(CELL, platform=replace(MACHINE, classes=dict.fromkeys(MACHINE.classes, array)))),
        (OTHERS[SystolicArray, "energy"], with_energy),
        (MACHINE.interconnect, lambda links: replace(CELL, platform=replace(MACHINE, interconnect=links))),
        (CELL.setup, lambda setup: replace(CELL, setup=setup)),
        (CELL.cost, lambda cost: replace(CELL, cost=cost)),
        (CELL.limits, lambda limits: replace(CELL, limits=limits)),
        (split, lambda split: replace(CELL, splits=(split,))),
    ]


def test_every_field_of_a_cell_is_in_its_key_and_all_but_the_budget_in_that_of_its_problem():
    named = {field.name for field in fields(Cell) if field.init}
    for name in named:
        changed = {name: other(Cell, name, getattr(CELL, name))}
        if name == "micro_batches":
            finite = replace(CELL, mode="finite")
            assert replace(finite, **changed).key != finite.key
            continue
        base = replace(CELL, deterministic_limit=None) if name == "time_limit_s" else CELL
        assert replace(base, **changed).key != base.key, name
        assert (replace(base, **changed).problem_key == base.problem_key) == (name in BUDGET), name


@pytest.mark.parametrize(("part", "cell"), [pytest.param(part, cell, id=type(part).__name__) for part, cell in holders()])
def test_every_field_of_every_part_is_in_the_key(part, cell):
    base = cell(part)
    for name, changed in variants(part):
        assert (cell(changed).problem_key == base.problem_key) == ((type(part), name) in SILENT), name
        assert (cell(changed).key == base.key) == ((type(part), name) in SILENT), name


def test_parts_of_a_cell_are_all_looked_into():
    kinds = {type(part) for part, _ in holders()}
    held = {type(value) for cell in (CELL,) for field in fields(cell) if is_dataclass(value := getattr(cell, field.name))}
    assert held <= kinds


def test_versions_of_the_package_and_of_the_solver_are_in_the_key(monkeypatch):
    monkeypatch.setattr(module, "__version__", "999")
    assert replace(CELL).problem_key != CELL.problem_key
    monkeypatch.undo()
    monkeypatch.setattr(module, "_origin", lambda _: "solvers 999")
    assert replace(CELL).problem_key == CELL.problem_key
    assert replace(CELL).key != CELL.key


def test_the_same_content_from_another_file_has_the_same_key(tmp_path):
    for folder, name in (("networks", "tiny"), ("platforms", "array32")):
        text = (files("spikepipe_problems") / folder / f"{name}.toml").read_text()
        (tmp_path / f"copy_of_{name}.toml").write_text(f"# a comment\n{text}")
    network, platform = load_network(tmp_path / "copy_of_tiny.toml"), load_platform(tmp_path / "copy_of_array32.toml")
    assert replace(CELL, network=network, platform=platform.with_processors(2)).key == CELL.key


def test_parts_that_are_gone_are_not_taken_for_those_that_follow():
    module._digests.clear()
    assert len({replace(CELL, network=replace(TINY, time_steps=steps)).key for steps in range(1, 200)}) == 199


def test_what_makes_no_difference_is_not_in_the_key():
    assert replace(CELL, time_limit_s=99).key == CELL.key  # there is a deterministic limit
    timed = replace(CELL, deterministic_limit=None)
    assert replace(timed, time_limit_s=10).key == replace(timed, time_limit_s=10.0).key
    assert replace(CELL, objective=("period", "delay", "traffic", "memory")).key == CELL.key  # that is the default
    assert pickle.loads(pickle.dumps(CELL)).key == CELL.key
    assert replace(CELL, setup=TrainingSetup(windows=2, spike_rate=1)).key == replace(CELL, setup=TrainingSetup(windows=2, spike_rate=1.0)).key
    limited = replace(CELL, limits=Limits(layer_delay=(("fc1", 2), ("fc2", 3))))
    for same in ((("fc2", 3), ("fc1", 2)), (("fc1", 2), ("fc2", 3), ("fc1", 2)), (("fc1", 5), ("fc2", 3), ("fc1", 2))):
        assert replace(CELL, limits=Limits(layer_delay=same)).key == limited.key


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mode": "perodic"}, "mode must be one of"),
        ({"objective": ("makespan",)}, "objective must be one of"),
        ({"objective": ("period", "period")}, "named twice"),
        ({"micro_batches": 2}, "micro_batches belong to finite mode"),
        ({"mode": "finite", "unroll": 2}, "unroll belongs to periodic mode"),
        ({"unroll": 0}, "unroll must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"seed": 2**31}, "seed must be at most"),
        ({"deterministic_limit": 0.0}, "must be positive"),
        ({"weights": "old"}, "weights must be one of"),
        ({"network": replace(TINY, name="\ud800")}, "not Unicode"),
    ],
)
def test_values_out_of_range_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        replace(CELL, **changed)


@pytest.mark.parametrize(
    "changed",
    [{}, {"unroll": 2, "solver": "modulo"}, {"mode": "finite", "micro_batches": 3, "solver": "1f1b"}, {"splits": (Split(kind="W", axis="k", parts=2),)}],
)
def test_a_row_says_what_the_result_says(changed):
    cell = replace(CELL, **changed)
    row, text = cell.run()
    result = solve(cell.problem(), cell.solver, deterministic_limit=0.3, seed=0)
    figures, first = result.metrics, result.objectives[0]
    assert figures is not None
    assert (row.key, row.problem_key, row.error) == (cell.key, cell.problem_key, "")
    assert row.network_key == replace(cell, seed=1, weights="latest").without("failed", "").network_key
    assert row.network_key != replace(cell, network=replace(TINY, time_steps=TINY.time_steps + 1)).without("failed", "").network_key
    assert (row.network, row.platform, row.array, row.processors, row.pes) == ("tiny", "array32", "32x32", 2, 2 * 32 * 32)
    assert row.objectives == len(result.objectives)
    assert (row.status, row.objective, row.value, row.bound, row.gap) == (str(result.status), first.name, first.value, first.bound, first.gap)
    assert (row.length_cycles, row.traffic_bytes, row.memory_bytes) == (figures.length_cycles, figures.traffic_bytes, figures.memory_bytes)
    assert row.cycles_per_sample == figures.length_cycles / (16 * cell.unroll * cell.micro_batches)
    assert row.samples_per_s == pytest.approx(MACHINE.clock_hz * 16 * cell.unroll * cell.micro_batches / figures.length_cycles)
    assert row.total_delay == sum(delay for _, delay in figures.delays)
    assert row.max_staleness == max([delay - 1 for _, delay in figures.delays], default=0)
    assert row.overhead == overhead(result.problem, figures.traffic_bytes, contiguous_cut(result.problem))
    assert text is not None
    assert type(result).from_json(text).schedule == result.schedule


def test_arrays_of_several_classes_are_named():
    unlike = load_platform("unlike")
    row, _ = replace(CELL, platform=unlike, solver="nobody").run()
    assert row.array == "large+small"
    assert row.pes == sum(unlike.classes[name].processing_elements for name in unlike.processors)


def test_an_infeasible_cell_has_a_reason_and_no_figures():
    row, text = replace(CELL, limits=Limits(period_cycles=1)).run()
    assert text is None
    assert row.status == "infeasible"
    assert not row.failed
    assert "period" in row.error
    assert row.length_cycles is None


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"setup": TrainingSetup(windows=7)}, "failed", "windows=7 is more than the network's 4 time steps"),
        ({"solver": "nobody"}, "failed", "there is no solver 'nobody'"),
        ({"solver": "1f1b"}, "not supported", "it schedules finite problems"),
        ({"limits": Limits(layer_delay=(("fc9", 1),))}, "failed", "there is no layer 'fc9'"),
    ],
)
def test_what_cannot_be_done_is_a_row(changed, status, error):
    row, text = replace(CELL, **changed).run()
    assert (row.status, text, row.value) == (status, None, None)
    assert error in row.error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (MemoryError(), "out of memory"),
        (ZeroDivisionError("two\nlines"), "crashed: ZeroDivisionError: two lines"),
        (ValueError("\ud800\x1b[31m"), r"crashed: ValueError: \ud800\x1b[31m"),
        (SystemExit(4), "crashed: SystemExit: 4"),
        (SpikepipeError("a defect"), "a defect"),
        (RecursionError("x" * 10_000), "crashed: RecursionError: x"),
    ],
)
def test_whatever_a_solver_raises_is_a_row(monkeypatch, raised, error):
    def failing(*_: object, **__: object):
        raise raised

    monkeypatch.setattr(module, "solve", failing)
    row, text = CELL.run()
    assert (row.status, text) == ("failed", None)
    assert row.error.startswith(error)
    assert len(row.error) <= 500


def test_an_interrupted_solve_is_no_answer(monkeypatch):
    stopped = solve(CELL.problem(), "stages", deterministic_limit=0.3)
    stopped = replace(stopped, provenance=replace(stopped.provenance, interrupted=True))
    monkeypatch.setattr(module, "solve", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt):
        CELL.run()


def test_a_schedule_that_could_not_be_read_again_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    row, text = CELL.run()
    assert text is None
    assert row.status == "feasible"
    assert "is not kept" in row.error


def test_neighbours_share_the_problem(monkeypatch):
    module._last.clear()
    problems = []
    monkeypatch.setattr(module, "solve", lambda problem, *_, **__: problems.append(problem) or solve(problem, "stages", deterministic_limit=0.3))
    CELL.run()
    replace(CELL, seed=1).run()
    replace(CELL, unroll=2).run()
    assert problems[0] is problems[1]
    assert problems[2] is not problems[0]
