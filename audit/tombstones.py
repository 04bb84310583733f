"""Whether what is missing was removed: payloads and keys against the entries and the removals on record.

A removal counts when its event on the chain names the very calls that it lists: whoever deletes payloads, or
writes a removal, behind the record's back is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from audit import crypto, ids
from audit.chain import Link
from audit.events import link as link_of
from audit.keynames import day_of, period
from audit.keys import PAYLOAD, KeyDirectory, KeyMissing, KeysUnavailable
from audit.merkle import root_of
from audit.models import Call, CallKey, Entry, Original, Payload, Removal

ORIGINAL: Final = "original"
EVENTS: Final = {"expired": "evidence.expired", "rows": "evidence.expired", "erased": "evidence.erased"}
"""What is on record of a removal, by its kind."""


def payload_problems(links: Sequence[Link]) -> Iterator[str]:
    """Payloads that are not what was digested, or are gone, or whose key or call is gone, without a
    removal."""
    full = {link.id: link for link in links if _stands_for(link) and link.kind != ORIGINAL}
    removed = Removed()
    yield from _original_problems([link for link in links if link.kind == ORIGINAL], removed)
    there = set()
    for payload in Payload.objects.filter(id__in=[link.id for link in links]).iterator():
        there.add(payload.id)
        link = full.get(payload.id)
        if link is None or sha256(bytes(payload.sealed)).digest() != link.payload_digest:
            yield f"payload {payload.id} was changed"
        elif ids.microseconds(payload.started_at) != link.started_at:
            yield f"payload {payload.id} was moved to another time: it is not found any more"
    for number in sorted(full.keys() - there):
        if full[number].call not in removed:
            yield f"payload {number} is missing, and no removal says why"
    yield from _key_problems({call for number in there & full.keys() if (call := full[number].call)}, removed)
    yield from _row_problems({link.call for link in links if link.kind == "admission" and link.call})


def _key_problems(opened: set[UUID], removed: Removed) -> Iterator[str]:
    """Keys of the calls of which something sealed is there."""
    keys = {row.id: row for row in CallKey.objects.filter(id__in=opened)}
    directory = _directory()
    for call in sorted(opened):
        if (row := keys.get(call)) is None:
            problem = "is missing, and no removal says why"
        elif row.started_at != ids.time_of(call):
            problem = "was moved to another time: it is not found any more"
        elif directory is not None and not _opens(row, directory):
            problem = "was changed: it does not open"
        else:
            continue
        if call not in removed:
            yield f"the key of call {call} {problem}"


def _directory() -> KeyDirectory | None:
    """None where the record is verified without its keys."""
    try:
        return KeyDirectory(Path(settings.AUDIT_KEY_DIR))
    except KeysUnavailable:
        return None


def _opens(row: CallKey, directory: KeyDirectory) -> bool:
    """A key of its day that was destroyed since is no sign: a backup of before may have been brought back."""
    try:
        around = AESGCM(directory.find(row.wrapped_by))
        crypto.unseal(around, bytes(row.wrapped), crypto.key_place(row.id.bytes, row.wrapped_by))
    except KeyMissing:
        named, day = period(row.wrapped_by), day_of(ids.time_of(row.id))
        if named is None or named.purpose != PAYLOAD or not named.first <= day < named.following:
            return False
        there = directory.generations(PAYLOAD, day)
        return not there or named.generation < max(there)
    except crypto.SealError:
        return False
    return True


def _row_problems(admitted: set[UUID]) -> Iterator[str]:
    """Calls that no list shows any more. Their rows go with a removal that says so, at the end."""
    when = [ids.time_of(call) for call in admitted]
    rows = Call.objects.filter(id__in=admitted, started_at__in=when)
    missing = admitted - set(rows.values_list("id", flat=True))
    gone = Removed("rows")
    for call in sorted(missing):
        if call not in gone:
            yield f"the row of call {call} is missing, and no removal says why"


def _stands_for(link: Link) -> bool:
    """Whether there is, or was, something sealed beside this entry."""
    return bool(link.payload_digest) and link.call is not None


def _original_problems(links: Sequence[Link], removed: Removed) -> Iterator[str]:
    full = {link.id: link for link in links if _stands_for(link)}
    there = set()
    for original in Original.objects.filter(id__in=list(full)).iterator():
        there.add(original.id)
        if sha256(bytes(original.sealed)).digest() != full[original.id].payload_digest:
            yield f"original {original.id} was changed"
    for number in sorted(full.keys() - there):
        if full[number].call not in removed:
            yield f"original {number} is missing, and no removal says why"


class Removed:
    """The calls that removals on record account for, read by the day they lie in. `kind`: of which only."""

    def __contains__(self, call: object) -> bool:
        if not isinstance(call, UUID):
            return False
        day = day_of(ids.time_of(call))
        if call.bytes in self._of(day, self._kind):
            return True
        self._of.cache_clear()  # it may have gone since its day was read
        return call.bytes in self._of(day, self._kind)

    def __init__(self, kind: str = "") -> None:
        self._kind = kind
        self._of = lru_cache(maxsize=8)(accounted_for)


def accounted_for(day: date, kind: str = "") -> frozenset[bytes]:
    """The ids, 16 bytes each, of the calls of a day that valid removals name."""
    rows = Removal.objects.filter(day=day, **({"kind": kind} if kind else {}))
    return frozenset(call for each in rows if holds(each) for call in each.members())


def holds(removal: Removal) -> bool:
    """Whether the chain says the same as the row."""
    return told(removal) is not None


def told(removal: Removal) -> Entry | None:
    """The entry that says of a removal what its row says; None where there is none."""
    entry = Entry.objects.filter(id=removal.entry_id, kind="event").first()
    try:
        return entry if entry is not None and link_of(entry).fits() and _says(entry, removal) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _says(entry: Entry, removal: Removal) -> bool:
    meta = json.loads(bytes(entry.meta))
    said = meta["detail"]
    root = root_of(sorted(removal.members()))
    return bool(
        meta["event"] == EVENTS[removal.kind]
        and said["what"] == ("rows" if removal.kind == "rows" else "payloads")
        and meta["about"] == f"removal {removal.pk}"
        and meta["area"] == removal.area
        and said["why"] == removal.why
        and said["day"] == removal.day.isoformat()
        and said["root"] == root.hex() == bytes(removal.root).hex()
        and said["calls"] == removal.count == len(removal.members())
    )
