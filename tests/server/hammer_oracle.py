"""What a store proves: read by SQL and key files alone, checked as it is read.

Nothing of the application is asked or imported, beyond the pure modules that define the format (chain, ids,
crypto) and the key directory. What is wrong is said as in `hammer_judge`.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import chain, crypto, ids
from audit.keys import KeyDirectory, KeysUnavailable

FORWARDED = ("passed", "masked", "flagged")
_ENTRY = "stream_id, sequence, previous, digest, id, call_id, started_at, at, kind, payload_digest, meta"
_SOME = 400  # ids of one query


class Reader:
    """Rows of a store, `?` for values. One connection per thread.

    PostgreSQL may be what was killed: a broken connection is made anew, for `patience` seconds.
    """

    def __init__(self, database_url: str, *, patience: float = 0, connection: Any = None) -> None:
        self.url, self.patience = database_url, patience
        self.is_sqlite = database_url.startswith("sqlite")
        self._given, self._own = connection, threading.local()
        self._made: list[Any] = []

    def close(self) -> None:
        for connection in self._made:
            connection.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self.is_sqlite:
            return self._connection().execute(sql, values).fetchall()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return self._connection().execute(sql.replace("?", "%s"), values).fetchall()
            except psycopg.OperationalError:
                self._own.connection = None
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)

    def many(self, sql: str, wanted: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """Rows for a set of ids; `sql` ends where the list of ids is to follow."""
        left = list(wanted)
        for at in range(0, len(left), _SOME):
            some = left[at : at + _SOME]
            yield from self.rows(f"{sql} ({', '.join('?' * len(some))})", *some)

    def id(self, value: UUID) -> Any:
        return value.hex if self.is_sqlite else value

    def _connection(self) -> Any:
        if self._given is not None:
            return self._given
        if getattr(self._own, "connection", None) is None:
            self._own.connection = self._connect()
            self._made.append(self._own.connection)
        return self._own.connection

    def _connect(self) -> Any:
        if self.is_sqlite:
            path = self.url.removeprefix("sqlite:///")
            return sqlite3.connect(
                f"file:{path}?mode=ro",
                uri=True,
                timeout=10,
                isolation_level=None,
                check_same_thread=False,  # closed by whoever closes the reader
            )
        return psycopg.connect(self.url, autocommit=True, connect_timeout=10)


def uuid_of(value: Any) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(value)


def moment(value: Any) -> int:
    when = datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
    return ids.microseconds(when)


@dataclass(slots=True)
class Call:
    """One call as its entries tell it."""

    id: UUID
    action: str
    sent_digest: bytes
    request: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    closes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def response(self) -> bytes:
        return b"".join(self.parts)

    @property
    def may_be_sent(self) -> bool:
        unsent = any(close["code"] == "not_sent" for close in self.closes)
        return self.action in FORWARDED and not unsent


class Evidence:
    """What the store proves. `read` takes what is new since the last time and checks it as it comes."""

    def __init__(self, reader: Reader, keys: Path) -> None:
        self.reader = reader
        self.calls: dict[UUID, Call] = {}
        self.heads: dict[UUID, tuple[int, bytes]] = {}
        self.events: list[dict[str, Any]] = []
        self.findings: list[str] = []
        self.plain: list[bytes] = []  # everything that was unsealed or is stored in clear
        self._keys = KeyDirectory(keys)

    def read(self) -> None:
        """One look at the store: nothing that is committed while it is being read is mixed in."""
        look = self.reader.rows(
            "SELECT stream_id, count(*), min(sequence), max(sequence), min(id) FROM audit_entry "
            "GROUP BY stream_id"
        )
        streams = {uuid_of(stream): numbers for stream, *numbers in look}
        for stream in sorted([*self.heads, *(known for known in streams if known not in self.heads)]):
            count, first, last, lowest = streams.get(stream, (0, 1, 0, 0))
            if (first, last) != (1, count):
                self._find(f"P15 stream {stream}: {count} entries, numbered {first} to {last}")
            self._follow(stream, lowest >> chain.SEQUENCE_BITS, last)
        self._compare_calls()

    def _find(self, finding: str) -> None:
        self.findings.append(finding)

    # --- chains -------------------------------------------------------------------------------------
    def _follow(self, stream: UUID, number: int, last: int) -> None:
        """Older streams first: a process closes what those before it left open."""
        sequence, digest = self.heads.get(stream, (0, chain.GENESIS))
        rows = self.reader.rows(
            f"SELECT {_ENTRY} FROM audit_entry WHERE stream_id = ? AND id BETWEEN ? AND ? ORDER BY id",
            self.reader.id(stream),
            chain.entry_id(number, sequence),
            chain.entry_id(number, last),
        )
        links = [_link(row) for row in rows]
        if sequence:
            before = links.pop(0) if links and links[0].sequence == sequence else None
            if before is None or before.digest != digest:
                self._find(f"P15 stream {stream}: entry {sequence} is not what it was")
        for link in links:
            if (link.sequence, link.previous) != (sequence + 1, digest):
                self._find(f"P15 stream {stream}: {link.sequence} does not follow {sequence}")
            if link.id != chain.entry_id(number, link.sequence):
                self._find(f"P15 stream {stream}: entry {link.sequence} stands elsewhere")
            if link.expected() != link.digest:
                self._find(f"P15 stream {stream}: entry {link.sequence} was changed")
            sequence, digest = link.sequence, link.digest
        self.heads[stream] = (sequence, digest)
        self._take(links)

    def _take(self, links: Sequence[chain.Link]) -> None:
        payloads = self._payloads([link for link in links if link.payload_digest])
        for link in links:
            meta = json.loads(link.meta)
            self.plain.append(link.meta)
            if link.kind == "admission":
                self._admission(link, meta, payloads)
            elif link.kind in ("segment", "close"):
                self._later(link, meta, payloads)
            else:
                self.events.append(meta)

    def _admission(self, link: chain.Link, meta: dict[str, Any], payloads: dict[int, bytes]) -> None:
        assert link.call is not None
        if link.call in self.calls:
            self._find(f"P1 call {link.call} was admitted twice")
        digest = bytes.fromhex(meta["sent_digest"])
        call = Call(link.call, meta["decision"]["action"], digest, payloads.get(link.id, b""))
        self.calls[link.call] = call

    def _later(self, link: chain.Link, meta: dict[str, Any], payloads: dict[int, bytes]) -> None:
        call = self.calls.get(link.call) if link.call else None
        if call is None:
            self._find(f"P1 {link.kind} of {link.call}, which was never admitted")
            return
        if link.kind == "close":
            call.closes.append(meta["close"])
            if len(call.closes) > 1:
                self._find(f"P11 call {call.id} was closed {len(call.closes)} times")
            return
        if call.closes:
            self._find(f"P13 call {call.id} got a segment after its close")
        call.parts.append(payloads.get(link.id, b""))
        if meta["part"] != len(call.parts):
            self._find(f"P2 call {call.id}: part {meta['part']} stands where {len(call.parts)} should")

    # --- payloads -----------------------------------------------------------------------------------
    def _payloads(self, links: Sequence[chain.Link]) -> dict[int, bytes]:
        """What the entries' payloads say, unsealed and unpacked."""
        sealed = {
            row[0]: bytes(row[1])
            for row in self.reader.many(
                "SELECT id, sealed FROM audit_payload WHERE id IN", [link.id for link in links]
            )
        }
        ciphers = self._ciphers({link.call for link in links if link.call})
        found: dict[int, bytes] = {}
        for link in links:
            assert link.call is not None
            data = sealed.get(link.id)
            if data is None:
                self._find(f"P2 the payload of a {link.kind} of {link.call} is gone")
            elif sha256(data).digest() != link.payload_digest:
                self._find(f"P15 the payload of a {link.kind} of {link.call} was changed")
            elif link.call not in ciphers:
                self._find(f"P2 the key of {link.call} is gone or does not open")
            else:
                found[link.id] = self._open(link, data, ciphers[link.call])
        return found

    def _open(self, link: chain.Link, sealed: bytes, cipher: AESGCM) -> bytes:
        assert link.call is not None
        place = crypto.payload_place(link.call.bytes, link.sequence, link.kind)
        try:
            marks, data = crypto.unpack(crypto.unseal(cipher, sealed, place))
        except crypto.SealError as error:
            self._find(f"P15 a {link.kind} of {link.call} does not open: {error}")
            return b""
        self.plain += (marks, data)
        return data

    def _ciphers(self, calls: set[UUID]) -> dict[UUID, AESGCM]:
        found: dict[UUID, AESGCM] = {}
        for row, around, wrapped in self.reader.many(
            "SELECT id, wrapped_by, wrapped FROM audit_callkey WHERE id IN",
            [self.reader.id(call) for call in calls],
        ):
            call = uuid_of(row)
            assert call is not None
            try:
                key = crypto.unseal(
                    AESGCM(self._keys.find(around)), bytes(wrapped), crypto.key_place(call.bytes, around)
                )
            except (crypto.SealError, KeysUnavailable):
                continue
            found[call] = AESGCM(key)
        return found

    # --- projections --------------------------------------------------------------------------------
    def _compare_calls(self) -> None:
        """The rows that pages show say what the entries say."""
        rows = self.reader.rows("SELECT id, sent_digest, closed_at, complete FROM audit_call")
        shown = {uuid_of(row[0]): row for row in rows}
        for call in self.calls.values():
            row = shown.get(call.id)
            if row is None:
                self._find(f"P1 call {call.id} has an admission and no row")
            elif bytes(row[1]) != call.sent_digest:
                self._find(f"P1 the row of call {call.id} names another request than its admission")
            elif call.closes and (row[2] is None or bool(row[3]) != call.closes[0]["complete"]):
                self._find(f"P13 the row of call {call.id} ends otherwise than its entries")

    def open_calls(self) -> list[UUID]:
        """Calls that no close has ended, of processes other than the one started last."""
        rows = self.reader.rows(
            "SELECT id FROM audit_call WHERE closed_at IS NULL AND instance_id <> "
            "(SELECT id FROM audit_instance ORDER BY started_at DESC, id DESC LIMIT 1)"
        )
        return [found for (value,) in rows if (found := uuid_of(value))]


def _link(row: tuple[Any, ...]) -> chain.Link:
    stream, sequence, previous, digest, entry, call, started, at, kind, payload, meta = row
    stream_id = uuid_of(stream)
    assert stream_id is not None
    return chain.Link(
        stream_id,
        sequence,
        bytes(previous),
        bytes(digest),
        entry,
        uuid_of(call),
        moment(started),
        moment(at),
        kind,
        bytes(payload),
        bytes(meta),
    )


def stored(reader: Reader) -> Iterator[tuple[str, list[bytes]]]:
    """Every column of every table, as the bytes a thief of the store would have."""
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if reader.is_sqlite
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    for (table,) in reader.rows(names):
        rows = reader.rows(f'SELECT * FROM "{table}"')
        yield f"table {table}", [_bytes(value) for row in rows for value in row]


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def files(root: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Every file below a directory: the store itself, its write-ahead log, logs, caches, queues."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield f"file {path.relative_to(root)}", [path.read_bytes()]


def recorded_size(reader: Reader, call: str) -> int:
    """How many response bytes of a call are durable at this moment."""
    rows = reader.rows(
        "SELECT meta FROM audit_entry WHERE call_id = ? AND kind = 'segment'", reader.id(UUID(call))
    )
    return sum(json.loads(bytes(meta))["size"] for (meta,) in rows)


def is_admitted(reader: Reader, digest: bytes, since: int) -> bool:
    """Whether a request is admitted at this moment; `since` (milliseconds) spares reading old rows."""
    first = ids.uuid7(since, 0)
    rows = reader.rows(
        "SELECT 1 FROM audit_call WHERE started_at >= ? AND id >= ? AND sent_digest = ?",
        str(ids.moment(since).replace(tzinfo=None)) if reader.is_sqlite else ids.moment(since),
        reader.id(first),
        digest,
    )
    return bool(rows)
