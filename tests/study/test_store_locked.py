"""A store that another program writes, or where nobody can: what is told, that Ctrl-C is heard, and what can be read."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import Any

import pytest

from spikepipe_sched import SpikepipeError
from spikepipe_sched.study import store as module
from spikepipe_sched.study.store import Store
from tests.study.fakes import row

HOLDER = """
import os, signal, sqlite3, sys, time

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(0.5)
os.kill(int(sys.argv[2]), signal.SIGINT)
time.sleep(5)
"""


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db", create=True) as opened:
        yield opened


@pytest.fixture
def locked(store):
    """Another program that writes, until it is closed."""
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_store_that_another_program_keeps_locked_is_told(store, locked, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.25)
    with pytest.raises(SpikepipeError, match=r"store\.db: another program has kept it locked for 0\.25 s"):
        store.add(row("a"), None)
    with pytest.raises(SpikepipeError, match=r"locked for 0\.1 s"):
        store.add(row("a"), None, patience_s=0.1)
    locked.execute("ROLLBACK")
    store.add(row("a"), None)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_is_heard_while_another_program_keeps_the_store_locked(store, locked):
    locked.close()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store.path), str(os.getpid())], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(KeyboardInterrupt):
        store.add(row("a"), None)
    assert holder.poll() is None  # it is heard before the lock is gone
    holder.kill()
    holder.communicate()
    store.add(row("b"), None)
    assert store.known() == {"b"}


def test_ctrl_c_when_a_transaction_has_just_begun_ends_it(store, monkeypatch):
    execute = store._execute

    def interrupted(*arguments: Any, **options: Any) -> None:
        execute(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.add(row("a"), None)
    monkeypatch.undo()
    store.add(row("b"), None)
    assert store.known() == {"b"}


def test_a_store_in_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    path = tmp_path / "s #?%41.db"
    with Store(path, create=True) as store:
        store.add(row("a"), None)
    monkeypatch.setattr(module.os, "access", lambda *_: False)  # whoever runs the tests may write anywhere
    with Store(path) as store:
        assert store.outcomes() == [row("a")]
        assert [file.name for file in tmp_path.iterdir()] == [path.name]  # SQLite would make its two others
        with pytest.raises(SpikepipeError, match="readonly"):
            store.add(row("b"), None)


def test_a_log_is_not_overlooked_where_nothing_can_be_written(tmp_path, monkeypatch):
    with Store(tmp_path / "s.db", create=True) as store:
        store.add(row("a"), None)  # not yet in the file itself
        monkeypatch.setattr(module.os, "access", lambda *_: False)
        with Store(store.path) as other:
            assert other.known() == {"a"}
