"""Django's SQLite backend with the process's write lock: `ENGINE = "audit.sqlite"`.

Transactions take the lock before BEGIN IMMEDIATE and give it back after COMMIT, ROLLBACK or close; a writing
statement outside a transaction takes it for its own duration. Everything else is Django's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations

from audit.lock import WriteLock, write_lock

_READS = ("SELECT", "PRAGMA", "EXPLAIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")


class LockedCursor(base.SQLiteCursorWrapper):
    """A cursor whose writes outside a transaction wait for the process's other writers."""

    wrapper: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction or query.lstrip()[:9].upper().startswith(_READS):
            return super().execute(query, params)
        with self.wrapper.writing():
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        if self.connection.in_transaction:
            return super().executemany(query, param_list)
        with self.wrapper.writing():
            return super().executemany(query, param_list)


class DatabaseOperations(SQLiteOperations):
    """`flush` empties the store: every trigger steps aside for it and comes back."""

    def sql_flush(self, style: Any, tables: Any, **options: Any) -> list[str]:
        statements: list[str] = super().sql_flush(style, tables, **options)
        if not statements:
            return statements
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            guards = cursor.fetchall()
        return [*(f'DROP TRIGGER "{name}"' for name, _ in guards), *statements, *(sql for _, sql in guards)]


class _Writing:
    """The write lock for the length of a `with` block, for statements that commit by themselves."""

    def __init__(self, wrapper: DatabaseWrapper) -> None:
        self._wrapper = wrapper

    def __enter__(self) -> None:
        self._wrapper.take_write_lock()

    def __exit__(self, *error: object) -> None:
        self._wrapper.release_write_lock()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, one writer of the process at a time."""

    ops_class = DatabaseOperations

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        self._lock: WriteLock = write_lock(str(params["database"]))
        return params

    def writing(self) -> _Writing:
        return _Writing(self)

    def take_write_lock(self) -> None:
        timeout = float(self.settings_dict["OPTIONS"].get("timeout", 5))
        if not self._lock.acquire(self, timeout):
            raise OperationalError("database is locked: another writer of this process did not finish")

    def release_write_lock(self) -> None:
        lock: WriteLock | None = getattr(self, "_lock", None)
        if lock is not None:
            lock.release(self)

    def create_cursor(self, name: str | None = None) -> LockedCursor:
        cursor = self.connection.cursor(factory=LockedCursor)
        cursor.wrapper = self
        return cursor  # type: ignore[no-any-return]

    def _start_transaction_under_autocommit(self) -> None:
        self.take_write_lock()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc] # absent from the stubs
        except BaseException:
            self.release_write_lock()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc] # absent from the stubs  # a failed commit keeps the lock: Django rolls back next
        self.release_write_lock()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc] # absent from the stubs
        finally:
            self.release_write_lock()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc] # absent from the stubs
        finally:
            self.release_write_lock()
