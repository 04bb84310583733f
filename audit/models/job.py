"""Long work on the evidence."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit import ids


class Job(models.Model):
    """Long work on the evidence (an export, an erasure) as a due row under a lease."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=16, default="pending")
    options = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    asked_by = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running", "done", "failed"]), name="audit_job_state"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(finished_at=None), name="audit_job_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"
