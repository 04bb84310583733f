"""Removing the evidence of a batch of calls: one transaction with its tombstone, or nothing at all.

Entries stay. What goes are the call's key, its sealed payloads, and what the indexes hold of it; of a row
whose time is up the projection as well. The event names the Merkle root over the calls' ids, so that what is
missing later is known to have been removed, and by what.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model, QuerySet

from audit import ids
from audit.events import event
from audit.merkle import root_of
from audit.models import (
    Brief,
    Call,
    CallKey,
    Entry,
    Fact,
    Fingerprint,
    Flag,
    FlagAct,
    FlagLabel,
    Original,
    Payload,
    Removal,
    Session,
    Word,
)
from audit.records import Who
from audit.retention import days
from audit.retention.holds import held, holds_in_force, lock
from audit.retention.rules import digest_of, rules_in_force
from audit.tombstones import EVENTS

AT_ONCE: Final = 200
"""Calls in one transaction: so long wait events, and on SQLite every writer."""

CONTENT: Final = (Fingerprint, Word, Original)
"""What else is kept of a call's text, by `started_at` and `call_id`."""

SYSTEM: Final = Who(kind="system", name="postern")

Kind = Literal["expired", "rows", "erased"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why evidence goes: a rule that ran out, or a request."""

    kind: Kind
    why: str
    job_id: UUID
    by: Who = SYSTEM
    detail: tuple[tuple[str, str], ...] = ()
    keys_only: bool = False  # the rest goes with its month's partitions
    digest: str = ""  # of the rules and holds that say so (`rules.digest_of`)


class RulesMoved(Exception):
    """A rule or a hold was changed since this was decided: decide anew."""


def remove(calls: Sequence[UUID], *, day: date, area: str, cause: Cause) -> int:
    """Remove these calls of one day and one area, but for those that are held or open. Returns how many.

    Raises RulesMoved; then nothing was removed.
    """
    with transaction.atomic():
        lock()
        holds = holds_in_force()
        if cause.digest and digest_of(rules_in_force(), holds) != cause.digest:
            raise RulesMoved
        wanted = days.calls_on(day).filter(id__in=list(calls), closed_at__isnull=False, area=area)
        wanted = wanted.filter(removal_id__isnull=cause.kind != "rows").exclude(held(holds))
        found = sorted(wanted.values_list("id", flat=True), key=lambda call: call.bytes)
        if not found:
            return 0
        removal = _tombstone(found, day, area, cause)
        if cause.kind != "rows":
            days.calls_on(day).filter(id__in=found).update(removal_id=removal.pk)
        _flags_go(found)
        if cause.kind == "rows":
            _rows_go(found, day)
        else:
            _content_goes(found, day, keys_only=cause.keys_only)
    return len(found)


def leftovers_go(day: date) -> None:
    """What lies of calls that are removed already: a month was to go as a whole, and then did not."""
    gone = days.calls_on(day).filter(removal_id__isnull=False).values("id")
    with transaction.atomic():
        _delete(
            Payload.objects.filter(days.on(day), id__in=_entries(day).filter(call_id__in=gone).values("id"))
        )
        for model in CONTENT:
            _delete(model._default_manager.filter(days.on(day), call_id__in=gone))


def _content_goes(calls: Sequence[UUID], day: date, *, keys_only: bool) -> None:
    _threads_go(calls, day)
    _delete(CallKey.objects.filter(days.on(day), id__in=calls))
    if keys_only:
        return
    entries = list(_entries(day).filter(call_id__in=calls).values_list("id", flat=True))
    _delete(Payload.objects.filter(days.on(day), id__in=entries))
    for model in CONTENT:
        _delete(_of(model, calls))


def _threads_go(calls: Sequence[UUID], day: date) -> None:
    """What ties a conversation's calls together is a keyed digest of how it began: it goes with the last of
    its texts. A call that comes after that begins another session."""
    rows = days.calls_on(day).filter(id__in=calls).exclude(session_id=None)
    sessions = set(rows.values_list("session_id", flat=True))
    there = Call.objects.filter(session_id__in=sessions, removal_id=None)
    for session in filter(None, sessions - set(there.values_list("session_id", flat=True))):
        Session.objects.filter(pk=session).update(thread=secrets.token_bytes(32), key=secrets.token_bytes(32))


def _flags_go(calls: Sequence[UUID]) -> None:
    """Out of the inbox, with what people wrote. Their rows are locked first: a note that is being written
    is refused, or there to be deleted. The database lets it go once its call is marked as removed."""
    flags = Flag.objects.filter(pk__in=calls)
    if mine := list(flags.select_for_update().order_by("pk").values_list("pk", flat=True)):
        for model in (FlagAct, FlagLabel):
            _delete(model._default_manager.filter(flag_id__in=mine))
        _delete(flags)


def _rows_go(calls: Sequence[UUID], day: date) -> None:
    """And the sessions that have no call any more."""
    rows = days.calls_on(day).filter(id__in=calls)
    sessions = set(rows.exclude(session_id=None).values_list("session_id", flat=True))
    _delete(rows)
    for model in (Fact, Brief):
        _delete(_of(model, calls))
    used = set(Call.objects.filter(session_id__in=sessions).values_list("session_id", flat=True))
    _delete(Session.objects.filter(id__in=sessions - used, closed_at__isnull=False))


def _of(model: type[Model], calls: Sequence[UUID]) -> QuerySet[Any]:
    """By the exact times of the calls, which is how these are indexed."""
    when = [ids.time_of(call) for call in calls]
    return model._default_manager.filter(started_at__in=when, call_id__in=calls)


def _entries(day: date) -> QuerySet[Entry]:
    """Entries of the calls of a day that stand for a payload."""
    return Entry.objects.filter(days.on(day)).exclude(payload_digest=b"")


def _tombstone(calls: Sequence[UUID], day: date, area: str, cause: Cause) -> Removal:
    removal = Removal(
        at=ids.now(),
        kind=cause.kind,
        day=day,
        area=area,
        why=cause.why[:200],
        job_id=cause.job_id,
        count=len(calls),
        root=root_of(call.bytes for call in calls),
        calls=b"".join(call.bytes for call in calls),
    )
    detail = {
        "what": "rows" if cause.kind == "rows" else "payloads",
        "why": removal.why,
        "day": day.isoformat(),
        "calls": len(calls),
        "root": bytes(removal.root).hex(),
        "job": str(cause.job_id),
        **dict(cause.detail),
    }
    about = f"removal {removal.pk}"
    removal.entry_id = event(EVENTS[cause.kind], by=cause.by, area=area, about=about, detail=detail)
    removal.save(force_insert=True)
    return removal


def _delete(rows: QuerySet[Any]) -> None:
    """By one statement: no row of these is fetched, none has anything that cascades."""
    rows._raw_delete(rows.db)


def secure() -> None:
    """Before removing: SQLite leaves what was deleted in its pages unless told otherwise."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def tidy() -> None:
    """After removing: SQLite's log still holds the pages as they were."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            for pragma in ("wal_checkpoint(TRUNCATE)", "incremental_vacuum", "optimize"):
                cursor.execute(f"PRAGMA {pragma}")
                cursor.fetchall()
