"""The chain's entries, and the sealed payloads that some of them stand for."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit import chain
from audit.fields import PlaceField


class Entry(models.Model):
    """One append-only piece of evidence, chained to the one before it in its stream.

    Its id is no UUID but its place, `chain.entry_id`: two indexes less to write for each entry.
    """

    id = PlaceField(primary_key=True, editable=False)
    started_at = models.DateTimeField()  # the call's; an event's own
    at = models.DateTimeField()
    stream_id = models.UUIDField()
    sequence = models.PositiveBigIntegerField()
    previous = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)
    kind = models.CharField(max_length=16)  # chain.KINDS
    call_id = models.UUIDField(null=True)
    meta = models.BinaryField()  # canonical JSON, kept as the bytes that were digested
    payload_digest = models.BinaryField(max_length=32)  # SHA-256 of the sealed payload, empty without one

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(condition=Q(sequence__gte=1), name="audit_entry_sequence_from_one"),
            models.CheckConstraint(
                condition=Q(sequence=F("id").bitand((1 << chain.SEQUENCE_BITS) - 1)), name="audit_entry_place"
            ),
        ]
        indexes = [
            models.Index(fields=["call_id"], condition=~Q(call_id=None), name="audit_entry_call"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.sequence}"


class Payload(models.Model):
    """The sealed bytes of one entry; has the entry's id. Goes with retention, the entry stays."""

    id = PlaceField(primary_key=True, editable=False)
    started_at = models.DateTimeField()
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)


class CallKey(models.Model):
    """The key of one call's payloads, wrapped by its day's. Erasing a call begins with deleting this row."""

    id = models.UUIDField(primary_key=True, editable=False)  # the call's
    started_at = models.DateTimeField()
    wrapped_by = models.CharField(max_length=32)  # the name of the key around it
    wrapped = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)
