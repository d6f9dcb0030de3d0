"""``networks``, ``platforms``, ``solvers`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from spikepipe_sched import list_networks, list_platforms, solver_names
from spikepipe_sched.catalogue import list_solvers
from spikepipe_sched.errors import SpikepipeError
from spikepipe_sched.solver import Presets, load_solver
from spikepipe_sched.validate.data import data_names


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("networks", [entry.name for entry in list_networks()]),
        ("platforms", [entry.name for entry in list_platforms()]),
        ("solvers", [entry.name for entry in list_solvers()]),
        ("datasets", list(data_names())),
    ],
)
def test_lists_hold_every_name(run, command, names):
    text, data = run(command), run(command, "--json")
    assert (text.code, data.code) == (0, 0)
    assert [line.split()[0] for line in text.out.splitlines()[1:] if not line.startswith(" ")] == names
    assert [entry["name"] for entry in json.loads(data.out)] == names


def test_data_sets_are_listed_with_what_they_need(run):
    text, entries = run("datasets").out, {entry["name"]: entry for entry in json.loads(run("datasets", "--json").out)}
    assert "    --data-path  the folder of shd_train.h5 and shd_test.h5 (unpacked)\n" in text
    assert text.count("--data-path") == sum(entry["data_path"] is not None for entry in entries.values())
    digits = entries["digits"]
    assert (digits["shape"], digits["time_steps"], digits["classes"], digits["data_path"]) == ([1, 8, 8], 8, 10, None)
    assert digits["codings"] == ["direct", "poisson", "latency"]
    assert all(entry["source"] and entry["summary"] in text for entry in entries.values())


def test_every_solver_has_a_summary():
    for entry in list_solvers():
        assert entry.summary
        assert entry.modes
        assert entry.distribution == "spikepipe-sched"


def test_solvers_come_with_their_presets():
    entries = list_solvers()
    assert [entry.name for entry in entries if ":" not in entry.name] == list(solver_names())
    presets, solver = [entry.name for entry in entries if ":" in entry.name], load_solver("list")
    assert isinstance(solver, Presets)
    assert presets == [f"list:{preset}" for preset in solver.presets]
    names = [entry.name for entry in entries]
    assert names[names.index("list") + 1 :][: len(presets)] == presets


def test_a_solver_that_cannot_be_loaded_is_listed_with_the_reason(monkeypatch):
    def broken(name):
        raise SpikepipeError(f"solver '{name}' cannot be loaded: no luck")

    monkeypatch.setattr("spikepipe_sched.catalogue.load_solver", broken)
    assert all("no luck" in entry.summary and entry.modes == () for entry in list_solvers())


def test_schema_is_json_and_names_itself(run):
    done = run("schema")
    assert done.code == 0
    assert run("schema", "--json").out == done.out
    assert msgspec.json.decode(done.out)
    assert "spikepipe-sched/result/1" in done.out


def test_library_names_are_file_names():
    import spikepipe_problems

    folder = Path(spikepipe_problems.__path__[0])
    assert {file.stem for file in (folder / "networks").glob("*.toml")} == {entry.name for entry in list_networks()}
