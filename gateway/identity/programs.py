"""A program's key, some time after it was shown: whether it still stands, and what it does now.

Long work that a program asked for (an export) is looked at anew while it is done. From where the key came is
looked at when it is shown; nobody shows it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Model
from django.utils import timezone

from audit.exporting.asked import Asked
from gateway.identity.held import Lent, lent_by
from gateway.identity.presented import is_locked
from gateway.identity.reach import Reach
from gateway.models import ApiKey


@dataclass(frozen=True, slots=True)
class Standing:
    """Stands where a person would: what the key does."""

    lent: Lent

    def has_perm(self, permission: str, row: Model | None = None) -> bool:
        return self.lent.has(permission, row)

    def areas_with(self, permission: str) -> Reach:
        return self.lent.reach(permission)


def stands(key: ApiKey, now: datetime) -> bool:
    """Whether this key of a program is let in: neither it nor its account has ended or is locked."""
    account = key.service_account
    if account is None or not key.is_valid_at(now):
        return False
    return account.is_active and account.owner.is_active and not is_locked(account, key)


def is_narrow(key: ApiKey) -> bool:
    """For certain endpoints or models: it calls those, and has no role."""
    return bool(key.allowed_endpoints or key.allowed_models)


def program_of(asked: Asked) -> Standing | None:
    """What the key does now that asked for an export; None: it does nothing any more."""
    rows = ApiKey.objects.select_related("service_account__owner", "created_by")
    key = rows.filter(pk=UUID(asked.key), service_account=asked.person).first() if asked.key else None
    if key is None or is_narrow(key) or not stands(key, timezone.now()):
        return None
    return Standing(lent_by(key))
