"""The outcomes of sweeps in one file: an SQLite database.

What `Store.add` has written is there even if the process, or the machine, stops the next moment:
each outcome is a transaction in a write-ahead log (https://sqlite.org/wal.html) that is on the disk
when `add` returns (``synchronous=FULL``). Only the process that drives a sweep writes; several of them
may share a file on a local disk, and others read meanwhile. Outcomes are columns, so that any program
that reads SQLite can ask for them; schedules lie beside them, compressed (zlib).
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from spikepipe_sched.errors import InputError, SpikepipeError, require
from spikepipe_sched.files import MAX_BYTES
from spikepipe_sched.study.outcome import FAILED, Outcome

if TYPE_CHECKING:
    from spikepipe_sched.result import Result
    from spikepipe_sched.study.cell import Cell

#: "spsc": https://sqlite.org/pragma.html#pragma_application_id.
APPLICATION_ID: Final = 0x73707363
FORMAT: Final = 1
#: How long to wait for another process that writes [seconds].
PATIENCE_S: Final = 60.0
#: How long SQLite waits for it in one go, during which it hears no Ctrl-C [seconds].
_NAP_S: Final = 0.1

_COLUMNS: Final = tuple(field.name for field in fields(Outcome))
_TYPES: Final = {"str": "TEXT", "int": "INTEGER", "float": "REAL"}


def _column(name: str, kind: str, *, required: bool) -> str:
    return f"{name} {_TYPES[kind.partition(' ')[0]]}{' PRIMARY KEY' if name == 'key' else ''}{' NOT NULL' if required or kind == 'str' else ''}"


_TABLES: Final = {
    "outcomes": f"CREATE TABLE outcomes ({', '.join(_column(f.name, str(f.type), required=f.default is MISSING) for f in fields(Outcome))})",
    "results": "CREATE TABLE results (key TEXT PRIMARY KEY NOT NULL, json BLOB NOT NULL)",
    "sweeps": "CREATE TABLE sweeps (name TEXT PRIMARY KEY NOT NULL)",
    "cells": "CREATE TABLE cells (sweep TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (sweep, place))",
}


class Store:
    """A file of outcomes; a context manager.

    Parameters
    ----------
    path
        On a local disk: a write-ahead log needs memory that all its users share.
    create
        Make the file if there is none; without it, a file in a folder that cannot be written is read.

    Raises
    ------
    InputError
        If there is no such file, it is no store, or one that a newer version made, or its file system
        does not allow a write-ahead log.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        require(create or path.exists(), f"there is no store '{path}'; the command sweep makes one")
        require(not path.is_dir(), f"'{path}' is a folder, not a store of sweeps")
        with self._told():
            self._connection = sqlite3.connect(_address(path, create=create), uri=True, timeout=_NAP_S, isolation_level=None)
            try:
                self._open(create=create)
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def register(self, sweep: str, cells: Iterable[Cell]) -> int:
        """Note which cells a sweep consists of, and in which order; an older sweep of that name is forgotten, its outcomes are not.

        Returns
        -------
        int
            The number of cells of that older sweep if some of them are not in this one; else 0.
        """
        keys = dict.fromkeys(cell.key for cell in cells)
        with self._told(), self._transaction():
            before = self._texts("SELECT key FROM cells WHERE sweep = ?", sweep)
            self._connection.execute("INSERT OR IGNORE INTO sweeps VALUES (?)", (sweep,))
            self._connection.execute("DELETE FROM cells WHERE sweep = ?", (sweep,))
            self._connection.executemany("INSERT INTO cells VALUES (?, ?, ?)", ((sweep, place, key) for place, key in enumerate(keys)))
        return 0 if keys.keys() >= set(before) else len(before)

    def add(self, outcome: Outcome, result: str | None, *, replace: bool = False, patience_s: float | None = None) -> None:
        """Write an outcome and its result as JSON, if any; durable when it returns.

        What is there already under the same key stays, unless it failed or ``replace`` is set.

        Parameters
        ----------
        patience_s
            How long to wait for another program that writes; `PATIENCE_S` if not given [seconds].

        Raises
        ------
        SpikepipeError
            If it waited for so long in vain, or the file cannot be written.
        """
        values = [getattr(outcome, name) for name in _COLUMNS]
        packed = None if result is None else zlib.compress(result.encode())
        changed = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
        insert = (
            f"INSERT INTO outcomes VALUES ({', '.join('?' * len(values))}) ON CONFLICT (key) DO UPDATE SET {changed} WHERE ? OR outcomes.status = '{FAILED}'"  # noqa: S608
        )
        with self._told(), self._transaction(patience_s):
            if self._connection.execute(insert, [*values, replace]).rowcount:
                self._connection.execute("DELETE FROM results WHERE key = ?", (outcome.key,))
                if packed is not None:
                    self._connection.execute("INSERT INTO results VALUES (?, ?)", (outcome.key, packed))

    def known(self) -> set[str]:
        """Keys of all cells that have been answered: those of failed rows are not among them."""
        return self._keys(failed=False)

    def failed(self) -> set[str]:
        """Keys of all rows that failed."""
        return self._keys(failed=True)

    def sweeps(self) -> tuple[str, ...]:
        """The names of sweeps, in the order they were first run."""
        return tuple(self._texts("SELECT name FROM sweeps ORDER BY rowid"))

    def keys(self, sweep: str) -> tuple[str, ...]:
        """Keys of all cells of a sweep in its order, answered or not.

        Raises
        ------
        InputError
            If there is no such sweep.
        """
        self._require(sweep)
        return tuple(self._texts("SELECT key FROM cells WHERE sweep = ? ORDER BY place", sweep))

    def outcomes(self, sweep: str | None = None) -> list[Outcome]:
        """The rows of a sweep, in its order; of all sweeps, in the order they were written.

        Raises
        ------
        InputError
            If there is no such sweep, or a row is damaged.
        """
        columns = ", ".join(f"outcomes.{name}" for name in _COLUMNS)
        query = f"SELECT {columns} FROM outcomes ORDER BY rowid"  # noqa: S608
        if sweep is not None:
            self._require(sweep)
            query = f"SELECT {columns} FROM cells JOIN outcomes USING (key) WHERE cells.sweep = ? ORDER BY cells.place"  # noqa: S608
        with self._told():
            rows = self._execute(query, () if sweep is None else (sweep,)).fetchall()
        return [self._outcome(row) for row in rows]

    def rows(self, cells: Iterable[Cell]) -> list[Outcome]:
        """The rows of these cells that are there, in their order.

        Raises
        ------
        InputError
            If a row is damaged.
        """
        query = f"SELECT {', '.join(_COLUMNS)} FROM outcomes WHERE key = ?"  # noqa: S608
        with self._told():
            found = [self._execute(query, (cell.key,)).fetchone() for cell in cells]
        return [self._outcome(row) for row in found if row is not None]

    def result(self, key: str) -> Result | None:
        """The schedule of a cell; None if there is none.

        Raises
        ------
        InputError
            If it is damaged, or too large.
        """
        from spikepipe_sched.schema import result_from_json

        with self._told():
            row = self._execute("SELECT json FROM results WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        where = f"{self.path}: the schedule of cell {key[:12]}"
        try:
            unpacker = zlib.decompressobj()
            text = unpacker.decompress(row[0], MAX_BYTES + 1)
            require(len(text) <= MAX_BYTES, f"it has more than {MAX_BYTES} bytes")
            require(unpacker.eof, "it ends too early")
            return result_from_json(text)
        except (zlib.error, TypeError, InputError) as error:  # TypeError: it is no blob
            raise InputError(f"{where} is damaged: {error}") from None

    def _require(self, sweep: str) -> None:
        known = self.sweeps()
        require(sweep in known, f"{self.path}: there is no sweep '{sweep}'; there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none'}")

    def _keys(self, *, failed: bool) -> set[str]:
        return set(self._texts(f"SELECT key FROM outcomes WHERE status {'=' if failed else '!='} ?", FAILED))  # noqa: S608

    def _texts(self, query: str, *values: str) -> list[str]:
        with self._told():
            found = [value for (value,) in self._execute(query, values)]
        require(all(isinstance(value, str) for value in found), f"{self.path}: it is damaged: a name or a key is no text")
        return found

    def _outcome(self, row: tuple[Any, ...]) -> Outcome:
        try:
            return msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), Outcome)
        except msgspec.ValidationError as error:
            raise InputError(f"{self.path}: the row {str(row[0])[:12]!r} is damaged: {error}") from None

    def _open(self, *, create: bool) -> None:
        """Set the connection up, and make the tables if the file is empty."""
        self._connection.execute("PRAGMA trusted_schema = OFF")
        self._connection.execute("PRAGMA synchronous = FULL")
        if create and self._empty():
            self._log_ahead()
            with self._transaction():
                if self._empty():  # another process may have been faster
                    for table in _TABLES.values():
                        self._connection.execute(table)
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        require(self._number("application_id") == APPLICATION_ID, f"'{self.path}' is no store of sweeps")
        version = self._number("user_version")
        require(version <= FORMAT, f"'{self.path}' was made by a newer version (its format is {version}, this one reads {FORMAT}); upgrade the package")
        # Others may add what they like, except what would run when a row is written.
        schema = self._execute("SELECT name, sql, type FROM sqlite_schema")
        ours = {name: sql for name, sql, kind in schema if kind == "trigger" or name in _TABLES}
        require(version == FORMAT and ours == _TABLES, f"'{self.path}' is damaged: its tables are not those of a store")
        if create:
            self._log_ahead()

    def _log_ahead(self) -> None:
        """Switch the write-ahead log on, which needs the file for a moment."""
        (mode,) = self._execute("PRAGMA journal_mode = WAL").fetchone()
        require(mode == "wal", f"'{self.path}': its file system does not allow a write-ahead log; keep the store on a local disk")

    def _empty(self) -> bool:
        return self._execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,) and self._number("application_id") == 0

    def _number(self, pragma: str) -> int:
        (value,) = self._execute(f"PRAGMA {pragma}").fetchone()
        return value

    def _execute(self, statement: str, values: Sequence[str] = (), patience_s: float | None = None) -> sqlite3.Cursor:
        """Execute what another process may keep waiting, and hear Ctrl-C meanwhile."""
        patience_s = PATIENCE_S if patience_s is None else patience_s
        end = time.monotonic() + patience_s
        while True:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > end:
                    raise SpikepipeError(f"{self.path}: another program has kept it locked for {patience_s:g} s; try again when that has ended") from None
                time.sleep(_NAP_S)  # SQLite does not always wait by itself

    @contextmanager
    def _transaction(self, patience_s: float | None = None) -> Generator[None]:
        """All or nothing; waits at the beginning, and there only, for another process that writes."""
        try:
            self._execute("BEGIN IMMEDIATE", patience_s=patience_s)
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # or it has not begun, or SQLite itself has given up
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Generator[None]:
        """What SQLite says, in one line."""
        try:
            yield
        except (sqlite3.OperationalError, OverflowError, UnicodeEncodeError) as error:
            raise SpikepipeError(f"{self.path}: {error}") from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise InputError(f"'{self.path}' is no store of sweeps, or damaged: {error}") from None


def _address(path: Path, *, create: bool) -> str:
    """The file as SQLite takes it (https://sqlite.org/uri.html).

    Even to read, SQLite needs two more files beside one with a write-ahead log. Where it cannot make them,
    nobody can write either, and it need not look for changes: unless there is a log already.
    """
    path = path.absolute()
    log = path.with_name(f"{path.name}-wal")
    still = not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    return f"{path.as_uri()}?mode={'rwc' if create else 'ro&immutable=1' if still else 'rw'}"
