"""What the data path asks of approvals and gets to know of them: plain values, made of no payload.

An approval is bound to one request of one caller, to the bytes that would leave and to what judged them (P8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from approvals.models import Status
from policies.engine.types import Holding


class Request(NamedTuple):
    """Whose request it is, and which: the same again joins what is open."""

    requester_id: UUID
    hmac: bytes  # keyed digest of the original request


class Binding(NamedTuple):
    """What a grant lets out, and under what. Any difference makes it another request."""

    sent_digest: bytes  # SHA-256 of the bytes that leave
    endpoint_id: UUID
    model: str
    access_rule_id: UUID
    policy_version_id: UUID
    schema_version_id: UUID


@dataclass(frozen=True, slots=True)
class Standing:
    """One approval as it was read."""

    id: UUID
    status: Status
    binding: Binding
    expires_at: datetime
    reason: str = ""  # of whoever denied it, scrubbed
    barred: frozenset[UUID] = frozenset()  # persons who may not decide, besides requester and owner
    emergency: bool = False  # one person let it through alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Everything that an approval says when it is opened."""

    call_id: UUID
    request: Request
    binding: Binding
    requester_kind: str  # person | service
    requester_name: str
    owner_id: UUID | None
    key_id: UUID | None
    barred: tuple[UUID, ...]  # persons who act for the requester
    area: str
    endpoint: str
    policy: str  # name@number
    schema: str
    reasons: tuple[str, ...]
    counts: dict[str, int]
    highest: str
    risk: int
    score: tuple[tuple[int, str], ...]
    purpose: str  # scrubbed
    holding: Holding
