"""``simulate``: replays a schedule file."""

from __future__ import annotations

import json

import pytest

from spikepipe_sched import Result, simulate


def test_the_text_says_what_was_reached(run, schedule_file):
    done = run("simulate", schedule_file)
    result = Result.from_json(schedule_file)
    assert done.code == 0
    assert done.err == ""
    assert [line.split()[0] for line in done.out.splitlines()] == ["replayed", "period", "utilisation"]
    assert f"{result.objective:,}.00 scheduled (x1.0000)" in done.out
    assert "50 iterations" in done.out
    assert "no jitter; links are not shared" in done.out


def test_json_holds_the_figures_of_the_function(run, schedule_file):
    done = json.loads(run("simulate", schedule_file, "--iterations", 12, "--jitter", 0.2, "--seed", 3, "--sharing", "pairs", "--json").out)
    result = Result.from_json(schedule_file)
    assert result.schedule is not None
    found = simulate(result.problem, result.schedule, iterations=12, jitter=0.2, seed=3, sharing="pairs")
    assert (done["reached_cycles"], done["scheduled_cycles"], done["ratio"]) == (found.reached_cycles, found.scheduled_cycles, found.ratio)
    assert done["reached_cycles"] != done["scheduled_cycles"]
    assert (done["iterations"], done["jitter"], done["seed"], done["sharing"]) == (12, 0.2, 3, "pairs")
    assert [entry["processor"] for entry in done["processors"]] == ["p0", "p1"]
    assert [entry["utilisation"] for entry in done["processors"]] == list(found.utilisation)
    assert [(entry["link"], entry["load"], entry["largest_queue"]) for entry in done["links"]] == [(x.name, x.load, x.largest_queue) for x in found.links]


def test_shared_links_are_listed(run, schedule_file):
    done = run("simulate", schedule_file, "--sharing", "bus", "--jitter", 0.05)
    assert "jitter 5 %, seed 0; links shared (bus)" in done.out
    assert done.out.splitlines()[-1].startswith("link         the bus: ")
    assert "waiting" in done.out


def test_a_finite_schedule_is_replayed_once(run, tmp_path):
    file = tmp_path / "finite.json"
    assert run("solve", "tiny", "--solver", "stages", "--mode", "finite", "--micro-batches", 3, "--processors", 2, "-o", file).code == 0
    done = run("simulate", file)
    assert "makespan" in done.out
    assert "3 micro-batches" in done.out
    assert json.loads(run("simulate", file, "--json").out)["micro_batches"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--iterations", 0), "iterations must be at least 1, got 0"),
        (("--jitter", -0.5), "jitter must be between 0 and 10, got -0.5"),
        (("--jitter", "nan"), "jitter must be between 0 and 10, got nan"),
        (("--seed", -1), "seed must not be negative, got -1"),
        (("--iterations", 10**9), "ask for fewer iterations"),
        (("--sharing", "mesh"), "mesh"),
    ],
)
def test_bad_options_are_named_in_one_line(run, schedule_file, options, message):
    done = run("simulate", schedule_file, *options)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_files_without_a_schedule_or_with_a_wrong_one_are_refused(run, schedule_file, tmp_path):
    empty = tmp_path / "none.json"
    run("solve", "tiny", "--solver", "stages", "--max-period", 10, "-o", empty)
    assert "there is no schedule in it" in run("simulate", empty).err
    document = json.loads(schedule_file.read_text())
    for task in document["schedule"]["tasks"]:
        task["start_cycles"] = 0
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    done = run("simulate", wrong)
    assert done.code == 2
    assert "the schedule does not satisfy its problem: overlap" in done.err
