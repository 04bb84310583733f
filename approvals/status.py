"""How an approval stands, for whoever asked: who decided and why, what was said, and what to do now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from approvals.links import status_link
from approvals.models import Approval, Comment, Status
from audit import ids
from audit.inert import Segment, segments

NEXT: Final[Mapping[str, str]] = {
    Status.PENDING: "Nobody has decided yet. Sending the same request again waits for the decision.",
    Status.APPROVED: "Send the same request again: it goes through once.",
    Status.DENIED: "The same request is refused. Change it, or ask whoever decided.",
    Status.EXPIRED: "It has run out. Send the request again to ask anew.",
    Status.WITHDRAWN: "It was withdrawn. Send the request again to ask anew.",
    Status.SUPERSEDED: "The rules have changed since. Send the request again to ask anew.",
    Status.CONSUMED: "The request has gone through. Another one is another question.",
    Status.REVOKED: "It was taken back before it was used. Send the request again to ask anew.",
}


@dataclass(frozen=True, slots=True)
class Decision:
    name: str
    reason: str  # scrubbed
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One approval as its requester may see it."""

    approval: Approval
    status: str  # one that has run out says so, whether or not a sweep came by
    decision: Decision | None
    comments: list[Comment]

    @property
    def pending(self) -> bool:
        return self.status == Status.PENDING

    @property
    def label(self) -> str:
        return str(Status(self.status).label)

    @property
    def purpose(self) -> tuple[Segment, ...]:
        """What people wrote is shown with what hides in it."""
        return segments(self.approval.purpose)

    @property
    def reason(self) -> tuple[Segment, ...]:
        return segments(self.decision.reason if self.decision else "")

    @property
    def said(self) -> list[tuple[Comment, tuple[Segment, ...]]]:
        return [(each, segments(each.text)) for each in self.comments]

    @property
    def next(self) -> str:
        return NEXT[self.status]

    def as_json(self, base: str) -> dict[str, Any]:
        row, decision = self.approval, self.decision
        return {
            "id": str(row.pk),
            "status": self.status,
            "status_url": status_link(row.pk, base),
            "endpoint": row.endpoint,
            "model": row.model,
            "needed": row.needed,
            "created_at": row.created_at.isoformat(),
            "expires_at": row.expires_at.isoformat(),
            "decided_at": decision.at.isoformat() if decision and decision.at else None,
            "decided_by": decision.name if decision else None,
            "reason": decision.reason if decision else None,
            "next": self.next,
            "comments": [comment_as_json(each) for each in self.comments],
        }


def standing_of(approval: Approval) -> Standing:
    status = approval.status
    if status in (Status.PENDING, Status.APPROVED) and approval.expires_at <= ids.now():
        status = Status.EXPIRED
    return Standing(approval, status, _decision(approval), list(approval.comments.order_by("at")))


def comment_as_json(comment: Comment) -> dict[str, Any]:
    return {
        "by": comment.name,
        "of_requester": comment.of_requester,
        "text": comment.text,
        "at": comment.at.isoformat(),
    }


def _decision(approval: Approval) -> Decision | None:
    """Of whoever's vote decided; those before it are between reviewers."""
    if approval.decided_by is None:
        return None
    vote = approval.votes.filter(person_id=approval.decided_by).first()
    return Decision(vote.name if vote else "", vote.reason if vote else "", approval.decided_at)
