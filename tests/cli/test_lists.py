"""``networks``, ``platforms``, ``solvers``, ``schema`` and ``compare``."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from spikepipe_sched import list_networks, list_platforms, solver_names
from spikepipe_sched.catalogue import list_solvers


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("networks", [entry.name for entry in list_networks()]),
        ("platforms", [entry.name for entry in list_platforms()]),
        ("solvers", list(solver_names())),
    ],
)
def test_lists_hold_every_name(run, command, names):
    text, data = run(command), run(command, "--json")
    assert (text.code, data.code) == (0, 0)
    assert [line.split()[0] for line in text.out.splitlines()[1:]] == names
    assert [entry["name"] for entry in json.loads(data.out)] == names


def test_every_solver_has_a_summary():
    for entry in list_solvers():
        assert entry.summary
        assert entry.module.startswith("spikepipe_solvers.")
        assert entry.distribution == "spikepipe-sched"


def test_summary_is_empty_where_there_is_no_source(monkeypatch):
    monkeypatch.setattr("spikepipe_sched.catalogue.find_spec", lambda name: None)
    assert {entry.summary for entry in list_solvers()} == {""}


def test_schema_is_json_and_names_itself(run):
    done = run("schema")
    assert done.code == 0
    assert run("schema", "--json").out == done.out
    assert msgspec.json.decode(done.out)
    assert "spikepipe-sched/result/1" in done.out


def test_compare_has_a_row_for_every_cell(run):
    done = run("compare", "tiny", "--solvers", "stages,sequential", "--processors", "2,3", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [(row["processors"], row["solver"]) for row in rows] == [(2, "stages"), (2, "sequential"), (3, "stages"), (3, "sequential")]
    assert {row["speedup_over_stages"] for row in rows if row["solver"] == "stages"} == {1.0}
    assert all(row["length_cycles"] >= row["bound_cycles"] for row in rows)


def test_compare_says_which_solver_cannot(run):
    done = run("compare", "tiny", "--solvers", "stages,list", "--processors", "2")
    assert done.code == 1
    assert done.err == ""
    header, stages, unsupported = done.out.splitlines()
    assert header.split()[:3] == ["processors", "solver", "period"]
    assert "feasible" in stages
    assert "not supported" in unsupported


def test_compare_finite_mode(run):
    done = run("compare", "tiny", "--solvers", "list,stages", "--processors", "2", "--mode", "finite")
    assert done.code == 0
    assert "makespan" in done.out.splitlines()[0]
    assert "sum of delays" not in done.out


def test_library_names_are_file_names():
    import spikepipe_problems

    folder = Path(spikepipe_problems.__path__[0])
    assert {file.stem for file in (folder / "networks").glob("*.toml")} == {entry.name for entry in list_networks()}
