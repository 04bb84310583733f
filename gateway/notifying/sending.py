"""Sends what is due. A message is taken by moving `next_at`, which one sweep alone achieves, so that sweeps
may be doubled, late or killed: what a dead one had taken comes back when its lease is over.

Of one approval a receiver hears in order; a receiver that fails gets one message at a time, so that it keeps
nobody waiting. Threads only speak HTTP or SMTP, the store is asked and told here.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from approvals import webhooks
from approvals.models import Approval
from gateway.credentials.outbound import FetchFailed, fetch
from gateway.credentials.sealing import SealError
from gateway.credentials.secret import Secret
from gateway.models import Delivery, DeliveryState, Webhook, WebhookKind
from gateway.notifying import alerts, mails, outbox
from gateway.notifying.leasing import take
from gateway.notifying.services import secrets_of, url_of, webhook_disable

log = logging.getLogger(__name__)

BACKOFF: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 2 * 60, 10 * 60, 60 * 60, 6 * 60 * 60)
)
GIVE_UP: Final = timedelta(hours=24)
DISABLE: Final = timedelta(days=3)
SECONDS: Final = 5.0
"""For one request, from the look-up of the name to the last byte of the answer."""

BUDGET: Final = 4.0
"""Seconds after which a sweep takes nothing more."""

AT_ONCE: Final = 8
OF_ONE: Final = 4
"""Messages in one round: to all, and to one receiver that works."""

MAX_ANSWER: Final = 64 * 1024
GONE: Final = 410

_sweeping = threading.Lock()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    ok: bool
    error: str = ""
    status: int | None = None
    seconds: float = 0.0


class Letter(NamedTuple):
    """A request, ready to be sent."""

    url: Secret
    allow_private: bool
    headers: dict[str, str]
    body: bytes


def sweep() -> int:
    """Fill the outbox and send what is due; returns the number of attempts. One at a time in a process."""
    if not _sweeping.acquire(blocking=False):
        return 0
    try:
        outbox.fill()
        return send_due()
    finally:
        _sweeping.release()


def send_due() -> int:
    ends, tried = time.monotonic() + BUDGET, 0
    give_up()
    while time.monotonic() < ends:
        taken = [row for row in picked() if take(row)]
        if not taken:
            break
        letters = [_letter(row) for row in taken]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="postern-webhooks") as threads:
            outcomes = list(threads.map(_sent, letters))
        for row, outcome in zip(taken, outcomes, strict=True):
            settle(row, outcome)
        tried += len(taken)
    return tried + mails.send_due(ends)


def deliver_now(row: Delivery) -> Outcome | None:
    """One attempt at once; None where somebody else makes it."""
    if not take(row):
        return None
    outcome = _sent(_letter(row))
    settle(row, outcome)
    return outcome


# --- which ------------------------------------------------------------------------------------------


def due() -> QuerySet[Delivery]:
    """What may be sent now: nothing of the same approval waits before it."""
    rows = Delivery.objects.filter(state=DeliveryState.DUE)
    before = rows.filter(
        webhook=OuterRef("webhook"), approval_id=OuterRef("approval_id"), position__lt=OuterRef("position")
    )
    return rows.filter(~Exists(before), next_at__lte=timezone.now())


def picked() -> list[Delivery]:
    """A fair handful."""
    waiting = Webhook.objects.filter(Exists(due().filter(webhook=OuterRef("pk"))), enabled=True)
    found: list[Delivery] = []
    for hook in waiting.order_by("succeeded_at", "pk"):
        rows = (
            due().filter(webhook=hook).select_related("webhook", "credential__area").order_by("next_at", "pk")
        )
        found += rows[: 1 if hook.failing_since else OF_ONE]
    return sorted(found, key=lambda row: row.attempts)[:AT_ONCE]


def give_up() -> int:
    """What nobody took for a day, and what waits for a webhook that is switched off."""
    now = timezone.now()
    old = Q(queued_at__lte=now - GIVE_UP) | Q(webhook__enabled=False)
    rows = Delivery.objects.filter(old, state=DeliveryState.DUE, next_at__lte=now)
    keys = list(rows.values_list("pk", flat=True)[:1000])
    late = Delivery.objects.filter(pk__in=keys, state=DeliveryState.DUE, next_at__lte=now)
    return late.update(state=DeliveryState.FAILED, next_at=None)


# --- sending ----------------------------------------------------------------------------------------


def _letter(row: Delivery) -> Letter | Outcome:
    """What to send; an outcome where that cannot be made."""
    hook = row.webhook
    assert hook is not None  # noqa: S101  mails go another way
    approval = Approval.objects.filter(pk=row.approval_id).first() if row.approval_id else None
    if approval is None and row.approval_id:
        return Outcome(False, "no approval")
    try:
        url, secrets = url_of(hook), secrets_of(hook)
    except SealError:
        return Outcome(False, "sealed with another key")
    message = _body(row, hook, approval)
    headers = {"content-type": "application/json"}
    if hook.kind == WebhookKind.STANDARD:
        stamp = int(time.time())
        headers["webhook-id"] = f"msg_{row.pk.hex}"
        headers["webhook-timestamp"] = str(stamp)
        headers["webhook-signature"] = webhooks.signatures(secrets, f"msg_{row.pk.hex}", stamp, message)
    return Letter(url, hook.allow_private, headers, message)


def _body(row: Delivery, hook: Webhook, approval: Approval | None) -> bytes:
    base, slack = settings.PUBLIC_URL, hook.kind == WebhookKind.SLACK
    if (credential := row.credential) is not None:
        if slack:
            return alerts.slack_body(row.event, credential)
        return alerts.body(row.event, row.event_at, credential)
    if approval is None:
        return webhooks.slack_trial_body() if slack else webhooks.trial_body(row.event_at)
    if slack:
        return webhooks.slack_body(row.event, approval, base)
    return webhooks.body(row.event, row.event_at, approval, base)


def _sent(letter: Letter | Outcome) -> Outcome:
    if isinstance(letter, Outcome):
        return letter
    began = time.monotonic()
    try:
        answer = fetch(
            letter.url.reveal(),
            allow_private=letter.allow_private,
            allow_loopback=settings.PLAIN_HTTP,
            seconds=SECONDS,
            max_bytes=MAX_ANSWER,
            body=letter.body,
            headers=letter.headers,
        )
    except FetchFailed as failed:
        return Outcome(False, failed.code, seconds=time.monotonic() - began)
    took = time.monotonic() - began
    if 200 <= answer.status < 300:
        return Outcome(True, status=answer.status, seconds=took)
    return Outcome(False, "redirect" if 300 <= answer.status < 400 else "status", answer.status, seconds=took)


# --- what became of it ------------------------------------------------------------------------------


def settle(row: Delivery, outcome: Outcome) -> None:
    """Write it down, if the lease is still ours."""
    now = timezone.now()
    assert row.webhook_id is not None  # noqa: S101  mails go another way
    hooks = Webhook.objects.filter(pk=row.webhook_id)
    with transaction.atomic():
        mine = Delivery.objects.filter(pk=row.pk, state=DeliveryState.DUE, next_at=row.next_at)
        if not mine.update(**result(row, outcome)):
            return
        if outcome.ok:
            hooks.update(failing_since=None, succeeded_at=now)
            return
        hooks.filter(failing_since=None).update(failing_since=now)
    _judge(hooks.filter(enabled=True).first(), outcome)


def result(row: Delivery, outcome: Outcome) -> dict[str, object]:
    """The columns after an attempt."""
    now = timezone.now()
    sets: dict[str, object] = {
        "tried_at": now,
        "status": outcome.status,
        "error": outcome.error,
        "duration_ms": round(outcome.seconds * 1000),
    }
    if outcome.ok:
        return sets | {"state": DeliveryState.DONE, "next_at": None}
    again = now + BACKOFF[min(row.attempts, len(BACKOFF)) - 1]
    if row.event == webhooks.TEST or now - row.queued_at >= GIVE_UP:
        return sets | {"state": DeliveryState.FAILED, "next_at": None}
    return sets | {"next_at": again}


def _judge(hook: Webhook | None, outcome: Outcome) -> None:
    """Whether a receiver that fails is left alone for good."""
    if hook is None:
        return
    if outcome.status == GONE:
        webhook_disable(webhook=hook, because="the receiver says that it is gone (410)")
    elif hook.failing_since is not None and timezone.now() - hook.failing_since >= DISABLE:
        webhook_disable(webhook=hook, because="it failed for three days")
