"""A key's successor: the same scope under a new secret, and an overlap in which both open the door."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.identity.keys import api_key_create, living, max_age
from gateway.identity.scope import KeyRefused, KeyScope
from gateway.models import ApiKey, KeyKind, User
from policies.history import attributed, record
from policies.journal import note

OVERLAP: Final = timedelta(days=1)
LONGEST_OVERLAP: Final = timedelta(days=30)


@attributed
def api_key_rotate(
    *,
    key: ApiKey,
    by: User | None,
    overlap: timedelta = OVERLAP,
    expires_at: datetime | None = None,
    by_program: bool = False,
) -> tuple[ApiKey, Secret]:
    """A new key with the same holder, name, level and scope. The old one ends after `overlap`, if not before.

    `expires_at`: of the new one; by default it lives as long as the old one was meant to. A key has one
    living successor at most, so that two people who rotate it at once leave no key that nobody knows of.
    Whoever rotates it has made the new one; `by_program` as in `api_key_create`.
    Raises `KeyRefused`.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise KeyRefused(f"Both keys may work for {LONGEST_OVERLAP.days} days at most.")
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        now = timezone.now()
        _check(old, now)
        span = min(old.expires_at - old.created_at, max_age())
        new, secret = api_key_create(
            name=old.name,
            user=old.user,
            service_account=old.service_account,
            declared_level=old.declared_level,
            expires_at=expires_at or now + span,
            scope=KeyScope.of(old),
            rotated_from=old,
            by=by,
            by_program=by_program,
        )
        ends = min(old.expires_at, now + overlap)
        ApiKey.objects.filter(pk=old.pk).update(expires_at=ends)
        record(ApiKey.objects.filter(pk=old.pk))
        facts = {"prefix": old.prefix, "successor": new.prefix, "ends_at": ends.isoformat()}
        note(action="api_key.rotated", by=by, target=old, facts=facts)
    return new, secret


def _check(old: ApiKey, now: datetime) -> None:
    if not old.is_valid_at(now):
        raise KeyRefused("This key has ended. Create a new one.")
    if old.kind == KeyKind.PERSONAL:
        raise KeyRefused("A personal key lives for hours. Make another one.")
    successor = ApiKey.objects.filter(living(now), rotated_from=old).first()
    if successor is not None:
        raise KeyRefused(f"Its successor is there already: {successor.prefix}.")
