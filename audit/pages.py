"""What the lists show: sessions and calls, newest first, by keyset: ids are UUIDv7, in order of time.

Every read is bounded: a page of sessions looks at no more than `MAX_SUMMED` of their calls, and where
they have more, at an equal share of that for each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet

from audit import ids
from audit.listing import Action, CallRow, Found, call_rows, found_of
from audit.models import Call, Session
from audit.search.finding import found, newest_first
from audit.search.selection import Selection
from audit.walls import EVERYWHERE, Areas, within

PAGE: Final = 50
MAX_SUMMED: Final = 5_000
ACTIONS: Final = ("passed", "masked", "flagged", "held", "released", "denied", "blocked", "refused")
RECENT: Final = timedelta(hours=24)
"""How far back a list of one action looks: there is no index on it."""

FRESH: Final = timedelta(minutes=10)
"""A call that ended so long after it began may be missing from its caller's list until the index has it."""

SLACK: Final = timedelta(minutes=10)
"""A session is written with its first call's batch, so a little after that call began."""


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    models: dict[str, None] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    last: datetime | None = None

    def take(self, row: Mapping[str, Any]) -> None:
        self.calls += 1
        if row["model"]:
            self.models.setdefault(row["model"])
        self.actions[row["action"]] += 1
        self.found.update(row["counts"] or {})
        self.found.update(row["response_counts"] or {})
        self.last = max(self.last or row["started_at"], row["started_at"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session with what its calls add up to."""

    id: UUID
    started_at: datetime
    last_at: datetime
    name: str
    kind: str
    subject: str
    area: str
    endpoint: str
    calls: str  # a number; with a plus sign when not all were counted
    newest: int | None  # so many of its newest calls were summed up; None: all of them
    models: tuple[str, ...]
    found: tuple[Found, ...]
    actions: tuple[Action, ...]


Row = TypeVar("Row")
Model = TypeVar("Model", Call, Session)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page; `older` is the id to continue before, None at the end."""

    rows: Sequence[Row]
    older: UUID | None


def sessions_page(
    before: UUID | None, areas: Areas, *, person: UUID | None = None, at_most: int = PAGE
) -> Page[SessionRow]:
    """Those of one person (or program) only, where one is given."""
    sessions = within(Session.objects.order_by("-id"), areas)
    if person is not None:
        sessions = sessions.filter(person_id=person)
    if before is not None:
        sessions = sessions.filter(id__lt=before)
    found, older = _cut(list(sessions[: at_most + 1]), at_most)
    return Page(_session_rows(found, areas), older)


def session_row(session: Session, areas: Areas) -> SessionRow:
    return _session_rows([session], areas)[0]


def calls_of_session(session: Session, after: UUID | None, areas: Areas) -> Page[CallRow]:
    """Oldest first, as they were made; `older` is then the id to continue after."""
    page = made_in(session, after, areas, at_most=PAGE)
    return Page(call_rows(page.rows), page.older)


def made_in(session: Session, after: UUID | None, areas: Areas, *, at_most: int) -> Page[Call]:
    """The same as they are on record."""
    calls = _made_in(session, areas)
    if after is not None:
        calls = calls.filter(id__gt=after)
    return Page(*_cut(list(calls.order_by("started_at", "id")[: at_most + 1]), at_most))


def made_before(session: Session, after: UUID | None, areas: Areas) -> Call | None:
    """The last call of the page before."""
    if after is None:
        return None
    return _made_in(session, areas).filter(id__lte=after).order_by("-started_at", "-id").first()


def _made_in(session: Session, areas: Areas) -> QuerySet[Call]:
    return within(
        Call.objects.filter(session_id=session.id, started_at__gte=session.started_at - SLACK), areas
    )


def calls_page(before: UUID | None, action: str, now: datetime, areas: Areas) -> Page[CallRow]:
    """All calls, also those of callers whom nobody knows; `action` narrows the last day to one outcome."""
    calls = newest_first(within(Call.objects.all(), areas), areas)
    if action:
        since = now - RECENT
        calls = calls.filter(action=action, started_at__gte=since, id__gte=ids.lowest(since))
    found, older = _cut(list(_older(calls, before)[: PAGE + 1]), PAGE)
    return Page(call_rows(found), older)


def calls_made(before: UUID | None, areas: Areas, *, at_most: int) -> Page[Call]:
    """The same as they are on record, open ones as well. Raises ValueError or OverflowError where `before`
    holds no time."""
    calls = _older(newest_first(within(Call.objects.all(), areas), areas), before)
    return Page(*_cut(list(calls[: at_most + 1]), at_most))


def own_calls(before: UUID | None, person: UUID, *, at_most: int) -> tuple[Page[Call], datetime | None]:
    """The calls of one person or program. The index knows them once they have ended and a moment has passed;
    those that it may not know yet are read beside it. The second value: patience ended there.

    Where a page of the index ends, the others end too, so that the next page goes on behind both.
    """
    own = Selection(facts=(("person", str(person)),))
    indexed = found(own, EVERYWHERE, before=before, limit=at_most)
    known = {call.id: call for call in indexed.calls if call.person_id == person}  # whatever the index says
    for call in _older(_not_indexed(person), before)[: at_most + 1]:
        if indexed.older is None or call.id >= indexed.older:
            known[call.id] = call
    rows, older = _cut([known[number] for number in sorted(known, reverse=True)], at_most)
    if older is not None:
        return Page(rows, older), None
    return Page(rows, indexed.older), indexed.back_to


def _not_indexed(person: UUID) -> QuerySet[Call]:
    """A person's calls that are open, and those that began a short while ago: their sessions are not closed
    yet, and each leads to its calls by an index."""
    since = ids.now() - FRESH
    running = Session.objects.filter(person_id=person, closed_at=None).values("id")
    fresh = Q(session_id__in=running, started_at__gte=since)
    return Call.objects.filter(fresh | Q(closed_at=None), person_id=person).order_by("-id")


def _older(calls: QuerySet[Call], before: UUID | None) -> QuerySet[Call]:
    if before is None:
        return calls
    return calls.filter(started_at__lte=ids.time_of(before), id__lt=before)


def neighbours(call: Call, areas: Areas) -> tuple[UUID | None, UUID | None]:
    """The calls before and after this one in its session."""
    if call.session_id is None:
        return None, None
    same = within(Call.objects.filter(session_id=call.session_id), areas)
    before = same.filter(started_at__lte=call.started_at, id__lt=call.id).order_by("-started_at", "-id")
    after = same.filter(started_at__gte=call.started_at, id__gt=call.id).order_by("started_at", "id")
    return before.values_list("id", flat=True).first(), after.values_list("id", flat=True).first()


def _cut(found: list[Model], at_most: int) -> tuple[list[Model], UUID | None]:
    """Drops the row that was read only to see whether there are more."""
    return (found[:at_most], found[at_most - 1].id) if len(found) > at_most else (found, None)


def _session_rows(sessions: Sequence[Session], areas: Areas) -> list[SessionRow]:
    """In one read; session by session where one of them has so many calls that the others would get none."""
    columns = ("session_id", "model", "action", "counts", "response_counts", "started_at")
    calls = within(Call.objects.filter(session_id__in=[session.id for session in sessions]), areas)
    rows = list(calls.order_by("-id").values(*columns)[: MAX_SUMMED + 1])
    sums: defaultdict[UUID, _Sum] = defaultdict(_Sum)
    if len(rows) <= MAX_SUMMED:
        for row in rows:
            sums[row["session_id"]].take(row)
        return [_session_row(session, sums[session.id], whole=True) for session in sessions]
    share = max(MAX_SUMMED // len(sessions), 1)
    found = []
    for session in sessions:
        made = _made_in(session, areas).order_by("-started_at", "-id")
        newest = list(made.values(*columns)[: share + 1])
        for row in newest[:share]:
            sums[session.id].take(row)
        found.append(_session_row(session, sums[session.id], whole=len(newest) <= share))
    return found


def _session_row(session: Session, total: _Sum, *, whole: bool) -> SessionRow:
    return SessionRow(
        id=session.id,
        started_at=session.started_at,
        last_at=total.last or session.started_at,
        name=session.name,
        kind=session.kind,
        subject=session.subject,
        area=session.area,
        endpoint=session.endpoint,
        calls=str(total.calls) if whole else f"{total.calls}+",
        newest=None if whole else total.calls,
        models=tuple(total.models),
        found=found_of(total.found),
        actions=tuple(Action(name, total.actions[name]) for name in ACTIONS if total.actions[name]),
    )
