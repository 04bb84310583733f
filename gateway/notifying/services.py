"""Webhooks as people manage them: added, given another secret, tried, switched on again.

WebhookRefused        in words for whoever asked
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from approvals import webhooks
from audit import ids
from gateway.credentials.origins import normalise_origin
from gateway.credentials.sealing import Place, Sealed, SealError
from gateway.credentials.secret import Secret
from gateway.credentials.services import master_keys
from gateway.models import Delivery, DeliveryState, Told, User, Webhook, WebhookKind, WebhookSecret
from policies.history import attributed
from policies.journal import note

OVERLAP: Final = timedelta(hours=24)
"""How long the secret before signs as well."""

KEY_BYTES: Final = 32
_TARGET: Final = re.compile(r"/[\x21\x22\x24-\x5b\x5d-\x7e]{0,1900}\Z")  # visible ASCII but # and \


class WebhookRefused(ValueError):
    pass


def address_of(url: str, *, allow_private: bool) -> tuple[str, str]:
    """Origin and the rest of an address. Raises `WebhookRefused`."""
    try:
        parts = urlsplit(url.strip())
        origin = normalise_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError as error:
        raise WebhookRefused(f"This is no address: {error}.") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.match(target) or parts.fragment:
        raise WebhookRefused("Write path and query in plain ASCII, without spaces and `#`.")
    if origin.startswith("http://") and not allow_private:
        raise WebhookRefused("Use https://; plain http:// is for private addresses only.")
    return origin, target


@attributed
def webhook_add(*, webhook: Webhook, url: str, by: User | None) -> Secret | None:
    """Store a new webhook; returns its secret, here and nowhere again. Slack's has none but its address."""
    origin, target = address_of(url, allow_private=webhook.allow_private)
    webhook.origin, webhook.created_by = origin, by
    try:
        sealed = master_keys().seal(Secret(target), place_of(webhook, 0))
    except SealError as error:
        raise WebhookRefused(f"Nothing can be sealed: {error}.") from None
    webhook.target, webhook.target_key_id = sealed.data, sealed.key_id
    with transaction.atomic():
        Told.objects.get_or_create(pk=1, defaults={"upto": timezone.now()})
        webhook.full_clean()
        webhook.save(force_insert=True)
        secret = _secret(webhook) if webhook.kind == WebhookKind.STANDARD else None
        note(action="webhook.added", by=by, target=webhook, facts=_facts(webhook))
    return secret


@attributed
def webhook_change(*, webhook: Webhook, by: User | None) -> None:
    """Store what was edited. One that is switched on tells what happens from now on."""
    with transaction.atomic():
        before = Webhook.objects.select_for_update().get(pk=webhook.pk)
        if webhook.enabled and not before.enabled:
            _switched_on(webhook)
        webhook.full_clean()
        webhook.save()
        note(action="webhook.changed", by=by, target=webhook, facts=_facts(webhook))


@attributed
def webhook_rotate(*, webhook: Webhook, by: User | None) -> Secret:
    """Another secret. Both sign for a day, so that the receiver can take it over in peace."""
    if webhook.kind != WebhookKind.STANDARD:
        raise WebhookRefused("A Slack webhook has no secret but its address. Add another one.")
    with transaction.atomic():
        locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
        now = timezone.now()
        locked.secrets.filter(ends_at__lte=now).delete()
        for older in locked.secrets.filter(ends_at=None):
            older.ends_at = now + OVERLAP
            older.save(update_fields=["ends_at"])
        secret = _secret(locked)
        note(action="webhook.secret_replaced", by=by, target=locked, facts=_facts(locked))
    return secret


@attributed
def webhook_clear(*, webhook: Webhook, by: User | None) -> None:
    """Forget its failures, switch it on, and try at once what still waits."""
    with transaction.atomic():
        locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
        _switched_on(locked)
        locked.save()
        waiting = Delivery.objects.filter(webhook=locked, state=DeliveryState.DUE)
        waiting.update(next_at=timezone.now())
        note(action="webhook.cleared", by=by, target=locked, facts=_facts(locked))


def webhook_disable(*, webhook: Webhook, because: str) -> None:
    """The system gives it up."""
    with transaction.atomic():
        locked = Webhook.objects.select_for_update().get(pk=webhook.pk)
        if not locked.enabled:
            return
        locked.enabled, locked.disabled_because = False, because
        locked.save()
        note(action="webhook.disabled", by=None, target=locked, facts={**_facts(locked), "because": because})


def webhook_delete(*, webhook: Webhook, by: User | None) -> None:
    with transaction.atomic():
        note(action="webhook.deleted", by=by, target=webhook, facts=_facts(webhook))
        webhook.delete()


def trial_queue(*, webhook: Webhook, by: User | None) -> Delivery:
    """A message that says nothing, to see whether it arrives."""
    with transaction.atomic():
        now = ids.now()
        made = Delivery.objects.create(webhook=webhook, event=webhooks.TEST, event_at=now, next_at=now)
        note(action="webhook.tried", by=by, target=webhook, facts=_facts(webhook))
    return made


def delivery_again(*, delivery: Delivery, by: User | None) -> bool:
    """Send it once more, under the same id. False: it waits already."""
    with transaction.atomic():
        over = Delivery.objects.filter(pk=delivery.pk).exclude(state=DeliveryState.DUE)
        now = ids.now()
        if not over.update(state=DeliveryState.DUE, attempts=0, next_at=now, queued_at=now):
            return False
        facts = {"webhook": str(delivery.webhook or ""), "event": delivery.event}
        note(action="delivery.again", by=by, target=delivery, facts=facts)
    return True


def url_of(webhook: Webhook) -> Secret:
    """Where it is sent to. Raises `SealError`."""
    sealed = Sealed(webhook.target_key_id, bytes(webhook.target))
    return Secret(webhook.origin + master_keys().unseal(sealed, place_of(webhook, 0)).reveal())


def secrets_of(webhook: Webhook) -> list[str]:
    """What signs now, the newest first. Raises `SealError`."""
    rows = webhook.secrets.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now())).order_by("-number")
    keys, found = master_keys(), []
    for row in rows:
        sealed = Sealed(row.key_id, bytes(row.sealed))
        found.append(keys.unseal(sealed, place_of(webhook, row.number)).reveal())
    return found


def _secret(webhook: Webhook) -> Secret:
    highest = webhook.secrets.aggregate(highest=Max("number"))["highest"] or 0
    secret = Secret(webhooks.secret_of(secrets.token_bytes(KEY_BYTES)))
    sealed = master_keys().seal(secret, place_of(webhook, highest + 1))
    WebhookSecret.objects.create(
        webhook=webhook, number=highest + 1, sealed=sealed.data, key_id=sealed.key_id
    )
    return secret


def place_of(webhook: Webhook, number: int) -> Place:
    """Number 0 is the address, the secrets count from 1."""
    return Place(credential_id=webhook.pk, number=number, origin=webhook.origin)


def _switched_on(webhook: Webhook) -> None:
    webhook.enabled, webhook.disabled_because = True, ""
    webhook.failing_since, webhook.tells_from = None, timezone.now()


def _facts(webhook: Webhook) -> dict[str, object]:
    return {
        "name": webhook.name,
        "kind": webhook.kind,
        "origin": webhook.origin,
        "events": list(webhook.events),
        "enabled": webhook.enabled,
    }
