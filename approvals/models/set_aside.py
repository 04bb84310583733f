"""A vote that no longer counts, though its approval was still open. Written once; votes never change."""

from __future__ import annotations

from django.db import models

from approvals.models.vote import Vote


class Because(models.TextChoices):
    LOCKED = "locked", "locked"
    INACTIVE = "inactive", "made inactive"


class SetAside(models.Model):
    vote = models.OneToOneField(Vote, models.PROTECT, primary_key=True, related_name="set_aside")
    because = models.CharField(max_length=8, choices=Because)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=models.Q(because__in=Because.values), name="approvals_set_aside_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.vote}, set aside"
