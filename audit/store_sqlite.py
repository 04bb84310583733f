"""The recorder's store on SQLite: WAL, synchronous=FULL, one statement per table and batch.

Each statement gives the interpreter's lock away and has to win it back from a busy event loop; a batch is
therefore a handful of multi-row statements, never `executemany`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, final

from audit import ids, store
from audit.lock import write_lock
from audit.store import Batch, Build, GuardRefused, Row, RowsRefused, SessionRace, Statement, StoreError

_WAIT = 0.6  # seconds for a lock: twice this stays within what a caller waits
_CHECKPOINT = 4000  # pages: the ends of the tables are rewritten by every commit, copied back by few
_CACHE = 16 * 1024  # KiB
_ROWS = 64  # of one statement; each row count is a statement of its own in the cache

_BAD_VALUE = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


@final
class SQLiteDialect:
    """Values as Django's SQLite backend stores them.

    Blobs are bytearrays: for anything but int, float, str and bytearray the sqlite3 module seeks an adapter,
    at six times the cost of binding the value.
    """

    def __init__(self) -> None:
        self.blob = bytearray
        self._second = (-1, "")

    def time(self, milliseconds: int) -> str:
        """By the second, which is the same for hundreds of calls."""
        second, rest = divmod(milliseconds, 1000)
        known, written = self._second
        if known != second:
            written = str(ids.moment(second * 1000).replace(tzinfo=None))
            self._second = (second, written)
        return f"{written}.{rest:03d}000" if rest else written

    def json(self, encoded: bytes) -> str:
        return encoded.decode()


def _cached(make: Callable[[int], str]) -> Callable[[int], str]:
    """The same string object for the same row count: its hash finds the prepared statement."""
    known: dict[int, str] = {}

    def statement(rows: int) -> str:
        sql = known.get(rows)
        if sql is None:
            sql = known[rows] = make(rows)
        return sql

    return statement


def _inserts(table: str, columns: Iterable[str]) -> Callable[[int], str]:
    """OR ROLLBACK: a statement that cannot half fail keeps no journal of its own."""
    names = ", ".join(f'"{column}"' for column in columns)
    values = f"({', '.join('?' * len(list(columns)))})"
    head = f"INSERT OR ROLLBACK INTO {table} ({names}) VALUES "  # noqa: S608 (constants)
    return _cached(lambda rows: head + ", ".join([values] * rows))


def _closes() -> Callable[[int], str]:
    """Closed once: a row that is closed stays as it is."""
    number = {column: f"v.column{place}" for place, column in enumerate(store.CLOSE, start=1)}
    sets = ", ".join(f"{column} = {number[column]}" for column in store.END if column != "code")
    values = f"({', '.join('?' * len(store.CLOSE))})"
    head = f"UPDATE OR ROLLBACK audit_call SET {sets}, code = coalesce(nullif({number['code']}, ''), code) "  # noqa: S608
    tail = f") AS v WHERE audit_call.id = {number['id']} AND audit_call.closed_at IS NULL"
    return _cached(lambda rows: head + "FROM (VALUES " + ", ".join([values] * rows) + tail)


_SESSIONS = _inserts("audit_session", store.SESSION)
_ENTRIES = _inserts("audit_entry", store.ENTRY)
_PAYLOADS = _inserts("audit_payload", store.PAYLOAD)
_ORIGINALS = _inserts("audit_original", store.ORIGINAL)
_KEYS = _inserts("audit_callkey", store.KEY)
_CALLS = _inserts("audit_call", store.CALL)
_CLOSES = _closes()
_UNINDEXED = _inserts("audit_unindexed", store.UNINDEXED)


def _tables(batch: Batch) -> Iterator[tuple[Callable[[int], str], list[Row]]]:
    """The batch by statement, in an order in which a call is there before its end."""
    yield _SESSIONS, batch.sessions
    yield _ENTRIES, batch.entries
    yield _PAYLOADS, batch.payloads
    yield _ORIGINALS, batch.originals
    yield _KEYS, batch.keys
    yield _CALLS, batch.calls
    yield _CLOSES, batch.closes
    yield _UNINDEXED, batch.unindexed


def _statements(batch: Batch) -> list[Statement]:
    return [
        (statement(len(part)), list(chain.from_iterable(part)))
        for statement, rows in _tables(batch)
        for part in (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
    ]


@final
class SQLiteStore:
    """One connection to the file, used by the recorder's thread."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.dialect = SQLiteDialect()
        self._database = str(parameters["database"])
        self._lock = write_lock(self._database)
        self._connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        self.close()
        with _translated():
            connection = sqlite3.connect(
                self._database,
                timeout=_WAIT,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
                uri=self._database.startswith("file:"),
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT}")
            connection.execute(f"PRAGMA cache_size=-{_CACHE}")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def claim(self, stream: int) -> None:
        """Nothing to do: a closed connection has rolled back, and no other process has this stream."""

    def interrupt(self) -> None:
        """Nothing to do: the locks have timeouts, and a disk that hangs cannot be interrupted."""

    def commit(self, batch: Batch) -> None:
        self.transaction(_statements(batch))

    def commit_guarded(self, guards: Sequence[Statement], build: Build) -> None:
        with self._writing() as execute:
            execute("BEGIN IMMEDIATE", ())
            batch = build([_holds(execute, place, guard) for place, guard in enumerate(guards)])
            if batch is not None:
                for sql, parameters in _statements(batch):
                    execute(sql, parameters)
                execute("COMMIT", ())

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with _translated():
            return self._live().execute(sql, parameters).fetchall()

    def transaction(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        with self._writing() as execute:
            execute("BEGIN IMMEDIATE", ())
            for sql, parameters in statements:
                execute(sql, parameters)
            execute("COMMIT", ())

    @contextmanager
    def _writing(self) -> Iterator[Callable[[str, Sequence[Any]], sqlite3.Cursor]]:
        """The turn to write among the writers of this process; nothing is left begun."""
        connection = self._live()
        if not self._lock.acquire(self, _WAIT):
            raise StoreError("another writer of this process holds the store")
        try:
            with _translated():
                yield connection.execute
        finally:
            try:
                if connection.in_transaction:
                    connection.rollback()
            finally:
                self._lock.release(self)

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("not connected")
        return self._connection


def _holds(execute: Callable[[str, Sequence[Any]], sqlite3.Cursor], place: int, guard: Statement) -> bool:
    try:
        changed = execute(*guard).rowcount
    except sqlite3.IntegrityError:
        return False  # undone by itself
    if changed > 1:
        raise GuardRefused(f"the guard changed {changed} rows", place=place)
    return changed == 1


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        taken = "audit_session.key" in str(error)
        raise (SessionRace if taken else RowsRefused)(str(error)) from None
    except _BAD_VALUE as error:
        raise RowsRefused(type(error).__name__) from None
    except sqlite3.Error as error:
        raise StoreError(str(error)) from None
