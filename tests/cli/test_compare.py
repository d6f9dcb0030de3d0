"""``compare``: rows, groups, charts, files and exit codes."""

from __future__ import annotations

import json

import pytest

from spikepipe_sched import Result
from spikepipe_sched.catalogue import list_solvers
from spikepipe_sched.recheck import recheck

QUICK = ("compare", "tiny", "--solvers", "stages,sequential", "--processors", "2")


def test_there_is_a_row_for_every_cell(run):
    done = run("compare", "tiny", "--solvers", "stages,sequential", "--processors", "2,3", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [(row["processors"], row["solver"]) for row in rows] == [(2, "stages"), (2, "sequential"), (3, "stages"), (3, "sequential")]
    assert {row["speedup"] for row in rows if row["solver"] == "stages"} == {1.0}
    assert all(row["value"] >= row["bound"] for row in rows)
    assert {"optimises", "ignores", "source", "exact", "bound_source"} <= set(rows[0])


def test_a_solver_asked_for_that_cannot_is_a_row_and_a_failure(run):
    done = run("compare", "tiny", "--solvers", "stages,list", "--processors", "2")
    assert done.code == 1
    assert done.err == ""
    header, stages, unsupported = done.out.splitlines()[:3]
    assert header.split()[:3] == ["processors", "solver", "period"]
    assert "feasible" in stages
    assert "not supported: it schedules finite problems" in unsupported


def test_solvers_of_a_group_that_cannot_are_listed_with_the_reason_and_no_failure(run):
    done = run("compare", "tiny", "--solvers", "all", "--processors", "2", "--mode", "finite", "--micro-batches", "2", "--deterministic-limit", "0.05")
    assert done.code == 0
    assert "on 2 processors without modulo: it schedules periodic problems" in done.out
    assert "not supported" not in done.out


def test_finite_mode_shows_makespans_and_no_delays(run):
    done = run("compare", "tiny", "--solvers", "list,stages", "--processors", "2", "--mode", "finite")
    assert done.code == 0
    assert "makespan" in done.out.splitlines()[0]
    assert "sum of delays" not in done.out


def test_the_best_bound_is_named_once_for_each_number_of_processors(run):
    lines = run("compare", "tiny", "--solvers", "stages,sequential", "--processors", "2,3").out.splitlines()
    assert [line.split(" no period")[0] for line in lines if "no period is below" in line] == ["on 2 processors", "on 3 processors"]


def test_each_solver_says_once_what_it_optimises_ignores_and_proves(run):
    out = run("compare", "tiny", "--solvers", "stages,auto", "--processors", "2,3", "--deterministic-limit", "0.02").out
    about = out.split("\n\n")[1]
    assert [line.split()[0] for line in about.splitlines() if "optimises" in line] == ["stages", "auto"]
    assert about.count(" ignores ") == 2
    assert [line.split("proves")[1].strip() for line in about.splitlines() if " proves " in line] == ["nothing", "optima, where it can"]
    assert "doi:10.1145/3341301.3359646" in about
    assert max(map(len, about.splitlines())) <= 100


def test_the_baseline_can_be_another_solver(run):
    done = run(*QUICK, "--baseline", "sequential")
    assert "over sequential" in done.out.splitlines()[0]
    rows = json.loads(run(*QUICK, "--baseline", "sequential", "--json").out)
    assert {row["solver"]: row["speedup"] for row in rows}["sequential"] == 1
    assert {row["baseline"] for row in rows} == {"sequential"}


@pytest.mark.parametrize(
    ("arguments", "drawn"), [((), 2), (("--no-gantt",), 0), (("--processors", "2,3"), 0), (("--processors", "2,3", "--gantt"), 4), (("--json",), 0)]
)
def test_charts_are_drawn_for_few_schedules_or_when_asked_for(run, arguments, drawn):
    done = run("compare", "tiny", "--solvers", "stages,sequential", *(arguments if "--processors" in arguments else ("--processors", "2", *arguments)))
    assert sum(line.startswith("p0 |") for line in done.out.splitlines()) == drawn


def test_more_than_four_charts_wait_for_the_option(run):
    presets = ",".join([entry.name for entry in list_solvers() if ":" in entry.name][:5])
    job = ("compare", "tiny", "--solvers", presets, "--processors", "2", "--mode", "finite", "--micro-batches", "2")
    assert "p0 |" not in run(*job).out
    assert "p0 |" in run(*job, "--gantt").out


def test_a_json_file_holds_every_schedule(run, tmp_path):
    file = tmp_path / "comparison.json"
    done = run("compare", "tiny", "--solvers", "stages,sequential,list", "--processors", "2,3", "-o", file)
    assert f"written to {file}" in done.out
    document = json.loads(file.read_text())
    assert document["schema"] == "spikepipe-sched/comparison/1"
    assert [(each["processors"], len(each["rows"])) for each in document["comparisons"]] == [(2, 3), (3, 3)]
    for row in (row for each in document["comparisons"] for row in each["rows"]):
        if row["solver"] == "list":
            assert (row["result"], row["length_cycles"]) == (None, None)
            continue
        result = Result.from_json(json.dumps(row["result"]))
        assert not recheck(result)
        assert result.metrics is not None
        assert result.metrics.length_cycles == row["length_cycles"]


def test_the_rows_of_the_file_are_those_of_json(run, tmp_path):
    file = tmp_path / "comparison.json"
    printed = json.loads(run(*QUICK, "--json", "-o", file).out)
    (comparison,) = json.loads(file.read_text())["comparisons"]
    assert [{key: value for key, value in row.items() if key != "result"} for row in comparison["rows"]] == printed


def test_an_html_file_is_a_page(run, tmp_path):
    file = tmp_path / "comparison.html"
    assert run(*QUICK, "-o", file).code == 0
    assert file.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["comparison.txt", "comparison", "missing/comparison.html"])
def test_a_file_that_cannot_be_written_is_found_out_before_the_first_run(run, tmp_path, monkeypatch, name):
    monkeypatch.setattr("spikepipe_sched.cli.run.run", lambda *_: pytest.fail("a solver ran"))
    done = run(*QUICK, "-o", tmp_path / name)
    assert (done.code, done.out) == (2, "")
    assert name in done.err


def test_an_unknown_baseline_is_found_out_before_the_first_run(run, monkeypatch):
    monkeypatch.setattr("spikepipe_sched.cli.run.run", lambda *_: pytest.fail("a solver ran"))
    done = run(*QUICK, "--baseline", "nosuch")
    assert (done.code, done.out) == (2, "")
    assert "nosuch" in done.err


def test_an_interruption_keeps_the_rows_found_and_the_file(run, tmp_path, monkeypatch):
    """Ctrl-C while the second solver runs on the second number of processors."""
    from spikepipe_sched.cli import run as module

    real, calls = module.run, []

    def interrupting(problem, solver, *rest):
        calls.append(solver.spec.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(problem, solver, *rest)

    monkeypatch.setattr(module, "run", interrupting)
    file = tmp_path / "comparison.json"
    done = run("compare", "tiny", "--solvers", "stages,sequential", "--processors", "2,3,4", "-o", file)
    assert done.code == 130
    assert "interrupted" in done.err
    assert [line.split()[:2] for line in done.out.splitlines()[1:4]] == [["2", "stages"], ["2", "sequential"], ["3", "stages"]]
    assert [len(each["rows"]) for each in json.loads(file.read_text())["comparisons"]] == [2, 1]
    assert "on 3 processors interrupted" in done.out


def test_an_interruption_before_the_first_row_writes_nothing(run, tmp_path, monkeypatch):
    def interrupting(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("spikepipe_sched.cli.run.run", interrupting)
    file = tmp_path / "comparison.html"
    done = run(*QUICK, "-o", file)
    assert (done.code, done.out) == (130, "")
    assert not file.exists()


#: GPipe holds six activations where four fit.
PIPELINE = """
stages = 4
micro_batches = 6
activations = 4

[small]
F = [1, 1, 1, 1]
B = [1, 1, 1, 1]
W = [1, 1, 1, 1]
"""


@pytest.mark.parametrize(("solvers", "code"), [("baselines", 0), ("baselines,gpipe", 1), ("gpipe", 1), ("gpipe,stages", 1), ("stages,zb-h1", 0)])
def test_who_finds_no_schedule_fails_only_if_asked_for_by_name(run, tmp_path, solvers, code):
    file = tmp_path / "small.toml"
    file.write_text(PIPELINE)
    done = run("compare", file, "--solvers", solvers)
    assert done.code == code
    assert ("the peak memory of p0 in bytes is 6, the limit 4" in done.out) == (solvers != "stages,zb-h1")


def test_a_group_of_which_nobody_finds_a_schedule_or_one_fails_is_a_failure(run, monkeypatch, tmp_path):
    from spikepipe_sched.cli import run as module

    file = tmp_path / "small.toml"
    file.write_text(PIPELINE)
    monkeypatch.setattr("spikepipe_sched.comparison.solver_names", lambda: ("gpipe",))
    assert run("compare", file, "--solvers", "all").code == 1
    monkeypatch.setattr("spikepipe_sched.comparison.solver_names", lambda: ("1f1b", "stages"))
    real = module.run
    assert run("compare", file, "--solvers", "all").code == 0

    def run_or_crash(problem, solver, *rest):
        if solver.spec.name == "1f1b":
            raise ZeroDivisionError
        return real(problem, solver, *rest)

    monkeypatch.setattr(module, "run", run_or_crash)
    done = run("compare", file, "--solvers", "all")
    assert (done.code, "crashed: ZeroDivisionError" in done.out) == (1, True)


def test_a_group_of_which_nobody_can_is_a_failure(run, monkeypatch):
    monkeypatch.setattr("spikepipe_sched.comparison.solver_names", lambda: ("list",))
    done = run("compare", "tiny", "--solvers", "all", "--processors", "2")
    assert done.code == 1
    assert "without list: it schedules finite problems" in done.out
