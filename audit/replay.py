"""A recorded payload as a page shows it: a conversation where it is one, an indented tree otherwise.

Pure. Takes what the record holds (masked JSON or SSE, and marks) and never fails on it: what cannot be read
as JSON is shown as text. Marks that cannot be placed in the text are counted, not dropped in silence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from audit.inert import Mark, Segment, segments
from audit.pace import Clock, Piece, steps_of
from audit.records import NOT_KEPT
from audit.streamed import ERROR, Turn, turns_of
from audit.tree import Line, Marks, Number, index, lines_of, parse

Json = Any
MAX_EVENTS: Final = 400
"""Raw stream events that a page shows."""

_FIELDS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How an event may begin; a document that came instead of a stream begins otherwise."""

_HOW: Final = {"redact": "redacted", "remove": "removed", "partial": "partly masked", "label": "labelled"}


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a message: text, or a document as lines."""

    label: str = ""
    text: tuple[Segment, ...] = ()
    lines: tuple[Line, ...] = ()
    at: int | None = None  # when it began; a document: when it was whole


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    note: str = ""
    blocks: tuple[Block, ...] = ()
    at: int | None = None  # when it began
    ended: int | None = None  # when the note came
    cut: bool = False  # it did not come to its end


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream as it was sent."""

    text: tuple[Segment, ...]
    at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """How often one class was found, and what happened to it: a style, or that it passed in clear."""

    data_class: str
    level: str
    how: str
    count: int

    @property
    def title(self) -> str:
        return f"{self.data_class}, {self.level}, {self.how}: {self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Everything a page shows of a request or a response."""

    messages: tuple[Message, ...] = ()
    lines: tuple[Line, ...] = ()
    text: tuple[Segment, ...] = ()
    events: tuple[Event, ...] = ()
    events_left: int = 0
    size: int = 0
    legend: tuple[Legend, ...] = ()
    elsewhere: tuple[Mark, ...] = ()  # findings with no place in the text: removed fields, whole values
    marks: tuple[Mark, ...] = ()  # all findings, as the record lists them
    kept: bool = True  # False: the policy keeps findings, not the text


_NOT_KEPT: Final = Payload(kept=False)


def request(data: bytes, marks: bytes) -> Payload:
    """A recorded request."""
    return request_of(data, read_marks(marks))


def request_of(data: bytes, found: Sequence[Mark]) -> Payload:
    """The same, with its findings read already."""
    return _account(_NOT_KEPT if data == NOT_KEPT else _request(data, found), found)


def response(
    parts: Sequence[tuple[bytes, bytes]],
    *,
    streamed: bool,
    times: Sequence[int] = (),
    cut: bool = False,
    first: int = 0,
) -> Payload:
    """A recorded response: one document, or the segments of a stream in order.

    `times`: when each part left, in milliseconds from any moment. `cut`: it did not come to its end.
    `first`: the number of its first finding; 0: they are not numbered.
    """
    data = b"".join(part for part, _ in parts)
    found = [mark for _, marks in parts for mark in read_marks(marks)]
    found = numbered(found, first) if first else found
    if any(part == NOT_KEPT for part, _ in parts):
        return _account(_NOT_KEPT, found)
    if streamed and data.lstrip().startswith(_FIELDS):
        clock = Clock([len(part) for part, _ in parts], times)
        return _account(_stream(data, found, clock, cut=cut), found)
    return _account(_document(data, found), found)


def numbered(marks: Iterable[Mark], first: int = 1) -> list[Mark]:
    """Findings with their places in a list beside the text."""
    return [replace(mark, number=number) for number, mark in enumerate(marks, first)]


def _account(payload: Payload, found: Sequence[Mark]) -> Payload:
    """Adds what was found, and which findings the view could not point at."""
    shown = {id(mark) for mark in _marks_in(payload)}
    elsewhere = tuple(mark for mark in found if id(mark) not in shown)
    return replace(payload, legend=_legend(found), elsewhere=elsewhere, marks=tuple(found))


def _marks_in(payload: Payload) -> Iterator[Mark]:
    blocks = [block for message in payload.messages for block in message.blocks]
    lines = [*payload.lines, *(line for block in blocks for line in block.lines)]
    runs = [payload.text, *(block.text for block in blocks)]
    runs += [run for line in lines for run in (line.value, line.key or ())]
    return (segment.mark for run in runs for segment in run if segment.mark is not None)


def _request(data: bytes, found: Sequence[Mark]) -> Payload:
    tree = parse(data)
    if tree is None:
        return _plain(data, found)
    places = index(found)
    messages = tree.get("messages") if isinstance(tree, dict) else None
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        return Payload(lines=lines_of(tree, "", places), size=len(data))
    turns = tuple(_message(item, f"messages[{at}]", places) for at, item in enumerate(messages))
    rest = {key: value for key, value in tree.items() if key != "messages"}
    return Payload(messages=turns, lines=lines_of(rest, "", places), size=len(data))


def _document(data: bytes, found: Sequence[Mark]) -> Payload:
    tree = parse(data)
    if tree is None:
        return _plain(data, found)
    places = index(found)
    if isinstance(tree, dict) and isinstance(tree.get("content"), list) and isinstance(tree.get("role"), str):
        return _said(tree, places, len(data))
    choices = tree.get("choices") if isinstance(tree, dict) else None
    if not isinstance(choices, list) or not all(_has_message(choice) for choice in choices):
        return Payload(lines=lines_of(tree, "", places), size=len(data))
    turns = (
        _message(item["message"], f"choices[{at}].message", places, str(item.get("finish_reason") or ""))
        for at, item in enumerate(choices)
    )
    rest = {key: value for key, value in tree.items() if key != "choices"}
    lines = lines_of(rest, "", places)
    return Payload(messages=tuple(turns), lines=lines, size=len(data))


def _said(tree: Mapping[str, Json], places: Marks, size: int) -> Payload:
    """An answer that is itself the message, as Anthropic's is."""
    turn = _message(
        {key: tree[key] for key in ("role", "content")}, "", places, str(tree.get("stop_reason") or "")
    )
    rest = {key: value for key, value in tree.items() if key not in ("role", "content")}
    return Payload(messages=(turn,), lines=lines_of(rest, "", places), size=size)


def read_marks(marks: bytes) -> list[Mark]:
    """The record's list of findings; anything in it that is none is left out."""
    try:
        rows = json.loads(marks)
    except ValueError:
        return []
    return [_mark(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _mark(row: Mapping[str, Json]) -> Mark:
    return Mark(
        data_class=str(row.get("class", "")),
        level=str(row.get("level", "")),
        path=str(row.get("path", "")),
        start=_whole(row.get("start")),
        length=_whole(row.get("length")),
        style=str(row.get("style", "")),
        passed=bool(row.get("passed")),
        detector=str(row.get("detector", "")),
    )


def _whole(value: Json) -> int:
    return value if type(value) is int and value >= 0 else 0


def _legend(marks: Iterable[Mark]) -> tuple[Legend, ...]:
    counts = Counter(
        (mark.data_class, mark.level, "passed in clear" if mark.passed else _HOW.get(mark.style, mark.style))
        for mark in marks
    )
    return tuple(
        Legend(data_class=name, level=level, how=how, count=count)
        for (name, level, how), count in sorted(counts.items())
    )


def _plain(data: bytes, marks: Sequence[Mark]) -> Payload:
    text = data.decode("utf-8", "replace")
    return Payload(text=segments(text, marks), size=len(data))


def _has_message(choice: Json) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def _message(message: Mapping[str, Json], path: str, marks: Marks, note: str = "") -> Message:
    role = message.get("role")
    blocks = tuple(_blocks(message, path, marks))
    return Message(role if isinstance(role, str) else "unknown", note, blocks)


def _blocks(message: Mapping[str, Json], path: str, marks: Marks) -> Iterator[Block]:
    for key, value in message.items():
        below = f"{path}.{key}" if path else key
        if key == "role" or value in (None, "", []):
            continue
        if isinstance(value, str) and not isinstance(value, Number) and not marks.below(below):
            yield Block("" if key == "content" else key, text=segments(value, marks.at(below)))
        elif key == "content" and isinstance(value, list):
            yield from (_part(item, f"{below}[{at}]", marks) for at, item in enumerate(value))
        else:
            yield Block(key.replace("_", " "), lines=lines_of(value, below, marks))


def _part(part: Json, path: str, marks: Marks) -> Block:
    text = part.get("text") if isinstance(part, dict) else None
    if isinstance(text, str) and set(part) <= {"type", "text"}:
        return Block("", text=segments(text, marks.at(f"{path}.text")))
    kind = str(part.get("type") or part.get("opaque") or "part") if isinstance(part, dict) else "part"
    return Block(kind, lines=lines_of(part, path, marks))


def _stream(data: bytes, marks: Sequence[Mark], clock: Clock, *, cut: bool) -> Payload:
    """Text put together again channel by channel, and the events as they were."""
    raw = list(_events(data, clock))
    places = index(marks)
    turns = tuple(_turn(turn, places, cut=cut) for turn in turns_of(raw))
    events = tuple(Event(segments(event), at) for event, at in raw[:MAX_EVENTS])
    left = max(0, len(raw) - MAX_EVENTS)
    return Payload(messages=turns, events=events, events_left=left, size=len(data))


def _events(data: bytes, clock: Clock) -> Iterator[Piece]:
    """Each event and when it was there as a whole."""
    end = 0
    for raw in data.split(b"\n\n"):
        end += len(raw) + 2
        if raw.strip():
            yield raw.decode("utf-8", "replace"), clock.at(min(end, len(data)))


def _turn(turn: Turn, places: Marks, *, cut: bool) -> Message:
    open_ended = cut and not turn.note and turn.role != ERROR
    blocks = tuple(_grown(turn, places))
    return Message(turn.role, turn.note, blocks, turn.began, turn.ended, open_ended)


def _grown(turn: Turn, marks: Marks) -> Iterator[Block]:
    for path, (label, pieces) in turn.texts.items():
        text = "".join(piece for piece, _ in pieces)
        if marks.below(path):
            yield Block(label, lines=lines_of(text, path, marks), at=pieces[-1][1])
        elif text:
            yield Block(label, segments(text, marks.at(path), steps_of(pieces)), at=pieces[0][1])
