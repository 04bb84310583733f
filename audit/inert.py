"""Recorded text cut into pieces for a page: findings marked, hiding or reordering characters made visible.

Pure. The pieces are plain text: the template escapes them, so nothing recorded can become markup.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_TEXT = 100_000
"""Characters of one text that a page shows."""

_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    f"\u2060-\u206f\ud800-\udfff\ue000-\uf8ff\ufeff\ufff0-\ufffb{_BLANK_LETTERS}{_SELECTORS}"
    "\U000110bd\U0001d173-\U0001d17a\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_CONTROL_NAMES = {0x00: "NULL", 0x08: "BACKSPACE", 0x0D: "CARRIAGE RETURN", 0x1B: "ESCAPE", 0x7F: "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One finding at a place in recorded text. Holds no value."""

    data_class: str
    level: str
    path: str
    start: int
    length: int
    style: str
    passed: bool = False
    detector: str = ""
    number: int = 0  # its place on the page, where findings are listed beside the text; 0: nowhere

    @property
    def title(self) -> str:
        return f"{self.data_class}, {self.level}, {self.how}"

    @property
    def how(self) -> str:
        return "passed in clear, masked in the record" if self.passed else f"masked: {self.style}"


@dataclass(frozen=True, slots=True)
class Part:
    """Text, or a character that would not show (`name` says which; the text is its code point)."""

    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text with at most one mark on it."""

    parts: tuple[Part, ...]
    mark: Mark | None = None
    at: int | None = None  # milliseconds: when it was there; None: with everything else


@dataclass(frozen=True, slots=True)
class Step:
    """Text that grew: its first `upto` characters were there at `at` milliseconds."""

    upto: int
    at: int


def segments(text: str, marks: Iterable[Mark] = (), steps: Sequence[Step] = ()) -> tuple[Segment, ...]:
    """`text` in order, cut at its marks and where it grew. Marks that do not fit are left out; see `placed`.

    A finding is never cut: it is there when its last character is.
    """
    shown = text[:MAX_TEXT]
    runs = _runs(shown, placed(shown, marks))
    cut = [
        Segment(visible(shown[start:end]), mark, at)
        for whole in runs
        for start, end, mark, at in _paced(*whole, steps)
    ]
    if len(text) > MAX_TEXT:
        rest = f"{len(text) - MAX_TEXT:,} more characters, not shown here"
        cut.append(Segment((Part("…", rest),), None, steps[-1].at if steps else None))
    return tuple(cut)


def placed(text: str, marks: Iterable[Mark]) -> list[Mark]:
    """The marks that lie inside the text and do not overlap, in order."""
    fitting: list[Mark] = []
    end = 0
    for mark in sorted(marks, key=lambda mark: (mark.start, -mark.length)):
        if end <= mark.start and mark.length > 0 and mark.start + mark.length <= len(text):
            fitting.append(mark)
            end = mark.start + mark.length
    return fitting


_Run = tuple[int, int, Mark | None]


def _runs(text: str, marks: Sequence[Mark]) -> Iterator[_Run]:
    end = 0
    for mark in marks:
        if mark.start > end:
            yield end, mark.start, None
        end = mark.start + mark.length
        yield mark.start, end, mark
    if end < len(text):
        yield end, len(text), None


def _paced(
    start: int, end: int, mark: Mark | None, steps: Sequence[Step]
) -> Iterator[tuple[int, int, Mark | None, int | None]]:
    """A run cut where it grew; a finding stays whole."""
    if not steps:
        yield start, end, mark, None
        return
    place = bisect_left(steps, end if mark else start + 1, key=lambda step: step.upto)
    while start < end:
        step = steps[min(place, len(steps) - 1)]
        upto = end if mark or place >= len(steps) else min(end, step.upto)
        yield start, upto, mark, step.at
        start, place = upto, place + 1


def visible(text: str) -> tuple[Part, ...]:
    """Text with every hiding or reordering character taken out and named."""
    parts: list[Part] = []
    end = 0
    for match in _SUSPECT.finditer(text):
        if match.start() > end:
            parts.append(Part(text[end : match.start()]))
        parts.append(_named(match.group()))
        end = match.end()
    if end < len(text):
        parts.append(Part(text[end:]))
    return tuple(parts)


def _named(character: str) -> Part:
    code = ord(character)
    name = _CONTROL_NAMES.get(code, "") or unicodedata.name(character, "unnamed character")
    return Part(f"U+{code:04X}", name)
