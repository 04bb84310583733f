"""A search: the newest calls that a selection asks for, page by page, as far back as patience goes.

What a search may cost is bounded by time, not by luck: when its patience is over it says how far back it
looked, and can be asked to go on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from audit import ids
from audit.keynames import day_of, start_of
from audit.models import Call
from audit.search import statement, terms
from audit.search.dayskeys import keys_by_day
from audit.search.selection import Selection
from audit.search.statement import FACTS, WORDS, Part, Span
from audit.walls import EVERYWHERE, Areas, within

PAGE: Final = 50
AT_ONCE: Final = 5_000
"""Ids in one statement."""

PATIENCE: Final = 1.0
"""Seconds after which a search says how far it came."""

BRIEFLY: Final = 0.01
"""The same of a page that goes on by itself: it is there at once, whatever is asked."""

QUICK: Final = 0.05
"""Seconds. As long as a statement takes less, the next one covers twice as many days."""

MOST_DAYS: Final = 32
PROBED: Final = 8
"""Days by which the rarest term is chosen."""

COMMON: Final = 300
DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(milliseconds=1)
SOON: Final = timedelta(minutes=1)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """Calls, newest first. `older`: the id to go on before. `back_to`: patience ended there."""

    calls: Sequence[Call]
    older: UUID | None = None
    back_to: datetime | None = None


@final
@dataclass(frozen=True, slots=True)
class Places:
    """The same, of ids alone."""

    calls: Sequence[UUID]
    older: UUID | None = None
    back_to: datetime | None = None


def found(
    selection: Selection,
    areas: Areas,
    *,
    before: UUID | None = None,
    limit: int = PAGE,
    patience: float = PATIENCE,
) -> Found:
    """One page of a search within the areas."""
    places = places_of(selection, areas, before=before, limit=limit, patience=patience)
    return Found(calls_of(places.calls, areas), places.older, places.back_to)


def places_of(
    selection: Selection,
    areas: Areas,
    *,
    before: UUID | None = None,
    limit: int = PAGE,
    patience: float = PATIENCE,
) -> Places:
    """The ids of one page. The areas hold for every one of them."""
    if selection.call is not None:
        return Places(_alone(selection, selection.call, areas))
    if not narrowed(selection, areas):
        return _in_time(selection, before, limit)
    return _walk(selection, areas, before, limit, patience)


def calls_of(places: Sequence[UUID], areas: Areas) -> list[Call]:
    """These calls in their order. The wall stands here once more, whatever the index says."""
    calls: dict[UUID, Call] = {}
    for start in range(0, len(places), AT_ONCE):
        rows = _rows_of(places[start : start + AT_ONCE])
        calls.update((call.id, call) for call in within(rows, areas))
    return [calls[place] for place in places if place in calls]


def _rows_of(places: Sequence[UUID]) -> QuerySet[Call]:
    """PostgreSQL finds them by their exact times, with which its key begins: between the first and the last
    of them there may be everything."""
    if connection.vendor == "postgresql":
        return Call.objects.filter(started_at__in={ids.time_of(place) for place in places})
    return Call.objects.filter(id__in=places)


def narrowed(selection: Selection, areas: Areas) -> bool:
    """Whether more is asked than a time: then the index is walked."""
    asked = selection.words or selection.facts or selection.granted or selection.call
    return bool(asked) or areas is not EVERYWHERE


def _alone(selection: Selection, call: UUID, areas: Areas) -> list[UUID]:
    """A call by its id: also one that is open, and in no index yet, as long as nothing else is asked."""
    try:
        when = ids.time_of(call)
    except (ValueError, OverflowError):
        return []
    inside = (selection.since or when) <= when < (selection.until or when + DAY)
    if not inside or not within(Call.objects.filter(id=call, started_at=when), areas).exists():
        return []
    rest = replace(selection, call=None, since=None, until=None)
    if not narrowed(rest, EVERYWHERE):
        return [call]
    spans = _spans(rest, areas, when, when + MOMENT)
    return [place for place in statement.matches(list(spans), None, COMMON) if place == call]


def _in_time(selection: Selection, before: UUID | None, limit: int) -> Places:
    """Every call, open ones as well."""
    calls = newest_first(Call.objects.all())
    if selection.since is not None:
        calls = calls.filter(started_at__gte=selection.since, id__gte=ids.lowest(selection.since))
    if selection.until is not None:
        calls = calls.filter(started_at__lt=selection.until, id__lt=ids.lowest(selection.until))
    if before is not None:
        calls = calls.filter(started_at__lte=ids.time_of(before), id__lt=before)
    places = list(calls.values_list("id", flat=True)[: limit + 1])
    return Places(places[:limit], places[limit - 1] if len(places) > limit else None)


def newest_first(calls: QuerySet[Call], areas: Areas = EVERYWHERE) -> QuerySet[Call]:
    """By the key of the table, which on PostgreSQL begins with the time; of areas by the index of areas."""
    if areas is not EVERYWHERE or connection.vendor == "postgresql":
        return calls.order_by("-started_at", "-id")
    return calls.order_by("-id")


def _walk(selection: Selection, areas: Areas, before: UUID | None, limit: int, patience: float) -> Places:
    places: list[UUID] = []

    def read(spans: Sequence[Span], most: int) -> int:
        found = statement.matches(spans, before, most)
        places.extend(found)
        return len(found)

    back_to = walk(selection, areas, read, before=before, most=limit + 1, patience=patience)
    if back_to is not None:
        return Places(places, ids.lowest(back_to), back_to)
    return Places(places[:limit], places[limit - 1] if len(places) > limit else None)


Read = Callable[[Sequence[Span], int], int]
"""Takes up to so many of the newest matches of some days; returns how many there were."""


def walk(
    selection: Selection,
    areas: Areas,
    read: Read,
    *,
    before: UUID | None = None,
    most: int,
    patience: float = PATIENCE,
) -> datetime | None:
    """Days newest first, a growing number of them at a time, until `most` matches are read.

    Returns where patience ended; None when it did not.
    """
    until = min(filter(None, (selection.until, ids.now() + SOON, _after(before))))
    since = max(filter(None, (selection.since, earliest())))
    days = _spans(selection, areas, since, until)
    began, group, count = time.monotonic(), 1, 0
    while spans := [span for _, span in zip(range(group), days, strict=False)]:
        started = time.monotonic()
        spans = list(_driven(spans if selection.words else _as_one(spans)))
        got = read(spans, most - count)
        count += got
        if count >= most:
            return None
        spent = time.monotonic()
        if spent - began > patience and spans[-1].first > since:
            return spans[-1].first
        group = _next(group, got, most - count, took=spent - started, left=patience - (spent - began))
    return None


def _as_one(days: Sequence[Span]) -> list[Span]:
    """Facts are the same on every day: one look-up does for all of them."""
    return [replace(days[0], first=days[-1].first)]


def _next(group: int, got: int, missing: int, *, took: float, left: float) -> int:
    """How many days to look at now: as many as will do by what the last ones had, and as patience has seconds
    left for by what they took, but no great leaps."""
    wider = min(group * 2, MOST_DAYS) if took < QUICK else group
    if took > 0:
        wider = min(wider, max(1, int(group * left / took)))
    return min(wider, missing * group // got + 1) if got else wider


def _after(before: UUID | None) -> datetime | None:
    """The end of what is before a place. Whoever goes on from a day's beginning has done with that day."""
    if before is None:
        return None
    when = ids.time_of(before)
    return when if before == ids.lowest(when) else when + MOMENT


def earliest() -> datetime:
    """When the first call was made."""
    order = ("started_at", "id") if connection.vendor == "postgresql" else ("id",)
    first = Call.objects.order_by(*order).values_list("started_at", flat=True).first()
    return first or ids.now()


def _driven(spans: Sequence[Span]) -> Iterator[Span]:
    """With the rarest part first, as the newest of these spans have it."""
    places = range(len(spans[0].parts))
    if len(places) == 1:
        yield from spans
        return
    few = spans[:PROBED]
    count = {at: statement.frequency([(span, span.parts[at]) for span in few], COMMON) for at in places}
    # Of equals the one with the fewest digests: each of them is read by itself.
    order = sorted(places, key=lambda at: (count[at], len(spans[0].parts[at].digests), at))
    rare = count[order[0]] < COMMON
    for span in spans:
        yield replace(span, parts=tuple(span.parts[at] for at in order), rare=rare)


def _spans(selection: Selection, areas: Areas, since: datetime, until: datetime) -> Iterator[Span]:
    """Day by day, newest first: a word has another digest on each."""
    facts = tuple(_fact_parts(selection, areas))
    keys = keys_by_day() if selection.words else {}
    end = until
    while end > since:
        first = max(since, start_of(day_of(end - MOMENT)))
        words = tuple(Part(WORDS, _digests(word, keys.get(first.date(), ()))) for word in selection.words)
        yield Span(first, end, (*words, *facts))
        end = first


def _digests(word: str, keys: Sequence[bytes]) -> tuple[int, ...]:
    return tuple(terms.word_digest(key, word) for key in keys)


def _fact_parts(selection: Selection, areas: Areas) -> Iterator[Part]:
    for term in selection.facts:
        yield Part(FACTS, (terms.fact_digest(term),))
    if selection.granted is not None:
        first, last = selection.granted
        days = [first + timedelta(days=day) for day in range((last - first).days + 1)]
        yield Part(FACTS, tuple(terms.fact_digest(("granted", day.isoformat())) for day in days))
    if areas is not None:  # not everywhere
        slugs = sorted(areas)
        yield Part(FACTS, tuple(terms.fact_digest(("area", terms.fact("area", slug))) for slug in slugs))
