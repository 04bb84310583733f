"""Tells people and programs that a model's secret needs somebody: it was not replaced, or waits for a person.

Written down with what happened, in one transaction, and sent by the same sweep as what is told of approvals.
A message holds a name and a link.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from approvals.webhooks import slack_message
from gateway.identity.who_may import may_hold
from gateway.models import Credential, Delivery, Lock, User, Webhook
from gateway.models.lock import lock_in_force
from gateway.models.webhook import (
    DISABLED,
    ESCALATED,
    FAILED,
    NOT_TAKEN_BACK,
    RECOVERED,
    REMINDED,
    TOO_OLD,
)
from gateway.notifying.recipients import MOST, mails_go_out, with_address

KEEPS: Final = "gateway.change_credential"
AGAIN: Final = timedelta(days=1)
"""While it goes on failing, people hear of it once a day."""

WORDS: Final = {
    FAILED: "could not be replaced; the one in use stays",
    RECOVERED: "was replaced, after it had failed",
    REMINDED: "is due to be replaced, by hand",
    ESCALATED: "has been due for long, and nobody has replaced it",
    TOO_OLD: "is older than it may be, and nothing replaces it",
    DISABLED: "is not sent any more: it has been due for too long",
    NOT_TAKEN_BACK: "was replaced, but its provider still takes the one before",
}


def credential_alert(*, credential: Credential, event: str) -> int:
    """Write down whom to tell, in the transaction in which it happened. Returns how many."""
    now = timezone.now()
    about: dict[str, Any] = {"credential": credential, "event": event, "event_at": now, "next_at": now}
    hooks = Webhook.objects.filter(Q(area=None) | Q(area=credential.area_id), enabled=True)
    rows = [Delivery(webhook=hook, **about) for hook in hooks if not hook.events or event in hook.events]
    if mails_go_out():
        rows += [Delivery(person=person, **about) for person in keepers_of(credential)]
    Delivery.objects.bulk_create(rows)
    return len(rows)


def failure_alert(*, credential: Credential, failures: int) -> int:
    """The same of a rotation that failed after so many others in a row: the first one, and each day."""
    if failures and _told_today(credential, FAILED):
        return 0
    return credential_alert(credential=credential, event=FAILED)


def age_alert(*, credential: Credential) -> int:
    """The same of a secret that is too old, each day. The caller holds the credential's row."""
    return 0 if _told_today(credential, TOO_OLD) else credential_alert(credential=credential, event=TOO_OLD)


def _told_today(credential: Credential, event: str) -> bool:
    since = timezone.now() - AGAIN
    return Delivery.objects.filter(credential=credential, event=event, event_at__gt=since).exists()


def keepers_of(credential: Credential) -> list[User]:
    """Whoever may enter another secret now, is not stopped, and has an address."""
    stopped = Lock.objects.filter(lock_in_force(timezone.now()), user=OuterRef("pk"))
    rows = with_address().filter(may_hold(KEEPS, [credential.area.slug]), ~Exists(stopped))
    people = rows.distinct().order_by("pk")[:MOST]
    return [person for person in people if person.areas_with(KEEPS).covers_row(credential)]


# --- what is said -----------------------------------------------------------------------------------


def link(credential: Credential) -> str:
    return f"{settings.PUBLIC_URL}{reverse('admin:gateway_credential_change', args=[credential.pk])}"


def sentence(event: str, credential: Credential) -> str:
    return f"The secret of {credential.name} {WORDS[event]}."


def body(event: str, at: datetime, credential: Credential) -> bytes:
    """The message of a standard webhook: the same bytes at each attempt."""
    data = {
        "credential_id": str(credential.pk),
        "name": credential.name,
        "area": credential.area.slug,
        "url": link(credential),
    }
    return orjson.dumps({"type": event, "timestamp": at.isoformat(), "data": data})


def slack_body(event: str, credential: Credential) -> bytes:
    return slack_message(sentence(event, credential), f"Area: {credential.area.slug}", link(credential))
