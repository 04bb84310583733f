"""Where the record is told to others as it grows, and how far each of them got in every stream."""

from __future__ import annotations

from django.db import models


class Sink(models.Model):
    """A place outside that is told entries, such as a SIEM. One worker at a time feeds it."""

    name = models.CharField(max_length=255, primary_key=True)
    active = models.BooleanField(default=True)  # named by the settings of the worker that looked last
    began_at = models.DateTimeField()
    drained_at = models.DateTimeField(null=True)  # when it had everything that was there
    told_at = models.DateTimeField(null=True)  # when it last took something
    upto = models.DateTimeField(null=True)  # when the last entry that it took was recorded
    failures = models.PositiveIntegerField(default=0)  # since it last took something
    next_at = models.DateTimeField(null=True)  # not before
    error = models.CharField(max_length=200, blank=True)
    holder = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class SinkCursor(models.Model):
    """The last sequence of one stream that one sink has. No row: it has none of that stream."""

    sink = models.ForeignKey(Sink, on_delete=models.CASCADE, related_name="cursors")
    stream = models.BigIntegerField()  # its number
    sequence = models.PositiveBigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["sink", "stream"], name="audit_sinkcursor_once")]

    def __str__(self) -> str:
        return f"{self.sink_id}: {self.stream} up to {self.sequence}"
