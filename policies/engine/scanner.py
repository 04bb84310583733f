"""All expressions of a schema compiled by hyperscan, for whole texts and for streams.

Nobody else touches hyperscan. Its present engine (Vectorscan 5.4.12) loses matches of some expressions in
long buffers, and may crash in block mode, so:
- nothing is compiled in block mode; a whole text is a stream of one piece;
- the library's expressions and term lists, which the tests try at every alignment, are fed as they come;
- an admin's expressions live in a second database that sees at most 15 bytes at a time, too short for the
  vector code where the losses happen.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import threading
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import hyperscan

from .errors import MaskError

Event = tuple[int, int, int]  # expression id, start, end: byte offsets


class Expression(NamedTuple):
    """One expression; `tried` means that it is ours and tested against losses.

    No text without `needs` has a match (empty: nothing is known).
    """

    text: str
    ignore_case: bool
    tried: bool
    needs: str = ""


_MAX_EVENTS = 500_000  # per call; a pattern that matches nearly everywhere must not eat the memory
_FEW_NEEDED = 4  # texts that are sooner looked for one by one
_PIECE = 15
_PIECES_AT_ONCE = struct.Struct(f"{_PIECE}s" * 64)
_BASE = hyperscan.HS_FLAG_SOM_LEFTMOST | hyperscan.HS_FLAG_UTF8
_VERSION: str = hyperscan.__version__  # type: ignore[attr-defined]  # its stub forgets it
_STREAM = hyperscan.HS_MODE_STREAM | hyperscan.HS_MODE_SOM_HORIZON_LARGE
_PIECES = hyperscan.HS_MODE_VECTORED

_Numbered = list[tuple[int, Expression]]


class Scanner:
    """Immutable and shared by threads; each thread gets its own scratch."""

    def __init__(
        self, expressions: Sequence[Expression], cache: MutableMapping[bytes, bytes] | None = None
    ) -> None:
        numbered = list(enumerate(expressions))
        tried = [one for one in numbered if one[1].tried]
        others = [one for one in numbered if not one[1].tried]
        self._tried = _Database(tried, _STREAM, cache) if tried else None
        self._others = _Database(others, _STREAM, cache) if others else None
        self._pieces = _Database(others, _PIECES, cache) if others else None
        needed = {one.needs for _, one in others}
        self._needles = _needles(needed, cache)
        self._needed = () if "" in needed else tuple(one.encode() for one in needed)

    def scan(self, data: bytes) -> list[Event]:
        """Every event in one whole text."""
        events: list[Event] = []
        if self._tried is not None:
            stream = _Stream(self._tried, events)
            try:
                stream.feed(data)
            finally:
                stream.close()
        if self._pieces is not None and self._may_match(data):
            _guarded(self._pieces.raw.scan, _split(data), _collect, 0, events, self._pieces.scratch())
        return events

    def _may_match(self, data: bytes) -> bool:
        """Whether a text has what an admin's expressions need: most have not, and the pieces are dear."""
        if self._needles is not None:
            return self._needles.touches(data)
        for needed in self._needed:
            if needed in data:
                return True
        return not self._needed

    def open(self) -> ScanStream:
        """A stream over one channel."""
        return ScanStream(self._tried, self._others)


class ScanStream:
    """One channel through both databases."""

    __slots__ = ("_events", "_others", "_tried")

    def __init__(self, tried: _Database | None, others: _Database | None) -> None:
        self._events: list[Event] = []
        self._tried = _Stream(tried, self._events) if tried else None
        self._others = _Stream(others, self._events) if others else None

    def feed(self, data: bytes) -> list[Event]:
        """The events that became known with these bytes (whole characters only)."""
        if self._tried is not None:
            self._tried.feed(data)
        if self._others is not None:
            for at in range(0, len(data), _PIECE):
                self._others.feed(data[at : at + _PIECE])
        return self._taken()

    def close(self) -> list[Event]:
        """The events that only the end of the text makes known. Idempotent."""
        for stream in (self._tried, self._others):
            if stream is not None:
                stream.close()
        return self._taken()

    def _taken(self) -> list[Event]:
        if not self._events:
            return []
        events = self._events[:]
        self._events.clear()
        return events


class _Database:
    """One compiled database with a scratch per thread."""

    def __init__(self, expressions: _Numbered, mode: int, cache: MutableMapping[bytes, bytes] | None) -> None:
        self.raw = _cached(expressions, mode, cache)
        self.closing = threading.RLock()  # a stream may be collected while another one closes
        self._local = threading.local()

    def scratch(self) -> hyperscan.Scratch:
        found: hyperscan.Scratch | None = getattr(self._local, "scratch", None)
        if found is None:
            found = self._local.scratch = hyperscan.Scratch(self.raw)
        return found

    def touches(self, data: bytes) -> bool:
        """Whether anything matches: the scan ends with the first event."""
        hits: list[int] = []
        scan: Any = self.raw.scan  # its stub knows no list of bytes
        with contextlib.suppress(hyperscan.ScanTerminated):
            scan([data], _touch, 0, hits, self.scratch())
        return bool(hits)


class _Stream:
    """One open stream. Using hyperscan's stream after its close crashes the process, hence this wrapper."""

    __slots__ = ("_database", "_events", "_raw")

    def __init__(self, database: _Database, events: list[Event]) -> None:
        self._database = database  # hyperscan's stream keeps neither its database nor the list alive
        self._events = events
        self._raw: Any = database.raw.stream(match_event_handler=_collect, context=events)
        self._raw.__enter__()

    def feed(self, data: bytes) -> None:
        _guarded(self._raw.scan, data, 0, self._database.scratch())

    def close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            with self._database.closing:  # close() can only use the database's own scratch
                _guarded(raw.close)

    def __del__(self) -> None:
        if getattr(self, "_raw", None) is not None:
            self.close()


def compile_problem(expression: str, ignore_case: bool) -> str:
    """Why the scanner refuses an expression, in its own words; empty when it takes it."""
    try:
        _take(expression, ignore_case)
    except hyperscan.HyperscanError as error:
        return str(error).rstrip(".")
    return ""


@lru_cache(maxsize=4096)
def _take(expression: str, ignore_case: bool) -> None:
    """Compile it alone. What was taken is remembered: a schema is checked several times on its way."""
    for mode in (_STREAM, _PIECES):
        _compile([(0, Expression(expression, ignore_case, False))], mode)


def _split(data: bytes) -> list[bytes]:
    """Pieces of at most 15 bytes, most of them cut 64 at a time: a slice each costs as much as the scan."""
    pieces: list[bytes] = []
    most = len(data) - len(data) % _PIECES_AT_ONCE.size
    for at in range(0, most, _PIECES_AT_ONCE.size):
        pieces += _PIECES_AT_ONCE.unpack_from(data, at)
    pieces += [data[at : at + _PIECE] for at in range(most, len(data), _PIECE)]
    return pieces


def _collect(index: int, start: int, end: int, _flags: int, events: Any) -> bool | None:
    events.append((index, start, end))
    return True if len(events) > _MAX_EVENTS else None


def _touch(index: int, _start: int, _end: int, _flags: int, hits: Any) -> bool:
    hits.append(index)
    return True


def _needles(needed: set[str], cache: MutableMapping[bytes, bytes] | None) -> _Database | None:
    """Many texts as one database of literals: one look at a text instead of one for each of them."""
    if "" in needed or len(needed) <= _FEW_NEEDED:
        return None
    literals = [Expression("".join(map(_literal, one)), False, True) for one in sorted(needed)]
    return _Database(list(enumerate(literals)), _PIECES, cache)


def _literal(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}"


def _guarded(call: Any, *arguments: Any) -> None:
    try:
        call(*arguments)
    except hyperscan.ScanTerminated:
        raise MaskError("too_many_findings") from None


def _cached(
    expressions: _Numbered, mode: int, cache: MutableMapping[bytes, bytes] | None
) -> hyperscan.Database:
    if cache is None:
        return _compile(expressions, mode)
    key = _key(expressions, mode)
    stored = cache.get(key)
    loaded = _load(stored, mode) if stored is not None else None
    if loaded is None:
        loaded = _compile(expressions, mode)
        cache[key] = hyperscan.dumpb(loaded)
    return loaded


def _compile(expressions: _Numbered, mode: int) -> hyperscan.Database:
    database = hyperscan.Database(mode=mode)
    fold = hyperscan.HS_FLAG_CASELESS
    database.compile(
        expressions=[one.text.encode() for _, one in expressions],
        ids=[number for number, _ in expressions],
        flags=[_BASE | (fold if one.ignore_case else 0) for _, one in expressions],
    )
    return database


def _load(stored: bytes, mode: int) -> hyperscan.Database | None:
    try:
        database = hyperscan.loadb(stored, mode)
    except hyperscan.HyperscanError:
        return None  # another processor or library version: compile again
    database.scratch = hyperscan.Scratch(database)
    return database


def _key(expressions: _Numbered, mode: int) -> bytes:
    digest = hashlib.sha256(f"{_VERSION} {mode} {_BASE}".encode())
    for number, one in expressions:
        raw = one.text.encode()
        digest.update(b"%d:%d:%d:" % (number, one.ignore_case, len(raw)) + raw)
    return digest.digest()
