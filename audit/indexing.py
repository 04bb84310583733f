"""Moves index rows from where a commit left them into the indexes. A search runs `index_pending` first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from audit import ids
from audit.blinding import BLOCK, blind
from audit.keynames import day_of, start_of
from audit.keys import PAYLOAD, KeyDirectory, KeyMissing
from audit.models import Fingerprint, Unindexed
from audit.retention.standing import standing

_AT_ONCE = 200  # commits
_DIGESTS: Final = 400
"""Days' digests that one query asks for."""


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


def candidates(keys: KeyDirectory, digest: bytes, first: date, last: date) -> dict[bytes, tuple[date, int]]:
    """How one keyed digest is written in the index on each of these days: by block its day and generation.

    A day whose keys are destroyed has none. What was indexed before days had keys is written in clear, and
    not among these.
    """
    found: dict[bytes, tuple[date, int]] = {}
    for name, period in keys.periods(PAYLOAD).items():
        if period.of_month or not first <= period.first <= last:
            continue
        try:
            (block,) = blind(keys.find(name), [digest[:BLOCK]])
        except KeyMissing:  # destroyed since the directory was listed
            continue
        found[block] = period.first, period.generation
    return found


def fingerprints_of(keys: KeyDirectory, digest: bytes, since: datetime, until: datetime) -> list[Fingerprint]:
    """Where a value with this keyed digest was found, oldest first. Run `index_pending` before."""
    written = candidates(keys, digest, day_of(since), day_of(until))
    rows = Fingerprint.objects.filter(started_at__gte=since, started_at__lte=until)
    found = list(rows.filter(digest=digest[:BLOCK], generation=0))
    blocks = list(written)
    for at in range(0, len(blocks), _DIGESTS):
        some = blocks[at : at + _DIGESTS]
        for row in rows.filter(started_at__gte=start_of(written[some[0]][0]), digest__in=some):
            if written[bytes(row.digest)] == (day_of(row.started_at), row.generation):
                found.append(row)
    return sorted(found, key=lambda row: (row.started_at, row.call_id, row.id))
