"""A call's projection and metadata as values: what the recorder writes besides seals and digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from audit.records import Admission, Close
from audit.store import Dialect, Row, plain, text, uid

VERSION = 1  # of the entries' metadata


def admission_meta(admission: Admission, *, epoch: int, session: str | None) -> bytes:
    """What the admission entry says: everything that the call's row shows, and more."""
    return encode(
        {
            "v": VERSION,
            "epoch": epoch,
            "session": session,
            "who": admission.who,
            "what": admission.what,
            "decision": admission.decision,
            "request_hmac": admission.request_hmac.hex(),
            "sent_digest": admission.sent_digest.hex(),
            "request_size": admission.request_size,
        }
    )


def segment_meta(*, part: int, size: int, last: bool) -> bytes:
    """Written for every piece of a stream, hence by hand."""
    return b'{"final":%b,"part":%d,"size":%d,"v":1}' % (b"true" if last else b"false", part, size)


def close_meta(close: Close, *, parts: int) -> bytes:
    return encode({"v": VERSION, "parts": parts, "close": close})


def call_row(dialect: Dialect, admission: Admission, instance: str, stream: str, session: str | None) -> Row:
    """Only what a client or an issuer may have written is cut to fit; the rest are our own words."""
    who, what, decision = admission.who, admission.what, admission.decision
    return (
        instance,
        stream,
        session,
        uid(who.person_id),
        text(who.subject, 255),
        text(who.name, 255),
        who.kind,
        uid(who.owner_id),
        uid(who.key_id),
        who.key_prefix,
        dialect.json(who.groups),
        text(who.network, 64),
        what.area,
        uid(what.endpoint_id),
        what.endpoint,
        what.api,
        text(what.method, 16),
        text(what.path, 512),
        text(what.model, 255),
        what.streaming,
        uid(what.access_rule_id),
        uid(what.policy_version_id),
        what.policy,
        uid(what.schema_version_id),
        what.schema,
        decision.action,
        decision.gate,
        decision.code,
        dialect.json(decision.reasons),
        dialect.json(decision.rules),
        dialect.json(decision.counts),
        decision.highest,
        dialect.blob(admission.request_hmac),
        dialect.blob(admission.sent_digest),
        admission.request_size,
    )


def close_row(dialect: Dialect, close: Close, at: Any) -> Row:
    return (
        at,
        close.action,
        close.code,
        close.status,
        close.complete,
        text(close.finish_reason, 64),
        close.input_tokens,
        close.output_tokens,
        close.response_size,
        dialect.json(close.response_counts),
        dialect.json(close.timings),
        dialect.json(close.extra),
    )


def encode(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON: the same value gives the same bytes. Odd text is escaped rather than refused."""
    try:
        return orjson.dumps(value, default=plain, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(_unwrapped(value), sort_keys=True, default=str).encode()


def _unwrapped(value: Mapping[str, Any]) -> dict[str, Any]:
    """Dataclasses as dictionaries, for the encoder that does not know them."""
    return {
        name: {field: getattr(part, field) for field in part.__slots__}
        if hasattr(part, "__slots__")
        else part
        for name, part in value.items()
    }
