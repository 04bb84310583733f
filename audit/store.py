"""What the recorder needs of a database, and the columns it writes. One module per vendor implements it.

StoreError               the transaction did not happen, or nobody knows: reconnect and look
    SessionRace          another process made the same session first: look it up, build again
    RowsRefused          the database dislikes a value: find the one call that carries it
    GuardRefused         a guard could not be tried: nothing was written
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final
from uuid import UUID

Row = tuple[Any, ...]


class StoreError(Exception):
    """The store did not take the batch."""


class SessionRace(StoreError):
    """The session's key is taken."""


class RowsRefused(StoreError):
    """A value in the batch cannot be stored."""


class GuardRefused(StoreError):
    """A guard could not be tried, in time or at all."""

    def __init__(self, why: str, *, place: int) -> None:
        super().__init__(why)
        self.place = place  # among the guards of the transaction


Statement = tuple[str, Sequence[Any]]
"""SQL with `?` placeholders, and values in the vendor's dialect."""

# Column names with the types by which PostgreSQL reads them.
ENTRY = {
    "id": "bigint",
    "started_at": "timestamptz",
    "at": "timestamptz",
    "stream_id": "uuid",
    "sequence": "bigint",
    "previous": "bytea",
    "digest": "bytea",
    "kind": "text",
    "call_id": "uuid",
    "meta": "bytea",
    "payload_digest": "bytea",
}
PAYLOAD = {"id": "bigint", "started_at": "timestamptz", "sealed": "bytea"}
ORIGINAL = {
    "id": "bigint",
    "started_at": "timestamptz",
    "call_id": "uuid",
    "sealed": "bytea",
}
UNINDEXED = {"id": "bigint", "at": "timestamptz", "fingerprints": "bytea"}
SESSION = {
    "id": "uuid",
    "key": "bytea",
    "thread": "bytea",
    "hinted": "boolean",
    "started_at": "timestamptz",
    "person_id": "uuid",
    "subject": "text",
    "name": "text",
    "kind": "text",
    "area": "text",
    "endpoint_id": "uuid",
    "endpoint": "text",
}
KEY = {"id": "uuid", "started_at": "timestamptz", "wrapped_by": "text", "wrapped": "bytea"}
CALL = {
    "id": "uuid",
    "started_at": "timestamptz",
    "instance_id": "uuid",
    "stream_id": "uuid",
    "session_id": "uuid",
    "person_id": "uuid",
    "subject": "text",
    "name": "text",
    "kind": "text",
    "owner_id": "uuid",
    "key_id": "uuid",
    "key_prefix": "text",
    "groups": "jsonb",
    "network": "text",
    "area": "text",
    "endpoint_id": "uuid",
    "endpoint": "text",
    "api": "text",
    "method": "text",
    "path": "text",
    "model": "text",
    "streaming": "boolean",
    "access_rule_id": "uuid",
    "policy_version_id": "uuid",
    "policy": "text",
    "schema_version_id": "uuid",
    "schema": "text",
    "action": "text",
    "gate": "text",
    "code": "text",
    "reasons": "jsonb",
    "rules": "jsonb",
    "counts": "jsonb",
    "highest": "text",
    "request_hmac": "bytea",
    "sent_digest": "bytea",
    "request_size": "integer",
}
_WHICH = {"id": "uuid", "started_at": "timestamptz"}
END = {
    "closed_at": "timestamptz",
    "action": "text",
    "code": "text",
    "status": "smallint",
    "complete": "boolean",
    "finish_reason": "text",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "response_size": "bigint",
    "response_counts": "jsonb",
    "timings": "jsonb",
    "extra": "jsonb",
}
CLOSE = _WHICH | END


@final
@dataclass(slots=True)
class Batch:
    """What one transaction writes, by table and in order; values are in the vendor's dialect."""

    sessions: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    payloads: list[Row] = field(default_factory=list)
    originals: list[Row] = field(default_factory=list)
    keys: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    closes: list[Row] = field(default_factory=list)
    unindexed: list[Row] = field(default_factory=list)


Build = Callable[[Sequence[bool]], Batch | None]
"""By which guards changed their row: what rests on those. None: nothing does, and nothing is written."""


class Dialect(Protocol):
    """How a vendor takes values."""

    def time(self, milliseconds: int) -> Any: ...
    def blob(self, value: bytes) -> Any: ...
    def json(self, encoded: bytes) -> Any: ...


class Store(Protocol):
    """One connection, used by one thread. Every method raises StoreError."""

    @property
    def dialect(self) -> Dialect: ...

    def connect(self) -> None: ...
    def close(self) -> None: ...
    def claim(self, stream: int) -> None:
        """Be the only writer of a stream, the connection before this one included."""
        ...

    def interrupt(self) -> None:
        """Make a call that does not return fail. The only method for other threads."""
        ...

    def commit(self, batch: Batch) -> None:
        """Write the batch in one transaction; durable on return."""
        ...

    def commit_guarded(self, guards: Sequence[Statement], build: Build) -> None:
        """Try the guards one after the other and write what `build` makes of it, in one transaction; durable
        on return."""
        ...

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """One statement with `?` placeholders, committed by itself."""
        ...

    def transaction(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Statements with `?` placeholders in one transaction."""
        ...


def row_id(value: UUID) -> str:
    """32 hex digits: what Django keeps on SQLite, and PostgreSQL reads."""
    return f"{value.int:032x}"


def uid(value: UUID | None) -> str | None:
    """The same for a column that may be empty."""
    return None if value is None else f"{value.int:032x}"


def uuid_of(value: Any) -> UUID | None:
    """A UUID as either vendor returns it."""
    if value is None or isinstance(value, UUID):
        return value
    return UUID(value)


def text(value: str, limit: int) -> str:
    """A text that every store takes: no NUL, no lone surrogate, not too long."""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value if len(value) <= limit else value[:limit]


def plain(value: Any) -> Any:
    """For orjson: what it does not know as what it knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
