"""The command ``sweep``: a table or rows, exit codes, what is said when it is stopped, and that nothing finished is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spikepipe_sched.cli.sweep_progress import SpokenLine, SweepLine, live_sweep
from spikepipe_sched.study.run import SweepProgress
from spikepipe_sched.study.store import Store
from tests.helpers import hear_interrupts
from tests.study.fakes import row

PLAIN = 'networks = ["tiny"]\nplatforms = ["array32"]\nprocessors = [2]\nwindows = [2]\ndeterministic_limit = 0.1\n'


@pytest.fixture
def file(tmp_path):
    def of(text: str) -> Path:
        path = tmp_path / "sizes.toml"
        path.write_text(PLAIN + text)
        return path

    return of


def start(file: Path, store: Path, **options) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    command = [sys.executable, "-m", "spikepipe_sched", "sweep", str(file), "--store", str(store), "--workers", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def wait_for_rows(store: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many are there: `Store.outcomes` reads while another process writes."""
    while process.poll() is None:
        if store.exists():
            try:
                with Store(store) as opened:
                    if len(opened.outcomes()) >= count:
                        return
            except Exception:  # noqa: BLE001  (it is being made)
                pass
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def test_a_sweep_is_run_once_and_shown_as_a_table(run, file, tmp_path):
    path, store = file('solvers = ["stages", "1f1b"]'), tmp_path / "store.db"
    first = run("sweep", path, "--store", store, "--workers", 1)
    assert first.code == 0
    lines = first.out.splitlines()
    assert lines[0].split() == ["network", "processors", "solver", "period", "gap", "cycles/sample", "delay", "traffic", "memory", "busy", "status"]
    assert lines[1].startswith("tiny              2  stages     624  19.08 %")
    assert lines[2].endswith("not supported")
    assert lines[3].startswith("1 not supported: solver '1f1b' cannot take this problem")
    assert lines[4] == "sizes: 2 cells, 2 run now, 0 known before"
    again = run("sweep", path, "--store", store)
    assert again.out.splitlines()[:4] == lines[:4]
    assert again.out.splitlines()[4] == "sizes: 2 cells, 0 run now, 2 known before"


def test_what_the_name_stands_for_by_now_is_not_what_is_shown(run, file, tmp_path, monkeypatch):
    path, store = file('solvers = ["stages", "modulo"]'), tmp_path / "store.db"
    assert run("sweep", path, "--store", store, "--workers", 1).err == ""
    file('solvers = ["modulo", "list:heft"]')
    found = run("sweep", path, "--store", store, "--workers", 1)
    assert found.err == "note: the store had another sweep 'sizes' (2 cells); the name now stands for these\n"
    assert run("sweep", path, "--store", store, "--json").err == ""
    known = Store.known

    def disturbed(store: Store) -> set[str]:
        store.register("sizes", [])  # another sweep of that name has begun
        return known(store)

    monkeypatch.setattr(Store, "known", disturbed)
    assert [each["solver"] for each in json.loads(run("sweep", path, "--store", store, "--json").out)] == ["modulo", "list:heft"]


def test_afresh_answers_anew_what_the_store_knows(run, file, tmp_path):
    path, store = file('solvers = ["stages"]'), tmp_path / "store.db"
    key = json.loads(run("sweep", path, "--store", store, "--list", "--json").out)[0]["key"]
    with Store(store, create=True) as opened:
        opened.add(row(key, value=1), None)  # of older code
    assert json.loads(run("sweep", path, "--store", store, "--json").out)[0]["value"] == 1
    assert json.loads(run("sweep", path, "--store", store, "--json", "--afresh", "--workers", 1).out)[0]["value"] == 624


@pytest.mark.skipif(os.name == "nt", reason="closes streams by the shell")
@pytest.mark.parametrize(("closed", "out"), [(">&-", 0), ("2>&-", 1), (">&- 2>&-", 0), ("0>&- >&- 2>&-", 0)])
def test_streams_that_are_closed_are_no_error(file, tmp_path, closed, out):
    path, store = file('solvers = ["stages"]'), tmp_path / "store.db"
    command = f"exec {sys.executable} -m spikepipe_sched sweep {path} --store {store} --workers 1 --json {closed}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(json.loads(ended.stdout or "[]")) == out
    with Store(store) as opened:
        assert len(opened.outcomes()) == 1


def test_failures_are_rows_and_the_exit_code_is_1(run, file, tmp_path):
    path, store = file('solvers = ["stages"]').with_name("more.toml"), tmp_path / "store.db"
    path.write_text(PLAIN.replace("[2]\ndet", "[2, 9]\ndet") + 'solvers = ["stages"]')
    found = run("sweep", path, "--store", store, "--workers", 1, "--json")
    assert found.code == 1
    good, bad = json.loads(found.out)
    assert (good["windows"], good["status"], good["value"]) == (2, "feasible", 624)
    assert (bad["windows"], bad["status"], bad["value"]) == (9, "failed", None)
    assert "windows=9 is more than" in bad["error"]
    table = run("sweep", path, "--store", store)
    assert table.code == 1
    assert "windows" in table.out.splitlines()[0]  # what tells the rows apart is shown
    assert table.out.splitlines()[-1] == "more: 2 cells, 0 run now, 2 known before, 1 failed (--again runs them again)"


def test_a_list_runs_nothing(run, file, tmp_path):
    path, store = file('solvers = ["stages", "modulo"]'), tmp_path / "store.db"
    found = run("sweep", path, "--store", store, "--list")
    assert (found.code, store.exists()) == (0, False)
    assert [line.split() for line in found.out.splitlines()] == [
        ["network", "processors", "solver", "status"],
        ["tiny", "2", "stages", "to", "run"],
        ["tiny", "2", "modulo", "to", "run"],
        ["2", "cells,", "0", "of", "them", "known"],
    ]
    key = json.loads(run("sweep", path, "--store", store, "--list", "--json").out)[0]["key"]
    with Store(store, create=True) as opened:
        opened.add(row(key, network="tiny", solver="stages"), None)
    assert run("sweep", path, "--store", store, "--list").out.splitlines()[-1] == "2 cells, 1 of them known"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--address", "auto"), "--address belongs to --executor ray"),
        (("--executor", "ray", "--workers", "2"), "--workers and --cell-timeout belong to --executor local"),
        (("--workers", "0"), "workers must be at least 1"),
        (("--cell-timeout", "0"), "cell_timeout_s must be positive"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, file, tmp_path, arguments, message):
    found = run("sweep", file('solvers = ["stages"]'), "--store", tmp_path / "s.db", *arguments)
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "s.db").exists()


def test_a_store_that_is_none_is_bad_input(run, file, tmp_path):
    path = file('solvers = ["stages"]')
    for store, message in ((path, "is no store of sweeps"), (tmp_path, "is a folder"), (tmp_path / "no" / "s.db", "there is no folder")):
        found = run("sweep", path, "--store", store)
        assert (found.code, found.out) == (2, "")
        assert message in found.err


def test_without_ray_the_extra_is_named(run, file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    found = run("sweep", file('solvers = ["stages"]'), "--store", tmp_path / "s.db", "--executor", "ray")
    assert found.code == 2
    assert "pip install -c constraints.txt '.[ray]' in the repository" in found.err


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_sweep_that_is_killed_goes_on_with_what_is_missing(run, file, tmp_path):
    path, store = file('solvers = ["stages"]\nseeds = [' + ", ".join(map(str, range(80))) + "]"), tmp_path / "store.db"
    process = start(path, store)
    wait_for_rows(store, 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    with Store(store) as opened:
        before = opened.outcomes("sizes")
    assert 3 <= len(before) < 80
    found = run("sweep", path, "--store", store, "--workers", 2)
    assert found.code == 0
    assert found.out.splitlines()[-1] == f"sizes: 80 cells, {80 - len(before)} run now, {len(before)} known before"
    with Store(store) as opened:
        after = {each.key: each for each in opened.outcomes("sizes")}
        assert len(after) == 80
        assert [after[each.key] for each in before] == before  # not run again: it would have taken another time
        results = [opened.result(key) for key in list(after)[::20]]
    assert all(result is not None and result.objective == 624 for result in results)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_keeps_the_finished_rows_and_says_how_to_go_on(file, tmp_path):
    text = (
        PLAIN.replace('"tiny"', '"nmnist_mlp"')
        .replace("processors = [2]", "processors = [4]")
        .replace("deterministic_limit = 0.1", 'time_limit_s = 200\nmode = "finite"')
    )
    path, store = file(""), tmp_path / "store.db"
    path.write_text(text + 'solvers = ["gpipe", "cpsat"]')
    process = start(path, store, preexec_fn=hear_interrupts)
    wait_for_rows(store, 1, process)
    time.sleep(1)  # cpsat is at work, or about to be
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells all processes in the foreground
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted: 1 of 2 cells are left; the same command goes on with them\n"
    with Store(store) as opened:
        assert [(each.solver, each.status) for each in opened.outcomes()] == [("gpipe", "feasible")]


def test_progress_says_how_many_are_left_and_when_they_will_be_done(monkeypatch):
    now = iter([0.0, 10.0])
    line = SweepLine(lambda: next(now))
    assert line.text() == "starting"
    line(SweepProgress(total=1040, known=1000, done=1000, failed=0))
    assert line.text() == "1,000 of 1,040 cells"
    line(SweepProgress(total=1040, known=1000, done=1010, failed=2, latest=row("a", value=1234)))
    assert line.text() == "1,010 of 1,040 cells  2 failed  0:30 left  net on 2 processors, fake: period 1,234, gap 20.00 %"
    now = iter([0.0, 1.0])
    line = SweepLine(lambda: next(now))
    line(SweepProgress(total=2, known=0, done=1, failed=1, latest=row("a", network="n\x1b", processors=1, status="failed", value=None)))
    assert re.fullmatch(r"1 of 2 cells  1 failed  0:01 left  n. on 1 processor, fake: failed", line.text())


def test_on_a_pipe_a_line_comes_now_and_then(capsys):
    seconds = [0.0]
    line = SpokenLine(lambda: seconds[0])
    for done in range(1, 100):
        seconds[0] += 1
        line(SweepProgress(total=100, known=0, done=done, failed=0))
    assert [text.split()[0] for text in capsys.readouterr().err.splitlines()] == ["30", "60", "90"]
    with live_sweep() as observer:
        assert isinstance(observer, SpokenLine)  # tests have no terminal
