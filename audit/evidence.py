"""A call's record as its page shows it: payloads to read, entries to check, and what is missing and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import ids, replay
from audit.judgement import Judgement, Vouched, answered, judgement, vouched
from audit.listing import found_of
from audit.models import Call
from audit.reader import CallRecord, Part
from audit.replay import Payload

_BEFORE_THE_MODEL = frozenset({"refused", "held", "denied", "blocked"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the evidence table."""

    kind: str
    at: datetime
    sequence: int
    digest: str
    problem: str
    removed: bool


def evidence(record: CallRecord) -> dict[str, Any]:
    """The part of the page's context that comes from unsealed payloads and the chain."""
    call = record.call
    request, response = _views(record)
    return {
        "request_view": request,
        "found_request": request.legend if request else found_of(call.counts),
        "request_missing": _request_missing(record),
        "response_view": response,
        "found_response": response.legend if response else found_of(call.response_counts),
        "response_missing": _response_missing(record),
        "judged": next((judgement(p.meta) for p in record.parts if p.kind == "admission"), Judgement()),
        "vouched": next((vouched(p.meta) for p in record.parts if p.kind == "admission"), Vouched()),
        "answered": answered(call.extra),
        "entries": [_entry(part) for part in record.parts],
        "chain_ok": record.chain_ok,
        "problems": record.problems,
    }


def _views(record: CallRecord) -> tuple[Payload | None, Payload | None]:
    request, parts = record.request, [(part.data, part.marks) for part in record.response]
    return (
        replay.request(request.data, request.marks) if request else None,
        replay.response(parts, streamed=record.call.streaming) if parts else None,
    )


def _entry(part: Part) -> Entry:
    return Entry(
        kind=part.kind,
        at=ids.moment(part.at // 1000),
        sequence=part.sequence,
        digest=part.digest.hex(),
        problem=part.problem,
        removed=part.removed,
    )


def _request_missing(record: CallRecord) -> str:
    problems = [part.problem for part in record.parts if part.kind == "admission" and part.problem]
    if problems:
        return f"The request cannot be shown: {problems[0]}."
    return "Nothing of the request was kept: it was refused before it could be read."


def _response_missing(record: CallRecord) -> str:
    call = record.call
    problems = [part.problem for part in record.parts if part.kind == "segment" and part.problem]
    if problems:
        return f"The response cannot be shown: {problems[0]}."
    if call.closed_at is None:
        return "Nothing was released yet: the call is open."
    if _stopped_early(call):
        return "There is none: the call was stopped before it reached the model."
    return "Nothing was released to the client."


def _stopped_early(call: Call) -> bool:
    return call.action in _BEFORE_THE_MODEL and "upstream_first_byte" not in (call.timings or {})
