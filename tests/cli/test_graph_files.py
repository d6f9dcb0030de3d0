"""Task graphs on the command line: they are scheduled like any network, and nothing is silently ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikepipe_sched import Result
from tests.readers.samples import DOT, GRAPHML, PIPELINE, RESOURCES, STG

#: What is said of the units of a pipeline file.
ACTIVATIONS = "note: memory is counted in activations: a byte stands for that of a stage\n"
QUICK = ("--deterministic-limit", 0.5, "--workers", 1)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a file in every format."""
    several = PIPELINE.replace("micro_batches = 3", "micro_batches = [2, 3]") + PIPELINE[PIPELINE.index("[pair]") :].replace("pair", "twin")
    texts = {
        "a.stg": STG,
        "a.dot": DOT,
        "a.gv": DOT,
        "a.graphml": GRAPHML,
        "a_RM.xml": RESOURCES,
        "pair.toml": PIPELINE,
        "several.toml": several,
        "outside.toml": PIPELINE.replace("[pair]\n", ""),
        "neither.toml": "x = 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options", "mode", "processors", "value"),
    [
        ("a.stg", ("-P", 2), "finite", 2, 9),
        ("a.dot", (), "finite", 3, 10),
        ("a.gv", ("-P", 1), "finite", 1, 12),
        ("a.graphml", ("--resources", "a_RM.xml"), "periodic", 4, 4),
        ("pair.toml", (), "finite", 2, 23),
        ("several.toml#twin", ("--micro-batches", 2, "--transfer", 0, "--max-memory", 2), "finite", 2, 14),
        ("pair.toml", ("--mode", "periodic"), "periodic", 2, 6),
    ],
)
def test_a_file_is_solved_in_the_mode_and_on_the_processors_it_names(run, files, monkeypatch, name, options, mode, processors, value):
    monkeypatch.chdir(files)
    done = run("solve", name, *options, *QUICK, "--json")
    assert (done.code, done.err) == (0, ACTIVATIONS if ".toml" in name else "")
    result = Result.from_json(done.out)
    assert (result.problem.mode, len(result.problem.processors), result.objective) == (mode, processors, value)
    assert [level.name for level in result.objectives] == ["period" if mode == "periodic" else "makespan"]


def test_options_of_a_job_reach_the_problem(run, files):
    options = ("--micro-batches", 3, "--objective", "makespan,traffic", "--max-makespan", 99, "--max-traffic", 70, "--max-span", 98, "--max-memory", 5000)
    problem = Result.from_json(run("solve", files / "a.dot", "-P", 2, *options, *QUICK, "--json").out).problem
    assert (problem.micro_batches, problem.objective, len(problem.processors)) == (3, ("makespan", "traffic"), 2)
    assert (problem.limits.makespan_cycles, problem.limits.traffic_bytes, problem.limits.span_cycles) == (99, 70, 98)
    assert {processor.memory_bytes for processor in problem.processors} == {5000}
    unrolled = Result.from_json(run("solve", files / "a.graphml", "--resources", files / "a_RM.xml", "--unroll", 2, *QUICK, "--json").out).problem
    assert unrolled.unroll == 2


def test_chunks_change_the_units_and_say_so(run, files):
    done = run("solve", files / "pair.toml", "--placement", "v", "--max-memory", 9, *QUICK)
    assert done.code == 0
    assert done.err == "note: stages are cut into 2 chunks: a cycle is 1/2 of the file's unit of time, and a byte stands for the activation of a chunk\n"
    assert "12 tasks on 2 processors" in done.out


def test_compare_takes_the_file_and_its_own_number_of_processors(run, files):
    done = run("compare", files / "a.dot", "--solvers", "list,sequential", "--baseline", "list", *QUICK)
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()[1:3]] == [["3", "list"], ["3", "sequential"]]
    assert run("compare", files / "a.stg", "--solvers", "list", "--baseline", "list", "-P", "1,2", *QUICK).code == 0


def test_pareto_takes_the_file(run, files):
    done = run("pareto", files / "a.dot", "--objectives", "makespan,traffic", "--time-limit", 5, "--workers", 1)
    assert done.code == 0
    assert "makespan" in done.out


def test_show_and_check_know_the_schedule(run, files):
    file = files / "schedule.json"
    assert run("solve", files / "a.stg", "-P", 2, "--solver", "list", "-o", file).code == 0
    assert run("check", file).code == 0
    assert run("show", file).code == 0


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize("name", ["a.stg", "a.dot", "pair.toml"])
def test_a_task_graph_is_no_schedule_file(run, files, command, name):
    done = run(command, files / name)
    assert done.code == 2
    assert done.err.endswith("; a schedule file is needed, such as solve -o writes\n")


def test_a_front_of_delays_needs_updates(run, files):
    done = run("pareto", files / "a.graphml", "--resources", files / "a_RM.xml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: pareto: nothing in the problem is updated, so there is no gradient delay to trade; another front is period,traffic\n"


def test_the_name_of_a_file_cannot_steer_the_terminal(run, tmp_path):
    path = tmp_path / "\x1b[31mred.stg"
    path.write_text("x", encoding="utf-8")
    done = run("solve", path)
    assert done.code == 2
    assert "\\x1b[31mred.stg:1: " in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("a.stg", (), "a.stg: the file does not say on how many processors; give their number, such as --processors 4"),
        ("a.stg", ("-P", 0), "a.stg: the number of processors must be between 1 and 4096, got 0"),
        (
            "a.stg",
            ("-P", 2, "--array", "8x8", "--batch", 4),
            "a.stg: a task graph brings its own cycles and processors, to which --array, --batch cannot apply",
        ),
        ("a.dot", ("--windows", 2), "to which --windows cannot apply"),
        ("a.dot", ("--platform", "array64"), "to which --platform cannot apply"),
        ("a.dot", ("--timing", "roofline", "--no-vector"), "to which --timing, --no-vector cannot apply"),
        (
            "a.dot",
            ("--max-delay", 3, "--weights", "latest"),
            "a.dot: a task graph has no weights that are updated, to which --weights, --max-delay could apply",
        ),
        ("a.dot", ("--transfer", 3), "a.dot: transfer belongs to pipeline files (.toml)"),
        ("a.dot", ("--resources", "a_RM.xml"), "a.dot: resources belong to modulo graphs (.graphml)"),
        ("a.dot", ("--mode", "periodic", "--micro-batches", 3), "a.dot: micro-batches belong to finite mode"),
        ("a.graphml", (), "(--resources FILE.xml); is it 'a_RM.xml'?"),
        ("a.graphml", ("--resources", "none.xml"), "cannot read 'none.xml'"),
        ("a.graphml", ("--resources", "a_RM.xml", "-P", 2), "a.graphml: its tasks are bound to the 4 processors of the file"),
        ("several.toml", (), "name a table (several.toml#NAME with NAME one of pair, twin) and --micro-batches (one of 2, 3)"),
        ("outside.toml", (), "outside.toml: put F, B and W into a table, such as [name]"),
        ("neither.toml", (), "neither.toml: neither a network (input_shape, time_steps, layers), nor a pipeline"),
        ("pair.toml#twin", (), "pair.toml: there is no table 'twin'; there are pair"),
        ("pair.toml", ("-P", 3), "pair.toml: its tasks are bound to the 2 processors of the file; there cannot be 3"),
        ("missing.stg", (), "missing.stg: there is no such file"),
        ("missing.toml#pair", (), "missing.toml: there is no such file"),
        ("missing.gml", (), "a task graph is .stg, .dot, .gv, .graphml or .toml"),
        ("missing", (), "of a task graph .stg, .dot, .gv, .graphml, .toml"),
        ("tiny", ("--transfer", 1, "--chunks", 2), "tiny: --transfer, --chunks cannot apply to a network"),
        ("tiny", ("--placement", "v"), "tiny: --placement cannot apply to a network"),
        ("tiny", ("--micro-batches", 2), "--micro-batches belongs to --mode finite"),
    ],
)
@pytest.mark.parametrize("command", ["solve", "compare", "pareto"])
def test_what_cannot_apply_is_one_line(run, files, monkeypatch, command, name, options, says):
    monkeypatch.chdir(files)
    if command == "compare" and options == ("-P", 0):
        says = "--processors takes whole numbers of at least 1"
    done = run(command, name, *options)
    assert (done.code, done.out) == (2, "")
    error = done.err.removeprefix(ACTIVATIONS)
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert says in error
