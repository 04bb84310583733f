"""Signed statements of which entries there are, and the places that are told of them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Checkpoint(models.Model):
    """A signed statement of which entries there are (`audit.checkpoint`). Written once, like an entry."""

    number = models.PositiveBigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField()
    at = models.DateTimeField()
    size = models.PositiveBigIntegerField(help_text="New entries since the one before.")
    text = models.BinaryField(help_text="What is signed.")
    digest = models.BinaryField(max_length=32)
    key = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="audit_checkpoint_from_one"),
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class Anchor(models.Model):
    """A place outside that is told every checkpoint, and how far it got."""

    name = models.CharField(max_length=255, primary_key=True)
    number = models.PositiveBigIntegerField(default=0)  # the last that it has
    told_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
