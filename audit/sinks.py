"""How far each sink got in every stream, and what comes next.

"The entries of this stream after that one, in the order of their ids" leaves out none that is committed later
with a smaller id, because in every stream entries become visible in the order of their ids:

- A stream of an instance has one writer, the recorder's thread, which begins a transaction only when the one
  before it has returned. After a lost connection it goes on only once the old transaction is over: on
  PostgreSQL the session's advisory lock on the stream (`PostgreSQLStore.claim`) is given back after the
  transaction became visible or was undone; on SQLite no writer begins while another has not ended.
- The stream of events has many writers. Each takes its sequence by updating the stream's row and keeps that
  row locked until its transaction ends; PostgreSQL makes a commit visible before it lets its locks go.

Any one query therefore sees all entries of a stream up to some place, and none beyond it. What is read later
reaches at least as far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from audit import chain, ids
from audit.models import Entry, Instance, Sink, SinkCursor, Stream

TOLD: Final = ("admission", "close", "release", "event")
"""Kinds of entries that are told. Segments and views stand for payloads, heartbeats say nothing."""

LOOK_BACK: Final = timedelta(hours=1)
"""Clocks of hosts differ. An instance gives a sign of life before it records anything, and twice a minute."""


LATE: Final = timedelta(minutes=3)


class Place(NamedTuple):
    """Where a sink stands in a stream, and where the stream ended when somebody looked."""

    stream: int  # its number
    id: UUID
    sequence: int  # of the last entry that the sink has
    end: int  # of the last entry that was there


class Told(NamedTuple):
    """One entry, as far as it is told. It has a payload's digest at most, never a payload."""

    sequence: int
    at: datetime
    kind: str
    call_id: UUID | None
    digest: bytes
    meta: bytes


class Portion(NamedTuple):
    """What comes after a place: the entries to tell, and how far the stream is told with them."""

    place: Place
    entries: Sequence[Told]
    upto: int


# --- which sinks there are --------------------------------------------------------------------------


def sink_named(name: str, *, from_start: bool) -> Sink:
    """The sink of this name. A new one begins with what is recorded from now on, unless `from_start`."""
    found = Sink.objects.filter(pk=name).first()
    if found is not None:
        if not found.active:
            Sink.objects.filter(pk=name).update(active=True)
        return found
    heads = [] if from_start else list(_heads())  # before the transaction: it would keep writers waiting
    try:
        with transaction.atomic():
            made = Sink.objects.create(name=name, began_at=ids.now())
            cursors = (SinkCursor(sink=made, stream=stream, sequence=last) for stream, last in heads)
            SinkCursor.objects.bulk_create(cursors)
    except IntegrityError:  # another worker was faster
        return Sink.objects.get(pk=name)
    return made


def sinks_forget(kept: Iterable[str]) -> None:
    """Those that the settings name no more. They keep their places, should they come back."""
    Sink.objects.filter(active=True).exclude(pk__in=list(kept)).update(active=False)


def _heads() -> Iterable[tuple[int, int]]:
    for stream in Stream.objects.order_by("number").values_list("number", flat=True):
        if (last := _last(stream, 0)) is not None:
            yield stream, last


# --- one worker at a time ---------------------------------------------------------------------------


def lease_take(name: str, holder: UUID, *, seconds: float) -> bool:
    """Feed this sink until the lease is over. False: somebody else does."""
    now = ids.now()
    mine = Q(leased_until=None) | Q(leased_until__lte=now) | Q(holder=holder)
    rows = Sink.objects.filter(mine, pk=name)
    return bool(rows.update(holder=holder, leased_until=now + timedelta(seconds=seconds)))


def lease_end(name: str, holder: UUID, *, drained_at: datetime | None = None) -> None:
    """`drained_at`: when it was looked for more, and there was nothing."""
    rows = Sink.objects.filter(pk=name, holder=holder)
    rows.update(leased_until=None, **({"drained_at": drained_at} if drained_at else {}))


# --- what comes next --------------------------------------------------------------------------------


def places(sink: Sink) -> list[Place]:
    """The streams of which this sink lacks something, the oldest first."""
    ends = ((stream, _last(stream.number, stream.had)) for stream in _moving(sink))
    return [Place(each.number, each.id, each.had, end) for each, end in ends if end is not None]


def _moving(sink: Sink) -> Any:
    """The streams that may have gone on, each with what the sink `had` of it.

    A stream's row knows its head but for the last half minute of a process that was killed; whoever gave no
    sign of life since the sink had everything has recorded nothing since.
    """
    had = SinkCursor.objects.filter(sink=sink, stream=OuterRef("number")).values("sequence")[:1]
    streams = Stream.objects.annotate(had=Coalesce(Subquery(had), Value(0))).order_by("number")
    if sink.drained_at is None:
        return streams
    alive = Instance.objects.filter(heartbeat_at__gte=sink.drained_at - LOOK_BACK).values("id")
    return streams.filter(Q(kind="events") | Q(instance_id__in=alive) | Q(sequence__gt=F("had")))


def portion_after(place: Place, *, limit: int) -> Portion:
    """At most `limit` entries to tell, and the way past those that are not."""
    rows = _entries(place).order_by("id")
    wanted = rows.values_list("sequence", "at", "kind", "call_id", "digest", "meta")[:limit]
    entries = [
        Told(sequence, at, kind, call, bytes(digest), bytes(meta))
        for sequence, at, kind, call, digest, meta in wanted
    ]
    return Portion(place, entries, entries[-1].sequence if len(entries) == limit else place.end)


def portion_taken(name: str, holder: UUID, portion: Portion, *, lease: float) -> Place | None:
    """The sink has it. None: somebody else has moved on meanwhile, and this worker lost its place."""
    now, place = ids.now(), portion.place
    with transaction.atomic():
        if not _moved(name, place, portion.upto):
            return None
        if portion.entries:
            Sink.objects.filter(pk=name).update(
                told_at=now, upto=portion.entries[-1].at, failures=0, next_at=None, error=""
            )
        Sink.objects.filter(pk=name, holder=holder).update(leased_until=now + timedelta(seconds=lease))
    return place._replace(sequence=portion.upto)


def portion_refused(name: str, error: str, *, again: timedelta) -> None:
    """It did not take it, or nobody knows. It is tried again after a while."""
    rows = Sink.objects.filter(pk=name)
    rows.update(failures=F("failures") + 1, error=error[:200], next_at=ids.now() + again)


def behind(sink: Sink, *, most: int) -> int:
    """How many entries it lacks, counted no further than `most`."""
    found = 0
    for place in places(sink):
        if found >= most:
            break
        found += _entries(place)[: most - found].count()
    return found


def is_late(sink: Sink, now: datetime) -> bool:
    """It had everything longer ago than a working one may be behind; so it is while no worker runs."""
    return sink.active and now - (sink.drained_at or sink.began_at) > LATE


def sinks_late(now: datetime) -> list[str]:
    """Their names."""
    return [sink.name for sink in Sink.objects.filter(active=True).order_by("name") if is_late(sink, now)]


def _moved(name: str, place: Place, upto: int) -> bool:
    """Compare and set: whoever read an older place changes nothing."""
    cursors = SinkCursor.objects.filter(sink=name, stream=place.stream)
    if cursors.filter(sequence=place.sequence).update(sequence=upto):
        return True
    if place.sequence or cursors.exists():
        return False
    try:
        with transaction.atomic():
            SinkCursor.objects.create(sink_id=name, stream=place.stream, sequence=upto)
    except IntegrityError:
        return False
    return True


def _entries(place: Place) -> QuerySet[Entry]:
    """Those to tell, up to the end."""
    after, end = chain.entry_id(place.stream, place.sequence), chain.entry_id(place.stream, place.end)
    return Entry.objects.filter(id__gt=after, id__lte=end, kind__in=TOLD)


def _last(stream: int, after: int) -> int | None:
    """The last entry of a stream, of whatever kind."""
    within = Entry.objects.filter(id__gt=chain.entry_id(stream, after), id__lt=chain.entry_id(stream + 1, 0))
    return within.order_by("-id").values_list("sequence", flat=True).first()
