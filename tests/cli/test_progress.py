"""Live progress: what the line says, and that nobody sees it in a pipe."""

from __future__ import annotations

import io
import sys

from spikepipe_sched.cli.progress import live_progress, progress_line
from spikepipe_sched.solver import Progress


def test_line_names_incumbent_bound_gap_and_time():
    line = progress_line(Progress(solver="cpsat", objective="period", incumbent=1040, bound=1000), 12.34)
    assert line == " 12.3 s  cpsat  period  incumbent 1,040  bound 1,000  gap 4.00 %"
    assert progress_line(None, 0.0).endswith("starting")
    assert "no schedule yet" in progress_line(Progress(solver="cpsat", objective="period", bound=3), 1.0)
    assert "gap infinite" in progress_line(Progress(solver="cpsat", objective="traffic", incumbent=3, bound=0), 1.0)


def test_nothing_is_shown_in_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with live_progress() as observer:
        assert observer is None


def test_a_terminal_sees_the_latest_news(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with live_progress("4 processors  ") as observer:
        assert observer is not None
        observer(Progress(solver="auto", objective="period", incumbent=12, bound=10))
    assert "4 processors" in terminal.getvalue()
    assert "incumbent 12" in terminal.getvalue()
