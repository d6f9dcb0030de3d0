"""Sweep files: every combination once, every name looked up before anything runs, every defect in one line with its place."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import CostModel, InputError, Limits, Split, SystolicArray, TrainingSetup, solver_names
from spikepipe_sched.lower import lower
from spikepipe_sched.solver import load_solver
from spikepipe_sched.study import sweep_file as module
from spikepipe_sched.study.sweep_file import CostingTable, LimitsTable, SplitTable, Sweep, TrainingTable, read_sweep

PLAIN = 'networks = ["tiny"]\nplatforms = ["array32"]\nsolvers = ["stages"]\n'
FULL = """
name = "everything"
networks = ["tiny", "nmnist_mlp"]
platforms = ["array32", "unlike"]
arrays = ["16x16", "32x8"]
processors = [2, 3]
windows = [1, 2]
solvers = ["stages", "list:heft", "stages"]
seeds = [0, 5]
batch = 8
time_steps = 6
mode = "finite"
micro_batches = 5
objective = ["memory", "makespan"]
deterministic_limit = 2

[training]
loss = "step"
bptt_steps = 3

[costing]
timing = "tight"
vector = false

[limits]
makespan_cycles = 10_000
layer_delay = []

[[splits]]
kind = "W"
axis = "k"
parts = 2
"""


@pytest.fixture
def read(tmp_path):
    def of(text: str):
        path = tmp_path / "some sweep.toml"
        path.write_text(text)
        return read_sweep(path)

    return of


def test_what_is_left_out_has_the_defaults_of_the_command_line(read):
    sweep = read(PLAIN)
    (cell,) = sweep.cells
    assert sweep.name == "some sweep"
    assert (cell.network.name, cell.platform.name, cell.solver, len(cell.platform.processors)) == ("tiny", "array32", "stages", 4)
    assert (cell.setup, cell.cost, cell.limits) == (TrainingSetup(batch=16, windows=4), CostModel(), Limits())
    assert (cell.mode, cell.micro_batches, cell.weights, cell.unroll, cell.seed) == ("periodic", 1, "stash", 1, 0)
    assert read(PLAIN + 'mode = "finite"').cells[0].micro_batches == 8


def test_every_combination_is_a_cell_and_solvers_of_a_problem_stand_together(read):
    sweep = read(FULL)
    assert sweep.name == "everything"
    told = [(c.network.name, c.platform.name, len(c.platform.processors), c.setup.windows, c.solver, c.seed) for c in sweep.cells]
    machines = [f"{name} with {size} arrays" for name in ("array32", "unlike") for size in ("16x16", "32x8")]
    assert told == [
        (network, machine, processors, windows, solver, seed)
        for network in ("tiny", "nmnist_mlp")
        for machine in machines
        for processors in (2, 3)
        for windows in (1, 2)
        for solver in ("stages", "list:heft")
        for seed in (0, 5)
    ]
    cell = sweep.cells[-1]
    assert cell.network.time_steps == 6
    assert cell.platform.classes == {"32x8": SystolicArray(rows=32, cols=8, lanes=8, sram_bytes=196608, dram_bytes_per_cycle=64.0)}
    assert cell.setup == TrainingSetup(batch=8, windows=2, loss="step", bptt_steps=3)
    assert cell.cost == CostModel(timing="tight", vector=False)
    assert (cell.mode, cell.micro_batches, cell.objective) == ("finite", 5, ("memory", "makespan"))
    assert (cell.limits, cell.splits) == (Limits(makespan_cycles=10_000), (Split(kind="W", axis="k", parts=2),))
    assert (cell.deterministic_limit, cell.seed) == (2.0, 5)


def test_the_tables_have_every_field_of_what_they_stand_for():
    for table, core, elsewhere in (
        (TrainingTable, TrainingSetup, {"batch", "windows"}),
        (CostingTable, CostModel, set()),
        (LimitsTable, Limits, set()),
        (SplitTable, Split, set()),
    ):
        assert set(table.__struct_fields__) | elsewhere == {field.name for field in fields(core)}


def test_cells_of_equal_content_are_one(read):
    assert len(read(PLAIN.replace('["array32"]', '["array32", "array32"]') + "seeds = [1, 1]").cells) == 1


def test_files_are_named_relative_to_the_sweep(read, tmp_path):
    (tmp_path / "mine.toml").write_text((files("spikepipe_problems") / "networks" / "tiny.toml").read_text())
    assert read(PLAIN.replace("tiny", "mine.toml")).cells[0].key == read(PLAIN).cells[0].key


def test_a_group_stands_for_the_solvers_that_know_the_mode(read):
    for mode in ("periodic", "finite"):
        cells = read(PLAIN.replace("stages", "all") + f'mode = "{mode}"').cells
        assert [cell.solver for cell in cells] == [name for name in solver_names() if mode in load_solver(name).spec.modes]


def test_nothing_is_lowered(read, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("lowered")

    monkeypatch.setattr("spikepipe_sched.study.cell.lower", refuse)
    assert lower is not refuse
    assert len(read(PLAIN + "windows = [1, 4, 9]").cells) == 3  # 9 windows cannot be lowered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "$: the field 'networks' is missing"),
        (PLAIN + "solver = 1", "$: unknown field 'solver'; did you mean 'solvers'?"),
        (PLAIN.replace("tiny", "tinny"), "$.networks[0]: no library network is called 'tinny'; did you mean 'tiny'"),
        (PLAIN.replace("tiny", "none.toml"), "none.toml: there is no such file"),
        (PLAIN.replace("tiny", "graph.stg"), "a task graph is no network"),
        (PLAIN.replace("array32", "aray32"), "$.platforms[0]: no library platform is called 'aray32'"),
        (PLAIN.replace("stages", "stage"), "$.solvers[0]: there is no solver 'stage'; did you mean 'stages'?"),
        (PLAIN.replace("stages", "list:hft"), "$.solvers[0]: solver 'list' has no preset 'hft'; did you mean 'heft'?"),
        (PLAIN + 'arrays = ["8x8", "8"]', "$.arrays[1]: an array takes ROWSxCOLUMNS such as 32x32, with 1 to 999999 of each, not '8'"),
        (PLAIN + "windows = []", "$.windows: expected a list of 1 to 1000 values"),
        (PLAIN + "processors = [0]", "$.processors[0]: expected a whole number from 1 to 4096, got 0"),
        (PLAIN + "time_limit_s = 1\ndeterministic_limit = 1", "give either time_limit_s or deterministic_limit, not both"),
        (PLAIN + "micro_batches = 2", 'micro_batches belong to mode = "finite"'),
        (PLAIN + 'mode = "finite"\nunroll = 2', "unroll belongs to periodic mode"),
        (PLAIN + 'objective = ["makespan"]', "objective must be one of period, delay, traffic, memory, got 'makespan'"),
        (PLAIN + "[training]\nbatch = 2", "$.training: unknown field 'batch'"),
        (PLAIN + "[training]\nspike_rate = 2", "$.training.spike_rate: expected a number from 0 to 1, got 2"),
        (PLAIN + '[limits]\nlayer_delay = [{layer = "fc9", delay = 1}]', "$.limits.layer_delay[0].layer: network 'tiny' has no layer 'fc9'"),
        (
            PLAIN + '[limits]\nlayer_delay = [{layer = "fc1", delay = 1}, {layer = "fc1", delay = 2}]',
            "$.limits.layer_delay: layer fc1 is named more than once",
        ),
        (PLAIN + "[limits]\nmakespan_cycles = 5", '$: limits.makespan_cycles belongs to mode = "finite"'),
        (PLAIN + 'mode = "finite"\n[limits]\nperiod_cycles = 5', '$: limits.period_cycles belongs to mode = "periodic"'),
        (PLAIN + "seeds = [-1]", "$.seeds[0]: expected a whole number from 0 to 2147483647, got -1"),
        (PLAIN + '[[splits]]\nkind = "W"\naxis = "k"\nparts = 2\nlayer = "fc9"', "$.splits[0].layer: network 'tiny' has no layer 'fc9'"),
        (PLAIN + f"seeds = {list(range(1001))}\nwindows = {list(range(1, 1001))}", "it has 1,001,000 cells, more than 1,000,000"),
        ("networks = [", "not valid TOML"),
    ],
)
def test_a_defect_is_one_line_with_its_place(read, tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path / 'some sweep.toml'}: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


VALUES = st.sampled_from(['"tiny"', "0", "-1", "1.5", "nan", "[]", '["a\\u001b"]', "[[1]]", "{}", "true", '"x' * 2 + '"', "9" * 400, "[1, 2]", '"finite"'])
NAMES = st.sampled_from([*module.SweepFile.__struct_fields__, "training.loss", "limits.layer_delay", "costing.timing", "splits.kind", "other"])


def outcome(path: Path) -> Sweep | str:
    """What the reader makes of the file: a sweep, or the error's one line."""
    try:
        return read_sweep(path)
    except InputError as error:
        return str(error)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3))
def test_whatever_a_file_holds_it_is_a_sweep_or_one_line(tmp_path_factory, odd):
    path: Path = tmp_path_factory.mktemp("fuzz") / "s.toml"
    kept = [line for line in PLAIN.splitlines() if line.partition(" ")[0] not in odd]
    path.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in odd.items())]))
    found = outcome(path)
    if isinstance(found, str):
        assert found.startswith(f"{path}: ")
        assert found.isprintable()
        assert len(found) < 2000
    else:
        assert found.cells


@pytest.mark.parametrize(("name", "shown"), [("b\x1b[31m.toml", r"b\x1b[31m.toml"), ("b\udcff.toml", r"b\udcff.toml"), (f"{'x' * 210}.toml", "xxx.toml")])
def test_a_file_whose_name_no_sweep_can_have_states_one(tmp_path, name, shown):
    (tmp_path / name).write_text(PLAIN)
    with pytest.raises(InputError) as caught:
        read_sweep(tmp_path / name)
    assert str(caught.value).endswith(f"{shown}: $: a sweep cannot have the name of this file; state another: name = ...")
    (tmp_path / name).write_text(PLAIN + 'name = "mine"')
    assert read_sweep(tmp_path / name).name == "mine"


def test_too_many_cells_are_refused_before_their_platforms_are_made(read, monkeypatch):
    monkeypatch.setattr(module, "_platforms", lambda *_: pytest.fail("made"))
    many = f"arrays = {[f'{i}x8' for i in range(1, 1001)]}\nprocessors = {list(range(1, 1002))}"
    with pytest.raises(InputError, match="it has 1,001,000 cells"):
        read(PLAIN + many)


@pytest.mark.parametrize(("field", "library", "changed"), [("networks", "tiny", "time_steps = 3"), ("platforms", "array32", "clock_hz = 7")])
def test_namesakes_are_warned_of(read, tmp_path, field, library, changed):
    text = (files("spikepipe_problems") / field / f"{library}.toml").read_text()
    name = changed.partition(" ")[0]
    assert f"\n{name} = " in text
    (tmp_path / "other.toml").write_text("\n".join(changed if line.startswith(f"{name} = ") else line for line in text.splitlines()))
    with pytest.warns(UserWarning, match=rf"{field}\[0\] and {field}\[2\] are both called '{library}', and rows do not tell them apart"):
        assert len(read(PLAIN.replace(f'"{library}"', f'"{library}", "{library}", "other.toml"')).cells) == 2


def test_the_structure_can_be_described():
    assert set(msgspec.json.schema(module.SweepFile)["$defs"]) >= {"SweepFile", "TrainingTable", "LimitsTable"}
