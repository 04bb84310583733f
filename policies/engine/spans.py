"""From scanner events to spans: which pieces of a growing text are sensitive, decided left to right.

Everything here depends on the text alone, never on how it was cut into pieces: an event is looked at only
when the frontier has passed its start, and by then all that could change it has been seen.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .candidate import LEFT, Candidate
from .detectors import Pattern
from .errors import MaskError
from .scanner import Event

Fields = tuple[tuple[int, str], ...]
"""The (class, detector) pairs whose field rules claim a whole value."""

UNLIMITED = 1 << 62
_PIECE = 16_384  # a finding without an end is cut into pieces of this many code points
_LOOK = 64  # what a look costs at least, in code points
_EFFORT = 16_000_000  # a quarter of a second of looking for closers: openers without end are an attack
_CHECKED = 1024  # what an opener opens is validated up to this length; beyond, it is masked unseen


class Span(NamedTuple):
    """A sensitive piece of text. `text` is raw: it lives until the span is rendered and is never repr'd."""

    start: int
    end: int
    class_index: int
    detector: str
    text: str
    repeated: bool = False  # a further piece of a finding that was too long for one
    clipped: bool = False  # the end of a match over its length; its neighbours overlap it

    def __repr__(self) -> str:
        return f"Span({self.start}, {self.end}, {self.class_index})"


class Window:
    """The part of a growing text that is still needed, addressed by offsets of the whole."""

    __slots__ = ("_bytes_before", "ascii", "end", "start", "text")

    def __init__(self) -> None:
        self.text = ""
        self.start = self.end = self._bytes_before = 0
        self.ascii = True

    def append(self, text: str) -> None:
        if self.ascii and not text.isascii():
            self.ascii = False
            self._bytes_before = self.start  # ASCII so far: bytes were characters
        self.text = self.text + text if self.text else text
        self.end += len(text)

    def cut(self, start: int, end: int) -> str:
        begin = self.start
        if not begin and start >= 0:
            return self.text[start:end]
        return self.text[max(start - begin, 0) : max(end - begin, 0)]

    def forget(self, before: int) -> None:
        """Drop what lies before an offset, once it is worth the copy."""
        surplus = before - self.start
        if surplus < _WORTH or surplus < len(self.text) // 2:
            return
        if not self.ascii:
            self._bytes_before += len(self.text[:surplus].encode())
        self.text = self.text[surplus:]
        self.start = before

    def in_characters(self, events: list[Event]) -> list[Event]:
        """Events in code points; a start that was forgotten becomes -1 (certainly too long ago)."""
        if self.ascii:
            return events
        raw = self.text.encode()
        known = {-1: -1}
        position, count = 0, self.start
        for offset in sorted({offset for _, start, end in events for offset in (start, end)}):
            local = offset - self._bytes_before
            if local < 0:
                known[offset] = -1
                continue
            count += len(raw[position:local].decode())
            position = local
            known[offset] = count
        return [(index, known[start], known[end]) for index, start, end in events]


_WORTH = 512


class Finder:
    """Turns events into spans for one text."""

    __slots__ = ("_effort", "_first", "_labels", "_open", "_patterns", "_starts", "_window")

    def __init__(self, patterns: tuple[Pattern, ...], window: Window) -> None:
        self._patterns = patterns
        self._labels: dict[int, list[int]] = {}  # label expression -> where it ended, ascending
        self._window = window
        self._starts: dict[tuple[int, int], int] = {}  # (expression, end) -> its leftmost start
        self._first = UNLIMITED  # no candidate starts before this
        self._open: list[_Opened] = []
        self._effort = 0  # code points that closers were looked for in

    @property
    def idle(self) -> bool:
        return not self._starts and not self._open

    def add(self, events: Iterable[Event]) -> None:
        """Keep the leftmost start per expression and end: streams report some ends twice."""
        starts, patterns, first = self._starts, self._patterns, self._first
        for index, start, end in events:
            if index >= len(patterns):
                insort(self._labels.setdefault(index - len(patterns), []), end)
                continue
            key = (index, end)
            known = starts.get(key)
            if known is None or start < known:
                starts[key] = start
                low = end - patterns[index].max_len
                if start > low:
                    low = start
                if low < first:
                    first = low
        self._first = first

    def decide(self, frontier: int, final: bool) -> tuple[list[Span], int]:
        """The spans whose candidates are final, and how far the text is decided with them."""
        spans: list[Span] = []
        if self._first < frontier:
            for start, index, too_long, end in self._ready(frontier):
                spans.extend(self._confirm(start, end, index, too_long))
        if self._open:
            for opened in self._open:
                spans.extend(opened.advance(self._window, final))
                self._effort += opened.spent
                if self._effort > _EFFORT:
                    raise MaskError("too_many_findings")
            self._open = [opened for opened in self._open if not opened.closed]
            frontier = min([frontier, *(opened.start for opened in self._open)])
        return spans, frontier

    def _ready(self, frontier: int) -> list[tuple[int, int, bool, int]]:
        """Per expression and start, the longest match within bounds; a longer one is clipped to its end."""
        longest: dict[tuple[int, int, bool], int] = {}
        later: dict[tuple[int, int], int] = {}
        first = UNLIMITED
        for (index, end), start in self._starts.items():
            low = end - self._patterns[index].max_len
            clipped = low if start < low else start
            if clipped >= frontier:
                later[index, end] = start
                first = min(first, clipped)
                continue
            key = (clipped, index, clipped != start)
            if longest.get(key, 0) < end:
                longest[key] = end
        self._starts, self._first = later, first
        return [(*key, longest[key]) for key in sorted(longest)]

    def _confirm(self, start: int, end: int, index: int, too_long: bool) -> Iterable[Span]:
        pattern = self._patterns[index]
        labelled = pattern.label >= 0 and self._labelled(pattern.label, start, pattern.near)
        if pattern.need >= 0 and not too_long and not self._meant(pattern, start, labelled):
            return ()
        if pattern.until is not None:
            self._open.append(_Opened(pattern, pattern.until, start, end))
            return ()
        text = self._window.cut(start, end)
        if too_long or pattern.validate is None:
            return (Span(start, end, pattern.class_index, pattern.detector, text, False, too_long),)
        return validated(pattern, self._window, start, end, labelled)

    def _meant(self, pattern: Pattern, start: int, labelled: bool) -> bool:
        """Whether a word that the pattern needs stands before its candidate."""
        if pattern.need == pattern.label:
            return labelled
        return self._labelled(pattern.need, start, pattern.near)

    def _labelled(self, label: int, start: int, near: int) -> bool:
        ends = self._labels.get(label)
        if not ends:
            return False
        nearest = bisect_right(ends, start) - 1
        if nearest > _WORTH:  # labels that far back label nothing any more
            del ends[: nearest - 1]
            nearest = 1
        return nearest >= 0 and ends[nearest] >= start - near


def validated(pattern: Pattern, window: Window, start: int, end: int, labelled: bool) -> list[Span]:
    """The parts of a candidate that its validator confirms."""
    made, name = pattern.class_index, pattern.detector
    text = window.cut(start, end)
    if pattern.validate is None:
        return [Span(start, end, made, name, text)]
    parts = pattern.validate(
        Candidate(text, window.cut(start - LEFT, start), window.cut(end, end + 1), labelled)
    )
    return [Span(start + low, start + high, made, name, text[low:high]) for low, high in parts]


class _Opened:
    """A finding that an opener began and that runs to its closer or the end of the text."""

    __slots__ = ("_pattern", "_searched", "_until", "_value", "closed", "spent", "start")

    def __init__(self, pattern: Pattern, until: re.Pattern[str], start: int, end: int) -> None:
        self._pattern = pattern
        self._until = until
        self._value = end
        self._searched = end
        self.start = start if pattern.with_opener else end
        self.closed = False
        self.spent = 0  # code points that the last look for the closer cost

    def advance(self, window: Window, final: bool) -> Iterator[Span]:
        """Look for the closer in what is new. Pieces of an endless finding come out as they fill up."""
        end = self._closer(window)
        if end is None and final:
            end = window.end
        yield from self._pieces(window, UNLIMITED if end is None else end)
        if end is not None:
            self.closed = True
            yield from self._last(window, end)

    def _closer(self, window: Window) -> int | None:
        base = window.start
        begin = max(self._searched - base, 0)
        found = self._until.search(window.text, begin)
        self.spent = _LOOK + (len(window.text) if found is None else found.end()) - begin
        if found is None:
            self._searched = max(self._value, window.end - self._pattern.until_len)
            return None
        return base + (found.end() if self._pattern.with_opener else found.start())

    def _pieces(self, window: Window, end: int) -> Iterator[Span]:
        # A closer that straddles the cut is seen before the cut is made: wait for its whole length.
        wait = self._pattern.until_len
        while self.start + _PIECE < end and (end < UNLIMITED or self.start + _PIECE + wait <= window.end):
            yield self._span(window, self.start, self.start + _PIECE)
            self.start += _PIECE

    def _last(self, window: Window, end: int) -> Iterator[Span]:
        if end <= self.start:
            return
        if self._pattern.with_opener or end - self._value > _CHECKED:
            yield self._span(window, self.start, end)
            return
        yield from validated(self._pattern, window, self.start, end, False)

    def _span(self, window: Window, start: int, end: int) -> Span:
        repeated = start > self._value
        text = "" if repeated else window.cut(start, min(end, start + _CHECKED))
        return Span(start, end, self._pattern.class_index, self._pattern.detector, text, repeated)
