"""What is written is there, whoever else writes and whatever happens to the writer; and a file that is no store is told in one line."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError, SpikepipeError
from spikepipe_sched.study import store as module
from spikepipe_sched.study.outcome import Outcome
from spikepipe_sched.study.store import APPLICATION_ID, Store
from tests.helpers import pipelined_result
from tests.study.fakes import FakeCell, row

WRITER = """
import sys
from pathlib import Path
from spikepipe_sched.study.store import Store
from tests.study.fakes import FakeCell, row

name, count = sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with Store(Path(sys.argv[1]), create=True) as store:
    store.register(name, [FakeCell(key=f"{name}{i}") for i in range(count)])
    for i in range(count):
        store.add(row(f"{name}{i}", seed=i), "x" * 1000)
        print(i, flush=True)
"""
ROOT = Path(__file__).parents[2]


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that is about to write so many rows, and says so of each when it is written."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let it begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db", create=True) as opened:
        yield opened


def change(path: Path, *statements: str) -> None:
    """Write into the file behind the store's back."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_rows_come_back_as_they_were(store):
    empty = {f.name: None for f in fields(Outcome) if f.default is None}
    rows = [row("a"), row("b", error="žluťoučký\nkůň\x00", clock_hz=1, gap=None), row("c", status="failed", **empty)]
    for each in rows:
        store.add(each, None)
    assert store.outcomes() == rows
    assert store.known() == {"a", "b"}
    assert store.failed() == {"c"}


def test_results_come_back_as_they_were(store):
    result = pipelined_result()
    store.add(row("a"), result.to_json())
    found = store.result("a")
    assert found is not None
    assert found.to_json() == result.to_json()
    assert store.result("b") is None


def test_what_was_added_is_seen_by_others_at_once(store):
    store.add(row("a"), None)
    with Store(store.path) as other:
        assert other.known() == {"a"}
        store.add(row("b"), None)
        assert other.known() == {"a", "b"}


def test_an_answer_stays_and_a_failure_is_replaced(store):
    answer, failure = row("a", seed=1), row("a", status="failed", seed=2)
    store.add(failure, None)
    store.add(replace(failure, seed=3), None)
    assert [each.seed for each in store.outcomes()] == [3]
    store.add(answer, pipelined_result().to_json())
    store.add(failure, None)
    store.add(replace(answer, seed=4), "something else")
    assert store.outcomes() == [answer]
    assert store.result("a") is not None


def test_an_answer_is_replaced_if_asked_and_its_result_with_it(store):
    store.add(row("a", seed=1), pipelined_result().to_json())
    store.add(row("a", status="failed", seed=2), None, replace=True)
    assert [each.seed for each in store.outcomes()] == [2]
    assert store.result("a") is None


def test_rows_are_found_by_their_cells_whatever_sweeps_there_are(store):
    for key in "abc":
        store.add(row(key), None)
    assert [each.key for each in store.rows([FakeCell(key=key) for key in "cxa"])] == ["c", "a"]


def test_registering_tells_of_cells_that_the_name_stood_for(store):
    assert [store.register("s", [FakeCell(key=key) for key in keys]) for keys in ("", "ab", "ba", "cab", "bc", "d")] == [0, 0, 0, 0, 3, 2]


def test_a_sweep_has_the_order_of_its_cells_and_only_its_own(store):
    store.register("one", [FakeCell(key=key) for key in "cabc"])
    store.register("two", [FakeCell(key=key) for key in "bd"])
    for key in "abde":
        store.add(row(key), None)
    assert store.sweeps() == ("one", "two")
    assert store.keys("one") == ("c", "a", "b")
    assert [each.key for each in store.outcomes("one")] == ["a", "b"]
    store.register("one", [FakeCell(key=key) for key in "edx"])
    assert store.sweeps() == ("one", "two")
    assert [each.key for each in store.outcomes("one")] == ["e", "d"]
    assert [each.key for each in store.outcomes("two")] == ["b", "d"]
    with pytest.raises(InputError, match="there is no sweep 'three'; there are one, two"):
        store.outcomes("three")


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["feasible", "failed", "not supported"]), st.booleans(), st.booleans())))
def test_any_sequence_of_rows_leaves_what_a_dictionary_would(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("model") / "store.db"
    model: dict[str, tuple[Outcome, bool]] = {}
    opened = Store(path, create=True)
    for i, (key, status, kept, reopen) in enumerate(steps):
        new = row(key, status=status, seed=i)
        opened.add(new, "{}" if kept else None)
        if key not in model or model[key][0].failed:
            model[key] = (new, kept)
        if reopen:
            opened.close()
            opened = Store(path)
    assert {each.key: each for each in opened.outcomes()} == {key: each for key, (each, _) in model.items()}
    opened.close()


def test_two_processes_make_and_fill_one_store_at_the_same_time(tmp_path):
    path, count = tmp_path / "store.db", 60
    processes = [writer(path, name, count) for name in "ab"]
    for process in processes:
        go(process)
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
    with Store(path) as store:
        assert sorted(store.sweeps()) == ["a", "b"]
        for name in "ab":
            assert store.outcomes(name) == [row(f"{name}{i}", seed=i) for i in range(count)]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
@pytest.mark.parametrize("after", [0, 17])
def test_a_writer_that_is_killed_loses_nothing_it_has_finished(tmp_path, after):
    path = tmp_path / "store.db"
    process = writer(path, "a", 100_000)
    go(process)
    assert process.stdout is not None
    while int(process.stdout.readline()) < after:
        pass
    process.send_signal(signal.SIGKILL)  # in the midst of one of the next
    out, _ = process.communicate(timeout=60)
    said = [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
    last = max([after, *said])
    with Store(path) as store:
        rows = store.outcomes("a")
        assert rows == [row(f"a{i}", seed=i) for i in range(len(rows))]
        assert len(rows) in (last + 1, last + 2)  # one that was written, and not yet said
        store.add(row("more"), None)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_written_is_on_the_disk_when_it_is_said_to_be(store):
    assert store._number("synchronous") == 2  # FULL: every commit waits for the log
    assert store._number("journal_mode") == "wal"


def test_there_is_no_store_unless_one_is_to_be_made(tmp_path):
    with pytest.raises(InputError, match=r"there is no store '.*none\.db'"):
        Store(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_an_empty_file_becomes_a_store_only_if_one_is_to_be_made(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(InputError, match="is no store of sweeps"):
        Store(path)
    Store(path, create=True).close()
    Store(path).close()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("content", [b"networks = []\n", b"SQLite format 3\x00" + b"\xff" * 4096, b"\x00" * 10_000], ids=["text", "broken", "zeros"])
def test_a_file_that_is_no_database_is_left_alone(tmp_path, content, create):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no store of sweeps") as caught:
        Store(path, create=create)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (("CREATE TABLE x (y)",), "is no store of sweeps"),
        (("PRAGMA application_id = 7",), "is no store of sweeps"),
        ((f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 99"), "newer version .its format is 99, this one reads 1"),
        ((f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1"), "its tables are not those of a store"),
        ((f"PRAGMA application_id = {APPLICATION_ID}",), "its tables are not those of a store"),
    ],
)
def test_other_databases_are_refused(tmp_path, statements, message, create):
    change(tmp_path / "other.db", *statements)
    with pytest.raises(InputError, match=message):
        Store(tmp_path / "other.db", create=create)


def test_a_schema_that_is_no_text_is_told_in_one_line(tmp_path):
    path = tmp_path / "s.db"
    Store(path, create=True).close()
    content = path.read_bytes().replace(b"sweepssweeps", b"\xffweepssweeps")
    path.write_bytes(content.replace(b"CREATE TABLE sweeps", b"CREATE XABLE sweeps"))
    with pytest.raises(InputError, match="is no store of sweeps, or damaged"):
        Store(path)


def test_a_name_that_is_no_unicode_is_told_in_one_line(store):
    with pytest.raises(SpikepipeError, match="surrogates not allowed"):
        store.register("\udcff", [])


def test_a_store_with_a_trigger_of_a_stranger_is_refused(tmp_path):
    Store(tmp_path / "s.db", create=True).close()
    change(tmp_path / "s.db", "CREATE TRIGGER t AFTER INSERT ON outcomes BEGIN DELETE FROM outcomes; END")
    with pytest.raises(InputError, match="is damaged"):
        Store(tmp_path / "s.db")


def test_a_store_with_an_index_or_a_view_of_its_user_is_still_one(store):
    store.add(row("a"), None)
    change(store.path, "CREATE INDEX i ON outcomes (network)", "CREATE VIEW v AS SELECT gap FROM outcomes", "ANALYZE")
    with Store(store.path) as other:
        assert other.outcomes() == [row("a")]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE outcomes SET value = 'many'", "the row 'a' is damaged: Expected `int | null`, got `str`"),
        ("UPDATE outcomes SET value = 1.5", "the row 'a' is damaged"),
        ("UPDATE outcomes SET network = x'00ff'", "the row 'a' is damaged"),
        ("UPDATE outcomes SET error = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
    ],
)
def test_a_damaged_row_is_told_in_one_line(store, statement, message):
    store.add(row("a"), None)
    change(store.path, statement)
    with pytest.raises(SpikepipeError, match=message) as caught:
        store.outcomes()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"not compressed", "is damaged: Error -3"),
        (zlib.compress(b"{}")[:-3], "it ends too early"),
        (zlib.compress(b"{}"), "is damaged"),
        (zlib.compress(b"x" * 100_000), "it has more than 50000 bytes"),
    ],
)
def test_a_damaged_result_is_told_in_one_line(store, monkeypatch, blob, message):
    monkeypatch.setattr(module, "MAX_BYTES", 50_000)
    store.add(row("a"), "{}")
    change(store.path, f"UPDATE results SET json = x'{blob.hex()}'")
    with pytest.raises(InputError, match=message) as caught:
        store.result("a")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_told_in_one_line(tmp_path):
    path = tmp_path / "s.db"
    with Store(path, create=True) as store:
        for i in range(200):
            store.add(row(str(i)), None)
    path.write_bytes(path.read_bytes()[: 3 * 4096])
    with pytest.raises(SpikepipeError) as caught, Store(path) as store:
        store.outcomes()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_system_without_shared_memory_is_refused(tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda address, **options: connect(f"{address}&vfs=unix-none", **options))
    with pytest.raises(InputError, match="does not allow a write-ahead log; keep the store on a local disk"):
        Store(tmp_path / "s.db", create=True)


def test_a_folder_or_a_file_in_no_folder_cannot_be_a_store(tmp_path):
    with pytest.raises(SpikepipeError, match="unable to open database file"):
        Store(tmp_path / "no" / "s.db", create=True)
    for create in (False, True):
        with pytest.raises(InputError, match="is a folder, not a store"):
            Store(tmp_path, create=create)


def test_a_row_that_cannot_be_written_leaves_the_store_usable(store):
    with pytest.raises(SpikepipeError, match="too large"):
        store.add(row("a", value=2**70), None)
    store.add(row("b"), None)
    assert store.known() == {"b"}
