"""What a reviewer was shown, in one digest: a vote says what it is about, and counts for nothing else."""

from __future__ import annotations

import hashlib
from typing import Final

import orjson

from approvals.models import Approval

_SHOWN: Final = (
    "call_id",
    "requester_id",
    "requester_name",
    "owner_id",
    "area",
    "endpoint_id",
    "endpoint",
    "model",
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
    "needed",
    "clear",
)


def seen_digest(approval: Approval) -> bytes:
    """32 bytes over everything that the page shows of the request, and over the request itself."""
    shown = {name: getattr(approval, name) for name in _SHOWN}
    bound = {"id": approval.pk, "hmac": bytes(approval.request_hmac).hex()}
    bound["sent"] = bytes(approval.sent_digest).hex()
    return hashlib.sha256(orjson.dumps(shown | bound, option=orjson.OPT_SORT_KEYS)).digest()
