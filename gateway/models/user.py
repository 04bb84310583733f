"""A person. Signs in to the console and may hold API keys; service accounts are another table."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower

from audit import ids


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
