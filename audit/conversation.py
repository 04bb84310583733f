"""A session's calls as one conversation: of each request only what is new in it.

Reads nothing. Chat clients send everything that was said with every call. Two messages are the same when
their recorded JSON is; the answer of the call before is known again by its text: it comes back bare.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from audit import replay
from audit.evidence import Ending, ending, left_of, request_missing, response_missing, response_of
from audit.inert import Segment
from audit.listing import CallRow, call_row
from audit.models import Call
from audit.reader import CallRecord
from audit.records import NOT_KEPT, Recordable
from audit.replay import Message, Payload

Json = Any
MESSAGES: Final = "messages"
CALLS: Final = 20
"""Calls on one page: each is opened, and every opening is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A recorded request, taken apart for comparing. `messages` is None where it is no conversation."""

    messages: tuple[Json, ...] | None = None
    rest: Json = None
    data: bytes = b""


NOTHING: Final = Said()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What is new in a request. `payload` is None where nothing is."""

    payload: Payload | None = None
    repeated: int = 0  # messages at its beginning that the call before had, its answer among them
    answer_repeated: bool = False
    dropped: int = 0  # messages of the call before that were not sent again
    same: bool = False  # no conversation, and the same document


def said(request: Recordable | None) -> Said:
    """A request as recorded; nothing where there is none, or where its text was not kept."""
    if request is None or request.data == NOT_KEPT:
        return NOTHING
    try:
        tree = json.loads(request.data, parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError):
        return Said(data=request.data)
    messages = tree.get(MESSAGES) if isinstance(tree, dict) else None
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        return Said(data=request.data)
    rest = {name: value for name, value in tree.items() if name != MESSAGES}
    return Said(messages=tuple(messages), rest=rest, data=request.data)


def _number(text: str) -> tuple[str]:
    """A number as it was written, and no text that looks the same."""
    return (text,)


def fresh(payload: Payload | None, now: Said, before: Said, answer: Payload | None) -> Fresh:
    """Of a request what the call before, with its answer, does not hold."""
    if payload is None:
        return Fresh()
    if now.messages is None or before.messages is None:
        same = bool(now.data) and now.data == before.data
        return Fresh(payload=None if same else payload, same=same)
    repeated = _common(now.messages, before.messages)
    dropped = len(before.messages) - repeated
    again = not dropped and _answers(now.messages[repeated : repeated + 1], answer)
    new = replace(
        payload,
        messages=payload.messages[repeated + again :],
        lines=() if now.rest == before.rest else payload.lines,
    )
    return Fresh(
        payload=new if new.messages or new.lines else None,
        repeated=repeated + again,
        answer_repeated=again,
        dropped=dropped,
    )


def _common(now: Sequence[Json], before: Sequence[Json]) -> int:
    """How many messages they begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(now, before, strict=False)))


def _answers(message: Sequence[Json], answer: Payload | None) -> bool:
    """Whether a message is the answer that was given."""
    if not message or answer is None or message[0].get("role") != "assistant":
        return False
    words = _words(message[0].get("content"))
    return bool(words) and any(words == _text(turn) for turn in answer.messages)


def _words(content: Json) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _text(turn: Message) -> str:
    """What was simply said."""
    return "".join(_plain(block.text) for block in turn.blocks if not block.label)


def _plain(text: Sequence[Segment]) -> str:
    return "".join(
        chr(int(part.text[2:], 16)) if part.name and part.text.startswith("U+") else part.text
        for segment in text
        for part in segment.parts
    )


# --- a page of it -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call of the conversation. `before`: the call that it is compared with."""

    call: Call
    row: CallRow
    before: Call | None
    fresh: Fresh
    request_missing: str
    answer: Payload | None
    response_missing: str
    ending: Ending
    chain_ok: bool
    unlike: tuple[str, ...]


def exchanges(records: Sequence[CallRecord]) -> list[Exchange]:
    """In the order they were made; each is compared with the one before it."""
    found: list[Exchange] = []
    before, kept, answer = None, NOTHING, None
    for record in records:
        request, call = left_of(record), record.call
        now, payload = said(request), replay.request(request.data, request.marks) if request else None
        new = fresh(payload, now, kept, answer)
        kept, answer = now, response_of(record)
        found.append(
            Exchange(
                call=call,
                row=call_row(call),
                before=before,
                fresh=new,
                request_missing=request_missing(record),
                answer=replace(answer, lines=()) if answer and answer.messages else answer,
                response_missing=response_missing(record),
                ending=ending(record),
                chain_ok=record.chain_ok,
                unlike=record.unlike,
            )
        )
        before = call
    return found
