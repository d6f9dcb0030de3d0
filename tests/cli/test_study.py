"""``study``: what it prints and leaves behind, its exit codes, progress, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spikepipe_sched.cli.study import StudyLine
from spikepipe_sched.errors import InputError
from spikepipe_sched.study import pool
from spikepipe_sched.study.run import SweepProgress
from spikepipe_sched.validation import TrainingProgress
from tests.cli.conftest import Run
from tests.study.made import outcome

SMALL = ("study", "spikepipe", "--quick", "--no-accuracy", "-P", "2", "--arrays", "64x64", "--time-limit", "0.2")


class InThisProcess:
    """In place of a pool: spawning costs more than these cells."""

    most: int | None = None

    def __init__(self, *, workers: int) -> None:
        self.workers = workers

    def outcomes(self, cells):
        for done, cell in enumerate(cells):
            if done == self.most:
                raise KeyboardInterrupt
            yield cell.run()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch):
    """No processes."""
    monkeypatch.setattr(InThisProcess, "most", None)
    monkeypatch.setattr(pool, "Pool", InThisProcess)


@pytest.mark.usefixtures("alone")
def test_it_is_interrupted_and_the_same_command_goes_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    monkeypatch.setattr(InThisProcess, "most", 3)
    stopped = run(*SMALL, "-o", folder)
    assert stopped.code == 130
    assert "interrupted; the same command goes on" in stopped.err
    assert "NOT COMPLETE: 3 of 10" in " ".join(stopped.out.split())
    monkeypatch.setattr(InThisProcess, "most", None)
    done = run(*SMALL, "-o", folder)
    assert (done.code, done.err) == (0, "")
    assert "Complete: 10 cells are answered" in " ".join(done.out.split())
    assert f"written to {folder / 'report.html'}" in done.out
    assert done.out.splitlines()[0].startswith("solver")
    assert json.loads((folder / "claims.json").read_text(encoding="utf-8"))["complete"]
    assert (folder / "cells.csv").read_text(encoding="utf-8").count("\n") == 11
    assert run(*SMALL, "-o", folder, "--json").out == (folder / "claims.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("study", "another"), "spikepipe"),
        (("study", "spikepipe", "-P", "0"), "--processors takes whole numbers"),
        (("study", "spikepipe", "--arrays", "3"), "ROWSxCOLUMNS"),
        (("study", "spikepipe", "--arrays", "8x8,8X8"), "comes twice"),
        (("study", "spikepipe", "--arrays", ","), "name at least one of the arrays"),
        (("study", "spikepipe", "--workers", "0"), "workers"),
        (("study", "spikepipe", "--time-limit", "0"), "time"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    refused = run(*arguments, "-o", tmp_path / "study")
    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not (tmp_path / "study").exists()


def test_without_torch_it_says_how_to_do_without(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise InputError("training needs PyTorch, which is not installed")

    monkeypatch.setattr("spikepipe_sched.validate.require_torch", missing)
    refused = run("study", "spikepipe", "-o", tmp_path / "study")
    assert (refused.code, "--no-accuracy" in refused.err) == (2, True)


def test_a_folder_in_the_way_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run(*SMALL, "-o", tmp_path / "file")
    assert (refused.code, "folder cannot be made" in refused.err) == (2, True)


def test_the_line_tells_of_cells_then_of_training() -> None:
    now = 0.0
    line = StudyLine(lambda: now)
    assert line.text() == "starting"
    line.cells(SweepProgress(total=10, known=4, done=4, failed=0))
    assert line.text() == "4 of 10 cells"
    now = 30.0
    line.cells(SweepProgress(total=10, known=4, done=6, failed=0, latest=outcome(solver="auto")))
    assert line.text() == "6 of 10 cells  vgg9  4 arrays of 32x32  auto  feasible  1:00 left"
    line.training(TrainingProgress(run=0, runs=4, label="digits_mlp, synchronous, seed 0", epoch=0, epochs=2, update=0, updates=8))
    assert line.text().startswith("run 1 of 4  digits_mlp")
