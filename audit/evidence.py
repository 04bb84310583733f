"""A call's record as its page shows it: payloads to read and to play, entries to check, and what is missing
and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from audit import ids, replay
from audit.coverage import coverages
from audit.inert import Mark
from audit.judgement import Judgement, Vouched, answered, judgement, vouched
from audit.listing import found_of, milliseconds
from audit.models import Call
from audit.pace import pace_of
from audit.reader import CallRecord, Part
from audit.records import Recordable
from audit.replay import Payload
from audit.timeline import approvals_of, timeline

MAX_FINDINGS: Final = 2_000
"""Findings that a page lists with a link each; their number is said in any case."""

_BEFORE_THE_MODEL = frozenset({"refused", "held", "denied", "blocked"})
_CUT: Final = {
    "client_gone": "the client left",
    "upstream_cut": "the model's service ended its answer early",
    "instance_lost": "the gateway's process ended while the call ran",
    "not_sent": "nothing was sent: the client had been refused already",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the evidence table."""

    kind: str
    at: datetime
    sequence: int
    digest: str
    problem: str
    removed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the response came to its end. `cut`: not as it should have."""

    cut: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The request in its forms; those that are the same as the first are left out."""

    shown: Payload | None  # as it was judged last, which is how it left if it did
    again: bool  # it was held, and judged again since it came
    left: bool  # and let go
    came: Payload | None  # as it came, where something else left
    reviewed: Payload | None  # as whoever decided saw it


def evidence(record: CallRecord) -> dict[str, Any]:
    """The part of the page's context that comes from unsealed payloads and the chain."""
    call = record.call
    requests = _requests(record)
    request = requests.shown
    times, end = paces(record)
    response = _response(record, times, first=1 + len(_marks(request)))
    findings = _marks(request) + _marks(response)
    released = _latest(record, "release")
    said = _latest(record, "admission")
    return {
        "requests": requests,
        "request_view": request,
        "found_request": request.legend if request else found_of(call.counts),
        "request_missing": request_missing(record),
        "response_view": response,
        "found_response": response.legend if response else found_of(call.response_counts),
        "response_missing": response_missing(record),
        "pace": pace_of(times, end) if times else None,
        "ending": ending(record) if response else None,
        "findings": findings[:MAX_FINDINGS],
        "findings_left": max(0, len(findings) - MAX_FINDINGS),
        "judged": judgement(said.meta) if said else Judgement(),
        "judged_again": judgement(released.meta) if released else Judgement(),
        "decided": _decided(released or said),
        "vouched": vouched(said.meta) if said else Vouched(),
        "answered": answered(call.extra),
        "timeline": timeline(record),
        "approvals": approvals_of(record),
        "looked": coverages(record),
        "entries": [_entry(part) for part in record.parts],
        "chain_ok": record.chain_ok,
        "unlike": record.unlike,
        "problems": record.problems,
    }


def _latest(record: CallRecord, kind: str) -> Part | None:
    return next((part for part in reversed(record.parts) if part.kind == kind), None)


def _decided(part: Part | None) -> Mapping[str, Any]:
    """Under which versions: those of the entry that let the call out; its row has those of its start."""
    meta = part.meta if part else {}
    what, said = meta.get("what"), meta.get("decision")
    found = dict(what) if isinstance(what, dict) else {}
    if isinstance(said, dict):
        found |= {"rules": _words(said.get("rules"))}
        found |= {name: str(said.get(name) or "") for name in ("action", "gate")}
    return found


def _words(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


# --- requests ---------------------------------------------------------------------------------------


def left_of(record: CallRecord) -> Recordable | None:
    """The request as it left or would have: as judged last."""
    released = _latest(record, "release")
    return (released.payload if released else None) or record.request


def _requests(record: CallRecord) -> Requests:
    came, view, main = record.request, record.view, left_of(record)
    released = _latest(record, "release")
    again = main is not came
    action = _decided(released).get("action")
    return Requests(
        shown=replay.request_of(main.data, replay.numbered(replay.read_marks(main.marks))) if main else None,
        again=again,
        left=again and action not in ("held", "blocked"),
        came=replay.request(came.data, came.marks) if again and came and main != came else None,
        reviewed=replay.request(view.data, view.marks) if view and view != main else None,
    )


def _marks(payload: Payload | None) -> tuple[Mark, ...]:
    return payload.marks if payload else ()


# --- the response, and how it came --------------------------------------------------------------------


def paces(record: CallRecord) -> tuple[tuple[int, ...], int]:
    """When each segment that opens left, and when the call ended: milliseconds from when it was let go."""
    zero = next((part.at for part in reversed(record.parts) if part.kind in ("release", "admission")), None)
    if zero is None:
        return (), 0
    pieces = [part for part in record.parts if part.kind == "segment" and part.payload]
    times = tuple(max(0, (part.at - zero) // 1000) for part in pieces)
    closed = _latest(record, "close")
    end = (closed.at - zero) // 1000 if closed else 0
    return times, max((end, *times))


def _response(record: CallRecord, times: Sequence[int], first: int) -> Payload | None:
    parts = [(part.data, part.marks) for part in record.response]
    if not parts:
        return None
    streaming, cut = record.call.streaming, record.call.complete is not True
    return replay.response(parts, streamed=streaming, times=times, cut=cut, first=first)


def response_of(record: CallRecord) -> Payload | None:
    """A response to read, not to play, and without numbers."""
    return _response(record, (), first=0)


def ending(record: CallRecord) -> Ending:
    """What comes after the last piece that was released. Where the record has holes it is not whole (P13)."""
    pieces = [part for part in record.parts if part.kind == "segment"]
    closed = _latest(record, "close")
    counted = closed.meta.get("parts") if closed else None
    if isinstance(counted, int) and counted > len(pieces):
        return Ending(cut=True, text=f"The record holds {len(pieces)} of {counted} pieces of this response.")
    unread = [part for part in pieces if part.payload is None]
    if unread:
        text = f"{len(unread)} of {len(pieces)} pieces cannot be shown: {unread[0].problem}."
        return Ending(cut=True, text=text)
    return ending_of(record.call)


def ending_of(call: Call) -> Ending:
    """The same as the call says it."""
    if call.closed_at is None:
        return Ending(cut=True, text="The call is open: more may have been released since.")
    if call.complete:
        took = (call.timings or {}).get("total")
        return Ending(cut=False, text=f"Complete after {milliseconds(took)}." if took else "Complete.")
    why = _CUT.get(call.code, call.code)
    streamed = call.streaming and call.status == 200
    end = "The response ends here, and is not whole" if streamed else "This is not the model's answer"
    return Ending(cut=True, text=f"{end}: {why}." if why else f"{end}.")


# --- entries ------------------------------------------------------------------------------------------


def _entry(part: Part) -> Entry:
    return Entry(
        kind=part.kind,
        at=ids.moment(part.at // 1000),
        sequence=part.sequence,
        digest=part.digest.hex(),
        problem=part.problem,
        removed=part.removed,
    )


def request_missing(record: CallRecord) -> str:
    """Why there is nothing to show of the request."""
    problems = [part.problem for part in record.parts if part.kind == "admission" and part.problem]
    if problems:
        return f"The request cannot be shown: {problems[0]}."
    return "Nothing of the request was kept: it was refused before it could be read."


def response_missing(record: CallRecord) -> str:
    """Why there is nothing to show of the response."""
    call = record.call
    problems = [part.problem for part in record.parts if part.kind == "segment" and part.problem]
    if problems:
        return f"The response cannot be shown: {problems[0]}."
    if call.closed_at is None:
        return "Nothing was released yet: the call is open."
    if _stopped_early(call):
        return "There is no response: the call was stopped before it reached the model."
    return "Nothing was released to the client."


def _stopped_early(call: Call) -> bool:
    return call.action in _BEFORE_THE_MODEL and "upstream_first_byte" not in (call.timings or {})
