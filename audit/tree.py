"""A JSON document as indented lines, with its findings in place. Pure; knows nothing of any API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from audit.inert import Mark, Part, Segment, segments

Json = Any
MAX_LINES: Final = 1_500
"""Lines of one tree that a page shows."""


class Number(str):
    """A number as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an indented document."""

    indent: int
    kind: str  # open | close | string | number | word
    value: tuple[Segment, ...] = ()
    key: tuple[Segment, ...] | None = None
    comma: bool = False


@dataclass(slots=True)
class Marks:
    """Marks by path, with the paths below a string that holds JSON."""

    by_path: dict[str, list[Mark]] = field(default_factory=dict)

    def at(self, path: str) -> Sequence[Mark]:
        return self.by_path.get(path, ())

    def below(self, path: str) -> bool:
        return any(key.startswith((f"{path}.", f"{path}[")) for key in self.by_path)


def index(marks: Iterable[Mark]) -> Marks:
    index = Marks()
    for mark in marks:
        index.by_path.setdefault(mark.path, []).append(mark)
    return index


def parse(data: bytes) -> Json:
    try:
        return json.loads(data, parse_float=Number, parse_int=Number)
    except (ValueError, RecursionError):
        return None


def lines_of(tree: Json, path: str, marks: Marks) -> tuple[Line, ...]:
    if tree == {}:
        return ()
    lines: list[Line] = []
    for line in _walk(tree, path, marks, 0, None, comma=False):
        if len(lines) >= MAX_LINES:
            lines.append(Line(0, "word", (Segment((Part("…", "more lines, not shown here"),)),)))
            break
        lines.append(line)
    return tuple(lines)


def _walk(
    node: Json, path: str, marks: Marks, indent: int, key: tuple[Segment, ...] | None, *, comma: bool
) -> Iterator[Line]:
    if isinstance(node, str) and not isinstance(node, Number) and marks.below(path):
        inner = parse(node.encode("utf-8", "surrogatepass"))  # JSON in a string, such as tool arguments
        node = inner if isinstance(inner, dict | list) else node
    if isinstance(node, dict | list) and node:
        opener, closer = ("{", "}") if isinstance(node, dict) else ("[", "]")
        yield Line(indent, "open", _word(opener), key)
        yield from _members(node, path, marks, indent + 1)
        yield Line(indent, "close", _word(closer), None, comma)
    else:
        yield _scalar(node, path, marks, indent, key, comma=comma)


def _members(node: Json, path: str, marks: Marks, indent: int) -> Iterator[Line]:
    last = len(node) - 1
    if isinstance(node, dict):
        for at, (name, value) in enumerate(node.items()):
            below = f"{path}.{name}" if path else name
            yield from _walk(value, below, marks, indent, segments(name), comma=at < last)
    else:
        for at, value in enumerate(node):
            yield from _walk(value, f"{path}[{at}]", marks, indent, None, comma=at < last)


def _scalar(
    node: Json, path: str, marks: Marks, indent: int, key: tuple[Segment, ...] | None, *, comma: bool
) -> Line:
    if isinstance(node, Number):
        return Line(indent, "number", _word(str(node)), key, comma)
    if isinstance(node, str):
        return Line(indent, "string", segments(node, marks.at(path)), key, comma)
    return Line(indent, "word", _word(json.dumps(node)), key, comma)


def _word(text: str) -> tuple[Segment, ...]:
    return (Segment((Part(text),)),)
