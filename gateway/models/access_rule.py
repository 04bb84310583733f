"""Who may call what under which policy. No rule, no call; the lowest priority number that fits decides."""

from __future__ import annotations

import re
from datetime import datetime
from ipaddress import ip_network

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
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


def validate_paths(value: object) -> None:
    """A JSON list of distinct paths; one that ends in `/*` covers all below it."""
    if not isinstance(value, list) or not all(
        isinstance(path, str) and _PATH.fullmatch(path) for path in value
    ):
        raise ValidationError("Use paths such as /v1/chat/completions, or /v1/* for all below.")
    if len(set(value)) != len(value):
        raise ValidationError("A path is named twice.")


def validate_networks(value: object) -> None:
    """A JSON list of IPv4 and IPv6 networks."""
    if not isinstance(value, list):
        raise ValidationError("Use address ranges such as 10.0.0.0/8.")
    for network in value:
        try:
            ip_network(network)
        except (TypeError, ValueError):
            raise ValidationError("Use address ranges such as 10.0.0.0/8 or 2001:db8::/32.") from None


_PATH = re.compile(r"(?:/[A-Za-z0-9._~:-]+)+(?:/\*)?|/\*")


def _limit(text: str) -> models.PositiveBigIntegerField[int | None, int | None]:
    return models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10**15)],
        help_text=f"{text} Empty: no limit.",
    )


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
    allowed_paths = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_paths],
        help_text="Paths below the endpoint, such as /v1/chat/completions; empty means every path.",
    )
    networks = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Address ranges that calls may come from, such as 10.0.0.0/8; empty means any.",
    )
    requests_per_minute = _limit("Calls of one caller in a minute.")
    tokens_per_minute = _limit("Tokens of one caller in a minute, in and out.")
    tokens_per_day = _limit("Tokens of one caller in a day (UTC).")
    tokens_per_month = _limit("Tokens of one caller in a month (UTC).")
    max_concurrent = _limit("Calls of one caller at the same time.")
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
