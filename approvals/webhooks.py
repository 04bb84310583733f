"""What the outside is told about approvals: which events an approval has had, what a message says, and how it
is signed (Standard Webhooks, https://www.standardwebhooks.com). Pure: reads no clock and no store.

A message holds links, names, reasons and counts. Never the request, its purpose, or what people wrote.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from approvals.links import review_link, status_link
from approvals.models import Approval, Status

OPENED, ESCALATED, EMERGENCY = "approval.opened", "approval.escalated", "approval.emergency"
APPROVED, DENIED = "approval.approved", "approval.denied"
EXPIRED, WITHDRAWN, REVOKED = "approval.expired", "approval.withdrawn", "approval.revoked"
SUPERSEDED: Final = "approval.superseded"
TEST: Final = "webhook.test"

EVENTS: Final[Mapping[str, int]] = {
    OPENED: 0,
    ESCALATED: 1,
    APPROVED: 2,
    DENIED: 2,
    EMERGENCY: 3,
    EXPIRED: 4,
    WITHDRAWN: 4,
    REVOKED: 4,
    SUPERSEDED: 4,
}
"""Each with its place: of one approval the earlier ones are told first."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  public

WORDS: Final[Mapping[str, str]] = {
    OPENED: "waits for a decision",
    ESCALATED: "still waits: further groups may decide",
    APPROVED: "was approved",
    DENIED: "was denied",
    EMERGENCY: "was let through in an emergency: somebody else has to look at it",
    EXPIRED: "has run out",
    WITHDRAWN: "was withdrawn",
    REVOKED: "was approved and taken back",
    SUPERSEDED: "is void: what it was bound to holds no more",
}


class Event(NamedTuple):
    name: str
    at: datetime


def events_of(row: Approval) -> Iterator[Event]:
    """All that has happened to an approval so far, as far as it can be told outside, first to last."""
    yield Event(OPENED, row.created_at)
    if row.escalated_at is not None:
        yield Event(ESCALATED, row.escalated_at)
    if row.decided_at is not None:
        yield Event(DENIED if row.status == Status.DENIED else APPROVED, row.decided_at)
        if row.emergency:
            yield Event(EMERGENCY, row.decided_at)
    if row.status == Status.EXPIRED:
        yield Event(EXPIRED, row.expires_at)
    elif row.status in (Status.WITHDRAWN, Status.REVOKED, Status.SUPERSEDED):
        yield Event(f"approval.{row.status}", row.changed_at)


def body(event: str, at: datetime, row: Approval, base: str) -> bytes:
    """The message of a standard webhook: the same bytes at each attempt."""
    data = {
        "approval_id": str(row.pk),
        "area": row.area,
        "endpoint": row.endpoint,
        "requester": row.requester_name,
        "requester_kind": row.requester_kind,
        "reasons": row.reasons,
        "counts": row.counts,
        "level": row.highest,
        "risk": row.risk,
        "review_url": review_link(row.pk, base),
        "status_url": status_link(row.pk, base),
    }
    return orjson.dumps({"type": event, "timestamp": at.isoformat(), "data": data})


def trial_body(at: datetime) -> bytes:
    """What the test button sends."""
    return orjson.dumps({"type": TEST, "timestamp": at.isoformat(), "data": {}})


def slack_body(event: str, row: Approval, base: str) -> bytes:
    """The same as a message to a channel."""
    asked = f"{row.requester_name} to {row.endpoint} ({row.area})"
    found = ", ".join(f"{name} × {count}" for name, count in sorted(row.counts.items()))
    about = "; ".join([*map(str, row.reasons), *([f"found: {found}"] if found else []), f"risk {row.risk}"])
    return slack_message(f"Request of {asked} {WORDS[event]}.", about, review_link(row.pk, base))


def slack_message(first: str, more: str, link: str) -> bytes:
    """A sentence, what there is to know besides, and where to look."""
    where = f"<{link}|Look at it>" if "://" in link else link
    blocks = [_section(f"*{_escaped(first)}*\n{_escaped(more)}"), _section(where)]
    return orjson.dumps({"text": _escaped(first), "blocks": blocks})


def slack_trial_body() -> bytes:
    text = "A test: messages about held requests arrive here."
    return orjson.dumps({"text": text, "blocks": [_section(text)]})


def signatures(secrets: Iterable[str], message_id: str, timestamp: int, message: bytes) -> str:
    """The `webhook-signature` header: one signature for each secret in force."""
    signed = f"{message_id}.{timestamp}.".encode() + message
    made = (hmac.new(_key(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made)


def secret_of(key: bytes) -> str:
    """A secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:2900]}}


def _escaped(text: str) -> str:
    """Slack reads these three as markup: a name must not call a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
