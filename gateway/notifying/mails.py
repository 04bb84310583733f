"""Mails about approvals and credentials: plain text, a link and no names of people, sent by the sweep that
sends webhooks.

Whoever would get many in a minute gets one with all the links.
"""

from __future__ import annotations

import logging
import smtplib
import time
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import Min
from django.utils import timezone

from approvals.links import review_link, status_link
from approvals.models import Approval, Status
from gateway.models import Delivery, DeliveryState, User
from gateway.notifying.alerts import link, sentence
from gateway.notifying.leasing import take
from gateway.notifying.recipients import ASKED, mails_go_out, with_address

log = logging.getLogger(__name__)

A_MINUTE: Final = 5
"""Mails that one person gets in a minute before they are put together."""

PEOPLE: Final = 200
BATCH: Final = 200
"""People in one sweep, and mails of each: many to one of them keep nobody else waiting."""

BACKOFF: Final = tuple(timedelta(seconds=seconds) for seconds in (30, 2 * 60, 10 * 60, 60 * 60, 6 * 60 * 60))
GIVE_UP: Final = timedelta(hours=24)


def send_due(ends: float) -> int:
    """Send until `ends` (`time.monotonic()`); returns the number of messages tried."""
    tried = 0
    if not mails_go_out():
        return 0
    for person, rows in _waiting().items():
        for together in _portions(person, rows):
            if time.monotonic() >= ends:
                return tried
            if taken := [row for row in together if take(row)]:
                _send(taken)
                tried += 1
    return tried


def _waiting() -> dict[UUID, list[Delivery]]:
    now = timezone.now()
    rows = Delivery.objects.filter(state=DeliveryState.DUE, next_at__lte=now, person__isnull=False)
    people = rows.order_by().values("person_id").annotate(first=Min("next_at")).order_by("first", "person_id")
    return {
        each["person_id"]: list(
            rows.filter(person=each["person_id"])
            .select_related("credential__area")
            .order_by("next_at", "pk")[:BATCH]
        )
        for each in people[:PEOPLE]
    }


def _portions(person: UUID, rows: list[Delivery]) -> list[list[Delivery]]:
    """Which go together: each its own mail while there are few. None now where a digest has just left."""
    since = timezone.now() - timedelta(minutes=1)
    sent = Delivery.objects.filter(person=person, state=DeliveryState.DONE, tried_at__gte=since).count()
    if sent + len(rows) <= A_MINUTE:
        return [[row] for row in rows]
    return [rows] if sent < A_MINUTE else []


def _send(rows: list[Delivery]) -> None:
    person_id = rows[0].person_id
    person = with_address().filter(pk=person_id).first() if person_id else None
    if person is None:  # switched off, or gone, meanwhile
        _settle(rows, "no address")
        return
    wanted, late = _still_wanted(rows)
    _settle(late, "decided meanwhile")
    if not wanted:
        return
    began = time.monotonic()
    error = _mailed(person, *_text(wanted))
    _settle(wanted, error, time.monotonic() - began)


def _still_wanted(rows: list[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Nobody is asked about what is decided already."""
    keys = [row.approval_id for row in rows]
    pending = set(Approval.objects.filter(pk__in=keys, status=Status.PENDING).values_list("pk", flat=True))
    late = [row for row in rows if row.event == ASKED and row.approval_id not in pending]
    return [row for row in rows if row not in late], late


def _text(rows: list[Delivery]) -> tuple[str, str]:
    """Subject and text."""
    base = settings.PUBLIC_URL
    asked = [row for row in rows if row.event == ASKED]
    kept = [(row.event, row.credential) for row in rows if row.credential is not None]
    decided = [row for row in rows if row.event != ASKED and row.credential is None]
    lines: list[str] = []
    if asked:
        lines += ["Held requests wait for your decision:" if len(asked) > 1 else WAITS, ""]
        lines += [review_link(row.approval_id, base) for row in asked if row.approval_id] + [""]
    if decided:
        lines += ["Your held requests were decided:" if len(decided) > 1 else IS_DECIDED, ""]
        lines += [status_link(row.approval_id, base) for row in decided if row.approval_id] + [""]
    for event, credential in kept:
        lines += [sentence(event, credential), link(credential), ""]
    lines += [f"You can switch these mails off: {base}/account/"]
    return _subject(rows), "\n".join(lines)


def _subject(rows: list[Delivery]) -> str:
    if len(rows) > 1:
        return (
            f"{len(rows)} messages" if any(row.credential for row in rows) else f"{len(rows)} held requests"
        )
    (row,) = rows
    if row.credential is not None:
        return sentence(row.event, row.credential).rstrip(".")
    return (WAITS if row.event == ASKED else IS_DECIDED).rstrip(":")


WAITS: Final = "A held request waits for your decision:"
IS_DECIDED: Final = "Your held request was decided:"


def _mailed(person: User, subject: str, text: str) -> str:
    """Empty if the server took it, else what went wrong, without its words: they may name people."""
    try:
        with get_connection() as connection:
            message = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [person.email])
            message.connection = connection
            message.extra_headers["Auto-Submitted"] = "auto-generated"
            message.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return type(error).__name__[:60]
    return ""


def _settle(rows: list[Delivery], error: str, seconds: float = 0.0) -> None:
    now = timezone.now()
    for row in rows:
        over = error in ("no address", "decided meanwhile") or now - row.queued_at >= GIVE_UP
        state = DeliveryState.DONE if not error else DeliveryState.FAILED if over else DeliveryState.DUE
        again = now + BACKOFF[min(row.attempts, len(BACKOFF)) - 1]
        mine = Delivery.objects.filter(pk=row.pk, state=DeliveryState.DUE, next_at=row.next_at)
        mine.update(
            state=state,
            next_at=again if state == DeliveryState.DUE else None,
            tried_at=now,
            error=error,
            duration_ms=round(seconds * 1000),
        )
