"""Pipelines in TOML, and the problems they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spikepipe_sched import InputError, Pipeline, Problem, load_network, load_problem
from tests.readers.samples import PIPELINE, shape

SEVERAL = """\
stages = 2
micro_batches = [4, 8]
transfer = [0, 3]
[one]
F = [1, 2]
B = [2, 3]
W = [1, 1]
[two]
F = [5, 5]
B = [5, 5]
W = [5, 5]
"""


def read(folder: Path, text: str, table: str = "", **options: Any) -> Problem:
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    return load_problem(f"{path}#{table}" if table else path, **options)


def test_a_file_is_the_pipeline_it_states(tmp_path):
    problem = read(tmp_path, PIPELINE)
    direct = Pipeline.of_stages("pair", (1, 2), (2, 3), (1, 1), micro_batches=3, transfer_cycles=1, memory=(2, 1)).problem(objective=("makespan",))
    assert shape(problem) == shape(direct)
    assert (problem.name, problem.mode, problem.micro_batches, problem.interconnect) == ("pair", "finite", 3, direct.interconnect)
    assert [p.memory_bytes for p in problem.processors] == [2, 1]
    assert problem.objective == ("makespan",)


def test_tasks_of_a_stage_run_on_its_processor(tmp_path):
    tasks, edges = shape(read(tmp_path, PIPELINE))
    assert tasks == {"F(l0)": [1, -1], "F(l1)": [-1, 2], "B(l0)": [2, -1], "B(l1)": [-1, 3], "W(l0)": [1, -1], "W(l1)": [-1, 1]}
    assert set(edges) == {
        ("F(l0)", "F(l1)"),
        ("B(l1)", "B(l0)"),
        *((f"{kind}(l{i})", f"{later}(l{i})") for i in range(2) for kind, later in ("FB", "FW", "BW")),
    }


@pytest.mark.parametrize(
    ("options", "home"),
    [
        ({"chunks": 2}, [0, 0, 1, 1]),
        ({"placement": "interleaved", "chunks": 2}, [0, 1, 0, 1]),
        ({"placement": "interleaved"}, [0, 1, 0, 1]),
        ({"placement": "v"}, [0, 1, 1, 0]),
    ],
)
def test_chunks_share_the_cycles_of_their_stage_out(tmp_path, options, home):
    """Times are doubled, memory counts half activations, and each chunk has the cycles of its processor's stage."""
    problem = read(tmp_path, PIPELINE, **options)
    assert [int(row.argmax()) for row in problem.tasks.cycles[:4]] == home
    assert [int(row.max()) for row in problem.tasks.cycles[:4]] == [(1, 2)[p] for p in home]
    assert [p.memory_bytes for p in problem.processors] == [4, 2]
    assert problem.interconnect.latency_cycles == problem.interconnect.signal_latency_cycles == 2


def test_free_tasks_run_on_any_number_of_processors(tmp_path):
    text = PIPELINE.replace("[2, 1]", "5")
    problem = read(tmp_path, text, placement="free", processors=3)
    assert problem.classes == ("processor",)
    assert [p.memory_bytes for p in problem.processors] == [5, 5, 5]
    assert len(read(tmp_path, text, placement="free").processors) == 2


def test_memory_is_given_in_activations_of_whole_stages(tmp_path):
    assert [p.memory_bytes for p in read(tmp_path, PIPELINE, chunks=3, memory=4).processors] == [12, 12]


def test_one_of_several_is_named(tmp_path):
    problem = read(tmp_path, SEVERAL, "two", micro_batches=8, transfer=3)
    assert (problem.name, problem.micro_batches, problem.interconnect.latency_cycles) == ("two", 8, 3)
    assert read(tmp_path, SEVERAL, "one", micro_batches=5, transfer=7).micro_batches == 5  # what the file lists is a choice, no limit
    assert read(tmp_path, SEVERAL, "one", mode="periodic", transfer=0).mode == "periodic"  # a schedule that repeats needs no number


def test_what_is_left_open_is_listed_in_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, SEVERAL)
    for word in (
        "x.toml: there are several to choose from",
        "x.toml#NAME with NAME one of one, two",
        "--micro-batches (one of 4, 8)",
        "--transfer (one of 0, 3)",
    ):
        assert word in str(caught.value)
    with pytest.raises(InputError) as caught:
        read(tmp_path, SEVERAL, "two", micro_batches=4)
    assert str(caught.value).endswith("x.toml: there are several to choose from; name --transfer (one of 0, 3)")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("stages = 2\n", "", "$: the field 'stages' is missing: a whole number from 1 to 1024"),
        ("stages = 2", "stage = 2", "$: unknown field 'stage'; did you mean 'stages'?"),
        ("micro_batches = 3\n", "", "$: the field 'micro_batches' is missing; write it into the file, or give it (--micro-batches 8)"),
        ("stages = 2", "stages = 3", "table 'pair' at $.F: 2 stages, but stages = 3"),
        ("micro_batches = 3", "micro_batches = 0", "$.micro_batches: expected a whole number from 1 to 2^31"),
        ("micro_batches = 3", "micro_batches = [3, 1.5]", "$.micro_batches[1]: expected a whole number"),
        ("transfer = 1", "transfer = -1", "$.transfer: expected a whole number from 0 to 2^31"),
        ("transfer = 1", 'placement = "w"', "$.placement: expected one of free, interleaved, stages, v, got 'w'"),
        ("transfer = 1", 'placement = "v"\nchunks = 3', "pipeline 'pair': placement 'v' goes there and back once: it needs 2 chunks, got 3"),
        ("[2, 1]", "[2, 1, 1]", "pipeline 'pair': memory needs one entry for each of the 2 processors"),
        ("F = [1, 2]", "F = [1, 2.5]", "table 'pair' at $.F[1]: expected a whole number from 0 to 2^31, got 2.5"),
        ("F = [1, 2]", "F = [1, -2]", "table 'pair' at $.F[1]: expected a whole number from 0 to 2^31, got -2"),
        ("F = [1, 2]", "F = [1]", "table 'pair' at $.F: 1 stages, but stages = 2"),
        ("[pair]\n", "", "put F, B and W into a table, such as [name]; they stand before the first one"),
        (PIPELINE[PIPELINE.index("[pair]") :], "", "no table in it has F, B and W, as a pipeline needs"),
        ("F = [1, 2]\n", "", "table 'pair' at $: the field 'F' is missing"),
        ("F = [1, 2]", "F = [1, 2]\nU = [1, 1]", "table 'pair' at $: unknown field 'U'"),
        ("F = [1, 2]", "F = [1, 2", "not valid TOML: Unclosed array (at line 8, column 1)"),
    ],
)
def test_damage_is_one_line_with_its_place(tmp_path, old, new, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, PIPELINE.replace(old, new))
    assert str(caught.value).startswith(f"{tmp_path / 'x.toml'}: {says}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"processors": 3}, "its tasks are bound to the 2 processors of the file; there cannot be 3"),
        ({"placement": "w"}, "placement must be one of stages, interleaved, v, free, got 'w'"),
        ({"chunks": 3000}, "2 stages of 3000 chunks are more than 4096 chunks"),
        ({"chunks": 0}, "chunks must be at least 1, got 0"),
        ({"micro_batches": 0}, "micro_batches must be at least 1, got 0"),
        ({"transfer": -1}, "pipeline 'pair': transfer_cycles must not be negative, got -1"),
        ({"mode": "sometimes"}, "mode must be one of periodic, finite, got 'sometimes'"),
        ({"mode": "periodic", "micro_batches": 2}, "micro-batches belong to finite mode"),
        ({"memory": 0}, "memory must be at least 1, got 0"),
        ({"objective": ("speed",)}, "problem: 'speed' is not an objective of finite mode"),
        ({"resources": "x.xml"}, "resources belong to modulo graphs (.graphml)"),
    ],
)
def test_options_that_do_not_fit_name_the_file(tmp_path, options, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, PIPELINE, **options)
    assert str(caught.value).startswith(f"{tmp_path / 'x.toml'}: {says}")


def test_an_unknown_table_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"there is no table 'three'; there are one, two$"):
        read(tmp_path, SEVERAL, "three", micro_batches=4, transfer=0)


def test_the_number_of_micro_batches_may_come_later(tmp_path):
    text = PIPELINE.replace("micro_batches = 3\n", "")
    assert read(tmp_path, text, micro_batches=5).micro_batches == 5
    assert read(tmp_path, text, mode="periodic").mode == "periodic"


def test_the_table_is_looked_for_before_numbers_are_chosen(tmp_path):
    (tmp_path / "p.toml").write_text(PIPELINE.replace("micro_batches = 3", "micro_batches = [2, 3]"), encoding="utf-8")
    with pytest.raises(InputError, match=r"there is no table 'nope'; there are pair$"):
        load_problem(f"{tmp_path / 'p.toml'}#nope")


def test_a_table_may_have_the_mark_in_its_name(tmp_path):
    (tmp_path / "p.toml").write_text(PIPELINE + PIPELINE[PIPELINE.index("[pair]") :].replace("pair", '"pair#2"'), encoding="utf-8")
    assert load_problem(f"{tmp_path / 'p.toml'}#pair#2").name == "pair#2"


def test_a_network_is_told_from_a_pipeline(tmp_path):
    with pytest.raises(InputError, match=r"x\.toml: no table in it has F, B and W, as a pipeline needs; networks are read by load_network"):
        read(tmp_path, 'name = "net"\n')


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("x.txt", ": cannot read '.txt' files as task graphs; give a file (.stg, .dot, .gv, .graphml, or .toml with a pipeline)"),
        ("y.stg", ": there is no such file"),
    ],
)
def test_other_files_are_refused(tmp_path, name, says):
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InputError) as caught:
        load_problem(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}{says}"


def test_a_toml_file_that_is_neither_names_both_kinds(tmp_path):
    (tmp_path / "x.toml").write_text('name = "net"\n', encoding="utf-8")
    with pytest.raises(
        InputError, match=r"x\.toml: neither a network \(input_shape, time_steps, layers\), nor a pipeline \(stages, and tables with F, B and W\)"
    ):
        load_network(tmp_path / "x.toml")


def test_a_network_of_the_library_is_told_from_a_task_graph():
    with pytest.raises(InputError, match=r"^tiny: a network of the library, no task graph; read it with load_network, and lower"):
        load_problem("tiny")


def test_a_task_graph_is_told_from_a_network(tmp_path):
    with pytest.raises(InputError, match=r"x\.stg: a task graph is no network; load_problem reads it"):
        load_network(tmp_path / "x.stg")


def test_columns_of_a_pipeline_have_one_length():
    with pytest.raises(InputError, match="B and W must have as many entries as F: 2, got 1 and 2"):
        Pipeline.of_stages("p", (1, 2), (1,), (1, 2), micro_batches=1)
