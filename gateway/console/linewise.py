"""How two JSON documents differ, line by line, for people. Pure and bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from audit.inert import Segment, segments

MAX_LINES: Final = 600
"""Of each document; comparing costs the square of it at worst."""

MAX_LINE: Final = 400
AROUND: Final = 1  # unchanged lines shown around a change


@dataclass(frozen=True, slots=True)
class Changed:
    """One line. `sign` is `-` for the first document's, `+` for the second's, blank for both."""

    sign: str
    text: tuple[Segment, ...]

    @property
    def kind(self) -> str:
        return {"-": "gone", "+": "new"}.get(self.sign, "both")


def changes(one: bytes, other: bytes) -> tuple[Changed, ...]:
    """The lines that differ, each with a neighbour; empty when the documents are equal."""
    if one == other:
        return ()
    return tuple(_changes(_lines(one), _lines(other)))


def _lines(data: bytes) -> list[str]:
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace")
    return [line[:MAX_LINE] for line in text.split("\n")[:MAX_LINES]]


def _changes(one: list[str], other: list[str]) -> Iterator[Changed]:
    groups = SequenceMatcher(None, one, other, autojunk=False).get_grouped_opcodes(AROUND)
    for number, group in enumerate(groups):
        if number:
            yield Changed(" ", segments("…"))
        for tag, low, high, first, last in group:
            if tag == "equal":
                yield from (Changed(" ", segments(line)) for line in one[low:high])
            else:
                yield from (Changed("-", segments(line)) for line in one[low:high])
                yield from (Changed("+", segments(line)) for line in other[first:last])
