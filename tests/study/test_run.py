"""A sweep asks what the store does not know, keeps what ends, and outlives its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_sched import InputError, SpikepipeError, TrainingSetup, load_network, load_platform
from spikepipe_sched.study import pool as module
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.study.outcome import Outcome
from spikepipe_sched.study.pool import Pool, _Queue
from spikepipe_sched.study.run import SweepProgress, SweepSummary, run_cells
from spikepipe_sched.study.store import Store
from tests.study.fakes import FakeCell, row, stillborn

DRIVER = """
import sys
from pathlib import Path
from spikepipe_sched.study.pool import Pool
from tests.study.fakes import FakeCell

for row, _ in Pool(workers=1).outcomes([FakeCell(key="a", deed=sys.argv[2], folder=Path(sys.argv[1]))]):
    print(row.status)
"""
ROOT = Path(__file__).parents[2]


@dataclass
class Here:
    """Runs cells in this process; after ``stop_after`` of them comes Ctrl-C, and then those that are ``late``."""

    stop_after: int = 10**9
    failing: frozenset[str] = frozenset()
    late: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)
    closed: bool = False

    def outcomes(self, cells: Sequence[Any]) -> Generator[tuple[Outcome, str | None]]:
        try:
            for i, cell in enumerate(cells):
                if i == self.stop_after:
                    raise KeyboardInterrupt
                self.asked.append(cell.key)
                yield row(cell.key, status="failed" if cell.key in self.failing else "feasible"), None
        except KeyboardInterrupt:
            for key in self.late:
                yield row(key), None
            raise
        finally:
            self.closed = True


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db", create=True) as opened:
        yield opened


def cells(keys: str) -> list[Any]:
    return [FakeCell(key=key) for key in keys]


def test_only_what_the_store_does_not_know_is_run(store):
    executor = Here()
    assert run_cells(cells("ab"), store, name="s", executor=executor) == SweepSummary(name="s", total=2, known=0, done=2, failed=0)
    assert run_cells(cells("cabc"), store, name="s", executor=executor) == SweepSummary(name="s", total=3, known=2, done=3, failed=0)
    assert executor.asked == ["a", "b", "c"]
    assert store.keys("s") == ("c", "a", "b")


def test_what_failed_is_run_again_only_if_asked(store):
    executor = Here(failing=frozenset("b"))
    assert run_cells(cells("ab"), store, name="s", executor=executor).failed == 1
    assert run_cells(cells("ab"), store, name="s", executor=executor) == SweepSummary(name="s", total=2, known=2, done=2, failed=1)
    executor.failing = frozenset()
    assert run_cells(cells("ab"), store, name="s", executor=executor, again=True) == SweepSummary(name="s", total=2, known=1, done=2, failed=0)
    assert executor.asked == ["a", "b", "b"]
    assert store.failed() == set()


def test_failures_of_other_sweeps_do_not_count(store):
    run_cells(cells("ab"), store, name="one", executor=Here(failing=frozenset("a")))
    assert run_cells(cells("bc"), store, name="two", executor=Here()).failed == 0


def test_every_row_is_written_before_the_next_is_waited_for(store):
    class Watching(Here):
        def outcomes(self, cells):
            for cell in cells:
                yield row(cell.key), None
                assert cell.key in store.known()

    news: list[SweepProgress] = []
    run_cells(cells("abc"), store, name="s", executor=Watching(), observer=news.append)
    assert [(each.done, each.latest and each.latest.key) for each in news] == [(0, None), (1, "a"), (2, "b"), (3, "c")]
    assert {each.total for each in news} == {3}


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(store):
    executor = Here(stop_after=2)
    assert run_cells(cells("abcd"), store, name="s", executor=executor) == SweepSummary(name="s", total=4, known=0, done=2, failed=0, interrupted=True)
    assert executor.closed
    executor.stop_after = 10
    assert run_cells(cells("abcd"), store, name="s", executor=executor) == SweepSummary(name="s", total=4, known=2, done=4, failed=0)
    assert executor.asked == ["a", "b", "c", "d"]


def test_all_are_run_afresh_if_asked_and_their_rows_replaced(store):
    store.add(row("a", seed=7), None)
    executor = Here(failing=frozenset("b"))
    asked = SweepSummary(name="s", total=2, known=0, done=2, failed=1)
    assert run_cells(cells("ab"), store, name="s", executor=executor, afresh=True) == asked
    executor.failing = frozenset("a")
    assert run_cells(cells("ab"), store, name="s", executor=executor, afresh=True) == asked
    assert executor.asked == ["a", "b", "a", "b"]
    assert [(each.seed, each.failed) for each in store.outcomes("s")] == [(0, True), (0, False)]


def test_a_name_that_stood_for_other_cells_is_told_but_not_one_that_grew(store):
    assert [run_cells(cells(keys), store, name="s", executor=Here()).replaced for keys in ("ab", "ab", "abc", "xab", "x")] == [0, 0, 0, 3, 3]


def test_ctrl_c_while_a_row_is_written_keeps_it(store, monkeypatch):
    add, calls = store.add, []

    def interrupted(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(*arguments, **options)

    monkeypatch.setattr(store, "add", interrupted)
    executor = Here()
    assert run_cells(cells("abc"), store, name="s", executor=executor).interrupted
    assert store.known() == {"a", "b"}
    assert executor.closed


@pytest.mark.parametrize("where", ["executor", "observer"])
def test_ctrl_c_keeps_what_has_ended_and_was_not_asked_for(store, where):
    def observer(progress: SweepProgress) -> None:
        if progress.done == 1 and where == "observer":
            raise KeyboardInterrupt

    executor = Here(late="bc", stop_after=1 if where == "executor" else 9)
    summary = run_cells(cells("abcd"), store, name="s", executor=executor, observer=observer)
    assert (summary.done, summary.interrupted, executor.closed) == (3, True, True)
    assert store.known() == {"a", "b", "c"}


def test_ctrl_c_while_the_next_cell_is_given_keeps_the_answer(store, monkeypatch):
    class Stopped(module._Worker):
        def give(self, cell: Any) -> None:
            if self.problem_key:
                raise KeyboardInterrupt
            super().give(cell)

    monkeypatch.setattr(module, "_Worker", Stopped)
    assert run_cells(cells("ab"), store, name="s", executor=Pool(workers=1)).interrupted
    assert store.known() == {"a"}


def test_ctrl_c_takes_the_answers_that_processes_have_sent(store, monkeypatch):
    made: list[Any] = []

    class Known(module._Worker):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    def observer(progress: SweepProgress) -> None:
        if progress.done == 1:
            assert all(worker.pipe.poll(60) for worker in made if worker.cell is not None)  # the second cell is done, too
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_Worker", Known)
    summary = run_cells(cells("abc"), store, name="s", executor=Pool(workers=1), observer=observer)
    assert (summary.interrupted, store.known()) == (True, {"a", "b"})


def test_ctrl_c_in_an_observer_stops_the_sweep(store):
    def observer(progress: SweepProgress) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    executor = Here()
    assert run_cells(cells("abc"), store, name="s", executor=executor, observer=observer).done == 1
    assert executor.closed


@given(st.lists(st.sampled_from("xyz"), max_size=12), st.lists(st.integers(0, 2)))
def test_the_queue_gives_every_cell_once_and_keeps_a_worker_at_its_problem(problems, turns):
    waiting: list[Any] = [FakeCell(key=str(i), problem_key=problem) for i, problem in enumerate(problems)]
    queue, before, given_out = _Queue(waiting), ["", "", ""], list[Any]()
    for worker in [*turns, *[0] * len(problems)]:
        left = [cell for cell in waiting if cell not in given_out]
        cell: Any = queue.take(before[worker])
        assert (cell is None) == (not left)
        if cell is not None:
            assert cell in left
            assert cell.problem_key == before[worker] or before[worker] not in {other.problem_key for other in left}
            given_out.append(cell)
            before[worker] = cell.problem_key
    assert sorted(cell.key for cell in given_out) == sorted(cell.key for cell in waiting)
    assert queue.size == 0


def test_processes_give_the_rows_that_this_process_gives():
    network, platform = load_network("tiny"), load_platform("array32")
    some = [
        Cell(network=network, platform=platform.with_processors(2), setup=TrainingSetup(windows=windows), solver=solver, deterministic_limit=0.1)
        for windows in (1, 4, 9)
        for solver in ("stages", "list:heft", "1f1b")
    ]

    def plain(answers):
        return {row.key: (row.status, row.error, row.value, row.memory_bytes, text is None) for row, text in answers}

    assert plain(Pool(workers=2).outcomes(some)) == plain(cell.run() for cell in some)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_process_that_dies_costs_its_own_cell_alone(store, tmp_path):
    deeds = {"a": "answer", "b": "die", "c": "die once", "d": "leave", "e": "answer", "f": "answer"}
    some: list[Any] = [FakeCell(key=key, deed=deed, folder=tmp_path) for key, deed in deeds.items()]
    summary = run_cells(some, store, name="s", executor=Pool(workers=2))
    assert summary == SweepSummary(name="s", total=6, known=0, done=6, failed=2)
    errors = {row.key: row.error for row in store.outcomes("s") if row.failed}
    assert errors == {
        "b": f"its process was killed by signal {signal.SIGKILL}, twice, the second time while no other cell ran; perhaps for want of memory",
        "d": "its process ended with exit code 3, twice, the second time while no other cell ran",
    }
    attempts = {key: sorted(tmp_path.glob(f"{key}.*"), key=lambda file: int(file.suffix[1:])) for key in deeds}
    assert {key: len(files) for key, files in attempts.items()} == {"a": 1, "b": 2, "c": 2, "d": 2, "e": 1, "f": 1}
    second = min(int(attempts[key][1].suffix[1:]) for key in "bcd")
    assert all(int(files[0].suffix[1:]) < second for files in attempts.values())  # second attempts come when all first ones are over


def test_a_time_limit_of_weeks_is_one():
    assert len(list(Pool(workers=1, cell_timeout_s=1e300).outcomes(cells("a")))) == 1


def test_a_cell_that_hangs_is_stopped_and_the_others_go_on(store):
    some: list[Any] = [FakeCell(key="a", deed="hang"), *cells("bc")]
    summary = run_cells(some, store, name="s", executor=Pool(workers=1, cell_timeout_s=4.0))
    assert (summary.done, summary.failed) == (3, 1)
    assert store.outcomes("s")[0].error == "stopped after 4 s, the time limit of a cell; its solver did not keep its own"


def test_a_pool_that_is_closed_stops_its_processes(tmp_path):
    some: list[Any] = [FakeCell(key="a", folder=tmp_path), FakeCell(key="b", deed="hang", folder=tmp_path)]
    answers = Pool(workers=1).outcomes(some)
    assert next(answers)[0].key == "a"
    (process,) = {int(file.read_text()) for file in tmp_path.iterdir()}
    answers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.fixture
def drive(tmp_path):
    """Start a driver of one cell, whose processes have its stderr as their own; nothing is left of them after the test."""
    drivers: list[subprocess.Popen[bytes]] = []

    def of(deed: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        command = [sys.executable, "-c", DRIVER, str(tmp_path), deed]
        drivers.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return drivers[-1]

    yield of
    for driver in drivers:
        driver.kill()
        driver.communicate()
    for file in tmp_path.glob("a.*"):
        with suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups")
@pytest.mark.parametrize("deed", ["hang", "hold", "employ"])
def test_processes_end_with_a_driver_that_is_killed(drive, tmp_path, deed):
    driver = drive(deed)
    while not list(tmp_path.iterdir()):  # until its cell is at work
        assert driver.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    driver.kill()
    assert driver.communicate(timeout=60) == (b"", b"")  # its stderr ends when the last process that has it does


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups")
def test_what_a_solver_has_started_ends_with_the_process_it_worked_in(tmp_path):
    some: list[Any] = [FakeCell(key="a", deed="fork", folder=tmp_path)]
    ((row, _),) = Pool(workers=1, cell_timeout_s=60).outcomes(some)
    assert row.error.startswith(f"its process was killed by signal {signal.SIGKILL}, twice")  # heard although its child lived, and not by a time limit


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups")
def test_what_a_solver_prints_is_not_in_the_output(drive):
    out, err = drive("speak").communicate(timeout=60)
    assert (out.split(), sorted(err.splitlines())) == ([b"feasible"], [b"of Python", b"of compiled code"])


def test_solvers_may_start_processes_and_cannot_stop_theirs():
    some: list[Any] = [FakeCell(key="a", deed="share"), FakeCell(key="b", deed="interrupt"), FakeCell(key="c")]
    found = {row.key: row.error for row, _ in Pool(workers=1).outcomes(some)}
    assert found == {"a": "", "b": "crashed: KeyboardInterrupt; solved alone it shows where", "c": ""}


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be put off")
def test_ctrl_c_while_a_process_is_started_is_put_off_here_and_not_heard_there():
    code, alive, over = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('alive')", b"", threading.Event()
    other = threading.Thread(target=over.wait, daemon=True)
    other.start()  # it may take the signal
    with pytest.raises(KeyboardInterrupt), module._no_interrupts():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        alive = subprocess.run([sys.executable, "-c", code], capture_output=True).stdout
    over.set()
    other.join()
    assert alive == b"alive\n"


def test_processes_that_never_begin_are_an_error_and_no_endless_loop(monkeypatch):
    monkeypatch.setattr(module, "_serve", stillborn)
    with pytest.raises(SpikepipeError, match="processes cannot be started: the last one ended with exit code 3"):
        next(Pool(workers=1).outcomes(cells("a")))


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 10**6}, {"workers": 1, "cell_timeout_s": 0.0}])
def test_a_pool_of_no_workers_or_no_time_is_refused(options):
    with pytest.raises(InputError):
        Pool(**options)


def test_no_cells_need_no_process():
    assert list(Pool(workers=2).outcomes([])) == []
