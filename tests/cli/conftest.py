"""Runs commands in this process, and one quick schedule for the commands that read a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from spikepipe_sched.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line with arguments; what it printed and its exit code. Lines are as wide as without a terminal, whoever runs the tests."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def schedule_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A periodic schedule of the network tiny on two processors, by a solver that needs no time."""
    path = tmp_path_factory.mktemp("schedule") / "tiny.json"
    assert main(["solve", "tiny", "--solver", "stages", "--processors", "2", "--windows", "2", "-o", str(path)]) == 0
    return path
