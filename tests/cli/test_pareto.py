"""``spikepipe-sched pareto``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikepipe_sched.pareto import _FrontSearch  # pyright: ignore[reportPrivateUsage]
from tests.cli.conftest import Run


def test_the_table_states_what_is_proven(run: Run) -> None:
    """One row a point, shortest period first, and a closing line."""
    found = run("pareto", "tiny", "-P", 2, "--time-limit", 3, "--points", 4, "--workers", 1)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[0].split("  ")[0].strip() == "period"
    periods = [int(line.split()[0].replace(",", "")) for line in lines[1:-1]]
    assert periods == sorted(periods)
    assert lines[1].split()[1] == "1.000"
    assert f"{len(periods)} points, " in lines[-1]


def test_json_is_the_document_that_is_written(run: Run, tmp_path: Path) -> None:
    """The same front on stdout and in the file."""
    file = tmp_path / "front.json"
    found = run("pareto", "tiny", "-P", 2, "--mode", "finite", "--micro-batches", 2, "--time-limit", 2, "--points", 3, "--workers", 1, "--json", "-o", file)
    assert found.code == 0
    document = json.loads(found.out)
    assert document["objectives"] == ["makespan", "traffic"]
    assert document == json.loads(file.read_text())


@pytest.mark.parametrize(("found", "code", "says"), [(True, 0, "this is what was found so far"), (False, 130, "before a schedule was found")])
def test_an_interruption_says_what_there_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, found: bool, code: int, says: str) -> None:
    """Half-way through the front, and before its first point."""

    def interrupted(search: _FrontSearch, points: int) -> None:
        assert points > 2
        if found:
            search.solve(("period", "delay"), {}, 0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(_FrontSearch, "run", interrupted)
    file = tmp_path / "front.json"
    done = run("pareto", "tiny", "-P", 2, "--solver", "sequential", "-o", file)
    assert (done.code, done.err.count("\n"), file.exists()) == (code, 1, found)
    assert says in done.err


def test_nothing_feasible_is_code_1(run: Run) -> None:
    done = run("pareto", "tiny", "-P", 2, "--solver", "sequential", "--max-period", 5)
    assert (done.code, done.err) == (1, "error: no feasible schedule found; 'solve' says why\n")


def test_bad_objectives_are_one_line(run: Run) -> None:
    """Exit code 2, and what there is to choose from."""
    found = run("pareto", "tiny", "--objectives", "delay")
    assert found.code == 2
    assert found.err.startswith("error: pareto: a front of a periodic problem is one of period,delay")
    assert run("pareto", "tiny", "--objective", "delay").code == 2
