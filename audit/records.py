"""What the recorder accepts: snapshots of a call, made by the caller, holding nothing raw.

`Recordable` is the taint label of the record: it is made in `gateway.proxy.exchange` (payloads) and in
`policies.services.scrub` (reasons, comments, search terms) and nowhere else; a test reads the source for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, final
from uuid import UUID

NOT_KEPT: Final = b'{"not_kept":"the policy keeps findings only"}'
"""Stands in the record for text that the policy does not keep."""


@final
@dataclass(frozen=True, slots=True)
class Recordable:
    """Masked bytes as they may be stored, and the findings in them (offsets and classes, no values)."""

    data: bytes
    marks: bytes = b"[]"  # JSON list of findings

    def __repr__(self) -> str:
        return f"Recordable({len(self.data)} bytes)"


@final
@dataclass(frozen=True, slots=True)
class SealedOriginal:
    """A payload as it came, sealed to a key that nobody here has. Made in `gateway.proxy.originals` only."""

    of: str  # request | response
    key: str  # the name of the key that opens it
    size: int  # of the payload
    sealed: bytes
    partial: bool = False  # a stream's, which did not come to its end

    def __repr__(self) -> str:
        return f"SealedOriginal({self.of}, {self.size} bytes)"


Parameter = str | int | bool | bytes | UUID | datetime | None


@final
@dataclass(frozen=True, slots=True)
class Guard:
    """A statement that has to change exactly one row, in the transaction of the entry that it guards.

    If it does not, nothing is written and `GuardFailed` says so: an approval that is gone lets nothing out.
    SQL that both vendors read, with `?` placeholders; constants only, never a caller's text.
    """

    sql: str
    parameters: tuple[Parameter, ...]
    about: bytes = b""  # what it locks: guards of one transaction are tried in this order, in every process

    def __repr__(self) -> str:
        return f"Guard({self.sql[:40]!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The caller as of the call."""

    person_id: UUID | None = None
    subject: str = ""  # stable subject, e.g. `local:alice`
    name: str = ""
    kind: str = ""  # person | service
    owner_id: UUID | None = None  # a service account's owner
    key_id: UUID | None = None
    key_prefix: str = ""
    groups: tuple[str, ...] = ()
    network: str = ""  # the peer's address
    issuer: str = ""  # who vouched for the caller, where it came with a token
    issued_subject: str = ""  # its name there
    actor: tuple[str, ...] = ()  # who acted for it, nearest first


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """What was called, under which versions."""

    area: str = ""
    endpoint_id: UUID | None = None
    endpoint: str = ""
    api: str = ""  # of the operation: openai.chat, anthropic.messages, json …
    method: str = ""
    path: str = ""
    model: str = ""
    streaming: bool = False
    access_rule_id: UUID | None = None
    policy_version_id: UUID | None = None
    policy: str = ""  # name@number
    schema_version_id: UUID | None = None
    schema: str = ""  # name@number


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The request's verdict as data."""

    action: str  # passed | masked | flagged | held | released | denied | blocked | refused
    gate: str = "allow"
    code: str = ""  # error code of a refusal
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()  # rule ids that decided
    counts: Mapping[str, int] = field(default_factory=dict)
    highest: str = ""  # level name
    declared: str = ""  # level name that the caller declared
    ceiling: str = ""  # level name that the endpoint takes at most
    risk: int = 0
    score: tuple[tuple[int, str], ...] = ()  # the risk's breakdown: points, what for
    observed: str = ""  # the gate that would have applied, had the policy not been observing
    spared: Mapping[str, int] = field(default_factory=dict)  # findings left in clear for the same reason
    approval: str = ""  # the approval that it waits for, or leaves under


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What of a payload was looked at, by what, and what could not be read."""

    texts: int = 0  # different ones
    size: int = 0  # their bytes
    recognisers: int = 0
    recogniser_set: str = ""  # digest of what they look for
    unread: tuple[tuple[str, int, int], ...] = ()  # kind of content, how many, their bytes
    stopped: str = ""  # why looking ended before the end: an error's code


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One call about to happen (or refused). Committed before any byte goes upstream."""

    call_id: UUID  # UUIDv7: its time is the call's `started_at`
    who: Who
    what: What
    decision: Decision
    request_hmac: bytes = b""  # keyed digest of the original request
    sent_digest: bytes = b""  # SHA-256 of the bytes to send
    request_size: int = 0
    request: Recordable | None = None  # as recorded; None where the payload could not be read
    looked: Looked | None = None  # None where the payload could not be read
    original: SealedOriginal | None = None
    session_hint: bytes = (
        b""  # keyed digest of what ties calls together (client header or conversation prefix)
    )
    fingerprints: tuple[tuple[str, bytes], ...] = ()  # (data class, keyed digest of the value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A held call that may go on after all: judged anew, and by what. Committed before any byte leaves."""

    what: What
    decision: Decision
    sent_digest: bytes
    request: Recordable | None  # as it leaves now
    looked: Looked | None = None
    original: SealedOriginal | None = None  # where its admission had none


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """How the call ended. Written once."""

    action: str  # the final action, response findings included
    status: int  # HTTP status the client got; 0 when it got none
    complete: bool  # False: the client did not get a whole answer
    code: str = ""  # error code, or why it is incomplete
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    response_size: int = 0
    response_counts: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)  # milliseconds by phase
    extra: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: tuple[tuple[str, bytes], ...] = ()  # of what was found in the response, as in Admission
