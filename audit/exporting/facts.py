"""What a call's entries say of it: everything that its page shows beside the payloads. Pure.

Rows of an export are made from entries alone, so whoever has the entries makes the same rows again: that is
how the verifier finds one that was changed. An entry may hold anything, for somebody may have written to the
store: what does not read as it should is left out, and nothing here fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit import metas
from audit.chain import Link

Facts = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST: Final = 253_402_300_799_000_000  # the last microsecond but one second of the year 9999

_WHO: Final = {
    "caller": "name",
    "subject": "subject",
    "kind": "kind",
    "key": "key_prefix",
    "groups": "groups",
    "network": "network",
    "issuer": "issuer",
    "issued_subject": "issued_subject",
    "acting": "actor",
}
_WHAT: Final = ("area", "endpoint", "api", "method", "path", "model", "streaming", "policy", "schema")
_DECISION: Final = (
    "action",
    "gate",
    "code",
    "reasons",
    "rules",
    "highest",
    "declared",
    "ceiling",
    "risk",
    "score",
    "observed",
    "spared",
    "approval",
)
_CLOSE: Final = (
    "status",
    "complete",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "response_size",
    "timings",
)
_RESPONSE: Final = ("response_reasons", "response_observed", "response_spared")


def facts_of(links: Sequence[Link]) -> Facts:
    """One call's facts by name, in the order of `FIELDS`; None where its entries do not say."""
    facts: Facts = dict.fromkeys(FIELDS)
    facts["call"] = str(next((link.call for link in links if link.call), "")) or None
    facts["state"] = "open"
    for link in links:
        said = metas.said(link.meta)
        if link.kind == "admission":
            facts |= {"started_at": moment(link.started_at), "session": said.get("session")}
            facts |= _request(said) | {name: said.get(name) for name in ("request_size", "sent_digest")}
        elif link.kind == "release":  # judged anew, and this is what left
            facts |= _request(said) | {"sent_digest": said.get("sent_digest")}
        elif link.kind == "close":
            facts |= {"closed_at": moment(link.at), "state": "closed", **_end(said)}
    facts["entries"] = len(links)
    return facts


def _request(said: Mapping[str, Any]) -> Facts:
    who, what, decision = (metas.part(said, name) for name in ("who", "what", "decision"))
    found: Facts = {ours: who.get(theirs) for ours, theirs in _WHO.items()} if who else {}
    found |= {name: what.get(name) for name in _WHAT}
    found |= {name: decision.get(name) for name in _DECISION}
    return found | {"found": decision.get("counts")}


def _end(said: Mapping[str, Any]) -> Facts:
    """The action and code of the end are the final ones."""
    close = metas.part(said, "close")
    found: Facts = {name: close[name] for name in ("action", "code") if name in close}
    found |= {name: close.get(name) for name in _CLOSE}
    found |= {name: metas.part(close, "extra").get(name) for name in _RESPONSE}
    return found | {"response_found": close.get("response_counts")}


FIELDS: Final = (
    "call",
    "state",
    "started_at",
    "closed_at",
    "session",
    *_WHO,
    *_WHAT,
    *_DECISION,
    "found",
    "request_size",
    "sent_digest",
    *_CLOSE,
    "response_found",
    *_RESPONSE,
    "entries",
)
"""What a row says, in this order; `docs/exports.md` explains each."""


def parts_missing(links: Iterable[Link]) -> int:
    """How many parts of the response the close counts beyond those that are there. Its own count only."""
    segments, counted = 0, None
    for link in links:
        if link.kind == "segment":
            segments += 1
        elif link.kind == "close":
            counted = metas.said(link.meta).get("parts")
    return counted - segments if isinstance(counted, int) else 0


def moment(microseconds: int) -> str | None:
    """As ISO 8601 in UTC, to the millisecond."""
    if not 0 <= microseconds < _FARTHEST:
        return None
    when = _EPOCH + timedelta(microseconds=microseconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
