"""Postern API keys: `pst_<8 public characters>_<43 secret ones>`. Only the digest of the whole is stored.

Rotating is in `rotation.py`, what leaked in `leaks.py`, keys for some hours in `personal.py`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.db.models.enums import TextChoices
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.deployment import deployment_now
from gateway.identity.held import more_than
from gateway.identity.scope import ALL, KeyRefused, KeyScope, groups_carried
from gateway.models import ApiKey, KeyKind, ServiceAccount, User
from policies import journal
from policies.history import attributed, record

ALPHABET = string.digits + string.ascii_letters
SECRET_LENGTH = 43  # 256 bits in base 62
SHAPE = re.compile(r"pst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}\Z")

SOON: Final = timedelta(days=14)
"""A key that ends within this time wants a successor."""

MOST: Final = 50
"""Living keys of one holder."""


class Because(TextChoices):
    """Why a key was revoked."""

    UNNEEDED = "unneeded", "Not needed any more"
    REPLACED = "replaced", "Replaced by another"
    LEAKED = "leaked", "Leaked"
    MISUSED = "misused", "Misused, or may have been"
    LEFT = "left", "Its holder left or has another job"
    SIGNED_OUT = "signed_out", "Its holder signed out everywhere"


class KeyState(TextChoices):
    ACTIVE = "active", "Active"
    EXPIRING = "expiring", "Expires soon"
    EXPIRED = "expired", "Expired"
    REVOKED = "revoked", "Revoked"


def digest(key: str) -> bytes:
    """SHA-256 of the whole key. The key has 256 random bits, so a slow hash would only slow the gateway."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def has_shape(key: str) -> bool:
    """Whether the text can be one of our keys at all."""
    return SHAPE.match(key) is not None


def state_of(key: ApiKey, now: datetime) -> KeyState:
    """What a list of keys says of it. Keys for hours always end soon, and nobody has to do anything."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if now >= key.expires_at:
        return KeyState.EXPIRED
    if key.kind == KeyKind.STANDARD and key.expires_at - now <= SOON:
        return KeyState.EXPIRING
    return KeyState.ACTIVE


def living(now: datetime) -> Q:
    """Keys that open something at this moment."""
    return Q(revoked_at=None, expires_at__gt=now)


def max_age() -> timedelta:
    return timedelta(days=deployment_now().key_max_days)


def check_expiry(expires_at: datetime) -> None:
    """Every key ends; raises `KeyRefused` for one that would live too long or not at all."""
    now, longest = timezone.now(), max_age()
    if not now < expires_at <= now + longest:
        days = "a day" if longest.days == 1 else f"{longest.days} days"
        raise KeyRefused(f"A key must expire within {days}.")


@attributed
def api_key_create(
    *,
    name: str,
    expires_at: datetime,
    by: User | None,
    user: User | None = None,
    service_account: ServiceAccount | None = None,
    declared_level: int | None = None,
    scope: KeyScope = ALL,
    kind: KeyKind = KeyKind.STANDARD,
    rotated_from: ApiKey | None = None,
    by_program: bool = False,
) -> tuple[ApiKey, Secret]:
    """A new key for a person or a service account. The secret is returned here and nowhere again.

    `scope` comes from `scope_checked`. `by_program`: a program asked for it in the name of `by`, who does not
    see it: it has no maker, and carries no role (`gateway.identity.held`). Raises `KeyRefused`.
    """
    if (user is None) == (service_account is None):
        raise KeyRefused("Choose either a person or a service account.")
    check_expiry(expires_at)
    check_name(name)
    maker = None if by_program else by
    if service_account is not None and (by_program or by is not None):
        check_lends(service_account, scope, maker)
    alive = ApiKey.objects.filter(living(timezone.now()), user=user, service_account=service_account)
    if alive.count() >= MOST:
        raise KeyRefused(f"There are {MOST} living keys already. Revoke what is not needed.")
    prefix = f"pst_{_random(8)}"
    key = Secret(f"{prefix}_{_random(SECRET_LENGTH)}")
    with transaction.atomic():
        row = ApiKey.objects.create(
            name=name.strip(),
            prefix=prefix,
            digest=digest(key.reveal()),
            user=user,
            service_account=service_account,
            created_by=maker,
            expires_at=expires_at,
            declared_level=declared_level,
            kind=kind,
            rotated_from=rotated_from,
            **scope.columns(),
        )
        journal.note(action="api_key.created", by=by, target=row, facts=_facts(row))
    return row, key


def check_lends(account: ServiceAccount, scope: KeyScope, maker: User | None) -> None:
    """Raises `KeyRefused` for a key that would not do what its program's groups say. One for certain
    endpoints or models calls these and carries no role anyway."""
    if scope.endpoints or scope.models:
        return
    carried = groups_carried(ApiKey(service_account=account, group_ids=list(scope.group_ids)))
    if names := ", ".join(more_than(maker, carried)):
        whose = "you do not hold" if maker else "no program hands on"
        raise KeyRefused(
            f"By {names} it would carry roles that {whose}. Let somebody make it who holds them, or name the"
            " endpoints, the models or other groups that it is for."
        )


def check_name(name: str) -> None:
    """It is shown in lists and kept in the history: a key that somebody pasted there must not be."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise KeyRefused("Say in up to 100 characters what the key is for.")
    if re.search(r"pst_[0-9A-Za-z]{8}_", name):
        raise KeyRefused("The name looks like a key. Say what the key is for.")


def _facts(row: ApiKey) -> dict[str, object]:
    """A key as its event has it: restrictions only where there are some."""
    facts: dict[str, object] = {
        "prefix": row.prefix,
        "owner": row.owner_name,
        "kind": str(row.kind),
        "expires_at": row.expires_at.isoformat(),
        "declared_level": row.get_declared_level_display() or "",
    }
    scope = {name: value for name, value in KeyScope.of(row).columns().items() if value}
    return {**facts, **scope}


@attributed
def api_key_revoke(*, key: ApiKey, by: User | None, because: Because = Because.UNNEEDED) -> bool:
    """End a key now and for good; False when it had ended before."""
    with transaction.atomic():
        updated = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(
            revoked_at=timezone.now(), revoked_because=because.value
        )
        if updated:
            record(ApiKey.objects.filter(pk=key.pk))
            facts = {"prefix": key.prefix, "owner": key.owner_name, "because": because.value}
            journal.note(action="api_key.revoked", by=by, target=key, facts=facts)
    return bool(updated)


def api_keys_revoke(*, keys: Iterable[ApiKey], by: User | None, because: Because) -> list[ApiKey]:
    """All of them or none; returns those that had not ended before."""
    with transaction.atomic():
        return [key for key in keys if api_key_revoke(key=key, by=by, because=because)]


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
