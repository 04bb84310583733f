"""What the newest matches of a search add up to: how many per model, class, caller …, and over time.

Over `MOST` matches and no more: the database groups exactly these rows, by their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

from django.db import connection

from audit import ids
from audit.search.finding import narrowed, places_of
from audit.search.grouping import Groups, Row, grouped, grouped_newest, width_of
from audit.search.selection import Selection
from audit.walls import Areas

MOST: Final = 10_000
SHOWN: Final = 12
"""Values of one facet."""

KINDS: Final = {"name": "caller", "highest": "level"}
"""Columns whose criterion has another name."""

_ORDER: Final = (
    "action", "class", "level", "caller", "model", "endpoint", "area", "policy", "status", "code", "api"
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Value:
    """One value of a facet, in how many calls, and that as thousandths of the most frequent one."""

    value: str
    calls: int
    width: int


@final
@dataclass(frozen=True, slots=True)
class Facet:
    kind: str
    values: tuple[Value, ...]


@final
@dataclass(frozen=True, slots=True)
class Bar:
    """Calls of one span of time: all of them, and those that were masked, held and stopped."""

    since: datetime
    calls: int
    masked: int
    held: int
    stopped: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`whole`: False where there are more matches than these."""

    calls: int
    whole: bool
    since: datetime | None = None
    until: datetime | None = None
    facets: tuple[Facet, ...] = ()
    bars: tuple[Bar, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, kind: str, value: str) -> int:
        """Calls with a value among those that the facet shows."""
        values = (each.values for each in self.facets if each.kind == kind)
        return next((one.calls for each in values for one in each if one.value == value), 0)


_MASKED: Final = frozenset({"masked"})
_HELD: Final = frozenset({"held", "released"})
_STOPPED: Final = frozenset({"blocked", "denied", "refused"})


def summary(selection: Selection, areas: Areas) -> Summary:
    """The sums of the newest matches."""
    if connection.vendor == "postgresql" and not narrowed(selection, areas):
        return _summary(grouped_newest(selection, MOST), MOST)
    places = places_of(selection, areas, limit=MOST)
    if not places.calls:
        return Summary(calls=0, whole=places.older is None)
    return _summary(grouped(places.calls, areas), len(places.calls) + (places.older is None))


def _summary(groups: Groups, most: int) -> Summary:
    """`most`: with fewer calls than that these are all."""
    counts, bars, tokens = _read(groups.rows)
    calls = sum(count for by in bars.values() for count in by.values())
    return Summary(
        calls=calls,
        whole=calls < most,
        since=ids.moment(groups.first) if calls else None,
        until=ids.moment(groups.last) if calls else None,
        facets=tuple(_facets(counts)),
        bars=tuple(_bars(bars, groups.first, width_of(groups.first, groups.last))),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )


Counts = dict[str, dict[str, int]]


def _read(rows: Iterable[Row]) -> tuple[Counts, dict[int, dict[str, int]], tuple[int, int]]:
    counts: Counts = {}
    bars: dict[int, dict[str, int]] = {}
    given = taken = 0
    for kind, value, calls, input_tokens, output_tokens in rows:
        if kind == "bar":
            at, _, action = value.partition(" ")
            bars.setdefault(int(at), {})[action] = calls
            given, taken = given + int(input_tokens or 0), taken + int(output_tokens or 0)
        elif value:
            counts.setdefault(KINDS.get(kind, kind), {})[value] = calls
    return counts, bars, (given, taken)


def _facets(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Facet]:
    for kind in _ORDER:
        ordered = sorted(counts.get(kind, {}).items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
        if ordered:
            most = ordered[0][1]
            yield Facet(kind, tuple(Value(name, n, max(6, 1000 * n // most)) for name, n in ordered))


def _bars(bars: Mapping[int, Mapping[str, int]], start: int, width: int) -> Iterator[Bar]:
    for at in range(max(bars, default=-1) + 1):
        by = bars.get(at, {})
        yield Bar(
            since=ids.moment(start + at * width),
            calls=sum(by.values()),
            masked=_of(by, _MASKED),
            held=_of(by, _HELD),
            stopped=_of(by, _STOPPED),
        )


def _of(by: Mapping[str, int], actions: frozenset[str]) -> int:
    return sum(count for action, count in by.items() if action in actions)
