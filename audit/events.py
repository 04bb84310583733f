"""Governance acts as evidence: written in the caller's own transaction, on the one stream of events.

If the transaction rolls back, neither the act nor its event happened; if the event cannot be written,
the act fails. The stream's head row is locked until the transaction ends, so events have one order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from audit import chain, ids
from audit.models import Entry, Stream
from audit.records import Recordable, Who
from audit.rows import encode

NOBODY = Who(kind="system", name="postern")


def event(
    name: str,
    *,
    by: Who = NOBODY,
    area: str = "",
    about: str = "",
    call_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
    note: Recordable | None = None,
) -> int:
    """Record an act: `policy.published`, `call.opened`. Returns the entry's id.

    `about` names what was acted on (a label and an id), `detail` holds facts that are safe to keep in clear:
    ids, versions, counts. Words that a person typed go into `note`, which is scrubbed text.
    """
    meta = {
        "v": 1,
        "event": name,
        "by": by,
        "area": area,
        "about": about,
        "detail": dict(detail or {}),
        "note": note.data.decode("utf-8", "replace") if note else "",
    }
    return append("event", meta, call_id=call_id).id


def append(
    kind: str, meta: Mapping[str, Any], *, call_id: UUID | None = None, started_at: int | None = None
) -> Entry:
    """Chain one entry to the stream of events. `started_at` in milliseconds: the call's own."""
    encoded = encode(meta)
    with transaction.atomic():
        stream = _locked()
        now = time.time_ns() // 1_000_000
        started = now if started_at is None else started_at
        entry = Entry(
            id=chain.entry_id(stream.number, stream.sequence),
            started_at=ids.moment(started),
            at=ids.moment(now),
            stream_id=stream.id,
            sequence=stream.sequence,
            previous=bytes(stream.digest),
            kind=kind,
            call_id=call_id,
            meta=encoded,
            payload_digest=b"",
        )
        entry.digest = link(entry).expected()
        entry.save(force_insert=True)
        Stream.objects.filter(number=stream.number).update(digest=entry.digest)
        return entry


def _locked() -> Stream:
    """The stream of events with its next sequence. The update is the lock, on both databases."""
    events = Stream.objects.filter(kind="events")
    while not events.update(sequence=F("sequence") + 1):
        first = Stream(kind="events", digest=chain.GENESIS, created_at=ids.now())
        Stream.objects.bulk_create([first], ignore_conflicts=True)
    return events.get()


def link(entry: Entry) -> chain.Link:
    """A stored entry as the verifier sees it."""
    return chain.Link(
        stream=entry.stream_id,
        sequence=entry.sequence,
        previous=bytes(entry.previous),
        digest=bytes(entry.digest or b""),
        id=entry.id,
        call=entry.call_id,
        started_at=ids.microseconds(entry.started_at),
        at=ids.microseconds(entry.at),
        kind=entry.kind,
        payload_digest=bytes(entry.payload_digest),
        meta=bytes(entry.meta),
    )
