"""``compare``, ``pareto`` and ``plot`` of a store: nothing is solved, and options of a solve are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spikepipe_sched import TrainingSetup, load_network, load_platform
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.study.store import Store

SOLVERS = ("stages", "sequential", "list")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps of the network tiny: on 2 and on 4 processors, by two solvers that can and one that cannot."""
    path = tmp_path_factory.mktemp("store") / "small.sqlite"
    platform = load_platform("array32")
    with Store(path, create=True) as kept:
        for count in (2, 4):
            cells = [
                Cell(network=load_network("tiny"), platform=platform.with_processors(count), setup=TrainingSetup(batch=4), solver=solver) for solver in SOLVERS
            ]
            for cell in cells:
                kept.add(*cell.run())
            kept.register(f"on {count}", cells)
    return path


@pytest.fixture(autouse=True)
def nobody_solves(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikepipe_sched.solver.solve", lambda *_, **__: pytest.fail("a solver ran"))


def test_compare_shows_every_row_beside_the_others_of_its_problem(run, store):
    done = run("compare", store)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "network",
        "processors",
        "solver",
        "period",
        "gap",
        "sum",
        "of",
        "delays",
        "traffic",
        "bytes",
        "peak",
        "memory",
        "busy",
        "over",
        "stages",
        "seconds",
        "status",
    ]
    assert [line.split()[1:3] for line in lines[1:7]] == [[count, solver] for count in "24" for solver in SOLVERS]
    assert "6 rows of 2 problems; gaps are to the best bound that any row of a problem proved" in lines
    assert any(line.startswith("2 not supported: ") for line in lines)


def test_a_sweep_is_a_part_of_the_store(run, store):
    rows = json.loads(run("compare", store, "--sweep", "on 4", "--json").out)
    assert [(row["processors"], row["solver"]) for row in rows] == [(4, solver) for solver in SOLVERS]
    assert len(json.loads(run("compare", store, "--sweep", "on 4", "--sweep", "on 2", "--json").out)) == 6
    done = run("compare", store, "--sweep", "nosuch")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "no sweep 'nosuch'; there are on 2, on 4" in done.err


def test_the_baseline_of_a_store_is_one_of_its_solvers(run, store):
    rows = json.loads(run("compare", store, "--baseline", "sequential", "--json").out)
    assert {row["speedup"] for row in rows if row["solver"] == "sequential"} == {1.0}
    done = run("compare", store, "--baseline", "nosuch")
    assert (done.code, "the baseline must be one of stages, sequential, list" in done.err) == (2, True)


@pytest.mark.parametrize(("command", "speedup", "other"), [("plot", ("-y", "speedup"), ("-y", "gap")), ("pareto", ("--over", "speedup"), ("--over", "pes"))])
def test_speed_ups_of_a_view_are_over_a_solver_of_the_store_and_nothing_else_has_a_baseline(run, store, tmp_path, command, speedup, other):
    assert "over sequential" in run(command, store, *speedup, "--baseline", "sequential").out
    assert "over stages" in run(command, store, *speedup).out
    with Store(tmp_path / "no stages.sqlite", create=True) as kept, Store(store) as whole:
        for row in whole.outcomes()[1:3]:
            kept.add(row, None)
    for done in (run(command, store, *speedup, "--baseline", "nosuch"), run(command, tmp_path / "no stages.sqlite", *speedup)):
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "the baseline must be one of" in done.err
    done = run(command, store, *other, "--baseline", "stages")
    assert (done.code, done.err) == (2, "error: --baseline belongs to the figure speedup\n")


@pytest.mark.parametrize("command", ["compare", "pareto"])
def test_files_are_rows_or_a_page(run, store, tmp_path, command):
    page, rows = tmp_path / "view.html", tmp_path / "view.json"
    assert run(command, store, "-o", page).out.splitlines()[-1] == f"written to {page}"
    assert page.read_text().startswith("<!DOCTYPE html>")
    printed = run(command, store, "--json", "-o", rows)
    assert json.loads(printed.out) == json.loads(rows.read_text())
    assert printed.err == f"written to {rows}\n"
    assert run(command, store, "-o", tmp_path / "view.txt").code == 2


def test_pareto_lists_what_no_other_row_beats(run, store):
    done = run("pareto", store)
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["network", "processors", "solver", "period", "pes"]
    assert [line.split()[1:3] for line in done.out.splitlines()[1:2]] == [["2", "stages"]]
    assert "in period or makespan [cycles], processing elements and better in one" in done.out
    least = run("pareto", store, "--over", "delay", "--json")
    delays = {row["total_delay"] for row in json.loads(least.out)}
    assert len(delays) == 1
    assert run("pareto", store, "--over", "nosuch").code == 2
    assert run("pareto", store, "--over", "period,").err == "error: name figures, at least one and none of them empty; got 'period,'\n"


def test_plot_prints_the_values_or_writes_a_page(run, store, tmp_path):
    done = run("plot", store, "-y", "speedup")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:2] == ["speed-up over stages by processors", "network  processors  stages  sequential"]
    assert [line.split()[:3] for line in lines[2:4]] == [["tiny", "2", "1"], ["tiny", "4", "1"]]
    assert lines[4] == "2 of 6 rows lack speedup and are not shown: 2 not supported"
    file = tmp_path / "plot.html"
    assert run("plot", store, "-x", "pes", "-y", "period", "--colour", "none", "-o", file).code == 0
    assert "period or makespan [cycles] by processing elements" in file.read_text()
    document = json.loads(run("plot", store, "--facet", "none", "--json").out)
    assert [(series["colour"], [point["x"] for point in series["points"]]) for series in document["series"]] == [("stages", [2, 4]), ("sequential", [2, 4])]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("compare", "--solvers", "stages"), "--solvers"),
        (("compare", "--processors", "2", "--batch", "3", "--time-limit", "3"), "--processors, --batch, --time-limit"),
        (("compare", "--mode", "finite", "--stalls", "--no-gantt"), "--gantt, --stalls, --mode"),
        (("pareto", "--objectives", "period,delay", "--points", "3"), "--objectives, --points"),
        (("pareto", "--time-limit", "3", "--seed", "0", "--max-delay", "2"), "--time-limit, --seed, --max-delay"),
        (("compare", "--seed", "0", "--batch=16", "-p", "array32", "--vector"), "--platform, --batch, --vector, --seed"),
        (("pareto", "--no-vector", "--time_batching", "--unroll", "1", "--weights=stash"), "--time-batching, --no-vector, --weights, --unroll"),
    ],
)
def test_options_of_a_solve_are_refused_by_name(run, store, options, says):
    command, *rest = options
    done = run(command, store, *rest)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {store}: a store is shown as it is, and nothing is solved, so {says} cannot apply\n"


@pytest.mark.parametrize(
    "options",
    [("compare", "tiny", "--sweep", "a"), ("pareto", "tiny", "--sweep", "a"), ("pareto", "tiny", "--over", "pes"), ("pareto", "tiny", "--baseline", "stages")],
)
def test_options_of_a_store_are_refused_for_networks(run, options):
    done = run(*options)
    assert done.code == 2
    assert "belong" in done.err


@pytest.mark.parametrize("command", ["compare", "pareto", "plot"])
def test_files_that_are_no_stores_are_one_line(run, tmp_path, command):
    missing = run(command, tmp_path / "missing.sqlite")
    other = tmp_path / "other.db"
    other.write_text("no database at all")
    for done in (missing, run(command, other)):
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "there is no store" in missing.err


def test_a_store_is_known_by_what_it_begins_with(run, store, tmp_path):
    other = tmp_path / "any name"
    other.write_bytes(store.read_bytes())
    assert run("compare", other).code == 0


def test_a_network_is_still_read_as_a_network(run, monkeypatch):
    monkeypatch.setattr("spikepipe_sched.cli.run.run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run("compare", "tiny", "--processors", "2").code == 130


def test_rows_that_all_lack_a_figure_are_an_error(run, store, tmp_path):
    with Store(store) as kept:
        rows = [row for row in kept.outcomes() if row.length_cycles is None]
    empty = tmp_path / "empty.sqlite"
    with Store(empty, create=True) as kept:
        for row in rows:
            kept.add(replace(row, key=f"other {row.key}"), None)
    done = run("pareto", empty)
    assert (done.code, "there is nothing to compare: 2 of 2 rows lack length_cycles" in done.err) == (2, True)
    assert run("plot", empty).code == 2
