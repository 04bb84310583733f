"""What the newest matches of a search add up to: how many per model, class, caller …, and over time.

Over `MOST` matches and no more, a few days at a time; nothing but sums leaves the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final, final

from audit import ids
from audit.search.finding import narrowed, places_of, walk
from audit.search.grouping import Groups, calls_add, matches_add, newest_add, width_of
from audit.search.selection import Selection
from audit.walls import Areas

MOST: Final = 3_000
SHOWN: Final = 12
"""Values of one facet."""

_COLUMNS: Final = {"caller": "name", "level": "highest"}
"""Criteria whose column has another name."""

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
    groups = Groups()
    if selection.call is not None:
        calls_add(groups, places_of(selection, areas).calls, areas)
        return _summary(groups, whole=True)
    if not narrowed(selection, areas):
        newest_add(groups, selection.since, selection.until, MOST)
        return _summary(groups, whole=groups.calls < MOST or not _goes_on(selection, areas, groups))
    back_to = walk(selection, areas, partial(matches_add, groups, areas=areas), most=MOST)
    calls_add(groups, groups.missing, areas)
    if groups.matched >= MOST:
        return _summary(groups, whole=not _goes_on(selection, areas, groups))
    return _summary(groups, whole=back_to is None)


def _goes_on(selection: Selection, areas: Areas, groups: Groups) -> bool:
    """Whether anything was before the first of these calls."""
    if not groups.calls:
        return True
    first, _ = groups.ends
    rest = places_of(replace(selection, until=ids.moment(first)), areas, limit=1)
    return bool(rest.calls) or rest.older is not None


def _summary(groups: Groups, *, whole: bool) -> Summary:
    if not groups.calls:
        return Summary(calls=0, whole=whole)
    first, last = groups.ends
    return Summary(
        calls=groups.calls,
        whole=whole,
        since=ids.moment(first),
        until=ids.moment(last),
        facets=tuple(_facets(groups.counts)),
        bars=tuple(_bars(groups.bars(), first, width_of(first, last))),
        input_tokens=groups.input_tokens,
        output_tokens=groups.output_tokens,
    )


def _facets(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Facet]:
    for kind in _ORDER:
        ordered = sorted(
            counts.get(_COLUMNS.get(kind, kind), {}).items(), key=lambda item: (-item[1], item[0])
        )[:SHOWN]
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
