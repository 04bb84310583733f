"""A recorded stream put together again: turns, and in each the texts that grew. Pure, and fails on nothing.

OpenAI's chunks name a choice and a delta; Anthropic's events name a block of one message. Texts are keyed by
their place in a whole answer, which is what marks name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from audit.pace import Piece
from audit.tree import Number, parse

Json = Any
ERROR: Final = "error"
"""The role of what ended a stream instead of its own end."""

_LAST: Final = 1 << 40
"""Where the error stands among the turns: behind all of them."""

_MEMBERS: Final = {"partial_json": "input"}
"""Members of an Anthropic delta that go by another name in a whole answer."""


@dataclass(slots=True)
class Turn:
    """One turn of the model. `texts`: place -> (label, pieces); no label for what is simply said."""

    role: str = "assistant"
    note: str = ""
    texts: dict[str, tuple[str, list[Piece]]] = field(default_factory=dict)
    now: int | None = None  # when the event that is being read was there
    began: int | None = None
    ended: int | None = None  # when the note came

    def end(self, note: str) -> None:
        if note:
            self.note, self.ended = note, self.now

    def add(self, place: str, label: str, text: str) -> None:
        self.texts.setdefault(place, (label, []))[1].append((text, self.now))


class Turns(dict[int, Turn]):
    """Turns by their index, while events are read."""

    now: int | None = None

    def at(self, index: int) -> Turn:
        turn = self.get(index)
        if turn is None:
            turn = self[index] = Turn(began=self.now)
        turn.now = self.now
        return turn


def turns_of(events: Iterable[Piece]) -> list[Turn]:
    """`events`: as they were sent, without the blank line that ends each, and when."""
    turns = Turns()
    for event, at in events:
        turns.now = at
        tree = parse(_data_of(event).encode("utf-8", "surrogatepass"))
        if isinstance(tree, dict):
            for choice in _objects(tree.get("choices")):
                _chunk(choice, turns)
            if isinstance(tree.get("type"), str):
                _event(tree, turns)
            if (words := _get(tree.get("error"), "message")) is not None:
                turn = turns.at(_LAST)
                turn.role = ERROR
                turn.add("error.message", "", str(words))
    return [turns[at] for at in sorted(turns)]


def _data_of(event: str) -> str:
    lines = [line.removeprefix("data:").strip(" ") for line in event.split("\n") if line.startswith("data:")]
    return "\n".join(lines)


def _chunk(choice: dict[str, Json], turns: Turns) -> None:
    at = _number(choice.get("index"))
    turn, delta = turns.at(at), choice.get("delta")
    turn.end(str(choice.get("finish_reason") or ""))
    if isinstance(delta, dict):
        turn.role = str(delta.get("role") or turn.role)
        place = f"choices[{at}].delta"
        for path, text in _grown(delta, place):
            label = path.removeprefix(f"{place}.")
            turn.add(path, "" if label == "content" else label, text)


def _grown(node: Json, path: str) -> Iterator[tuple[str, str]]:
    """Every growing string below a delta."""
    for key, value in node.items():
        below = f"{path}.{key}"
        if isinstance(value, str) and not isinstance(value, Number):
            if key != "role":
                yield below, value
        elif isinstance(value, dict):
            yield from _grown(value, below)
        else:
            for position, item in enumerate(_objects(value)):
                yield from _grown(item, f"{below}[{item.get('index', position)}]")


def _event(event: dict[str, Json], turns: Turns) -> None:
    kind, at, delta = event["type"], _number(event.get("index")), event.get("delta")
    block = event.get("content_block")
    if kind == "message_start":
        message = event.get("message")
        turns.at(0).role = str(_get(message, "role") or "assistant")
    elif kind == "message_delta":
        turns.at(0).end(str(_get(delta, "stop_reason") or ""))
    elif kind in ("content_block_start", "content_block_delta"):
        turn, part = turns.at(0), block if kind == "content_block_start" else delta
        for key, value in part.items() if isinstance(part, dict) else ():
            if key != "type" and isinstance(value, str) and not isinstance(value, Number):
                member = _MEMBERS.get(key, str(key))
                turn.add(f"content[{at}].{member}", "" if member == "text" else member, value)


def _get(node: Json, key: str) -> Json:
    return node.get(key) if isinstance(node, dict) else None


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Json) -> int:
    """An index; numbers of the record are text that knows it is one."""
    text = str(value or 0)
    return int(text) if text.isdigit() and len(text) < 10 else 0
