"""What is known of every model's service, from calls and from probes, and what follows from it.

Processes write what their calls saw, a probe writes what it saw; whoever writes later moves a time forward
and never back. `settle` alone says what follows, moves the state by compare-and-set and notes it: two sweeps
at once move it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Concat
from django.utils import timezone

from gateway.models import Endpoint, EndpointHealth, HealthState
from policies.journal import note

ENOUGH: Final = 2
"""Probes in a row that fail before a service is called failing."""

FRESH: Final = timedelta(seconds=90)
"""A call that ended well so long ago at most says more than a probe does. Processes tell of calls twice a
minute."""

RESTED: Final = timedelta(minutes=2)
"""So long after a breaker opened a probe that ends well says that the service is back."""

KNOWN: Final = timedelta(days=1)
"""How long anything says something."""


USELESS: Final = frozenset({"credential_refused", "redirect"})
"""Answers that no breaker opens for, and no caller gets anything from."""


class Report(NamedTuple):
    """What the calls of one process saw at one place since it last told."""

    endpoint_id: UUID
    origin: str
    ok_at: datetime | None
    latency_ms: int | None
    error_at: datetime | None
    error: str
    opened_at: datetime | None


class Probed(NamedTuple):
    """What one probe saw. `error`: a code, or empty."""

    error: str
    latency_ms: int
    status: int | None = None


def calls_told(*, reports: Iterable[Report]) -> None:
    """Write what is newer than what is known. Telling it again does no harm. Raises a database error."""
    for report in sorted(reports, key=lambda each: each.endpoint_id):  # one order: nobody waits for another
        rows = EndpointHealth.objects.filter(pk=report.endpoint_id, origin=report.origin)
        if report.ok_at:
            older = rows.filter(Q(call_ok_at=None) | Q(call_ok_at__lt=report.ok_at))
            older.update(call_ok_at=report.ok_at, latency_ms=report.latency_ms)
        if report.error_at:
            older = rows.filter(Q(call_error_at=None) | Q(call_error_at__lt=report.error_at))
            older.update(call_error_at=report.error_at, call_error=report.error)
        if report.opened_at:
            older = rows.filter(Q(opened_at=None) | Q(opened_at__lt=report.opened_at))
            older.update(opened_at=report.opened_at)


def probe_told(*, row: EndpointHealth, seen: Probed, now: datetime) -> None:
    """What a probe of this row saw, unless somebody else has probed since, or the endpoint has moved."""
    rows = EndpointHealth.objects.filter(pk=row.pk, origin=row.origin, next_probe_at=row.next_probe_at)
    if seen.error:
        rows.update(probe_error_at=now, probe_error=seen.error, probe_failures=F("probe_failures") + 1)
    else:
        rows.update(probe_ok_at=now, probe_failures=0, latency_ms=seen.latency_ms)


def judged(row: EndpointHealth, now: datetime) -> HealthState:
    """What follows from what is known. Pure."""
    if _refuses(row) or _unreached(row):
        latest = max(at for at in (row.opened_at, row.call_error_at, row.probe_error_at) if at)
        return HealthState.FAILING if now - latest < KNOWN else HealthState.UNKNOWN
    latest_ok = max((at for at in (row.call_ok_at, row.probe_ok_at) if at), default=None)
    return HealthState.HEALTHY if latest_ok and now - latest_ok < KNOWN else HealthState.UNKNOWN


def _refuses(row: EndpointHealth) -> bool:
    """Calls fail: a process began to refuse them, or the service takes none of them."""
    useless = row.call_error in USELESS and _later(row.call_error_at, row.call_ok_at)
    opened = row.opened_at is not None and _later(row.opened_at, row.call_ok_at)
    back = row.opened_at and row.probe_ok_at and row.probe_ok_at > row.opened_at + RESTED
    return useless or (opened and not back)


def _unreached(row: EndpointHealth) -> bool:
    if row.probe_failures < ENOUGH or row.probe_error_at is None:
        return False
    return row.call_ok_at is None or row.call_ok_at < row.probe_error_at - FRESH


def _later(at: datetime | None, than: datetime | None) -> bool:
    return at is not None and (than is None or at > than)


def settle(now: datetime | None = None) -> int:
    """Keep one row for each endpoint and say what follows; returns how many states moved."""
    now = now or timezone.now()
    _keep_rows(now)
    rows = EndpointHealth.objects.select_related("endpoint")
    return sum(_move(row, after, now) for row in rows if (after := judged(row, now)) != row.state)


def _keep_rows(now: datetime) -> None:
    new = [
        EndpointHealth(endpoint=endpoint, origin=endpoint.origin + endpoint.base_path, since=now)
        for endpoint in Endpoint.objects.filter(health=None)
    ]
    EndpointHealth.objects.bulk_create(new, ignore_conflicts=True)
    moved = EndpointHealth.objects.exclude(origin=Concat(F("endpoint__origin"), F("endpoint__base_path")))
    for row in moved.select_related("endpoint"):
        origin = row.endpoint.origin + row.endpoint.base_path
        EndpointHealth.objects.filter(pk=row.pk, origin=row.origin).update(**_blank(origin, now))
    _schedule(now)


def _blank(origin: str, now: datetime) -> dict[str, object]:
    """Of another place nothing is known."""
    nothing = ("call_ok_at", "call_error_at", "opened_at", "probe_ok_at", "probe_error_at", "latency_ms")
    words: dict[str, object] = {"call_error": "", "probe_error": "", "probe_failures": 0}
    state = {"state": HealthState.UNKNOWN, "since": now, "origin": origin, "next_probe_at": None}
    return {**dict.fromkeys(nothing), **words, **state}


def _schedule(now: datetime) -> None:
    """Who is to be probed is due at once; who is no more is forgotten."""
    asked = Q(endpoint__enabled=True) & ~Q(endpoint__probe_path="")
    rows = EndpointHealth.objects
    rows.filter(asked, next_probe_at=None).update(next_probe_at=now)
    rows.filter(~asked, next_probe_at__isnull=False).update(
        next_probe_at=None, probe_failures=0, probe_error=Value("")
    )


def _move(row: EndpointHealth, after: HealthState, now: datetime) -> bool:
    with transaction.atomic():
        rows = EndpointHealth.objects.filter(pk=row.pk, state=row.state, origin=row.origin)
        if not rows.update(state=after, since=now):
            return False
        facts = {"endpoint": row.endpoint.slug, "before": row.state, "latency_ms": row.latency_ms}
        if after == HealthState.FAILING:
            facts["error"] = row.last_error or "server_error"
        note(action=f"endpoint.{after}", by=None, target=row.endpoint, facts=facts)
    return True
