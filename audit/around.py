"""What lies around the chain and is read as evidence: calls' rows, sessions, legal holds, streams' rows.

No digest covers these rows, since they change or are projections. Each was made from entries, and is held
against them here, so that whoever changes one in the database is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, final
from uuid import UUID

from audit import chain, metas
from audit.chain import Link
from audit.models import Call, Entry, LegalHold, Removal, Session, Store, Stream
from audit.pages import SLACK
from audit.reader import calls_read
from audit.retention.holds import facts, held_by

AT_ONCE: Final = 400
_ACTS: Final = (b'"hold.placed"', b'"hold.lifted"', b'"store.restored"')


def stray_problems() -> Iterator[str]:
    """Entries whose stream has no row: nobody who goes from stream to stream would come to them."""
    after = 0
    known = [*Stream.objects.order_by("number").values_list("number", flat=True), None]
    for number in known:
        rows = Entry.objects.filter(id__gt=chain.entry_id(after + 1, 0) - 1)
        if number is not None:
            rows = rows.filter(id__lt=chain.entry_id(number, 0))
        for stream in rows.order_by("stream_id").values_list("stream_id", flat=True).distinct()[:AT_ONCE]:
            yield f"stream {stream}: it has entries, and its row is missing"
        after = number or after


def row_problems() -> Iterator[str]:
    """Calls' rows, and those of their sessions, that are not what entries say."""
    last: Call | None = None
    while rows := _rows_after(last):
        last = rows[-1]
        for record in calls_read(rows, payloads=False):
            if not record.links:
                if Call.objects.filter(id=record.call.id, started_at=record.call.started_at).exists():
                    yield f"call {record.call.id}: its row was put in, no entry says that it was made"
            elif record.unlike:
                names = ", ".join(record.unlike)
                yield f"call {record.call.id}: its row is not what its entries say: {names}"
        yield from _session_problems(rows)


def _rows_after(last: Call | None) -> list[Call]:
    rows = Call.objects.order_by("started_at", "id")
    if last is not None:
        rows = rows.filter(started_at__gte=last.started_at).exclude(
            started_at=last.started_at, id__lte=last.id
        )
    return list(rows[:AT_ONCE])


def _session_problems(calls: Sequence[Call]) -> Iterator[str]:
    """A session is of one caller at one endpoint; the names and the area are those of its first call."""
    mine = {call.session_id for call in calls if call.session_id}
    sessions = {session.id: session for session in Session.objects.filter(id__in=mine)}
    for number in sorted(mine - sessions.keys()):
        if Call.objects.filter(session_id=number).exists() and not Session.objects.filter(id=number).exists():
            yield f"session {number}: its row is missing, and there are calls of it"
    for call in calls:
        if (session := sessions.get(call.session_id)) is None:  # type: ignore[arg-type]  # None is no session
            continue
        where = "endpoint_id" if call.endpoint_id else "endpoint"
        unlike = [
            name for name in ("subject", "kind", where) if getattr(session, name) != getattr(call, name)
        ]
        if unlike:
            yield f"session {session.id}: its row is not what call {call.id} says: {', '.join(unlike)}"
    for session in sessions.values():
        if not _named_as_a_call(session):
            yield f"session {session.id}: its name, area or endpoint is that of none of its calls"


def _named_as_a_call(session: Session) -> bool:
    """Nobody can tell once its first call's row is gone, which had those names."""
    calls = Call.objects.filter(session_id=session.id)
    first = calls.order_by("started_at").first()
    if first is None or abs(first.started_at - session.started_at) > SLACK:
        return True
    names = ("name", "area", "endpoint", "person_id")
    return calls.filter(**{name: getattr(session, name) for name in names}).exists()


@final
class Acts:
    """Legal holds, and the epoch, as the record has them: `take` each entry, then ask for `problems`."""

    def __init__(self) -> None:
        self._placed: dict[str, tuple[int, dict[str, Any]]] = {}  # by what the event is about
        self._lifted: dict[str, tuple[int, dict[str, Any]]] = {}
        self._epoch = 1
        # before the entries, which say at least as much: what is done meanwhile is looked up again
        self._rows = {f"hold {hold.pk}": hold for hold in LegalHold.objects.all()}
        self._store = Store.objects.filter(pk=1).first()

    def take(self, links: Iterable[Link]) -> None:
        for link in links:
            if link.kind != "event" or not any(name in link.meta for name in _ACTS):
                continue
            try:
                self._take(link.id, json.loads(link.meta))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # its digest says whether somebody changed it

    def _take(self, number: int, said: dict[str, Any]) -> None:
        if said["event"] == "hold.placed":
            self._placed.setdefault(said["about"], (number, said))
        elif said["event"] == "hold.lifted":
            self._lifted.setdefault(said["about"], (number, said))
        elif said["event"] == "store.restored":
            self._epoch = int(said["detail"]["epoch"])

    def problems(self) -> Iterator[str]:
        if self._store is not None and self._store.epoch != self._epoch:
            yield f"the store is in epoch {self._store.epoch}, and by the record in {self._epoch}"
        yield from self._hold_problems()

    def _hold_problems(self) -> Iterator[str]:
        for about in self._placed.keys() - self._rows.keys():
            if _now(about) is None:
                yield f"{about}: its row is missing"
        for about, hold in self._rows.items():
            if about not in self._placed:
                yield f"{about}: its row was put in, no entry says that it was placed"
            elif self._unlike(about, hold) and (unlike := self._unlike(about, _now(about) or hold)):
                yield f"{about}: its row is not what the record says: {', '.join(unlike)}"
            else:
                lifted = self._lifted.get(about)
                yield from _removed_under(hold, self._placed[about][0], lifted[0] if lifted else None)

    def _unlike(self, about: str, hold: LegalHold) -> list[str]:
        lifted = self._lifted.get(about)
        return [
            *_placed_unlike(hold, self._placed[about][1]),
            *_lifted_unlike(hold, lifted[1] if lifted else None),
        ]


def _now(about: str) -> LegalHold | None:
    try:
        return LegalHold.objects.filter(pk=UUID(about.removeprefix("hold "))).first()
    except ValueError:
        return None


def _placed_unlike(hold: LegalHold, said: dict[str, Any]) -> list[str]:
    now = facts(hold)
    told = metas.part(said, "detail")
    unlike = [name for name in sorted(now.keys() | told.keys()) if now.get(name) != told.get(name)]
    unlike += ["placed_by"] if metas.part(said, "by").get("name") != hold.placed_by else []
    return unlike + (["reason"] if str(said.get("note"))[:300] != hold.reason else [])


def _lifted_unlike(hold: LegalHold, said: dict[str, Any] | None) -> list[str]:
    if (said is None) != (hold.lifted_at is None):
        return ["lifted_at"]
    if said is None:
        return []
    by, detail = metas.part(said, "by"), metas.part(said, "detail")
    names = f"{detail.get('proposed_by')} and {by.get('name')}"[:255]
    return [] if names == hold.lifted_by else ["lifted_by"]


def _removed_under(hold: LegalHold, placed: int, lifted: int | None) -> Iterator[str]:
    """Calls that went while the hold was in force. By the record's order: acts are one stream, and whoever
    removes or holds waits for the other. A row that was changed for a while and put back is found so."""
    removals = Removal.objects.filter(entry_id__gt=placed)
    if lifted is not None:
        removals = removals.filter(entry_id__lt=lifted)
    went = [str(number) for number in removals.values_list("pk", flat=True)]
    for at in range(0, len(went), AT_ONCE):
        calls = Call.objects.filter(held_by(hold), removal_id__in=went[at : at + AT_ONCE])
        for call in calls.values_list("id", flat=True):
            yield f"call {call}: it was removed although hold {hold.pk} kept it"


def moved_streams(stream: Stream, links: Iterable[Link]) -> set[UUID]:
    """Streams that lie at the place of another one."""
    return {link.stream for link in links} - {stream.id}
