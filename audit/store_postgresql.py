"""The recorder's store on PostgreSQL: a batch is one statement, one round trip, one commit.

The rows travel as JSON documents and PostgreSQL spreads them (`json_to_recordset`): the statement is the same
for every batch, so it is prepared once, and binding costs the gateway seven parameters instead of hundreds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, final

import orjson
import psycopg
from psycopg import errors

from audit import ids, store
from audit.store import Batch, Build, GuardRefused, Row, RowsRefused, SessionRace, Statement, StoreError

_LIMITS = {
    "lock_timeout": "700ms",
    "statement_timeout": "1200ms",
    "idle_in_transaction_session_timeout": "5s",
}
_CONNECTION = {  # a peer that vanished is noticed within seconds
    "connect_timeout": 2,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 2000,
}
_IMPATIENT = "SET LOCAL lock_timeout = '500ms'"
_TAKEN = "audit_session_key"
_STREAMS = 0x706F7374  # the advisory locks that are streams
_OWN = ("context", "prepare_threshold", "cursor_factory", "row_factory")  # Django's, not libpq's

_OPEN = {"finish_reason": "", "response_size": 0}
_CALLS = {**store.CALL, **{name: kind for name, kind in store.END.items() if name not in store.CALL}}


@final
class PostgreSQLDialect:
    """Values as they are written into a JSON document."""

    def __init__(self) -> None:
        self._second = (-1, "")

    def time(self, milliseconds: int) -> str:
        """By the second, which is the same for hundreds of calls."""
        second, rest = divmod(milliseconds, 1000)
        known, written = self._second
        if known != second:
            written = ids.moment(second * 1000).replace(tzinfo=None).isoformat()
            self._second = (second, written)
        return f"{written}.{rest:03d}+00:00"

    def blob(self, value: bytes) -> str:
        return "\\x" + value.hex()

    def json(self, encoded: bytes) -> orjson.Fragment:
        return orjson.Fragment(encoded)


def _document(place: int) -> str:
    return f"json_to_recordset(convert_from(${place}, 'UTF8')::json)"


def _insert(table: str, columns: Mapping[str, str], place: int) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_document(place)} AS r({typed})"  # noqa: S608 (constants)


def _close(place: int) -> str:
    """Closed once: a row that is closed stays as it is. The time lets PostgreSQL look in one partition."""
    typed = ", ".join(f"{name} {kind}" for name, kind in store.CLOSE.items())
    changed = [name for name in store.END if name != "code"]
    sets = ", ".join(f"{name} = r.{name}" for name in changed)
    return (
        f"UPDATE audit_call AS c SET {sets}, code = coalesce(nullif(r.code, ''), c.code) "  # noqa: S608
        f"FROM {_document(place)} AS r({typed}) "
        "WHERE c.id = r.id AND c.started_at = r.started_at AND c.closed_at IS NULL"
    )


_PARTS: tuple[tuple[str, Mapping[str, str], str], ...] = (
    ("sessions", store.SESSION, "audit_session"),
    ("payloads", store.PAYLOAD, "audit_payload"),
    ("keys", store.KEY, "audit_callkey"),
    ("calls", _CALLS, "audit_call"),
    ("unindexed", store.UNINDEXED, "audit_unindexed"),
    ("entries", store.ENTRY, "audit_entry"),
)
_WITH_ORIGINALS = (*_PARTS, ("originals", store.ORIGINAL, "audit_original"))


def _write(parts: tuple[tuple[str, Mapping[str, str], str], ...]) -> str:
    inserts = [
        f"{name} AS ({_insert(table, columns, place)})"
        for place, (name, columns, table) in enumerate(parts, start=1)
    ]
    return f"WITH {', '.join(inserts)} {_close(len(parts) + 1)}"


_WRITE, _WRITE_ORIGINALS = _write(_PARTS), _write(_WITH_ORIGINALS)
"""Two statements: most batches have no originals, and a part that is empty costs as well."""


@final
class PostgreSQLStore:
    """One connection, used by the recorder's thread."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.dialect = PostgreSQLDialect()
        given = {name: value for name, value in parameters.items() if name not in _OWN}
        self._parameters: dict[str, Any] = {**given, **_CONNECTION}
        self._connection: psycopg.Connection[Row] | None = None
        self._backend = 0  # the process that served the connection that last claimed the stream

    def connect(self) -> None:
        self.close()
        with _translated():
            self._connection = psycopg.connect(
                **self._parameters, autocommit=True, cursor_factory=psycopg.RawCursor
            )
            for name, value in _LIMITS.items():
                self._connection.execute("SELECT set_config($1, $2, false)", (name, value))
            self._be_durable(self._connection)

    def _be_durable(self, connection: psycopg.Connection[Row]) -> None:
        """Never weaker than `on`; a stronger setting of the server (remote_apply) stays."""
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def claim(self, stream: int) -> None:
        """An advisory lock of the session: a lost connection's last statement may still be running.

        Were the head read before that one commits, the stream would go on from the wrong place.
        """
        ((granted,),) = self.run("SELECT pg_try_advisory_lock(?, ?)", (_STREAMS, stream))
        if not granted:
            if self._backend:
                self.run("SELECT pg_terminate_backend(?)", (self._backend,))
            raise StoreError("the connection before this one still lives")
        self._backend = self._live().info.backend_pid

    def interrupt(self) -> None:
        connection = self._connection
        if connection is None:
            return
        with (
            suppress(psycopg.Error, OSError, ValueError),
            socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire,
        ):
            wire.shutdown(socket.SHUT_RDWR)

    def commit(self, batch: Batch) -> None:
        sql, documents = _written(batch)
        with _translated():
            self._live().execute(sql, documents, prepare=True)

    def commit_guarded(self, guards: Sequence[Statement], build: Build) -> None:
        """Whoever holds a guarded row keeps one call waiting, not everybody's record."""
        connection = self._live()
        with _translated(), connection.transaction():
            connection.execute(_IMPATIENT)
            batch = build([_holds(connection, place, guard) for place, guard in enumerate(guards)])
            if batch is not None:
                connection.execute(*_written(batch), prepare=True)

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with _translated():
            return self._live().execute(_numbered(sql), parameters).fetchall()

    def transaction(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        with _translated(), self._live().transaction():
            for sql, parameters in statements:
                self._live().execute(_numbered(sql), parameters)

    def _live(self) -> psycopg.Connection[Row]:
        if self._connection is None:
            raise StoreError("not connected")
        return self._connection


def _written(batch: Batch) -> tuple[str, list[bytes]]:
    """The statement, and one JSON document for each of its parts, in its order."""
    closes = _named(store.CLOSE, batch.closes)
    found = {
        "sessions": _named(store.SESSION, batch.sessions),
        "payloads": _named(store.PAYLOAD, batch.payloads),
        "originals": _named(store.ORIGINAL, batch.originals),
        "keys": _named(store.KEY, batch.keys),
        "calls": _ended(_named(store.CALL, batch.calls), closes),
        "unindexed": _named(store.UNINDEXED, batch.unindexed),
        "entries": _named(store.ENTRY, batch.entries),
    }
    sql, parts = (_WRITE_ORIGINALS, _WITH_ORIGINALS) if batch.originals else (_WRITE, _PARTS)
    return sql, [_document_of(found[name]) for name, _, _ in parts] + [_document_of(closes)]


def _named(columns: Mapping[str, str], rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _document_of(rows: Sequence[dict[str, Any]]) -> bytes:
    return orjson.dumps(rows) if rows else b"[]"


def _ended(calls: list[dict[str, Any]], closes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A call that opens and ends in one batch is inserted closed: one statement cannot see its own rows."""
    ends = {close["id"]: close for close in closes}
    for call in calls:
        call.update(_OPEN)
        if (close := ends.get(call["id"])) is not None:
            call.update(close, code=close["code"] or call["code"])
    return calls


def _numbered(sql: str) -> str:
    """`?` placeholders as PostgreSQL's own."""
    first, *rest = sql.split("?")
    return first + "".join(f"${place}{text}" for place, text in enumerate(rest, start=1))


def _holds(connection: psycopg.Connection[Row], place: int, guard: Statement) -> bool:
    """An error ends the transaction here, so the others have to be tried again without this one."""
    sql, parameters = guard
    try:
        changed = connection.execute(_numbered(sql), parameters).rowcount
    except (errors.LockNotAvailable, errors.DeadlockDetected, psycopg.IntegrityError) as error:
        raise GuardRefused(type(error).__name__, place=place) from None
    if changed > 1:
        raise GuardRefused(f"the guard changed {changed} rows", place=place)
    return changed == 1


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.UniqueViolation as error:
        taken = error.diag.constraint_name == _TAKEN
        raise (SessionRace if taken else RowsRefused)(str(error)) from None
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RowsRefused(type(error).__name__) from None
    except psycopg.Error as error:
        raise StoreError(error.diag.message_primary or type(error).__name__) from None
