"""What is known of a model's service: what calls and probes saw last, and what follows from it.

Processes and probes write what they saw; a sweep alone says what follows (`gateway.upstreams.health`). One
row per endpoint. It is no configuration: it raises no revision and keeps no history.
"""

from __future__ import annotations

from django.db import models


class HealthState(models.TextChoices):
    UNKNOWN = "unknown", "Not known"
    HEALTHY = "healthy", "Healthy"
    FAILING = "failing", "Failing"


class EndpointHealth(models.Model):
    """`origin`: where it was seen. What is seen of another place says nothing of this one."""

    endpoint = models.OneToOneField(
        "gateway.Endpoint", models.CASCADE, primary_key=True, related_name="health"
    )
    origin = models.CharField(max_length=460)
    state = models.CharField(max_length=10, choices=HealthState, default=HealthState.UNKNOWN)
    since = models.DateTimeField()
    call_ok_at = models.DateTimeField(null=True)
    call_error_at = models.DateTimeField(null=True)
    call_error = models.CharField(max_length=40, blank=True)
    opened_at = models.DateTimeField(null=True)  # when a process last began to refuse calls
    probe_ok_at = models.DateTimeField(null=True)
    probe_error_at = models.DateTimeField(null=True)
    probe_error = models.CharField(max_length=40, blank=True)
    probe_failures = models.PositiveIntegerField(default=0)  # in a row
    latency_ms = models.PositiveIntegerField(null=True)  # to the head of the last good answer
    next_probe_at = models.DateTimeField(null=True)
    tested_at = models.DateTimeField(null=True)  # by hand

    class Meta:
        default_permissions = ()
        verbose_name_plural = "endpoint health"
        indexes = [
            models.Index(
                fields=["next_probe_at"],
                condition=models.Q(next_probe_at__isnull=False),
                name="gateway_health_due",
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=HealthState.values), name="gateway_health_state_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.state}"

    @property
    def last_ok_at(self) -> object:
        return max((at for at in (self.call_ok_at, self.probe_ok_at) if at), default=None)

    @property
    def last_error(self) -> str:
        """The code of what went wrong last, by call or probe."""
        call, probe = self.call_error_at, self.probe_error_at
        return self.probe_error if probe and (call is None or probe >= call) else self.call_error

    @property
    def last_error_at(self) -> object:
        return max((at for at in (self.call_error_at, self.probe_error_at) if at), default=None)
