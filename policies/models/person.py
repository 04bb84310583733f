"""Accounts of one person. An account without a row here is a person of its own."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class LinkedAccount(models.Model):
    """`person` is the same id for all accounts of one human, and means nothing beyond that."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="linked"
    )
    person = models.UUIDField(db_index=True)
    linked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()  # `gateway.identity.linking` is the only hand on it

    def __str__(self) -> str:
        return str(self.account)
