"""What reviewers and requester say to each other about one approval. Scrubbed before it is kept."""

from __future__ import annotations

from django.db import models

from approvals.models.approval import Approval
from audit import ids


class Comment(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="comments")
    person_id = models.UUIDField()
    name = models.CharField(max_length=150)
    of_requester = models.BooleanField()
    text = models.CharField(max_length=1000)
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["approval", "at"], name="approvals_comment_of")]

    def __str__(self) -> str:
        return f"{self.name}: {self.text[:40]}"
