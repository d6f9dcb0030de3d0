"""``plan``: the choice, its schedule file, and exit codes."""

from __future__ import annotations

import json

import pytest

from spikepipe_sched import Result
from spikepipe_sched.plan_search import Search
from spikepipe_sched.recheck import recheck

SMALL = ("plan", "tiny", "--windows", "1", "--arrays", "8x8,16x16", "--max-processors", "4", "--deterministic-limit", "0.3")


def test_a_budget_gives_a_choice_a_proof_and_a_schedule_that_solve_could_have_written(run, tmp_path):
    file = tmp_path / "schedule.json"
    done = run(*SMALL, "--pe-budget", "256", "-o", file)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("plan    tiny on array32: the shortest period with at most 256 processing elements")
    assert lines[1].startswith("chosen  4 arrays of 8x8: 256 elements, a period of")
    assert "no period is shorter" in lines[2]
    assert lines[-1] == f"written to {file}"
    result = Result.from_json(file)
    assert not recheck(result)
    assert len(result.problem.processors) == 4
    assert run("check", file).code == 0


def test_json_is_the_plan_and_nothing_else(run):
    document = json.loads(run(*SMALL, "--target-period", "3000", "--json").out)
    assert (document["target_cycles"], document["pe_budget"], document["chosen"]["processors"]) == (3000, None, 1)
    assert document["chosen"]["length_cycles"] <= 3000
    assert document["result"]["schedule"]["period_cycles"] == document["chosen"]["length_cycles"]


def test_a_finite_target_is_a_makespan(run):
    done = run(*SMALL, "--mode", "finite", "--micro-batches", "2", "--target-makespan", "100000")
    assert done.code == 0
    assert "1 array of 8x8: 64 elements, a makespan of" in done.out


def test_without_arrays_sizes_around_the_platforms_are_tried_and_stated(run):
    out = run("plan", "tiny", "--windows", "1", "--array", "4x8", "--pe-budget", "64", "--solver", "stages").out
    assert "sizes   1x2, 2x4, 4x8, 8x16, 16x32" not in out
    assert "sizes   1x2, 2x4, 4x8, all arrays alike, at most 8, as many as there are tasks to run; one" in out


def test_a_target_that_is_not_reached_is_exit_code_1_with_what_is_proven(run, tmp_path):
    file = tmp_path / "schedule.json"
    done = run(*SMALL, "--target-period", "20", "-o", file)
    assert done.code == 1
    assert done.err.startswith("error: the shortest period found is ")
    assert "; proven: none is below " in done.err
    assert f"{file} is left as it was" in done.err
    assert not file.exists()
    assert "chosen  nothing; proven: no number of such arrays can" in done.out


def test_limits_hold_and_without_a_choice_within_them_the_code_is_1(run):
    done = run(*SMALL, "--pe-budget", "256", "--max-memory", "8")
    assert (done.code, done.out.splitlines()[1]) == (1, "chosen  nothing")
    assert done.err == "error: no schedule was found; proven: there is none within the limits\n"


@pytest.mark.parametrize(("asked", "code", "says"), [(1, 130, "interrupted before a schedule was found"), (2, 0, "this is what was found so far")])
def test_an_interruption_says_what_there_is(run, monkeypatch, tmp_path, asked, code, says):
    real, calls = Search.attempt, []

    def attempt(self, *arguments):
        calls.append(arguments)
        if len(calls) == asked:
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(Search, "attempt", attempt)
    file = tmp_path / "schedule.json"
    done = run(*SMALL, "--pe-budget", "1024", "--solver", "stages", "-o", file)
    assert (done.code, file.exists()) == (code, code == 0)
    assert says in done.err
    assert done.err.count("\n") == 1


def test_an_interruption_before_the_target_is_reached_says_what_was_found(run, monkeypatch):
    real = Search.attempt

    def attempt(self, *arguments):
        if any(size.lengths for size in self.sizes):
            raise KeyboardInterrupt
        real(self, *arguments)

    monkeypatch.setattr(Search, "attempt", attempt)
    done = run(*SMALL, "--target-period", "300", "--solver", "sequential")
    assert done.code == 130
    assert done.err.startswith("interrupted: the shortest period found is ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "plan takes one of --pe-budget, --target-period, --target-makespan"),
        (("--pe-budget", "64", "--target-period", "9"), "not --pe-budget and --target-period"),
        (("--target-makespan", "9"), "--target-makespan cannot go with --mode periodic"),
        (("--target-period", "9", "--mode", "finite"), "--target-period cannot go with --mode finite"),
        (("--pe-budget", "64", "--max-period", "9"), "plan takes --target-period, not --max-period"),
        (("--pe-budget", "64", "--slack", "1%"), "--slack belongs to"),
        (("--pe-budget", "0"), "pe_budget must be at least 1"),
        (("--pe-budget", "64", "--arrays", "8"), "--arrays takes ROWSxCOLUMNS"),
        (("--pe-budget", "9", "--arrays", "8x8,4x4"), "less than one array of 4x4"),
        (("--pe-budget", "64", "--max-processors", "0"), "max_processors must be at least 1"),
        (("--pe-budget", "64", "--micro-batches", "2"), "--micro-batches belongs to --mode finite"),
        (("--pe-budget", "64", "-o", "missing/file.json"), "there is no folder"),
    ],
)
def test_what_cannot_be_asked_is_one_line(run, options, says):
    done = run("plan", "tiny", *options)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


def test_a_task_graph_is_refused(run, tmp_path):
    file = tmp_path / "graph.stg"
    file.write_text("1\n0 0 0\n1 3 1 0\n2 0 1 1\n")
    done = run("plan", file, "--pe-budget", "64")
    assert done.code == 2
    assert "brings its own cycles, whatever the arrays" in done.err
