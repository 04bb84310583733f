"""How a call is answered that waits for a person, or waited in vain."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from approvals.links import status_link
from approvals.models import Status
from approvals.standing import Standing
from gateway.proxy.errors import ApprovalDenied, ApprovalPending, ApprovalRequired
from gateway.proxy.ledger import because
from gateway.proxy.patient import Wish
from policies.engine.types import Verdict

LATER: Final = 600.0
"""Seconds after which a caller with too many open approvals may look again: longer than SDKs retry by."""


def needs_approval(verdict: Verdict) -> str:
    return f"This request needs an approval: {because(verdict)}"


def pending(standing: Standing, verdict: Verdict, base: str, wish: Wish, *, late: bool) -> ApprovalRequired:
    """Nobody has decided yet. `late`: nor will they, the approval has run out."""
    if late:
        return _closed(standing.id, Status.EXPIRED, base)
    details = _details(standing.id, "pending", base) | {"expires_at": standing.expires_at.isoformat()}
    if wish.asynchronous:
        return ApprovalPending(
            "approval_required",
            f"{needs_approval(verdict)} Send it again once somebody has approved it.",
            details,
            location=details["status_url"],
            preference_applied="respond-async",
            retry_after="30",
        )
    return ApprovalRequired(
        "approval_required",
        f"{needs_approval(verdict)} Nobody has decided yet. Send the same request again later; "
        f"{details['status_url']} tells how it stands.",
        details,
    )


def denied(standing: Standing, base: str) -> ApprovalDenied:
    said = f" They say: {standing.reason}" if standing.reason else ""
    details = _details(standing.id, "denied", base)
    return ApprovalDenied("approval_denied", f"A reviewer has denied this request.{said}", details)


def over(standing: Standing, base: str) -> ApprovalRequired:
    """Ended without a decision that would help."""
    return _closed(standing.id, standing.status, base)


def used_or_void(approval_id: UUID | None, base: str) -> ApprovalRequired:
    """There was a decision, and it is not for this call any more."""
    return ApprovalRequired(
        "approval_void",
        "The approval that this request waited for is used up, or the policy has changed meanwhile. "
        "Send it again to ask anew.",
        _details(approval_id, "superseded", base) if approval_id else {},
    )


def _closed(approval_id: UUID, status: Status, base: str) -> ApprovalRequired:
    details = _details(approval_id, status, base)
    if status is Status.WITHDRAWN:
        message = "The requester has withdrawn this request."
        return ApprovalRequired("approval_withdrawn", message, details)
    if status is Status.REVOKED:
        message = "The approval of this request was taken back."
        return ApprovalRequired("approval_revoked", message, details)
    return ApprovalRequired("approval_expired", "Nobody decided about this request in time.", details)


def _details(approval_id: UUID, status: str, base: str) -> dict[str, str]:
    return {
        "id": str(approval_id),
        "status": status,
        "status_url": status_link(approval_id, base),
    }
