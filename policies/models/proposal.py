"""A change that needs two people: proposed by one, confirmed or turned down by another."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class ProposalState(models.TextChoices):
    """open -> confirmed | rejected | withdrawn | stale, and never back."""

    OPEN = "open", "Open"
    CONFIRMED = "confirmed", "Confirmed"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    STALE = "stale", "Overtaken"


class Proposal(models.Model):
    """`payload` is what the applier of `kind` needs; `basis` is a digest of the state it was made against."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey(  # none: it is about the whole deployment
        "gateway.Area", models.PROTECT, null=True, blank=True, related_name="proposals"
    )
    kind = models.CharField(max_length=40)
    target_id = models.UUIDField(null=True)
    target = models.CharField(max_length=200)
    payload = models.JSONField(default=dict)
    shown = models.JSONField(default=list)  # [[field, before, after], …] as the confirmer sees it
    basis = models.CharField(max_length=64)
    reason = models.CharField(max_length=300)
    state = models.CharField(max_length=10, choices=ProposalState, default=ProposalState.OPEN)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-proposed_at"]
        permissions = [
            ("confirm_access", "Can confirm access rules that somebody else proposed"),
            ("confirm_origin", "Can confirm where endpoints lead when somebody else proposed it"),
            ("confirm_identity", "Can confirm issuers, roles and deployment settings that somebody proposed"),
            ("confirm_area", "Can confirm that an area no longer takes two people"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=ProposalState.values), name="policies_proposal_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(state=ProposalState.OPEN, decided_at__isnull=True)
                | ~models.Q(state=ProposalState.OPEN) & models.Q(decided_at__isnull=False),
                name="policies_proposal_decided_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=ProposalState.CONFIRMED)
                | models.Q(decided_by__isnull=False) & ~models.Q(decided_by=models.F("proposed_by")),
                name="policies_proposal_two_people",
                violation_error_message="Somebody else has to confirm what you proposed.",
            ),
            models.UniqueConstraint(
                fields=["kind", "target_id"],
                condition=models.Q(state=ProposalState.OPEN),
                name="policies_proposal_one_open",
                violation_error_message="There is an open proposal for this already.",
            ),
        ]
        indexes = [
            models.Index(
                fields=["proposed_at"],
                condition=models.Q(state=ProposalState.OPEN),
                name="policies_proposal_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"
