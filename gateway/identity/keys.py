"""Postern API keys: `pst_<8 public characters>_<43 secret ones>`. Only the digest of the whole is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.models import ApiKey, ServiceAccount, User
from policies import journal
from policies.history import attributed, record

ALPHABET = string.digits + string.ascii_letters
SECRET_LENGTH = 43  # 256 bits in base 62
MAX_AGE = timedelta(days=366)
SHAPE = re.compile(r"pst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}\Z")


class KeyRefused(ValueError):
    """The key cannot be made, in words for whoever asked."""


def digest(key: str) -> bytes:
    """SHA-256 of the whole key. The key has 256 random bits, so a slow hash would only slow the gateway."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def has_shape(key: str) -> bool:
    """Whether the text can be one of our keys at all."""
    return SHAPE.match(key) is not None


def check_expiry(expires_at: datetime) -> None:
    """Every key ends; raises `KeyRefused` for one that would live too long or not at all."""
    now = timezone.now()
    if not now < expires_at <= now + MAX_AGE:
        raise KeyRefused(f"A key must expire within {MAX_AGE.days} days.")


@attributed
def api_key_create(
    *,
    name: str,
    expires_at: datetime,
    by: User | None,
    user: User | None = None,
    service_account: ServiceAccount | None = None,
    declared_level: int | None = None,
) -> tuple[ApiKey, Secret]:
    """A new key for a person or a service account. The secret is returned here and nowhere again."""
    if (user is None) == (service_account is None):
        raise KeyRefused("Choose either a person or a service account.")
    check_expiry(expires_at)
    prefix = f"pst_{_random(8)}"
    key = Secret(f"{prefix}_{_random(SECRET_LENGTH)}")
    with transaction.atomic():
        row = ApiKey.objects.create(
            name=name,
            prefix=prefix,
            digest=digest(key.reveal()),
            user=user,
            service_account=service_account,
            created_by=by,
            expires_at=expires_at,
            declared_level=declared_level,
        )
        facts = {
            "prefix": prefix,
            "owner": row.owner_name,
            "expires_at": expires_at.isoformat(),
            "declared_level": row.get_declared_level_display() or "",
        }
        journal.note(action="api_key.created", by=by, target=row, facts=facts)
    return row, key


@attributed
def api_key_revoke(*, key: ApiKey, by: User | None) -> bool:
    """End a key now and for good; False when it had ended before."""
    with transaction.atomic():
        updated = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
        if updated:
            record(ApiKey.objects.filter(pk=key.pk))
            journal.note(
                action="api_key.revoked",
                by=by,
                target=key,
                facts={"prefix": key.prefix, "owner": key.owner_name},
            )
    return bool(updated)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
