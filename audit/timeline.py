"""What happened to one call, in order: recorded, held, voted on, let go, ended, and who has opened it since.

The call's own entries say what the gateway did; events that name the call say what people did. An entry that
somebody changed may hold anything: what does not read as it should is shown as its bare name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from audit import ids, metas
from audit.events import link
from audit.inert import Segment, segments
from audit.models import Call, Entry
from audit.reader import CallRecord, Part

FIRST: Final = 200
"""Events that are shown from the first on: what was decided about the call is among them."""

LATEST: Final = 50
"""Events that are shown from the last one back."""

_EVENTS: Final = {
    "call.opened": "opened this record",
    "call.cut": "cut the call",
    "approval.opened": "opened the held request, as a reviewer",
    "approval.commented": "commented on the held request",
    "approval.escalated": "asked more people to decide",
    "approval.vote_set_aside": "A vote on the held request counts no more",
    "approval.recounted": "The votes were counted anew",
    "approval.emergency_reviewed": "looked at the emergency approval afterwards",
    "approval.approved": "approved the request",
    "approval.denied": "denied the request",
    "approval.expired": "Nobody decided in time",
    "approval.withdrawn": "withdrew the request",
    "approval.revoked": "took the approval back",
    "approval.consumed": "The approval is used up",
    "approval.superseded": "The approval is void",
}
_VOTES: Final = {"approve": "voted to approve", "deny": "voted to deny"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line. `name` is the event's own name, `who` whoever did it; the gateway itself has no name."""

    at: datetime
    what: str
    name: str = ""
    who: str = ""
    why: tuple[Segment, ...] = ()
    note: str = ""
    problem: str = ""
    after: int | None = None  # milliseconds after the call was recorded; of the gateway's own entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`left_out`: events between the first and the last ones that are not shown."""

    moments: tuple[Moment, ...]
    left_out: int = 0


def timeline(record: CallRecord) -> Timeline:
    """Reads the events that name the call; its own entries have been read."""
    events, left_out = _events(record.call)
    own = list(_own(record.parts))
    moments = [*own[:1], *map(_event, events), *own[1:]]
    in_order = sorted(moments, key=lambda moment: moment.at)  # of the same moment: as listed
    return Timeline(moments=tuple(in_order), left_out=left_out)


def approvals_of(record: CallRecord) -> tuple[str, ...]:
    """The approvals that the call waited for or left under, by their ids, each once."""
    said = (_decision(part.meta).get("approval") for part in record.parts)
    return tuple(dict.fromkeys(each for each in said if isinstance(each, str) and each))


def _events(call: Call) -> tuple[Sequence[Entry], int]:
    rows = Entry.objects.filter(call_id=call.id, kind="event", started_at__gte=call.started_at)
    first = list(rows.order_by("id")[: FIRST + 1])
    if len(first) <= FIRST:
        return first, 0
    first.pop()
    later = rows.filter(id__gt=first[-1].id)
    latest = list(later.order_by("-id")[:LATEST])
    return [*first, *reversed(latest)], later.count() - len(latest)


def _own(parts: Sequence[Part]) -> Iterator[Moment]:
    first = next((part for part in parts if part.kind == "segment"), None)
    zero = next((part.at for part in parts if part.kind == "admission"), None)
    for part in parts:
        if part.kind == "admission":
            yield _moment(part, None, "Recorded", _ruling(part.meta))
        elif part.kind == "release":
            yield _moment(part, zero, "Judged anew, by the rules of that moment", _ruling(part.meta))
        elif part is first:
            yield _moment(part, zero, "The first piece of the response left")
        elif part.kind == "close":
            yield _moment(part, zero, "Ended", _ending(part.meta))


def _moment(part: Part, zero: int | None, what: str, note: str = "") -> Moment:
    return Moment(
        at=ids.moment(part.at // 1000),
        what=what,
        note=note,
        problem=part.problem,
        after=None if zero is None else (part.at - zero) // 1000,
    )


def _ruling(meta: Mapping[str, Any]) -> str:
    action = _decision(meta).get("action")
    return action if isinstance(action, str) else ""


def _decision(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    said = meta.get("decision")
    return said if isinstance(said, dict) else {}


def _ending(meta: Mapping[str, Any]) -> str:
    close = meta.get("close")
    if not isinstance(close, dict):
        return ""
    code = str(close.get("code") or "")
    if close.get("complete") is True:
        return code
    return f"incomplete: {code}" if code else "incomplete"


def _event(entry: Entry) -> Moment:
    meta = metas.said(bytes(entry.meta))
    name, detail = _text(meta, "event"), meta.get("detail")
    facts = detail if isinstance(detail, dict) else {}
    return Moment(
        at=entry.at,
        what=_said(name, facts),
        name=name,
        who=_who(meta.get("by")),
        why=segments(_text(meta, "note")),
        note=", ".join(_facts(facts)),
        problem="" if link(entry).expected() == bytes(entry.digest) else "was changed",
    )


def _said(name: str, facts: Mapping[str, Any]) -> str:
    if name == "approval.voted":
        vote = _VOTES.get(str(facts.get("choice")), "voted")
        return f"{vote}, alone, in an emergency" if facts.get("emergency") is True else vote
    if name == "call.opened" and facts.get("session"):
        return "opened this record, in the conversation of its session"
    return _EVENTS.get(name, "")


def _facts(facts: Mapping[str, Any]) -> Iterable[str]:
    """What an event says beside its name, as far as it is short and reads well."""
    for name in ("voter", "because", "to"):
        value = facts.get(name)
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, list):
            yield f"{name} {', '.join(map(str, value))}"


def _who(by: Any) -> str:
    """Whoever did it; nothing for the gateway itself."""
    if not isinstance(by, dict) or by.get("kind") == "system":
        return ""
    return _text(by, "name") or _text(by, "subject")


def _text(node: Mapping[str, Any], name: str) -> str:
    value = node.get(name)
    return value if isinstance(value, str) else ""
