"""How long evidence is kept, what must be kept in any case, and what has been removed."""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q

from audit import ids

LONGEST = 36_500
"""Days; whoever wants more means for ever."""


class Level(models.TextChoices):
    """Of a call: the highest level of what was found in it."""

    PUBLIC = "public", "Public"
    INTERNAL = "internal", "Internal"
    CONFIDENTIAL = "confidential", "Confidential"
    RESTRICTED = "restricted", "Restricted"


class RetentionRule(models.Model):
    """How long payloads and whole rows of some calls are kept. An empty part of the scope means any.

    Days are counted from the end of the call's day (UTC). Null: for ever.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    name = models.CharField(max_length=80, unique=True)
    area = models.CharField(max_length=64, blank=True)  # short names, as calls keep them
    endpoint = models.CharField(max_length=255, blank=True)
    policy = models.CharField(max_length=255, blank=True)
    level = models.CharField(max_length=16, blank=True, choices=Level)
    payload_days = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(LONGEST)])
    row_days = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(LONGEST)])
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [("confirm_retentionrule", "Can confirm what removes evidence, or lifts a legal hold")]
        constraints = [
            models.UniqueConstraint(
                fields=["area", "endpoint", "policy", "level"],
                name="audit_retentionrule_scope",
                violation_error_message="There is a rule for exactly these calls already.",
            ),
            models.CheckConstraint(
                condition=Q(payload_days=None) | Q(payload_days__gte=1),
                name="audit_retentionrule_a_day",
                violation_error_message="Keep payloads for at least one day.",
            ),
            models.CheckConstraint(
                condition=Q(row_days=None) | Q(payload_days__isnull=False, row_days__gte=F("payload_days")),
                name="audit_retentionrule_row_longer",
                violation_error_message="The row has to be kept at least as long as the payloads.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="audit_retentionrule_named"),
        ]

    def __str__(self) -> str:
        return self.name


class LegalHold(models.Model):
    """Calls that are kept whatever a rule or a request says. One person places it, two lift it.

    It holds the calls that fit everything that is said; at least one thing is.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.CharField(max_length=64, blank=True)
    endpoint = models.CharField(max_length=255, blank=True)
    caller_id = models.UUIDField(null=True, blank=True)
    subject = models.CharField(max_length=255, blank=True)  # the caller's name, masked
    session_id = models.UUIDField(null=True, blank=True)
    call_id = models.UUIDField(null=True, blank=True)
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300)
    placed_by = models.CharField(max_length=255)
    placed_at = models.DateTimeField(default=ids.now)
    lifted_by = models.CharField(max_length=255, blank=True)
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-placed_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by="") | Q(lifted_at__isnull=False) & ~Q(lifted_by=""),
                name="audit_legalhold_lifted_whole",
            ),
            models.CheckConstraint(
                condition=~Q(
                    area="", endpoint="", subject="", session_id=None, call_id=None, since=None, until=None
                ),
                name="audit_legalhold_holds_something",
                violation_error_message="Say what it holds.",
            ),
        ]
        indexes = [
            models.Index(fields=["placed_at"], condition=Q(lifted_at=None), name="audit_legalhold_open")
        ]

    def __str__(self) -> str:
        return f"Legal hold of {self.placed_at:%Y-%m-%d}"


class Removal(models.Model):
    """A batch of calls whose evidence was removed, and why. Its event on the record names `root`.

    That is the Merkle root (`audit.merkle`) over the calls' ids, 16 bytes each, in ascending order.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=8)  # expired: payloads; rows: the call's row too; erased: on request
    day = models.DateField()  # of the calls
    area = models.CharField(max_length=64)
    why = models.CharField(max_length=200)  # the rule's name, or what the request is called
    job_id = models.UUIDField()
    count = models.PositiveIntegerField()
    root = models.BinaryField(max_length=32)
    calls = models.BinaryField()  # their ids
    entry_id = models.BigIntegerField()  # of its event

    class Meta:
        default_permissions = ("view",)
        permissions = [("erase_removal", "Can ask that recorded calls are erased")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["expired", "rows", "erased"]), name="audit_removal_kind"
            ),
        ]
        indexes = [models.Index(fields=["day"], name="audit_removal_day")]

    def __str__(self) -> str:
        return f"{self.count} calls of {self.day}, {self.kind}: {self.why}"

    def members(self) -> frozenset[bytes]:
        """The ids of its calls, 16 bytes each."""
        joined = bytes(self.calls)
        return frozenset(joined[at : at + 16] for at in range(0, len(joined), 16))


class EvidenceDay(models.Model):
    """What retention knows of one day (UTC), so that it need not look at all its calls again."""

    day = models.DateField(primary_key=True)
    settled = models.CharField(
        max_length=64, blank=True
    )  # digest of the rules and holds that it was settled by
    next_due = models.DateField(null=True)  # by those: when something of it is due next
    generation = models.SmallIntegerField(default=1)  # of its key, as far as this store knows
    rekey_asked_at = models.DateTimeField(null=True)  # something was erased since its key was made
    rekey_to = models.SmallIntegerField(null=True)  # the generation that is under way
    emptied_at = models.DateTimeField(null=True)  # its keys are destroyed

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["rekey_asked_at"], condition=~Q(rekey_asked_at=None), name="audit_day_rekey")
        ]

    def __str__(self) -> str:
        return str(self.day)
