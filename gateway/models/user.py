"""A person. Signs in to the console and may hold API keys; service accounts are another table."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.contrib.auth import get_backends
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from audit import ids
from gateway.models.lock import Lock, lock_in_force

if TYPE_CHECKING:
    from gateway.identity.backend import RoleBackend
    from gateway.identity.reach import Reach


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)

    class Meta:
        ordering = ["username"]
        constraints = [
            # `Alice` beside `alice` would be two people to the database and one to a reviewer.
            models.UniqueConstraint(
                Lower("username"),
                name="gateway_user_username_ci_unique",
                violation_error_message="A person with this user name exists.",
            ),
        ]

    def areas_with(self, perm: str) -> Reach:
        """Where this person may do something; asked of the backend that knows, as `has_perm` is."""
        (backend,) = (each for each in get_backends() if hasattr(each, "areas_with"))
        return cast("RoleBackend", backend).areas_with(self, perm)

    @classmethod
    def stopped_among(cls, accounts: Collection[UUID]) -> dict[UUID, str]:
        """Of these those that are inactive, or that a lock names or a group of theirs, and which of the two:
        locked | inactive. Who is not there at all is inactive."""
        active = set(cls.objects.filter(pk__in=accounts, is_active=True).values_list("pk", flat=True))
        locks = Lock.objects.filter(lock_in_force(timezone.now()))
        on = models.Q(locks__in=locks) | models.Q(groups__locks__in=locks)
        locked = cls.objects.filter(on, pk__in=active).values_list("pk", flat=True)
        return dict.fromkeys(set(accounts) - active, "inactive") | dict.fromkeys(locked, "locked")
