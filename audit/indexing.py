"""Moves index rows from where a commit left them into the indexes. A trace runs `index_pending` first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

from django.db import transaction

from audit import ids
from audit.blinding import BLOCK
from audit.models import Fingerprint, Unindexed
from audit.retention.standing import standing

_AT_ONCE = 200  # commits


def index_pending() -> int:
    """Index everything that waits; returns how many commits that were. Two at once do no harm."""
    total = 0
    while moved := _move(list(Unindexed.objects.order_by("id")[:_AT_ONCE])):
        total += moved
    return total


def _move(waiting: list[Unindexed]) -> int:
    """One transaction: whoever deletes a row is the one who indexes it. Of a call that was removed while its
    rows waited nothing is indexed any more."""
    with transaction.atomic():
        taken = [row for row in waiting if Unindexed.objects.filter(id=row.id).delete()[0]]
        found = [fingerprint for row in taken for fingerprint in _fingerprints(bytes(row.fingerprints))]
        there = standing(fingerprint.call_id for fingerprint in found)
        found = [fingerprint for fingerprint in found if there.get(fingerprint.call_id)]
        found.sort(key=lambda fingerprint: bytes(fingerprint.digest))  # neighbours share their index pages
        Fingerprint.objects.bulk_create(found, batch_size=1000)
    return len(waiting)


def _fingerprints(packed: bytes) -> Iterator[Fingerprint]:
    for call, *said in json.loads(packed):
        call_id = UUID(call)
        generation, found = said if len(said) == 2 else (0, *said)  # from before days had keys
        for data_class, digest in found:
            yield Fingerprint(
                started_at=ids.time_of(call_id),
                data_class=data_class,
                generation=generation,
                digest=bytes.fromhex(digest)[:BLOCK],
                call_id=call_id,
            )
