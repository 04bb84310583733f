"""Projections of the entries: calls as they stand, and the sessions that they belong to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit import ids


class Session(models.Model):
    """Calls of one caller that belong together. Written once, closed once when it has been silent."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    key = models.BinaryField(max_length=32)  # of (thread, session before it): two processes make the same
    thread = models.BinaryField(max_length=32)  # of (caller, endpoint, hint)
    hinted = models.BooleanField()
    started_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    person_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)
    area = models.CharField(max_length=64)
    endpoint_id = models.UUIDField(null=True)
    endpoint = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key"], name="audit_session_key")]
        indexes = [
            models.Index(fields=["thread", "started_at"], name="audit_session_thread"),
            models.Index(fields=["started_at"], condition=Q(closed_at=None), name="audit_session_open"),
            models.Index(fields=["person_id", "started_at"], name="audit_session_person"),
            models.Index(fields=["area", "id"], name="audit_session_area"),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.endpoint}"


class Call(models.Model):
    """One governed request and its response, as it stands. Inserted at admission, closed once."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    started_at = models.DateTimeField()
    instance_id = models.UUIDField()
    stream_id = models.UUIDField()
    session_id = models.UUIDField(null=True)
    # who
    person_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)
    owner_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    key_prefix = models.CharField(max_length=32)
    groups = models.JSONField()
    network = models.CharField(max_length=64)
    # what
    area = models.CharField(max_length=64)
    endpoint_id = models.UUIDField(null=True)
    endpoint = models.CharField(max_length=255)
    api = models.CharField(max_length=32)
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=512)
    model = models.CharField(max_length=255)
    streaming = models.BooleanField()
    access_rule_id = models.UUIDField(null=True)
    policy_version_id = models.UUIDField(null=True)
    policy = models.CharField(max_length=255)
    schema_version_id = models.UUIDField(null=True)
    schema = models.CharField(max_length=255)
    # the verdict; action and code become the final ones when the call is closed
    action = models.CharField(max_length=16)
    gate = models.CharField(max_length=16)
    code = models.CharField(max_length=64)
    reasons = models.JSONField()
    rules = models.JSONField()
    counts = models.JSONField()
    highest = models.CharField(max_length=32)
    request_hmac = models.BinaryField(max_length=32)
    sent_digest = models.BinaryField(max_length=32)
    request_size = models.PositiveIntegerField()
    # the end
    closed_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    complete = models.BooleanField(null=True)
    finish_reason = models.CharField(max_length=64, db_default="")
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    response_size = models.PositiveBigIntegerField(db_default=0)
    response_counts = models.JSONField(null=True)
    timings = models.JSONField(null=True)
    extra = models.JSONField(null=True)
    removal_id = models.UUIDField(null=True)  # the Removal that its payloads went with

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at=None, status=None, complete=None)
                | Q(closed_at__isnull=False, status__isnull=False, complete__isnull=False),
                name="audit_call_closed_whole",
            ),
        ]
        permissions = [("export_call", "Can export calls")]
        indexes = [
            models.Index(fields=["session_id", "started_at"], name="audit_call_session"),
            models.Index(fields=["area", "started_at", "id"], name="audit_call_area"),
            models.Index(fields=["instance_id"], condition=Q(closed_at=None), name="audit_call_open"),
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.endpoint}"
