"""How a credential's secret is replaced: the plan of each, and every replacement with the step it is at."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from audit import ids
from gateway.models.credential import Credential

SHORTEST_OVERLAP: Final = timedelta(seconds=10)
"""Twice the age at which a process that cannot read its configuration refuses calls: nobody sends a secret
that has been retired."""

SHORTEST_INTERVAL: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=3660)


class RotationPlan(models.Model):
    """Who makes a credential's next secret, and when. A credential without one is replaced by hand alone."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    credential = models.OneToOneField("gateway.Credential", models.CASCADE, related_name="plan")
    rotator = models.CharField(max_length=40, help_text="Who makes the next secret.")
    options = models.JSONField(
        default=dict, blank=True, help_text="What the rotator wants to know. Never a secret."
    )
    admin_credential = models.ForeignKey(
        "gateway.Credential",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="rotates",
        help_text="Opens the provider's admin API, at that credential's own origin.",
    )
    allow_private = models.BooleanField(
        default=False, help_text="The admin API lies inside your own network."
    )
    every = models.DurationField(
        null=True,
        blank=True,
        validators=[MinValueValidator(SHORTEST_INTERVAL), MaxValueValidator(LONGEST)],
        help_text="Time from one rotation to the next, such as '30 00:00:00' for 30 days.",
    )
    cron = models.CharField(
        max_length=100, blank=True, help_text="Instead of a time between: minute hour day month weekday."
    )
    timezone = models.CharField(max_length=60, default="UTC", help_text="Of cron and windows.")
    jitter = models.DurationField(
        default=timedelta(0),
        validators=[MinValueValidator(timedelta(0)), MaxValueValidator(timedelta(days=7))],
        help_text="Up to so much later, so that not everything rotates at once.",
    )
    windows = models.JSONField(
        default=list, blank=True, help_text="When a rotation may begin. Empty: at any time."
    )
    overlap = models.DurationField(
        default=timedelta(hours=1),
        validators=[MinValueValidator(SHORTEST_OVERLAP), MaxValueValidator(timedelta(days=366))],
        help_text="How long the secret before stays valid.",
    )
    test_path = models.CharField(
        max_length=200, blank=True, help_text="What a new secret is tried with. Empty: the list of models."
    )
    paused = models.BooleanField(default=False)
    next_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    escalate_after = models.DurationField(
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta(hours=1)), MaxValueValidator(LONGEST)],
        help_text="By hand only: how long a rotation may be overdue until it is escalated.",
    )
    disable_after = models.DurationField(
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta(hours=1)), MaxValueValidator(LONGEST)],
        help_text="By hand only: how long it may be overdue until the secret is no longer sent.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["credential"]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="gateway_plan_due")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(every__isnull=True) | Q(cron=""), name="gateway_rotationplan_one_schedule"
            ),
            models.CheckConstraint(
                condition=Q(overlap__gte=SHORTEST_OVERLAP), name="gateway_rotationplan_overlap_long_enough"
            ),
            models.CheckConstraint(
                condition=Q(every__isnull=True) | Q(every__gte=SHORTEST_INTERVAL),
                name="gateway_rotationplan_interval_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"Rotation of {self.credential}"


class RotationCause(models.TextChoices):
    SCHEDULE = "schedule", "Schedule"
    AGE = "age", "Too old"
    ASKED = "asked", "Asked for"
    COMPROMISED = "compromised", "Compromised"


class RotationStep(models.TextChoices):
    """`gateway.rotating.steps` says which follows which."""

    CREATE = "create", "Make the next secret"
    TEST = "test", "Try it"
    SWITCH = "switch", "Use it"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


ENDED: Final = (RotationStep.DONE, RotationStep.FAILED)


class Rotation(models.Model):
    """One replacement of one secret. `next_at` is when its next step is due, and moves while one is taken.

    Of one that failed it is when its provider is looked at for what was made and never recorded.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    credential = models.ForeignKey("gateway.Credential", models.CASCADE, related_name="rotations")
    cause = models.CharField(max_length=12, choices=RotationCause)
    step = models.CharField(max_length=6, choices=RotationStep, default=RotationStep.CREATE)
    version = models.OneToOneField(
        "gateway.CredentialVersion", models.RESTRICT, null=True, blank=True, related_name="rotation"
    )
    attempt = models.PositiveIntegerField(default=0)  # of making a secret: part of its label
    tries = models.PositiveIntegerField(default=0)  # of the present step
    next_at = models.DateTimeField(null=True, default=ids.now)
    error = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    reminded_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    step_since = models.DateTimeField(default=ids.now)
    started_at = models.DateTimeField(default=ids.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="gateway_rotation_due")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["credential"],
                condition=~Q(step__in=ENDED),
                name="gateway_rotation_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(step__in=RotationStep.values), name="gateway_rotation_step_known"
            ),
            models.CheckConstraint(
                condition=Q(step=RotationStep.DONE, ended_at__isnull=False, next_at__isnull=True)
                | Q(step=RotationStep.FAILED, ended_at__isnull=False)
                | ~Q(step__in=ENDED) & Q(ended_at__isnull=True, next_at__isnull=False),
                name="gateway_rotation_ended_iff_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credential} {self.started_at:%Y-%m-%d %H:%M}"


def under_way(credential: Credential) -> Rotation | None:
    """The credential's rotation that has not ended; there is one at most."""
    return Rotation.objects.filter(credential=credential).exclude(step__in=ENDED).first()
