"""A human's decision about one held call. Ids and snapshots only, so that it stays readable for good."""

from __future__ import annotations

from django.db import models

from audit import ids


class Status(models.TextChoices):
    """pending -> approved | denied | expired | withdrawn | superseded; approved -> consumed | expired | …"""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    DENIED = "denied", "Denied"
    EXPIRED = "expired", "Expired"
    WITHDRAWN = "withdrawn", "Withdrawn"
    SUPERSEDED = "superseded", "Superseded"
    CONSUMED = "consumed", "Consumed"
    REVOKED = "revoked", "Revoked"


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(
        {Status.APPROVED, Status.DENIED, Status.EXPIRED, Status.WITHDRAWN, Status.SUPERSEDED}
    ),
    Status.APPROVED: frozenset({Status.CONSUMED, Status.EXPIRED, Status.REVOKED, Status.SUPERSEDED}),
}
"""Every move there is. A state that is no key here is an end."""

OPEN = tuple(TRANSITIONS)


class Approval(models.Model):
    """One held call, bound to its original request and to the bytes that would be sent."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    epoch = models.PositiveIntegerField(help_text="The store's epoch: a restored backup has another one.")
    status = models.CharField(max_length=12, choices=Status, default=Status.PENDING)
    call_id = models.UUIDField(help_text="The call that opened it.")
    request_hmac = models.BinaryField(max_length=32)
    sent_digest = models.BinaryField(max_length=32)

    requester_id = models.UUIDField(help_text="The person or service account that called.")
    requester_kind = models.CharField(max_length=10)
    requester_name = models.CharField(max_length=150)
    owner_id = models.UUIDField(null=True, help_text="A service account's owner, who may not decide either.")
    key_id = models.UUIDField(null=True)

    area = models.CharField(max_length=50)
    endpoint_id = models.UUIDField()
    endpoint = models.CharField(max_length=50)
    model = models.CharField(max_length=200, blank=True)
    access_rule_id = models.UUIDField()
    policy_version_id = models.UUIDField()
    schema_version_id = models.UUIDField()
    policy = models.CharField(max_length=255, blank=True, help_text="name@number")
    schema = models.CharField(max_length=255, blank=True, help_text="name@number")
    reasons = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    highest = models.CharField(max_length=32, blank=True)
    risk = models.PositiveIntegerField(default=0)
    score = models.JSONField(default=list, help_text="The risk's lines: points, what for.")
    purpose = models.CharField(max_length=500, blank=True, help_text="As the requester says, scrubbed.")

    reviewers = models.JSONField(default=list, help_text="Groups that decide, by name.")
    needed = models.PositiveSmallIntegerField(default=1)
    clear = models.BooleanField(default=False, help_text="Released without its transforms.")
    barred = models.JSONField(default=list, help_text="Further persons who may not decide.")
    valid_minutes = models.PositiveSmallIntegerField(default=60)
    escalate_to = models.JSONField(default=list)
    escalate_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)

    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(
        default=ids.now, help_text="Last move, vote or comment: what pages follow."
    )
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.UUIDField(null=True)
    consumed_at = models.DateTimeField(null=True)
    consumed_call_id = models.UUIDField(null=True, help_text="The call that used the grant.")
    emergency = models.BooleanField(default=False, help_text="Let through by whoever may break the glass.")
    looked_at = models.DateTimeField(null=True, help_text="When somebody else reviewed the emergency.")
    looked_by = models.UUIDField(null=True)

    class Meta:
        ordering = ["-created_at"]
        permissions = [("break_glass", "Can decide alone in an emergency")]
        indexes = [
            models.Index(
                fields=["status", "expires_at", "-risk", "id", "area", "epoch"], name="approvals_by_deadline"
            ),
            models.Index(
                fields=["status", "-risk", "expires_at", "id", "area", "epoch"], name="approvals_by_risk"
            ),
            models.Index(fields=["changed_at"], name="approvals_changed"),
            models.Index(fields=["requester_id", "request_hmac"], name="approvals_of_request"),
            models.Index(fields=["requester_id", "created_at"], name="approvals_of_requester"),
            models.Index(fields=["call_id"], name="approvals_of_call"),
            models.Index(
                fields=["escalate_at"],
                condition=models.Q(status="pending", escalated_at__isnull=True),
                name="approvals_to_escalate",
            ),
            models.Index(
                fields=["decided_at"],
                condition=models.Q(decided_at__isnull=False),
                name="approvals_decided",
            ),
            models.Index(
                fields=["decided_at"],
                condition=models.Q(emergency=True, looked_at__isnull=True),
                name="approvals_to_look_at",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["requester_id", "request_hmac"],
                condition=models.Q(status__in=OPEN),
                name="approvals_one_open_per_request",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=Status.values), name="approvals_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(requester_kind="person", owner_id__isnull=True)
                | models.Q(requester_kind="service", owner_id__isnull=False),
                name="approvals_requester_known",
            ),
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True)
                | ~models.Q(decided_by=models.F("requester_id"))
                & (models.Q(owner_id__isnull=True) | ~models.Q(decided_by=models.F("owner_id"))),
                name="approvals_four_eyes",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[Status.PENDING, Status.WITHDRAWN], decided_at__isnull=True)
                | models.Q(status__in=[Status.EXPIRED, Status.SUPERSEDED])
                | models.Q(
                    status__in=[Status.APPROVED, Status.DENIED, Status.CONSUMED, Status.REVOKED],
                    decided_at__isnull=False,
                    decided_by__isnull=False,
                ),
                name="approvals_decided_iff_decided",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status=Status.CONSUMED, consumed_at__isnull=False, consumed_call_id__isnull=False
                )
                | ~models.Q(status=Status.CONSUMED)
                & models.Q(consumed_at__isnull=True, consumed_call_id__isnull=True),
                name="approvals_consumed_once",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")), name="approvals_expires_later"
            ),
            models.CheckConstraint(condition=models.Q(needed__gte=1), name="approvals_needs_somebody"),
            models.CheckConstraint(
                condition=models.Q(clear=False) | models.Q(needed__gte=2), name="approvals_clear_needs_two"
            ),
            models.CheckConstraint(
                condition=models.Q(looked_by__isnull=True)
                | models.Q(emergency=True) & ~models.Q(looked_by=models.F("decided_by")),
                name="approvals_emergency_reviewed_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.requester_name} to {self.endpoint}, {self.get_status_display().lower()}"
