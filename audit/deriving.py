"""What follows from the record: each new entry that matters is handed, once, to what derives from it.

A cursor per stream moves in the transaction that writes what was derived, so a crash or a second worker at
the same moment changes nothing. Reading and unsealing are done before that transaction: while it lasts,
nobody else writes on SQLite.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

from django.db import transaction
from django.db.models import F, Q

from audit import chain, ids
from audit.flagged.collecting import flags_derive
from audit.models import Call, Derived, Entry, Instance, Stream
from audit.search.indexing import terms_derive
from audit.usage.collecting import usage_derive

Write = Callable[[], None]


@final
@dataclass(frozen=True, slots=True)
class New:
    """What one batch brings: calls that were closed, each handed over once, and events about calls."""

    closed: Sequence[Call]
    events: Sequence[Entry]


Derivation = Callable[[New], Write]
"""Reads and works out; what it returns then writes, in one transaction with the cursor."""

DERIVATIONS: Final[tuple[Derivation, ...]] = (terms_derive, flags_derive, usage_derive)

AT_ONCE: Final = 400
"""Entries that are looked at for one transaction."""

SILENT: Final = timedelta(minutes=10)
"""Without a heartbeat for so long a process is gone, or stays refused by its store."""

CLOSES: Final = 100
"""Closed calls in one transaction."""


def derive(*, seconds: float = 20.0) -> int:
    """Go on until nothing is new or the time is over; returns how many entries were looked at."""
    until, total = time.monotonic() + seconds, 0
    for stream in moving():
        goes_on = True
        while goes_on and time.monotonic() < until:
            looked_at, goes_on = _step(stream)
            total += looked_at
    return total


def moving() -> list[Stream]:
    """Streams that may have something new. One that was silent for long goes on when its process does."""
    ended = Derived.objects.filter(ended=True).values("stream")
    running = Q(stopped_at=None) | Q(stopped_at__lt=F("heartbeat_at"))
    alive = Instance.objects.filter(running, heartbeat_at__gte=ids.now() - SILENT).values("id")
    return list(Stream.objects.filter(~Q(number__in=ended) | Q(instance_id__in=alive)).order_by("number"))


def _step(stream: Stream) -> tuple[int, bool]:
    """One batch of one stream: how many entries, and whether to go on; none if another worker was faster."""
    cursor, _ = Derived.objects.get_or_create(stream=stream.number, defaults={"sequence": 0})
    at = cursor.sequence
    gone = _is_gone(stream)  # asked first: what it wrote before it went is then seen
    entries = list(_after(stream, at))
    goes_on = len(entries) == AT_ONCE or _closes(entries) == CLOSES
    if not entries:
        Derived.objects.filter(stream=stream.number, sequence=at, ended=not gone).update(ended=gone)
        return 0, False
    new = New(closed=_closed(entries), events=[e for e in entries if e.kind == "event" and e.call_id])
    writes = [derivation(new) for derivation in DERIVATIONS]
    with transaction.atomic():
        rows = Derived.objects.filter(stream=stream.number, sequence=at)
        if not rows.update(sequence=entries[-1].sequence, ended=gone and not goes_on):
            return 0, False  # another worker derives this
        for write in writes:
            write()
    return len(entries), goes_on


def _closes(entries: Sequence[Entry]) -> int:
    return sum(entry.kind == "close" for entry in entries)


def _after(stream: Stream, at: int) -> Iterator[Entry]:
    """The next entries, as many as fit: what other kinds lie between costs a look and nothing else."""
    first, end = chain.entry_id(stream.number, at), chain.entry_id(stream.number + 1, 0)
    rows = Entry.objects.filter(id__gt=first, id__lt=end).order_by("id").defer("previous", "digest")
    closes = 0
    for entry in rows[:AT_ONCE]:
        closes += entry.kind == "close"
        yield entry
        if closes == CLOSES:
            return


def _closed(entries: Sequence[Entry]) -> list[Call]:
    """A call can have two closes, of which the first counted: its time is in the call's row."""
    closes = {entry.call_id: entry.at for entry in reversed(entries) if entry.kind == "close"}
    if not closes:
        return []
    when = [ids.time_of(call_id) for call_id in closes if call_id]
    calls = Call.objects.filter(id__in=list(closes), started_at__gte=min(when), started_at__lte=max(when))
    return [call for call in calls if call.closed_at == closes[call.id]]


def _is_gone(stream: Stream) -> bool:
    """Whether its process has ended, so that it grows no more."""
    if stream.instance_id is None:
        return False
    silent = Q(heartbeat_at__lt=ids.now() - SILENT) | Q(stopped_at__isnull=False)
    return Instance.objects.filter(silent, pk=stream.instance_id).exists()
