"""One person's word on one approval. Written once, never changed, taken back by nobody."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from approvals.models.approval import Approval
from audit import ids


class Choice(models.TextChoices):
    APPROVE = "approve", "Approve"
    DENY = "deny", "Deny"


class Vote(models.Model):
    """Whoever asked is on the row as well, so that the database itself refuses their own vote (P9)."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="votes")
    person_id = models.UUIDField()
    name = models.CharField(max_length=150)
    choice = models.CharField(max_length=8, choices=Choice)
    reason = models.CharField(max_length=1000, blank=True, help_text="As scrubbed.")
    seen_digest = models.BinaryField(max_length=32, help_text="Of what the page had shown.")
    emergency = models.BooleanField(default=False, help_text="Decided alone, by whoever may break the glass.")
    requester_id = models.UUIDField()
    owner_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["approval", "person_id"], name="approvals_vote_once"),
            models.CheckConstraint(condition=Q(choice__in=Choice.values), name="approvals_vote_known"),
            models.CheckConstraint(
                condition=~Q(person_id=F("requester_id"))
                & (Q(owner_id__isnull=True) | ~Q(person_id=F("owner_id"))),
                name="approvals_vote_four_eyes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.get_choice_display().lower()}"
