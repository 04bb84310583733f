"""What somebody looks for: a value that can be said, kept, and asked again.

SelectionError           in words, for whoever typed it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, final
from uuid import UUID

from audit.search import terms
from audit.search.terms import Term

MOST_WORDS: Final = 10
LONGEST_GRANT: Final = timedelta(days=31)
"""Days of grants in one search: each is a term of its own."""

_FIRST_YEAR, _LAST_YEAR = 1971, 9000
"""An id holds no time before 1970, and from its last years no further day can be counted."""

FACTS: Final = tuple(kind for kind in terms.KINDS if kind != "granted")


class SelectionError(ValueError):
    pass


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All of it has to hold. Empty: every call."""

    words: tuple[str, ...] = ()  # as the index knows them
    facts: tuple[Term, ...] = ()
    granted: tuple[date, date] | None = None  # first and last day
    since: datetime | None = None
    until: datetime | None = None  # not included
    call: UUID | None = None

    def __bool__(self) -> bool:
        return self != Selection()

    def of(self, kind: str) -> str:
        """The value that is asked for of a kind of fact."""
        return next((value for name, value in self.facts if name == kind), "")

    def said(self) -> dict[str, Any]:
        """As plain JSON; `selection_of` reads it."""
        found: dict[str, Any] = dict(self.facts)
        if self.words:
            found["words"] = " ".join(self.words)
        if self.granted is not None:
            found["granted_since"], found["granted_until"] = (day.isoformat() for day in self.granted)
        for name, value in (("since", self.since), ("until", self.until)):
            if value is not None:
                found[name] = value.isoformat()
        if self.call is not None:
            found["call"] = str(self.call)
        return found


def selection_of(asked: Mapping[str, Any]) -> Selection:
    """From what a form or a program says; what it does not know is refused. Raises SelectionError."""
    said = cleaned(asked)
    since, until = _moment(said, "since"), _moment(said, "until")
    if since and until and since >= until:
        raise SelectionError("The time ends before it begins.")
    return Selection(
        words=_words(said.get("words", "")),
        facts=tuple(_facts(said)),
        granted=_granted(said),
        since=since,
        until=until,
        call=_call(said.get("call", "")),
    )


def cleaned(asked: Mapping[str, Any]) -> dict[str, str]:
    """Criteria as they were typed, those that are empty left out. Raises SelectionError."""
    if not set(asked) <= (
        known := {"words", "granted_since", "granted_until", "since", "until", "call", *FACTS}
    ):
        raise SelectionError(f"Criteria are {', '.join(sorted(known))}; there is one that is none of these.")
    return {name: _storable(str(value)).strip() for name, value in asked.items() if value not in (None, "")}


def _storable(text: str) -> str:
    """Without what no database and no file takes: NUL, and halves of characters."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _words(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(terms.words_of(text)))
    if text and not found:
        raise SelectionError("Words have two letters or digits at least.")
    if len(found) > MOST_WORDS:
        raise SelectionError(f"Ask for {MOST_WORDS} words at most.")
    return found


def _facts(said: Mapping[str, str]) -> Iterator[Term]:
    for kind in FACTS:
        if value := terms.fact(kind, said.get(kind, "")):
            if len(value) > 255:
                raise SelectionError(f"The {kind} is too long.")
            yield kind, value


def _granted(said: Mapping[str, str]) -> tuple[date, date] | None:
    first, last = (_day(said, f"granted_{end}") for end in ("since", "until"))
    if first is None and last is None:
        return None
    if first is None or last is None:
        first = last = first or last
    assert first is not None and last is not None  # noqa: S101 (one of them is)
    if last < first:
        raise SelectionError("The days of grants end before they begin.")
    if last - first >= LONGEST_GRANT:
        raise SelectionError(f"Ask for grants of {LONGEST_GRANT.days} days at most.")
    return first, last


def _day(said: Mapping[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(said[name]) if name in said else None
    except ValueError:
        raise SelectionError(f"{name.replace('_', ' ')}: write a day as 2026-11-26.") from None


def _moment(said: Mapping[str, str], name: str) -> datetime | None:
    """A day's beginning, or a time; of no zone, UTC."""
    if name not in said:
        return None
    try:
        found = datetime.fromisoformat(said[name])
    except ValueError:
        raise SelectionError(f"{name}: write a time as 2026-11-26 or 2026-11-26 14:30.") from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise SelectionError(f"{name}: there are calls from {_FIRST_YEAR} to {_LAST_YEAR} at most.")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _call(text: str) -> UUID | None:
    """A call's id, which its answer gave as `x-request-id` too."""
    try:
        return UUID(text) if text else None
    except ValueError:
        raise SelectionError("That is no id of a call: it has 32 hexadecimal digits.") from None
