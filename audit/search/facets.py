"""What the newest matches of a search add up to: how many per model, class, caller …, and over time.

Over `MOST` matches and no more, `PART` of them at a time: a part takes as long as a page may, and can be
shown before the next one is added. Nothing but sums leaves the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, final
from uuid import UUID

from audit import ids
from audit.search.finding import PATIENCE, narrowed, places_of, walk
from audit.search.grouping import Groups, calls_add, matches_add, newest_add, width_of
from audit.search.selection import Selection
from audit.walls import Areas

MOST: Final = 10_000
PART: Final = 2_500
SHORT: Final = 0.018
"""Seconds of patience with one part."""

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
    """`whole`: False where there are more matches than these. `growing`: they can be added."""

    calls: int
    whole: bool
    growing: bool = False
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


@final
@dataclass(slots=True)
class Sums:
    """Sums of a search, as far as they have come. `before`: where the next part begins; None: nowhere yet."""

    groups: Groups = field(default_factory=Groups)
    before: UUID | None = None
    growing: bool = True
    whole: bool = True

    def add(self, selection: Selection, areas: Areas, *, most: int, patience: float) -> None:
        """The next part: so many matches, or as far back as patience goes."""
        groups, most = self.groups, min(most, MOST - self.groups.matched)
        if selection.call is not None:
            calls_add(groups, places_of(selection, areas).calls, areas)
            self.growing = False
            return
        matched, back_to = groups.matched, None
        if narrowed(selection, areas):
            read = partial(matches_add, groups, before=self.before, areas=areas)
            back_to = walk(selection, areas, read, before=self.before, most=most, patience=patience)
            groups.settle(areas)
        else:
            newest_add(groups, selection.since, selection.until, self.before, most)
        self.before = groups.last if back_to is None else ids.lowest(back_to)
        full = groups.matched >= MOST
        self.growing = not full and (back_to is not None or groups.matched - matched >= most)
        self.whole = not self.growing and not (full and _goes_on(selection, areas, self.before, patience / 2))

    def state(self) -> list[Any]:
        """What the next part is added to, as JSON has it."""
        return [self.groups.state(), str(self.before)]

    @classmethod
    def of(cls, state: list[Any]) -> Sums:
        groups, before = state
        return cls(groups=Groups.of(groups), before=UUID(before))


def summary(selection: Selection, areas: Areas) -> Summary:
    """The sums of the newest matches at once."""
    sums = Sums()
    sums.add(selection, areas, most=MOST, patience=PATIENCE)
    return replace(summary_of(sums), growing=False)


def _goes_on(selection: Selection, areas: Areas, before: UUID | None, patience: float) -> bool:
    """Whether anything was before that call, or may have been."""
    rest = places_of(selection, areas, before=before, limit=1, patience=patience)
    return bool(rest.calls) or rest.older is not None


def summary_of(sums: Sums) -> Summary:
    groups = sums.groups
    if not groups.calls:
        return Summary(calls=0, whole=sums.whole, growing=sums.growing)
    first, last = groups.ends
    return Summary(
        calls=groups.calls,
        whole=sums.whole,
        growing=sums.growing,
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
