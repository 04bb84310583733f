"""A person. Signs in to the console and may hold API keys; service accounts are another table."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth import get_backends
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower

from audit import ids

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
