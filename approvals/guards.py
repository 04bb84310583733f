"""The two statements that an admission may rest on: opening an approval, and using one up.

Both run in the recorder's transaction. They read the store's epoch themselves: what a restored backup brings
back has another one, and is nothing any more (P20).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from approvals.models import Status
from approvals.standing import Binding, Opening, Request
from audit import ids
from audit.records import Guard

EPOCH: Final = "(SELECT epoch FROM audit_store WHERE id = 1)"

_COLUMNS: Final = (
    "id",
    "status",
    "call_id",
    "request_hmac",
    "sent_digest",
    "requester_id",
    "requester_kind",
    "requester_name",
    "owner_id",
    "key_id",
    "area",
    "endpoint_id",
    "endpoint",
    "model",
    "access_rule_id",
    "policy_version_id",
    "schema_version_id",
    "policy",
    "schema",
    "reasons",
    "counts",
    "highest",
    "risk",
    "score",
    "purpose",
    "reviewers",
    "needed",
    "clear",
    "barred",
    "valid_minutes",
    "escalate_to",
    "escalate_at",
    "emergency",
    "created_at",
    "changed_at",
    "expires_at",
)
_OPEN: Final = (
    f"INSERT INTO approvals_approval ({', '.join(_COLUMNS)}, epoch) "  # noqa: S608  constants
    f"SELECT {', '.join('?' * len(_COLUMNS))}, {EPOCH} WHERE (SELECT count(*) FROM approvals_approval "
    "WHERE requester_id = ? AND status IN ('pending', 'approved') AND expires_at > ? "
    f"AND epoch = {EPOCH}) < ? ON CONFLICT DO NOTHING"
)
_CONSUME: Final = (
    "UPDATE approvals_approval SET status = 'consumed', consumed_at = ?, consumed_call_id = ?, "  # noqa: S608
    f"changed_at = ? WHERE id = ? AND status = 'approved' AND epoch = {EPOCH} AND expires_at > ? "
    "AND requester_id = ? AND request_hmac = ? AND sent_digest = ? AND endpoint_id = ? AND model = ? "
    "AND access_rule_id = ? AND policy_version_id = ? AND schema_version_id = ?"
)


_IN_CLEAR: Final = " AND clear AND NOT emergency"
"""What leaves without its transforms was approved so, and by two: whoever breaks the glass is alone."""


def opening(approval_id: UUID, asked: Opening, now: datetime, *, at_most: int) -> Guard:
    """Open an approval; refused where the same request has an open one, or its caller as many as they may."""
    holding, binding = asked.holding, asked.binding
    escalate = holding.escalate_minutes
    return Guard(
        _OPEN,
        (
            approval_id,
            Status.PENDING.value,
            asked.call_id,
            asked.request.hmac,
            binding.sent_digest,
            asked.request.requester_id,
            asked.requester_kind,
            asked.requester_name[:150],
            asked.owner_id,
            asked.key_id,
            asked.area,
            binding.endpoint_id,
            asked.endpoint,
            binding.model,
            binding.access_rule_id,
            binding.policy_version_id,
            binding.schema_version_id,
            asked.policy,
            asked.schema,
            _json(asked.reasons),
            _json(asked.counts),
            asked.highest,
            asked.risk,
            _json(asked.score),
            asked.purpose.replace("\0", "\ufffd"),  # PostgreSQL takes no NUL
            _json(holding.reviewers),
            max(holding.needed, 2) if holding.clear else holding.needed,
            holding.clear,
            _json([str(person) for person in asked.barred]),
            holding.valid_minutes,
            _json(holding.escalate_to),
            now + timedelta(minutes=escalate) if escalate is not None else None,
            False,
            now,
            now,
            now + timedelta(minutes=holding.valid_minutes),
            asked.request.requester_id,
            now,
            at_most,
        ),
        about=_about(asked.request),
    )


def consuming(
    approval_id: UUID, request: Request, binding: Binding, call_id: UUID, *, in_clear: bool = False
) -> Guard:
    """Use a grant up for this call; refused unless it is approved, of this request, and not over.

    `in_clear`: the call leaves without its transforms, and the grant has to allow that.
    """
    now = ids.now()
    return Guard(
        _CONSUME + _IN_CLEAR if in_clear else _CONSUME,
        (
            now,
            call_id,
            now,
            approval_id,
            now,
            request.requester_id,
            request.hmac,
            binding.sent_digest,
            binding.endpoint_id,
            binding.model,
            binding.access_rule_id,
            binding.policy_version_id,
            binding.schema_version_id,
        ),
        about=_about(request),
    )


def _about(request: Request) -> bytes:
    return request.requester_id.bytes + request.hmac


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
