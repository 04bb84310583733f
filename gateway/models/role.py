"""Who has which role where: a group, a role of `gateway.identity.authz`, and an area or all of them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models

from audit import ids

ROLE_NAMES: Final = (
    "admin",
    "policy_editor",
    "publisher",
    "reviewer",
    "auditor",
    "operator",
    "client_developer",
    "emergency",
)


class RoleGrant(models.Model):
    """No area: everywhere, and over what belongs to no area (people, groups, issuers)."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    group = models.ForeignKey(Group, models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=20)
    area = models.ForeignKey(
        "gateway.Area", models.CASCADE, null=True, blank=True, related_name="role_grants"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["group__name", "role", "area__name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__in=ROLE_NAMES), name="gateway_rolegrant_role_known"
            ),
            models.UniqueConstraint(fields=["group", "role", "area"], name="gateway_rolegrant_once"),
            models.UniqueConstraint(
                fields=["group", "role"],
                condition=models.Q(area=None),
                name="gateway_rolegrant_once_everywhere",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group}: {self.role} in {self.area or 'every area'}"
