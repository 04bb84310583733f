"""Server-sent events as bytes: an incremental decoder and an encoder.

Lines end at CR, LF or CRLF and nowhere else (U+2028 is text). Follows the WHATWG HTML standard,
section 9.2.6, for parsing; `id` and `retry` fields are read over, since no model API uses them.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT = 4 * 1024 * 1024
"""Bytes one event may have before the stream is refused: bounds memory against a line that never ends."""


class SSEError(ValueError):
    """The bytes are not a server-sent event stream that can be passed on."""


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event. `data` lines are joined with a line feed."""

    data: str
    name: str = ""


class Decoder:
    """Bytes in, events out, however the bytes are cut."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of the line that has not ended; joined once, when it ends
        self._waiting = 0
        self._skip_lf = False
        self._first = True
        self._data: list[str] = []
        self._name = ""
        self._size = 0

    def decode(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events they complete."""
        events: list[Event] = []
        for line in self._lines(chunk):
            if line:
                self._field(line)
            elif self._data:
                events.append(self._dispatch())
            else:
                self._name = ""
        return events

    def flush(self) -> list[Event]:
        """The stream ended. An event without its blank line is not an event: it was cut."""
        if b"".join(self._rest).strip() or self._data:
            raise SSEError("stream ended inside an event")
        return []

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes, without their ends."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._skip_lf = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        self._rest.append(lines[0])
        if len(lines) > 1:
            lines[0] = b"".join(self._rest)
            self._rest, self._waiting = [lines[-1]], 0
        self._waiting += len(self._rest[-1])
        self._guard(self._waiting)
        return lines[:-1]

    def _field(self, raw: bytes) -> None:
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise SSEError("invalid UTF-8") from None
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(raw)
            self._guard(self._size)
        elif name == "event":
            self._name = value

    def _dispatch(self) -> Event:
        event = Event("\n".join(self._data), self._name)
        self._data, self._name, self._size = [], "", 0
        return event

    def _guard(self, size: int) -> None:
        if size > MAX_EVENT:
            raise SSEError("event too large")


def encode(data: bytes, name: str = "") -> bytes:
    """One event of compact JSON (or `[DONE]`) under its name: neither holds a line break."""
    event = b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\n" + event if name else event
