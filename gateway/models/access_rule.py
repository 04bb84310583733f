"""Who may call what under which policy. No rule, no call; the lowest priority number that fits decides."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models

from audit import ids


def validate_models(value: object) -> None:
    """A JSON list of distinct model names; empty means every model."""
    if not isinstance(value, list) or not all(
        isinstance(name, str) and 0 < len(name) <= 200 for name in value
    ):
        raise ValidationError('Use a list of model names, such as ["gpt-4o-mini"]; empty means all.')
    if len(set(value)) != len(value):
        raise ValidationError("A model is named twice.")


class AccessRule(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    group = models.ForeignKey(Group, models.CASCADE, related_name="access_rules")
    endpoint = models.ForeignKey("gateway.Endpoint", models.CASCADE, related_name="access_rules")
    policy = models.ForeignKey("policies.Policy", models.PROTECT, related_name="access_rules")
    priority = models.PositiveSmallIntegerField(
        default=100,
        help_text="Of the rules that fit a caller, the lowest number decides; ties go to the older.",
    )
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_models],
        help_text="Names separated by commas; empty means every model.",
    )
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is taken away.")
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["endpoint", "priority", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["group", "endpoint", "priority"], name="gateway_accessrule_priority_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} → {self.endpoint}: {self.policy}"

    def clean(self) -> None:
        if self.endpoint_id and self.policy_id and self.policy.area_id != self.endpoint.area_id:
            raise ValidationError({"policy": "This policy lies in another area than the endpoint."})

    def is_active_at(self, moment: datetime) -> bool:
        return self.enabled and (self.expires_at is None or moment < self.expires_at)
