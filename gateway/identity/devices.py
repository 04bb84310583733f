"""How a command line is let in by a person in their browser: the device flow of RFC 8628.

    begin ──► pending ──► approved ──► used (one personal key)
                    └───► denied                  each runs out ten minutes after it began

A state is left by a compare-and-set update, so that two polls at once get one key. Codes are kept as keyed
digests. The person types the code: an address that holds it could be sent to somebody by a stranger.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from gateway.credentials.secret import Secret
from gateway.identity.keys import check_name
from gateway.identity.personal import personal_key_create
from gateway.identity.scope import KeyRefused
from gateway.identity.tries import around
from gateway.models import ApiKey, DeviceGrant, DeviceState, User
from policies.history import attributed
from policies.journal import note

LASTS: Final = timedelta(minutes=10)
INTERVAL: Final = 5
"""Seconds between two polls, as clients are told."""

PATIENCE: Final = timedelta(seconds=INTERVAL - 1)
"""Polls closer together than this are too fast: a network may hurry one and delay another."""

LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words; no digits that look like letters."""

LENGTH: Final = 8
WAITING: Final = 2000
WAITING_THERE: Final = 50
"""Requests that wait for somebody at a time, of all and of one network."""


class DeviceError(Exception):
    """What the token endpoint answers: `code` as RFC 8628 and RFC 6749 have it."""

    def __init__(self, code: str, words: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.words = words


def device_begin(*, client: str, address: str) -> tuple[Secret, str]:
    """A device code for the program and a user code to show. Raises `DeviceError`."""
    try:
        check_name(client)
    except KeyRefused:
        raise DeviceError("invalid_request", "Name the program in client_id.") from None
    now = timezone.now()
    waiting = DeviceGrant.objects.filter(state=DeviceState.PENDING, expires_at__gt=now)
    networks = [around(each) for each in waiting.values_list("network", flat=True)[:WAITING]]
    if len(networks) >= WAITING or networks.count(around(address)) >= WAITING_THERE:
        raise DeviceError("temporarily_unavailable", "Too many programs wait for an answer.")
    device_code = secrets.token_urlsafe(32)
    user_code = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    with transaction.atomic():
        DeviceGrant.objects.filter(expires_at__lt=now - LASTS).delete()
        DeviceGrant.objects.create(
            device_code=_digest(device_code),
            user_code=_digest(user_code),
            client=client.strip(),
            network=address[:64],
            expires_at=now + LASTS,
        )
    return Secret(device_code), user_code


def device_asking(user_code: str) -> DeviceGrant | None:
    """The request that waits under what somebody typed."""
    code = normalised(user_code)
    if len(code) != LENGTH:
        return None
    return DeviceGrant.objects.filter(_waiting(timezone.now()), user_code=_digest(code)).first()


@attributed
def device_decide(*, grant: DeviceGrant, by: User, approve: bool) -> bool:
    """Let the program in as `by`, or not; False when somebody was faster or the time was up."""
    state = DeviceState.APPROVED if approve else DeviceState.DENIED
    with transaction.atomic():
        rows = DeviceGrant.objects.filter(_waiting(timezone.now()), pk=grant.pk)
        moved = rows.update(state=state, user=by)
        if moved:
            note(action=f"device.{state.value}", by=by, target=grant, facts=_facts(grant))
    return bool(moved)


def device_poll(*, device_code: str, client: str) -> tuple[ApiKey, Secret]:
    """The personal key, once; raises `DeviceError` until then and afterwards."""
    now = timezone.now()
    grant = DeviceGrant.objects.select_related("user").filter(device_code=_digest(device_code)).first()
    if grant is None or grant.client != client.strip():
        raise DeviceError("invalid_grant", "This device code is not known.")
    if now >= grant.expires_at:
        raise DeviceError("expired_token", "The code has run out. Begin again.")
    _pace(grant, now)
    match grant.state:
        case DeviceState.PENDING:
            raise DeviceError("authorization_pending")
        case DeviceState.DENIED:
            raise DeviceError("access_denied")
        case DeviceState.USED:
            raise DeviceError("invalid_grant", "This device code was used.")
    try:
        return _key(grant, now)
    except KeyRefused as refusal:
        raise DeviceError("access_denied", str(refusal)) from None


def _pace(grant: DeviceGrant, now: datetime) -> None:
    """One poll at a time, and not too often."""
    if grant.asked_at is not None and now - grant.asked_at < PATIENCE:
        raise DeviceError("slow_down")
    if not DeviceGrant.objects.filter(pk=grant.pk, asked_at=grant.asked_at).update(asked_at=now):
        raise DeviceError("slow_down")


def _key(grant: DeviceGrant, now: datetime) -> tuple[ApiKey, Secret]:
    with transaction.atomic():
        rows = DeviceGrant.objects.filter(pk=grant.pk, state=DeviceState.APPROVED, expires_at__gt=now)
        if not rows.update(state=DeviceState.USED) or grant.user is None:
            raise DeviceError("invalid_grant", "This device code was used.")
        key, secret = personal_key_create(user=grant.user, by=grant.user, name=grant.client)
        facts = {**_facts(grant), "prefix": key.prefix}
        note(action="device.used", by=grant.user, target=grant, facts=facts)
    return key, secret


def normalised(user_code: str) -> str:
    """What somebody typed, without case, dashes and spaces."""
    return "".join(each for each in user_code[:40].upper() if each.isalnum())


def shown(user_code: str) -> str:
    """In two halves, as people read it."""
    return f"{user_code[: LENGTH // 2]}-{user_code[LENGTH // 2 :]}"


def _waiting(now: datetime) -> Q:
    return Q(state=DeviceState.PENDING, expires_at__gt=now)


def _facts(grant: DeviceGrant) -> dict[str, object]:
    return {"client": grant.client, "network": grant.network}


def _digest(code: str) -> bytes:
    """Keyed: a user code is short, and whoever reads the table must not find it by trying."""
    keyed = salted_hmac("gateway.identity.devices", code.encode("utf-8", "replace"), algorithm="sha256")
    return keyed.digest()
