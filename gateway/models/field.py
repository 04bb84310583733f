"""Structured fields that passed an endpoint and no data class claims: where the schema has to catch up."""

from __future__ import annotations

from django.db import models

from audit import ids


class FieldState(models.TextChoices):
    NEW = "new", "Not looked at"
    PROPOSED = "proposed", "Proposed in a draft"
    DISMISSED = "dismissed", "Dismissed"


class StructuredField(models.Model):
    """A place in an endpoint's JSON with the shape of its values, never a value."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    endpoint = models.ForeignKey("gateway.Endpoint", models.CASCADE, related_name="fields")
    path = models.CharField(max_length=300)
    shape = models.CharField(max_length=60)
    calls = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=FieldState, default=FieldState.NEW)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["-calls"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "path", "shape"], name="gateway_structuredfield_place_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=FieldState.values), name="gateway_structuredfield_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.shape})"
