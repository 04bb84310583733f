"""A caller that is a program. It has an owner, a person who answers for it, and groups of its own."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models

from audit import ids


class ServiceAccount(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey("gateway.Area", models.PROTECT, related_name="service_accounts")
    name = models.SlugField(max_length=80, unique=True)
    description = models.CharField(max_length=300, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="service_accounts",
        help_text="The person who answers for it; may never approve its requests.",
    )
    groups = models.ManyToManyField(Group, blank=True, related_name="service_accounts")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
