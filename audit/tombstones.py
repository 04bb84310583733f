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
from typing import Final
from uuid import UUID

from audit import ids
from audit.chain import Link
from audit.keynames import day_of
from audit.merkle import root_of
from audit.models import CallKey, Entry, Original, Payload, Removal

ORIGINAL: Final = "original"


def payload_problems(links: Sequence[Link]) -> Iterator[str]:
    """Payloads that are not what was digested, or are gone, or whose key is gone, without a removal."""
    full = {link.id: link for link in links if _stands_for(link) and link.kind != ORIGINAL}
    removed = Removed()
    yield from _original_problems([link for link in links if link.kind == ORIGINAL], removed)
    there = set()
    for payload in Payload.objects.filter(id__in=[link.id for link in links]).iterator():
        there.add(payload.id)
        link = full.get(payload.id)
        if link is None or sha256(bytes(payload.sealed)).digest() != link.payload_digest:
            yield f"payload {payload.id} was changed"
    for number in sorted(full.keys() - there):
        if full[number].call not in removed:
            yield f"payload {number} is missing, and no removal says why"
    opened = {call for number in there & full.keys() if (call := full[number].call)}
    for call in sorted(opened - _with_key(opened)):
        if call not in removed:
            yield f"the key of call {call} is missing, and no removal says why"


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


def _with_key(calls: set[UUID]) -> set[UUID]:
    return set(CallKey.objects.filter(id__in=calls).values_list("id", flat=True))


class Removed:
    """The calls that removals on record account for, read by the day they lie in."""

    def __contains__(self, call: object) -> bool:
        return isinstance(call, UUID) and call.bytes in self._of(day_of(ids.time_of(call)))

    def __init__(self) -> None:
        self._of = lru_cache(maxsize=8)(accounted_for)


def accounted_for(day: date) -> frozenset[bytes]:
    """The ids, 16 bytes each, of the calls of a day that valid removals name."""
    return frozenset(
        call for each in Removal.objects.filter(day=day) if holds(each) for call in each.members()
    )


def holds(removal: Removal) -> bool:
    """Whether the chain says the same as the row."""
    entry = Entry.objects.filter(id=removal.entry_id, kind="event").first()
    try:
        meta = json.loads(bytes(entry.meta)) if entry else {}
        said = meta["detail"]
        root = root_of(sorted(removal.members()))
        return (
            meta["event"] in ("evidence.expired", "evidence.erased")
            and meta["about"] == f"removal {removal.pk}"
            and said["root"] == root.hex() == bytes(removal.root).hex()
            and said["calls"] == removal.count == len(removal.members())
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
