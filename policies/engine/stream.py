"""One text masked as it arrives: `decode()` pieces, `flush()` the rest.

Whole texts take a shorter way to the same result (`whole.py`), or this one in one piece; the tests compare
the two, so that chunking cannot matter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from .candidate import LEFT
from .errors import MaskError
from .frontier import Frontier
from .policy import ClassPlan
from .scanner import Event
from .schema import Schema
from .spans import UNLIMITED, Finder, Span, Window
from .sweep import Sweep
from .types import Finding, MaskedString, MaskedText

EMPTY = MaskedString(MaskedText(""), MaskedText(""))

_Ordered = tuple[int, int, int, str, Span]


class Channel:
    """Events and text of one growing text in, masked text out. Knows nothing of hyperscan."""

    __slots__ = ("_finder", "_path", "_pending", "_plans", "_recorded", "_sent", "_window")

    def __init__(self, schema: Schema, plans: Sequence[ClassPlan], path: str, *, apart: bool) -> None:
        self._window = Window()
        self._finder = Finder(schema.patterns, self._window)
        self._plans = plans
        self._path = path
        self._recorded = Sweep(plans, path, recorded=True)
        self._sent = Sweep(plans, path, recorded=False) if apart else self._recorded
        self._pending: list[_Ordered] = []

    def cover(self, spans: Sequence[Span]) -> None:
        """Spans that the caller knows before any scan (field rules)."""
        for span in spans:
            self._queue(span)

    def push(self, text: str, events: list[Event], frontier: int, *, final: bool = False) -> MaskedString:
        """Take a piece and the events it made known; hand out what is decided."""
        window = self._window
        if text:
            window.append(text)
        if events:
            self._finder.add(window.in_characters(events))
        if not self._finder.idle:
            spans, frontier = self._finder.decide(frontier, final)
            for span in spans:
                self._queue(span)
        if self._pending:
            self._sweep(frontier)
        return self._release(frontier)

    def _queue(self, span: Span) -> None:
        order = (span.start, -span.end, span.class_index, span.detector, span)
        key = order[:4]
        at = bisect_left(self._pending, key)  # a shorter tuple comes first
        if at == len(self._pending) or self._pending[at][:4] != key:
            self._pending.insert(at, order)

    def _sweep(self, frontier: int) -> None:
        pending = self._pending
        count = 0
        while count < len(pending) and pending[count][0] < frontier:
            span = pending[count][4]
            self._recorded.add(span, self._window)
            if self._sent is not self._recorded:
                self._sent.add(span, self._window)
            count += 1
        del pending[:count]

    def _release(self, frontier: int) -> MaskedString:
        recorded = MaskedText(self._recorded.advance(frontier, self._window))
        sent = recorded
        if self._sent is not self._recorded:
            sent = MaskedText(self._sent.advance(frontier, self._window))
            sent = recorded if sent == recorded else sent
        self._window.forget(min(frontier, self._window.end) - LEFT)
        if not recorded and not sent and not self._recorded.findings:
            return EMPTY
        return MaskedString(sent, recorded, *self._reported())

    def _reported(self) -> tuple[tuple[Finding, ...], tuple[tuple[str, str], ...]]:
        found = self._recorded.findings
        if not found:
            return (), ()
        report = tuple(found), tuple(self._recorded.fingerprints)
        self._recorded.findings = []
        self._recorded.fingerprints = []
        return report


class StreamMasker:
    """One streamed channel. After `flush()` it is spent; dropping it early is safe."""

    __slots__ = ("_channel", "_frontier", "_stream")

    def __init__(self, schema: Schema, plans: Sequence[ClassPlan], path: str, *, apart: bool) -> None:
        self._channel = Channel(schema, plans, path, apart=apart)
        self._frontier = Frontier(schema.groups)
        self._stream = schema.scanner.open()

    def decode(self, text: str) -> MaskedString:
        """Take the next piece (whole characters); return what can no longer change."""
        if not text:
            return EMPTY
        return self._channel.push(text, self._stream.feed(encoded(text)), self._frontier.advance(text))

    def flush(self) -> MaskedString:
        """The end of the text: everything withheld is decided now."""
        return self._channel.push("", self._stream.close(), UNLIMITED, final=True)


def encoded(text: str) -> bytes:
    """UTF-8 for the scanner."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise MaskError("lone_surrogate")  # outside the handler: its error would hold the text
