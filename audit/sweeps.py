"""Housekeeping of the evidence as idempotent sweeps: run by anybody, however often, nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, Q
from django.db.utils import Error

from audit import ids, partitions
from audit.events import append
from audit.models import Call, Instance, Session

MONTHS_AHEAD = 3
_SILENT = timedelta(minutes=5)  # an instance that has not written a heartbeat for so long is gone
_AT_ONCE = 500
_LOST = {"action": "incomplete", "status": 0, "complete": False, "code": "instance_lost"}


def sessions_close() -> int:
    """Close the sessions that have been silent for longer than their gap. Returns how many."""
    now = ids.now()
    gap = timedelta(seconds=float(getattr(settings, "AUDIT_SESSION_GAP", 1800)))
    hinted = timedelta(seconds=float(getattr(settings, "AUDIT_SESSION_HINT_GAP", 86_400)))
    closed = _close_silent(Q(hinted=False), now - gap) + _close_silent(Q(hinted=True), now - hinted)
    return closed


def _close_silent(which: Q, before: datetime) -> int:
    closed = 0
    last = datetime(1970, 1, 1, tzinfo=UTC)
    while True:
        page = list(
            Session.objects.filter(which, closed_at=None, started_at__lt=before, started_at__gt=last)
            .order_by("started_at")
            .values_list("id", "started_at")[:_AT_ONCE]
        )
        if not page:
            return closed
        last = page[-1][1]
        used = dict(
            Call.objects.filter(session_id__in=[session for session, _ in page])
            .values_list("session_id")
            .annotate(last=Max("started_at"))
        )
        for session, started in page:
            ended = used.get(session, started)
            if ended < before:
                closed += Session.objects.filter(id=session, closed_at=None).update(closed_at=ended)


def calls_close_lost() -> int:
    """Close, as incomplete, the calls of instances that have vanished. Returns how many.

    A process that starts on the same host does this at once for its predecessors; this is for lost hosts.
    """
    waiting = Call.objects.filter(instance_id=OuterRef("id"), closed_at=None)
    gone = Instance.objects.filter(Exists(waiting), heartbeat_at__lt=ids.now() - _SILENT)
    closed = 0
    for instance in gone:
        while calls := list(Call.objects.filter(instance_id=instance.id, closed_at=None)[:_AT_ONCE]):
            closed += _close(calls)
        Instance.objects.filter(id=instance.id, stopped_at=None).update(stopped_at=ids.now())
    return closed


@transaction.atomic
def _close(calls: Iterable[Call]) -> int:
    closed = 0
    for call in calls:
        mine = Call.objects.filter(id=call.id, started_at=call.started_at, closed_at=None)
        if mine.update(closed_at=ids.now(), **_LOST):
            started = ids.milliseconds_of(call.id)
            entry = append("close", {"v": 1, "close": _LOST}, call_id=call.id, started_at=started)
            Call.objects.filter(id=call.id, started_at=call.started_at).update(closed_at=entry.at)
            closed += 1
    return closed


def partitions_make() -> list[str]:
    """Make the partitions of this and the coming months that are not there yet. PostgreSQL only."""
    if connection.vendor != "postgresql":
        return []
    made = []
    for table in partitions.TABLES:
        for first, following in partitions.months(ids.now(), MONTHS_AHEAD + 1):
            name = partitions.name(table, first)
            if not _exists(name) and _attach(table, first, following):
                made.append(name)
    return made


def _exists(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        ((found,),) = cursor.fetchall()
        return bool(found)


def _attach(table: str, first: datetime, following: datetime) -> bool:
    """False when it cannot be done now: another process does it, or calls hold the lock. Next time, then."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            for statement in partitions.attach_month(table, first, following):
                cursor.execute(statement)
    except Error:
        return False
    return True
