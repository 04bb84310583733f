"""Where a value was found: calls, newest first, as many as are asked for. Run `index_pending` before.

A digest is written differently on each day (`audit.blinding`), so days are looked at newest first, a growing
number of them at a time: what a page costs does not grow with what lies behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, final
from uuid import UUID

from audit import ids
from audit.blinding import BLOCK, blind
from audit.keynames import day_of, start_of
from audit.keys import KeyDirectory
from audit.models import Fingerprint
from audit.search.dayskeys import keys_of_days

AT_ONCE: Final = 500
"""Index rows that are read at once."""

DIGESTS: Final = 400
"""Digests that one query asks for."""

SOON: Final = timedelta(minutes=1)
BEGINNING: Final = ids.moment(0)


@final
@dataclass(frozen=True, slots=True)
class Days:
    """From `first` up to but without `end`: how the digests are written there, each with its day and the
    generation of its key. What was indexed before days had keys is written in clear, as generation 0."""

    first: datetime
    end: datetime
    written: Mapping[bytes, tuple[date | None, int]]


def sighted(
    keys: KeyDirectory, digests: Sequence[bytes], *, before: UUID | None = None, most: int = AT_ONCE
) -> dict[UUID, str]:
    """Up to `most` calls in which one of these keyed digests was found, newest first, and its data class."""
    short = [digest[:BLOCK] for digest in digests]
    end = ids.now() + SOON if before is None else ids.time_of(before) + timedelta(milliseconds=1)
    found: dict[UUID, str] = {}
    for days in _days(keys, short, end) if short else ():
        _look(days, before, most, found)
        if len(found) >= most:
            break
    return found


def _look(days: Days, before: UUID | None, most: int, found: dict[UUID, str]) -> None:
    """A call whose rows lie on both sides of a page's end is known by the first of them."""
    rows = Fingerprint.objects.filter(
        digest__in=list(days.written), started_at__gte=days.first, started_at__lt=days.end
    ).order_by("-started_at", "-call_id", "id")
    while len(found) < most:
        here = (
            rows if before is None else rows.filter(started_at__lte=ids.time_of(before), call_id__lt=before)
        )
        page = list(here[:AT_ONCE])
        for row in page:
            day, generation = days.written[bytes(row.digest)]
            fits = row.generation == generation and day in (None, day_of(row.started_at))
            if fits and len(found) < most:
                found.setdefault(row.call_id, row.data_class)
        if len(page) < AT_ONCE:
            return
        before = page[-1].call_id


def _days(keys: KeyDirectory, digests: Sequence[bytes], end: datetime) -> Iterator[Days]:
    """All days before `end`, newest first. Those without a key lie between the others."""
    by_day: dict[date, list[tuple[int, bytes]]] = {}
    for period, key in keys_of_days(keys):
        if start_of(period.first) < end:
            by_day.setdefault(period.first, []).append((period.generation, key))
    waiting, group = sorted(by_day), 1
    while waiting:
        some, waiting = waiting[-group:], waiting[:-group]
        first = start_of(some[0]) if waiting else BEGINNING
        yield Days(first, end, _written(digests, {day: by_day[day] for day in some}))
        end, group = first, min(group * 2, max(1, DIGESTS // len(digests)))
    if end > BEGINNING:
        yield Days(BEGINNING, end, _written(digests, {}))


def _written(
    digests: Sequence[bytes], by_day: Mapping[date, Sequence[tuple[int, bytes]]]
) -> dict[bytes, tuple[date | None, int]]:
    found: dict[bytes, tuple[date | None, int]] = {digest: (None, 0) for digest in digests}
    for day, keys in by_day.items():
        for generation, key in keys:
            found.update((block, (day, generation)) for block in blind(key, digests))
    return found
