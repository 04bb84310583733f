"""One live call that somebody ended from the outside."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class Cut(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    call_id = models.UUIDField(unique=True)
    area = models.ForeignKey("gateway.Area", models.CASCADE, null=True, related_name="+")
    reason = models.CharField(max_length=300)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        default_permissions = ()
        permissions = [("cut_call", "Can end a call that is under way")]

    def __str__(self) -> str:
        return f"Cut of {self.call_id}"
