"""Opening one call's record: payloads unsealed, chain checked, the opening itself recorded first (P16)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import transaction

from audit import chain, crypto, ids, tombstones
from audit.events import event, link
from audit.keys import KeyDirectory, KeyMissing
from audit.models import Call, CallKey, Entry, Payload, Removal
from audit.projection import row_differs
from audit.records import Recordable, Who
from audit.walls import Areas, within

_AT_ONCE: Final = 900
"""Ids in one statement."""


@final
@dataclass(frozen=True, slots=True)
class Part:
    """One entry of a call and what it holds. `payload` is None where there is none or it does not open."""

    id: int
    sequence: int
    kind: str
    at: int  # microseconds since 1970
    digest: bytes
    payload_digest: bytes
    meta: Mapping[str, Any]
    payload: Recordable | None
    problem: str = ""  # why the payload does not open, or what does not match
    removed: bool = False  # by a rule or on request, which the record accounts for


@final
@dataclass(frozen=True, slots=True)
class CallRecord:
    """Everything that is recorded of one call."""

    call: Call
    parts: tuple[Part, ...]
    chain_ok: bool
    links: tuple[chain.Link, ...] = ()  # the entries as they are chained
    unlike: tuple[str, ...] = ()  # columns of the call's row that are not what its entries say

    @property
    def request(self) -> Recordable | None:
        """The masked request, as recorded."""
        return next((part.payload for part in self.parts if part.kind == "admission"), None)

    @property
    def view(self) -> Recordable | None:
        """What reviewers see of a held request: numbered labels; None where the policy keeps no text."""
        return next((part.payload for part in self.parts if part.kind == "view"), None)

    @property
    def response(self) -> tuple[Recordable, ...]:
        """The response's segments that open, in order."""
        return tuple(part.payload for part in self.parts if part.kind == "segment" and part.payload)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with this record, in words; empty when it is whole."""
        rows = [f"its row is not what its entries say: {', '.join(self.unlike)}"] if self.unlike else []
        return (
            *(f"{part.kind} {part.sequence}: {part.problem}" for part in self.parts if part.problem),
            *rows,
        )


def call_open(*, call_id: UUID, by: Who, areas: Areas, why: Recordable | None = None) -> CallRecord:
    """Read one call's record for `by`. That it was opened is durable before anything is returned.

    Raises Call.DoesNotExist, also for a call that lies outside of `areas`.
    """
    call = within(Call.objects.all(), areas).get(id=call_id, started_at=ids.time_of(call_id))
    with transaction.atomic(durable=True):
        event("call.opened", by=by, area=call.area, about=f"call {call_id}", call_id=call_id, note=why)
    return call_read(call)


def calls_open(*, calls: Sequence[Call], by: Who, detail: Mapping[str, Any]) -> tuple[CallRecord, ...]:
    """Read the records of several calls for `by`, whose areas are the caller's business.

    One transaction says of each that it was opened, before anything is returned.
    """
    with transaction.atomic(durable=True):
        for call in calls:
            event(
                "call.opened", by=by, area=call.area, about=f"call {call.id}", call_id=call.id, detail=detail
            )
    return tuple(calls_read(calls))


def call_read(call: Call) -> CallRecord:
    """The record without an event: for checks that show nobody anything."""
    (record,) = calls_read([call])
    return record


def calls_read(calls: Sequence[Call], *, payloads: bool = True) -> list[CallRecord]:
    """The records of some calls in a few queries and without an event, in the order that is asked for.

    For an export, which is one event for all. Without `payloads` none is opened, nor said to be missing.
    """
    if not calls:
        return []
    span = _span(calls)
    entries = _entries_of(calls, span)
    every = [entry for of_call in entries.values() for entry in of_call]
    sealed = _sealed([entry.id for entry in every], span) if payloads else {}
    keys = {row.id: row for row in CallKey.objects.filter(id__in=list(entries), **span)} if payloads else {}
    before = dict(_digests([entry.id - 1 for entry in every if entry.sequence > 1]))

    def record(call: Call) -> CallRecord:
        mine = entries[call.id]
        cipher, problem = _opened(keys.get(call.id))
        there: Mapping[int, bytes] = sealed
        if call.removal_id is not None:
            there, cipher, problem = {}, None, removed_by(call)
        parts = tuple(_part(each, there.get(each.id), cipher, problem, payloads=payloads) for each in mine)
        if call.removal_id is not None and problem != UNACCOUNTED:
            parts = tuple(replace(part, removed=part.problem == problem) for part in parts)
        whole = _follow(mine, before) and not any(map(_broken, parts))
        links = tuple(map(link, mine))
        return CallRecord(call, parts, whole, links, _unlike(call, links))

    return [record(call) for call in calls]


def _unlike(call: Call, links: Sequence[chain.Link]) -> tuple[str, ...]:
    """The row was read before its entries: a call that ended between the two is looked at once more."""
    if not row_differs(call, links):
        return ()
    now = Call.objects.filter(id=call.id, started_at=call.started_at).first()
    return tuple(row_differs(now, links)) if now else ()


def _span(calls: Sequence[Call]) -> dict[str, datetime]:
    when = [call.started_at for call in calls]
    return {"started_at__gte": min(when), "started_at__lte": max(when)}


def _entries_of(calls: Sequence[Call], span: Mapping[str, datetime]) -> dict[UUID, list[Entry]]:
    """Those of each call's own time: events about a call have a time of their own."""
    found: dict[UUID, list[Entry]] = {call.id: [] for call in calls}
    started = {call.id: call.started_at for call in calls}
    for entry in Entry.objects.filter(call_id__in=list(found), **span).order_by("id"):
        if entry.call_id is not None and entry.started_at == started[entry.call_id]:
            found[entry.call_id].append(entry)
    return found


def _sealed(entries: Sequence[int], span: Mapping[str, datetime]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for some in _some(entries):
        rows = Payload.objects.filter(id__in=some, **span).values_list("id", "sealed")
        found.update((number, bytes(sealed)) for number, sealed in rows)
    return found


def _some(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """In pieces that a statement of either database takes."""
    return (numbers[at : at + _AT_ONCE] for at in range(0, len(numbers), _AT_ONCE))


def admissions_read(calls: Sequence[Call]) -> dict[UUID, Part]:
    """What was recorded of these calls' requests, in three queries and without an event.

    For work over many calls that shows no payload: whoever starts it notes one event for all.
    """
    return {call_id: parts[0] for call_id, parts in records_read(calls, ("admission",)).items()}


def records_read(calls: Sequence[Call], kinds: Collection[str]) -> dict[UUID, list[Part]]:
    """The same of any kinds of entries, in order; a call of which there are none is left out."""
    if not calls:
        return {}
    when = [call.started_at for call in calls]
    span = {"started_at__gte": min(when), "started_at__lte": max(when)}
    numbers = [call.id for call in calls]
    entries = list(Entry.objects.filter(call_id__in=numbers, kind__in=kinds, **span).order_by("id"))
    sealed = {
        row.id: bytes(row.sealed) for row in Payload.objects.filter(id__in=[e.id for e in entries], **span)
    }
    opened = {row.id: _opened(row) for row in CallKey.objects.filter(id__in=numbers, **span)}
    removed = {call.id for call in calls if call.removal_id is not None}
    found: dict[UUID, list[Part]] = {}
    for entry in entries:
        if entry.call_id is not None:
            cipher, problem = opened.get(entry.call_id) or _opened(None)
            if entry.call_id in removed:
                cipher, problem = None, "it was removed"
            found.setdefault(entry.call_id, []).append(_part(entry, sealed.get(entry.id), cipher, problem))
    return found


@lru_cache(maxsize=4)
def directory(path: Path) -> KeyDirectory:
    """The key directory of the settings; keys are read once."""
    return KeyDirectory(path)


def removed_by(call: Call) -> str:
    """Why this call's payloads are not there any more, in words."""
    removal = Removal.objects.filter(pk=str(call.removal_id)).first()
    if removal is None or call.id.bytes not in removal.members():
        return UNACCOUNTED
    if (entry := tombstones.told(removal)) is None:
        return UNACCOUNTED
    when = entry.at.date().isoformat()
    if removal.kind == "erased":
        return f"erased on request ({removal.why}) on {when}"
    return f"removed by retention rule “{removal.why}” on {when}"


def cipher_of(call: Call) -> tuple[AESGCM | None, str]:
    """The call's own cipher, or why there is none."""
    return _opened(CallKey.objects.filter(id=call.id, started_at=call.started_at).first())


def _opened(row: CallKey | None) -> tuple[AESGCM | None, str]:
    if row is None:
        return None, "its key is missing"
    try:
        around = directory(Path(settings.AUDIT_KEY_DIR)).find(row.wrapped_by)
        key = crypto.unseal(
            AESGCM(around), bytes(row.wrapped), crypto.key_place(row.id.bytes, row.wrapped_by)
        )
    except KeyMissing:
        return None, f"the key {row.wrapped_by} is gone"
    except crypto.SealError:
        return None, "its key does not open"
    return AESGCM(key), ""


def _part(
    entry: Entry, sealed: bytes | None, cipher: AESGCM | None, no_cipher: str, *, payloads: bool = True
) -> Part:
    payload, problem = None, ""
    if link(entry).expected() != bytes(entry.digest):
        problem = "was changed"
    elif payloads and entry.payload_digest and entry.kind != "original":
        payload, problem = _payload(entry, sealed, cipher, no_cipher)
    return Part(
        id=entry.id,
        sequence=entry.sequence,
        kind=entry.kind,
        at=ids.microseconds(entry.at),
        digest=bytes(entry.digest),
        payload_digest=bytes(entry.payload_digest),
        meta=_meta(entry),
        payload=payload,
        problem=problem,
    )


def _payload(
    entry: Entry, sealed: bytes | None, cipher: AESGCM | None, no_cipher: str
) -> tuple[Recordable | None, str]:
    if sealed is None:
        return None, no_cipher or "its payload is missing"
    if sha256(sealed).digest() != bytes(entry.payload_digest):
        return None, "its payload was changed"
    if cipher is None:
        return None, no_cipher
    assert entry.call_id is not None  # noqa: S101 (only a call's entries have payloads)
    place = crypto.payload_place(entry.call_id.bytes, entry.sequence, entry.kind)
    try:
        marks, data = crypto.unpack(crypto.unseal(cipher, sealed, place))
    except crypto.SealError:
        return None, "its payload does not open"
    return Recordable(data, marks), ""


def _meta(entry: Entry) -> Mapping[str, Any]:
    try:
        found = json.loads(bytes(entry.meta))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


UNACCOUNTED: Final = "its payload is missing, and no removal says why"
_TAMPERED = ("was changed", "its payload was changed")


def _broken(part: Part) -> bool:
    return part.problem in _TAMPERED


def _follow(entries: Sequence[Entry], before: Mapping[int, bytes]) -> bool:
    """Whether each entry follows the one before it in its stream."""
    return all(
        bytes(entry.previous) == (before.get(entry.id - 1, b"") if entry.sequence > 1 else chain.GENESIS)
        for entry in entries
    )


def _digests(entries: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    for some in _some(entries):
        for number, digest in Entry.objects.filter(id__in=some).values_list("id", "digest"):
            yield number, bytes(digest)
