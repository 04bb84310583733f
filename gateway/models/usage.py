"""What callers used up, shared by all gateway processes: the proxy counts in memory and settles here.

Losing these rows loses limits for a while, never evidence: the record counts for itself.
"""

from __future__ import annotations

from django.db import models


class Usage(models.Model):
    """Calls and tokens of one caller under one access rule in one window of time."""

    id = models.BigAutoField(primary_key=True)
    rule_id = models.UUIDField()
    caller = models.CharField(max_length=255)
    window = models.CharField(max_length=8)  # minute | day | month
    starts_at = models.DateTimeField()
    calls = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "usage"
        constraints = [
            models.UniqueConstraint(
                fields=["rule_id", "caller", "window", "starts_at"], name="gateway_usage_window_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(window__in=["minute", "day", "month"]), name="gateway_usage_window_known"
            ),
        ]
        indexes = [models.Index(fields=["starts_at"], name="gateway_usage_start")]

    def __str__(self) -> str:
        return f"{self.caller} in the {self.window} from {self.starts_at}"


class Running(models.Model):
    """How many calls of one caller one process runs now; old rows are of processes that ended."""

    id = models.BigAutoField(primary_key=True)
    instance_id = models.UUIDField()
    rule_id = models.UUIDField()
    caller = models.CharField(max_length=255)
    calls = models.PositiveIntegerField()
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "running"
        constraints = [
            models.UniqueConstraint(
                fields=["instance_id", "rule_id", "caller"], name="gateway_running_caller_unique"
            ),
        ]
        indexes = [models.Index(fields=["at"], name="gateway_running_at")]

    def __str__(self) -> str:
        return f"{self.caller}: {self.calls}"


class Sketch(models.Model):
    """About how many different values of a data class one caller sent in an hour or a day.

    `registers` is a HyperLogLog of keyed digests: it holds no value, and two of them merge by the greater
    of each register.
    """

    id = models.BigAutoField(primary_key=True)
    schema_id = models.UUIDField()
    caller = models.CharField(max_length=255)
    data_class = models.CharField(max_length=64)  # empty: all of them
    window = models.CharField(max_length=8)  # hour | day
    starts_at = models.DateTimeField()
    registers = models.BinaryField()

    class Meta:
        verbose_name_plural = "sketches"
        constraints = [
            models.UniqueConstraint(
                fields=["schema_id", "caller", "data_class", "window", "starts_at"],
                name="gateway_sketch_window_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(window__in=["hour", "day"]), name="gateway_sketch_window_known"
            ),
        ]
        indexes = [models.Index(fields=["starts_at"], name="gateway_sketch_start")]

    def __str__(self) -> str:
        return f"{self.data_class or 'everything'} of {self.caller}"
