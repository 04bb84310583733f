"""A lock stops a caller, a key, a group, an endpoint, an area or everything, until it is lifted or runs out.

It is the switch for incidents: it changes no rule and no membership, so lifting it restores what was.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models

from audit import ids

TARGETS = ("user", "service_account", "api_key", "group", "endpoint", "area")


def _exactly_one() -> models.Q:
    condition = models.Q(everything=True, **{f"{name}__isnull": True for name in TARGETS})
    for chosen in TARGETS:
        condition |= models.Q(everything=False, **{f"{name}__isnull": name != chosen for name in TARGETS})
    return condition


def lock_in_force(now: datetime) -> models.Q:
    """Locks that stop somebody at this moment."""
    return models.Q(models.Q(expires_at=None) | models.Q(expires_at__gt=now), lifted_at=None)


class Lock(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="locks"
    )
    service_account = models.ForeignKey(
        "gateway.ServiceAccount", models.CASCADE, null=True, blank=True, related_name="locks"
    )
    endpoint = models.ForeignKey(
        "gateway.Endpoint", models.CASCADE, null=True, blank=True, related_name="locks"
    )
    area = models.ForeignKey("gateway.Area", models.CASCADE, null=True, blank=True, related_name="locks")
    api_key = models.ForeignKey("gateway.ApiKey", models.CASCADE, null=True, blank=True, related_name="locks")
    group = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="locks")
    everything = models.BooleanField(default=False, help_text="No call passes at all.")
    reason = models.CharField(max_length=300)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is lifted.")
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=_exactly_one(),
                name="gateway_lock_one_target",
                violation_error_message="Choose one of these, or everything.",
            ),
        ]

    def __str__(self) -> str:
        return f"Lock on {self.target_name}"

    @property
    def target_name(self) -> str:
        if self.everything:
            return "everything"
        return str(next(filter(None, (getattr(self, name) for name in TARGETS)), ""))

    @property
    def target_kind(self) -> str:
        """`user`, `api_key` and so on, or `everything`."""
        return next((name for name in TARGETS if getattr(self, f"{name}_id") is not None), "everything")

    @property
    def target_words(self) -> str:
        """The kind of its target for people."""
        return {"user": "person", "api_key": "API key"}.get(
            self.target_kind, self.target_kind.replace("_", " ")
        )

    def is_active_at(self, moment: datetime) -> bool:
        return self.lifted_at is None and (self.expires_at is None or moment < self.expires_at)
