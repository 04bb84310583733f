"""Which store this is, and which processes record into it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit import ids


class Store(models.Model):
    """The one row that says which store this is. A restored backup gets a new epoch (P20)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.PositiveIntegerField(default=1)
    key_check = models.BinaryField(max_length=32)  # proves that the key directory belongs to this store
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="audit_store_single_row")]

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


class Instance(models.Model):
    """One start of one process that records."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    host = models.CharField(max_length=255)
    boot = models.CharField(max_length=64)  # the host's boot: a process id means nothing after it
    pid = models.PositiveIntegerField()
    process_start = models.CharField(max_length=32)  # tells a reused process id from the same process
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["host"], condition=Q(stopped_at=None), name="audit_instance_running"),
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"


class Stream(models.Model):
    """A chain of entries: one per Instance, and one for events. The head is exact for events only."""

    number = models.BigAutoField(primary_key=True)  # the upper part of its entries' ids
    id = models.UUIDField(unique=True, default=ids.new, editable=False)
    kind = models.CharField(max_length=16, choices=[("instance", "instance"), ("events", "events")])
    instance_id = models.UUIDField(null=True)
    sequence = models.PositiveBigIntegerField(default=0)  # of the last entry known here
    stated = models.PositiveBigIntegerField(default=0, db_default=0)  # of the last in a checkpoint
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=Q(kind="events"), name="audit_stream_one_events"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
