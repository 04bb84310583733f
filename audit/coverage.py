"""What of a call's payloads was looked at, read from the entries' metadata. Pure.

An entry that somebody changed may hold anything: what does not read as it should is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.reader import CallRecord


@dataclass(frozen=True, slots=True)
class Unread:
    """Content of one kind that no recogniser can read."""

    kind: str
    number: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of one payload."""

    name: str
    texts: int
    size: int
    recognisers: int
    recogniser_set: str
    unread: tuple[Unread, ...] = ()
    stopped: str = ""


def coverages(record: CallRecord) -> tuple[Coverage, ...]:
    """The request as it was judged last, and the response."""
    judged = [part.meta.get("looked") for part in record.parts if part.kind in ("admission", "release")]
    request = next((each for each in reversed(judged) if each), None)
    response = next((_answered(part.meta) for part in record.parts if part.kind == "close"), None)
    found = (coverage("Request", request), coverage("Response", response))
    return tuple(each for each in found if each is not None)


def coverage(name: str, said: object) -> Coverage | None:
    """One payload's, or None where nothing is said of it."""
    if not isinstance(said, dict):
        return None
    unread = said.get("unread")
    parts = unread if isinstance(unread, list) else []
    return Coverage(
        name=name,
        texts=_number(said.get("texts")),
        size=_number(said.get("size")),
        recognisers=_number(said.get("recognisers")),
        recogniser_set=_word(said.get("recogniser_set")),
        unread=tuple(_unread(part) for part in parts if isinstance(part, list) and len(part) == 3),
        stopped=_word(said.get("stopped")),
    )


def _answered(meta: Mapping[str, Any]) -> object:
    close = meta.get("close")
    extra = close.get("extra") if isinstance(close, dict) else None
    return extra.get("looked") if isinstance(extra, dict) else None


def _unread(part: list[Any]) -> Unread:
    kind, number, size = part
    return Unread(_word(kind), _number(number), _number(size))


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _word(value: object) -> str:
    return value[:64] if isinstance(value, str) else ""
