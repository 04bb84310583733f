"""Sealed originals: opening those of one call for whom two people allowed it, and forgetting them.

Shut        in words: why one does not open
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from audit import crypto, hybrid, ids, reader
from audit.crypto import SealError
from audit.events import event
from audit.models import Call, Entry, Original, Reveal
from audit.reader import CallRecord, Part
from audit.records import Who

LASTS: Final = timedelta(minutes=15)
"""How long somebody may look at a call's originals after a second person has confirmed it."""

_AT_ONCE: Final = 500


class Shut(Exception):
    """It does not open."""


@final
@dataclass(frozen=True, slots=True)
class Opened:
    """One original, or why there is none to see. Lives as long as the page that shows it."""

    of: str
    data: bytes = b""
    problem: str = ""
    partial: bool = False  # a stream's, which did not come to its end

    def __repr__(self) -> str:
        return f"Opened({self.of})"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Two people agreed that a draft is tried on some calls' originals: whose, which calls', until when."""

    proposal_id: UUID
    person_id: UUID
    endpoint_id: UUID
    since: datetime
    until: datetime  # the calls were made by then
    ends: datetime

    def covers(self, call: Call) -> bool:
        return call.endpoint_id == self.endpoint_id and self.since <= call.started_at <= self.until


@final
@dataclass(frozen=True, slots=True)
class Tried:
    """A call's admission as it is recorded, and the original of what was sent."""

    admission: Part | None
    request: Opened


def has_originals(call: Call) -> bool:
    """Whether the call's policy kept them, be they gone by now."""
    return _entries(call).exists()


def digests_of(call: Call) -> list[str]:
    """Of its originals' entries: what a confirmed reveal is about."""
    return [bytes(digest).hex() for digest in _entries(call).values_list("digest", flat=True)]


def reveal_make(*, call: Call, person_id: UUID, by: Who, proposal_id: UUID) -> Reveal:
    """In the transaction in which a second person confirms it."""
    assert by.person_id is not None  # noqa: S101  a person confirms
    now = ids.now()
    made = Reveal(
        call_id=call.id,
        area=call.area,
        person_id=person_id,
        confirmed_by_id=by.person_id,
        proposal_id=proposal_id,
        created_at=now,
        until=now + LASTS,
    )
    made.save(force_insert=True)
    detail = {"for": str(person_id), "until": made.until.isoformat(), "proposal": str(proposal_id)}
    event("original.allowed", by=by, area=call.area, about=f"call {call.id}", call_id=call.id, detail=detail)
    return made


def reveal_of(call_id: UUID, person_id: UUID) -> Reveal | None:
    """The last that this person was allowed; it may be over."""
    return Reveal.objects.filter(call_id=call_id, person_id=person_id).order_by("-until").first()


def originals_open(call: Call, reveal: Reveal, by: Who, now: datetime) -> tuple[Opened, ...]:
    """What was sent and answered. That it is shown is durable before anything is returned (P16).

    Raises PermissionError for a reveal of another call or person, or one that is over.
    """
    if (reveal.call_id, reveal.person_id) != (call.id, by.person_id) or reveal.until <= now:
        raise PermissionError
    parts = [part for part in reader.call_read(call).parts if part.kind == "original"]
    rows = Original.objects.filter(call_id=call.id, started_at=call.started_at)
    sealed = {row.id: bytes(row.sealed) for row in rows}
    found = tuple(_opened(call, part, sealed.get(part.id)) for part in parts)
    if shown := [each.of for each in found if not each.problem]:
        with transaction.atomic(durable=True):
            detail = {"reveal": str(reveal.id), "shown": shown}
            event(
                "original.revealed",
                by=by,
                area=call.area,
                about=f"call {call.id}",
                call_id=call.id,
                detail=detail,
            )
    return found


def requests_open(
    calls: Sequence[Call], trial: Trial, by: Who, now: datetime, *, draft: str
) -> dict[UUID, Tried]:
    """What was sent in these calls, for a draft to judge and for nobody to see.

    That each was opened is durable before anything is returned; `draft`: what it is opened for. Raises
    PermissionError for another person or call than was agreed on, or when the time is over.
    """
    if by.person_id != trial.person_id or trial.ends <= now or not all(map(trial.covers, calls)):
        raise PermissionError
    rows = Original.objects.filter(call_id__in=[call.id for call in calls])
    sealed = {row.id: bytes(row.sealed) for row in rows}
    found = {record.call.id: _tried(record, sealed) for record in reader.calls_read(calls)}
    detail = {"proposal": str(trial.proposal_id), "draft": draft, "shown": "counts"}
    with transaction.atomic(durable=True):
        for call in calls:
            if not found[call.id].request.problem:
                event(
                    "original.judged",
                    by=by,
                    area=call.area,
                    about=f"call {call.id}",
                    call_id=call.id,
                    detail=detail,
                )
    return found


def _tried(record: CallRecord, sealed: Mapping[int, bytes]) -> Tried:
    of = {part.meta.get("of"): part for part in record.parts if part.kind == "original"}
    admission = next((part for part in record.parts if part.kind == "admission"), None)
    part = of.get(hybrid.REQUEST)
    if part is None:
        return Tried(admission, Opened(hybrid.REQUEST, problem="No original was kept."))
    return Tried(admission, _opened(record.call, part, sealed.get(part.id)))


def originals_delete(call_ids: Sequence[UUID]) -> int:
    """Forget the originals of these calls; their entries in the chain stay. Returns how many went."""
    gone = 0
    for start in range(0, len(call_ids), _AT_ONCE):
        page = call_ids[start : start + _AT_ONCE]
        when = [ids.time_of(each) for each in page]
        rows = Original.objects.filter(call_id__in=page, started_at__gte=min(when), started_at__lte=max(when))
        gone += rows.delete()[0]
    return gone


def private_key_make(directory: Path) -> tuple[Path, hybrid.PublicKey]:
    """A new pair: the private half in a file of its own, the public half for the gateways. Raises OSError."""
    key = X25519PrivateKey.generate()
    public = hybrid.PublicKey(key.public_key().public_bytes_raw())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{public.name}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key.private_bytes_raw())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path, public


def _entries(call: Call) -> QuerySet[Entry]:
    return Entry.objects.filter(call_id=call.id, started_at=call.started_at, kind="original").order_by("id")


def _opened(call: Call, part: Part, sealed: bytes | None) -> Opened:
    of = str(part.meta.get("of", ""))
    try:
        return Opened(of, _plain(call, part, of, sealed), partial=part.meta.get("partial") is True)
    except Shut as why:
        return Opened(of, problem=str(why))


def _plain(call: Call, part: Part, of: str, sealed: bytes | None) -> bytes:
    if part.problem:
        raise Shut(f"Its entry {part.problem}: it is not shown.")
    if sealed is None:
        raise Shut("It was erased: its time was over, or somebody erased the call.")
    if sha256(sealed).digest() != part.payload_digest:
        raise Shut("It is damaged, or was changed: it is not what the chain says.")
    cipher, why = reader.cipher_of(call)
    if cipher is None:
        raise Shut(f"It was erased: {why}.")
    try:
        inner = crypto.unseal(cipher, sealed, crypto.payload_place(call.id.bytes, part.sequence, part.kind))
        return hybrid.opened(_private(hybrid.sealed_to(inner)), call.id, of, inner)
    except SealError as error:
        raise Shut(f"It does not open: {error}.") from None


def _private(name: str) -> X25519PrivateKey:
    """The key of this name, from its own directory, read when it is needed and not kept."""
    if not settings.AUDIT_ORIGINALS_KEY_DIR:
        raise Shut(f"The private key {name} is not here: AUDIT_ORIGINALS_KEY_DIR is not set in this process.")
    try:
        raw = (Path(settings.AUDIT_ORIGINALS_KEY_DIR) / f"{name}.key").read_bytes()
        return X25519PrivateKey.from_private_bytes(raw)
    except OSError as error:
        raise Shut(f"The private key {name} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise Shut(f"The private key {name} is damaged.") from None
