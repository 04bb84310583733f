"""From what callers hand in to the rows of one transaction: sealing, chaining, the projection's columns.

Runs in the recorder's thread. A Builder works on a copy of the chain's head; the recorder takes it over when
the rows are durable and drops the Builder when they are not.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, Future
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, final
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import chain, crypto, ids, rows
from audit.blinding import BLOCK, blind
from audit.keys import PAYLOAD, KeyDirectory, KeyMissing
from audit.records import Admission, Close, Guard, Recordable, Release, SealedOriginal
from audit.sessions import Open
from audit.store import Batch, Dialect, Row, Statement, row_id

_DAY = 86_400_000
_NO_CALLER = -1.0


class UnknownCall(Exception):
    """The call was never admitted, or is closed."""


@final
@dataclass(slots=True, eq=False)
class Item:
    """One thing to record and the coroutine, if any, that waits for it."""

    kind: str  # admit | refuse | release | segment | original | close | recover | event | heartbeat
    call: UUID | None = None
    admission: Admission | None = None
    part: Recordable | None = None
    last: bool = False
    close: Close | None = None
    meta: Mapping[str, Any] | None = None
    release: Release | None = None
    view: Recordable | None = None  # of a held call: what its reviewers see
    original: SealedOriginal | None = None  # of the response that `part` is all or the last of
    guard: Guard | None = None
    future: Future[None] | None = None
    loop: AbstractEventLoop | None = None
    deadline: float = _NO_CALLER
    expired: bool = False  # the caller was told that the store is not available
    refused: bool = False  # the caller was told that it cannot be written
    packed: bytes = b""  # the payload, compressed
    packed_view: bytes = b""
    written: bool = False  # durable; others of its batch may not be
    session: Open | None = None

    def abandoned(self) -> bool:
        """Nobody waits any more: a request that was given up must not be recorded as admitted."""
        return self.expired or self.refused or (self.future is not None and self.future.cancelled())


@final
@dataclass(slots=True, eq=False)
class OpenCall:
    """An admitted call that has not been closed, as the recorder's thread keeps it."""

    id: bytes
    row_id: str | None
    started: Any  # in the store's dialect
    milliseconds: int
    key: bytes = field(default=b"", repr=False)  # empty: it has no payloads
    cipher: AESGCM | None = None  # made by need: it takes 2.5 KB, which a call that waits lets go
    parts: int = 0

    def sealing(self) -> AESGCM | None:
        if self.cipher is None and self.key:
            self.cipher = AESGCM(self.key)
        return self.cipher


@final
@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain."""

    sequence: int = 0
    digest: bytes = chain.GENESIS


@final
class Days:
    """Wraps call keys and blinds digests: the keys of the last days, read once. That of a day that is over is
    read anew each time: it may have been replaced, and what was blinded by the one before is never found."""

    def __init__(self, keys: KeyDirectory) -> None:
        self._keys = keys
        self._by_day: dict[int, tuple[crypto.DayKey, AESGCM]] = {}

    def of(self, milliseconds: int) -> tuple[crypto.DayKey, AESGCM]:
        """The key for a call that begins, made if its day has none yet."""
        day = milliseconds // _DAY
        found = self._by_day.get(day)
        if found is None or day < time.time_ns() // 1_000_000 // _DAY:
            key = self._keys.day(PAYLOAD, ids.moment(milliseconds))
            found = self._by_day[day] = key, AESGCM(key.key)
            if len(self._by_day) > 2:  # a day's last calls, and the next one's first
                self._by_day.pop(next(iter(self._by_day)))
        return found

    def there(self, milliseconds: int) -> crypto.DayKey | None:
        """The key of a call that began long ago. None: it was destroyed, and is never made anew, or the
        day that was emptied would have one again."""
        day = milliseconds // _DAY
        if day in self._by_day and day >= time.time_ns() // 1_000_000 // _DAY:
            return self._by_day[day][0]
        try:
            return next(iter(self._keys.days(PAYLOAD, ids.moment(milliseconds).date())[-1:]), None)
        except KeyMissing:  # destroyed since the directory was listed
            return None


@final
@dataclass(frozen=True, slots=True)
class Writer:
    """What stays the same from batch to batch."""

    dialect: Dialect
    days: Days
    packer: crypto.Packer
    noise: crypto.Noise
    forms: rows.Forms
    stream: UUID
    number: int  # the stream's

    def pack(self, items: list[Item]) -> None:
        """Compress the payloads of a batch in one go: each call gives the interpreter away."""
        full, plain = [], []
        for item in items:
            asked = item.admission or item.release
            part = asked.request if asked else item.part
            if part is not None:
                full.append(item)
                plain.append((part.marks, part.data))
        for item, packed in zip(full, self.packer.pack(plain), strict=True):
            item.packed = packed
        for item in items:
            if item.view is not None:
                (item.packed_view,) = self.packer.pack([(item.view.marks, item.view.data)])

    def guard(self, guard: Guard) -> Statement:
        """The guard with its values in the store's dialect."""
        return guard.sql, [_value(self.dialect, each) for each in guard.parameters]


@final
class Builder:
    """Rows of one batch. `add` either takes an item wholly or raises and leaves no trace of it."""

    def __init__(self, writer: Writer, head: Head, open_calls: dict[int, OpenCall], now: int) -> None:
        self.batch = Batch()
        self.opened: dict[int, OpenCall] = {}  # by the id's integer: UUID hashes in Python
        self.closed: set[int] = set()
        self._fingerprints: list[tuple[str | None, int, list[tuple[str, str]]]] = []
        self._writer = writer
        self._open = open_calls
        self._blob = blob = writer.dialect.blob
        self._sequence, self._digest, self._digest_blob = head.sequence, head.digest, blob(head.digest)
        self._no_payload = blob(b"")
        self._at = writer.dialect.time(now)
        self._microseconds = now * 1000
        self._stream = writer.stream.bytes
        self._stream_row = row_id(writer.stream)
        self._nobody = OpenCall(chain.NO_CALL, None, self._at, now)  # whose entry belongs to no call

    def finish(self) -> Batch:
        """The batch, once every item is in it."""
        if self._fingerprints:
            place = chain.entry_id(self._writer.number, self._sequence)
            self.batch.unindexed.append((place, self._at, self._blob(orjson.dumps(self._fingerprints))))
        return self.batch

    @property
    def head(self) -> Head:
        return Head(self._sequence, self._digest)

    def add(self, item: Item) -> None:
        if item.admission is not None:
            self._admit(item, item.admission)
        elif item.release is not None:
            call = self._find(item.call)
            self._entry("release", call, rows.release_meta(item.release), item.packed)
            self._original(call, item.release.original)
        elif item.part is not None:
            self._segment(self._find(item.call), item, item.part)
        elif item.original is not None:
            self._original(self._find(item.call), item.original)
        elif item.close is not None:
            self._close(item, item.close)
        elif item.meta is not None:
            self._entry(item.kind, self._nobody, rows.encode({"v": rows.VERSION, **(item.meta or {})}))

    def _find(self, call: UUID | None) -> OpenCall:
        assert call is not None  # noqa: S101 (set wherever a part or a close is)
        number = call.int
        found = self._open.get(number) or self.opened.get(number)
        if found is None or number in self.closed:
            raise UnknownCall(str(call))
        return found

    def _admit(self, item: Item, admission: Admission) -> None:
        call = self._call(admission.call_id)
        which: Row = (call.row_id, call.started)
        meta, row = self._writer.forms.admission(admission, item.session.row_id if item.session else None)
        end = self._ending(call, item.close) if item.close else None
        key = self._key(call) if admission.request is not None or end is None else None
        self._entry("admission", call, meta, item.packed)
        if item.packed_view:
            self._entry("view", call, rows.VIEW, item.packed_view)
        self._original(call, admission.original)
        if key is not None:
            self.batch.keys.append(which + key)
        self.batch.calls.append(which + row)
        if admission.fingerprints:
            self._met(call, self._writer.days.of(call.milliseconds)[0], admission.fingerprints)
        if admission.decision.action == "held":
            call.cipher = None
        if end is None:
            self.opened[admission.call_id.int] = call
        else:
            self._ended(call, end)

    def _call(self, call_id: UUID) -> OpenCall:
        raw = call_id.bytes
        milliseconds = ids.milliseconds_of(call_id)
        return OpenCall(raw, raw.hex(), self._writer.dialect.time(milliseconds), milliseconds)

    def _key(self, call: OpenCall) -> Row:
        """A key for one call's payloads; the row holds it wrapped."""
        noise = self._writer.noise
        key = noise.take(crypto.KEY_BYTES)
        day, around = self._writer.days.of(call.milliseconds)
        call.key = key
        return (day.id, self._blob(crypto.seal(around, key, crypto.key_place(call.id, day.id), noise)))

    def _segment(self, call: OpenCall, item: Item, part: Recordable) -> None:
        meta = rows.segment_meta(part=call.parts + 1, size=len(part.data), last=item.last)
        self._entry("segment", call, meta, item.packed)
        call.parts += 1
        self._original(call, item.original)

    def _original(self, call: OpenCall, original: SealedOriginal | None) -> None:
        """Sealed once more, by the call's own key: erasing the call erases its originals, too."""
        if original is not None:
            self._entry("original", call, rows.original_meta(original), original.sealed)

    def _close(self, item: Item, close: Close) -> None:
        assert item.call is not None  # noqa: S101
        call = self._call(item.call) if item.kind == "recover" else self._find(item.call)
        self._ended(call, self._ending(call, close))
        self.closed.add(item.call.int)

    def _met(self, call: OpenCall, day: crypto.DayKey | None, found: tuple[tuple[str, bytes], ...]) -> None:
        """Values that were found in a call, on their way to their index. Without a key of its day there is
        nothing left of that day that they could lead to."""
        if day is not None:
            self._fingerprints.append((call.row_id, day.generation, _told(day.key, found)))

    def _ending(self, call: OpenCall, close: Close) -> rows.Form:
        form = self._writer.forms.close(close, parts=call.parts, at=self._at)
        if close.fingerprints:
            self._met(call, self._writer.days.there(call.milliseconds), close.fingerprints)
        return form

    def _ended(self, call: OpenCall, end: rows.Form) -> None:
        meta, row = end
        self._entry("close", call, meta)
        self.batch.closes.append((call.row_id, call.started, *row))

    def _entry(self, kind: str, call: OpenCall, meta: bytes, packed: bytes = b"") -> None:
        """Seal, chain, and append; nothing fails after the append."""
        writer, blob = self._writer, self._blob
        sequence = self._sequence + 1
        place = chain.entry_id(writer.number, sequence)
        sealed = payload_digest = b""
        if packed and (cipher := call.sealing()) is not None:
            bound = crypto.payload_place(call.id, sequence, kind)
            sealed = crypto.seal(cipher, packed, bound, writer.noise)
            payload_digest = crypto.digest_of(sealed)
        digest = chain.digest(
            self._stream,
            sequence,
            self._digest,
            place,
            call.id,
            call.milliseconds * 1000,
            self._microseconds,
            kind,
            payload_digest,
            meta,
        )
        chained = blob(digest)
        self.batch.entries.append(
            (
                place,
                call.started,
                self._at,
                self._stream_row,
                sequence,
                self._digest_blob,
                chained,
                kind,
                call.row_id,
                blob(meta),
                blob(payload_digest) if sealed else self._no_payload,
            )
        )
        if sealed and kind == "original":
            self.batch.originals.append((place, call.started, call.row_id, blob(sealed)))
        elif sealed:
            self.batch.payloads.append((place, call.started, blob(sealed)))
        self._sequence, self._digest, self._digest_blob = sequence, digest, chained


def _value(dialect: Dialect, value: Any) -> Any:
    if isinstance(value, UUID):
        return row_id(value)
    if isinstance(value, bytes):
        return dialect.blob(value)
    if isinstance(value, datetime):
        return dialect.time(ids.microseconds(value) // 1000)
    return value


def _told(day_key: bytes, fingerprints: tuple[tuple[str, bytes], ...]) -> list[tuple[str, str]]:
    """(data class, blinded digest): what waits for its index is in backups as well."""
    blinded = blind(day_key, [digest[:BLOCK] for _, digest in fingerprints])
    classes = [data_class for data_class, _ in fingerprints]
    return [(name, block.hex()) for name, block in zip(classes, blinded, strict=True)]
