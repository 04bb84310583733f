"""A Postern API key: its public prefix and the digest of the whole. The key itself is never stored."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models

from audit import ids
from gateway.models.access_rule import validate_models, validate_networks
from policies.models.choices import LEVEL_VALUES, LEVELS


class KeyKind(models.TextChoices):
    STANDARD = "standard", "API key"
    PERSONAL = "personal", "Personal key"  # made after signing in, for hours


class ApiKey(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    name = models.CharField(max_length=100, help_text="What it is for, such as “laptop” or “nightly batch”.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="api_keys"
    )
    service_account = models.ForeignKey(
        "gateway.ServiceAccount", models.CASCADE, null=True, blank=True, related_name="api_keys"
    )
    declared_level = models.PositiveSmallIntegerField(
        choices=LEVELS,
        null=True,
        blank=True,
        help_text="The level that calls with this key carry at most, unless a call says so itself.",
    )
    kind = models.CharField(max_length=10, choices=KeyKind, default=KeyKind.STANDARD, editable=False)
    group_ids = models.JSONField(
        default=list, blank=True, editable=False
    )  # of its holder's groups those that it carries; empty: all
    allowed_endpoints = models.JSONField(
        default=list, blank=True, help_text="Endpoints it may call, by their short names; empty means any."
    )
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_models],
        help_text="Models it may use; empty means any.",
    )
    networks = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Address ranges that it may be used from, such as 10.0.0.0/8; empty means any.",
    )
    rotated_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="successors"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_because = models.CharField(max_length=40, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_from = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, service_account__isnull=True)
                | models.Q(user__isnull=True, service_account__isnull=False),
                name="gateway_apikey_one_owner",
                violation_error_message="Choose either a person or a service account.",
            ),
            models.CheckConstraint(
                condition=models.Q(declared_level__isnull=True) | models.Q(declared_level__in=LEVEL_VALUES),
                name="gateway_apikey_level_known",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=KeyKind.values), name="gateway_apikey_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @property
    def owner_name(self) -> str:
        return str(self.user or self.service_account)

    def is_valid_at(self, moment: datetime) -> bool:
        return self.revoked_at is None and moment < self.expires_at
