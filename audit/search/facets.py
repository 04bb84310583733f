"""What the newest matches of a search add up to: how many per model, class, caller …, and over time.

Over `MOST` matches and no more: the database groups exactly these rows, by their keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final
from uuid import UUID

from django.db import connection

from audit import ids
from audit.models import Call
from audit.search.finding import places_of
from audit.search.selection import Selection
from audit.walls import Areas

MOST: Final = 10_000
BARS: Final = 40
SHOWN: Final = 12
"""Values of one facet."""

_TABLE: Final = Call._meta.db_table
_COLUMNS: Final = ("action", "model", "endpoint", "area", "name", "highest", "policy", "api", "status")
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
    places = places_of(selection, areas, limit=MOST)
    if not places.calls:
        return Summary(calls=0, whole=places.older is None)
    newest, oldest = ids.time_of(places.calls[0]), ids.time_of(places.calls[-1])
    start, end = ids.milliseconds_of(places.calls[-1]), ids.milliseconds_of(places.calls[0]) + 1
    width = max(1, -(-(end - start) // BARS))
    rows = _grouped(places.calls, start, width)
    counts, bars, tokens = _read(rows)
    return Summary(
        calls=len(places.calls),
        whole=places.older is None,
        since=oldest,
        until=newest,
        facets=tuple(_facets(counts)),
        bars=tuple(_bars(bars, oldest, width)),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )


Row = tuple[str, str, int, int | None, int | None]
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


def _bars(bars: Mapping[int, Mapping[str, int]], oldest: datetime, width: int) -> Iterator[Bar]:
    start = ids.microseconds(oldest) // 1000
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


def _grouped(places: Sequence[UUID], start: int, width: int) -> list[Row]:
    """One pass over these rows by their keys, grouped by each column in turn."""
    postgresql = connection.vendor == "postgresql"
    sql = (_POSTGRESQL if postgresql else _SQLITE) + _GROUPS
    bars = [(ids.milliseconds_of(place) - start) // width for place in places]
    if postgresql:
        when = [ids.time_of(place) for place in places]
        values: list[Any] = [list(places), when, bars, min(when), max(when)]
    else:
        values = [json.dumps([[place.hex, bar] for place, bar in zip(places, bars, strict=True)])]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Row] = cursor.fetchall()
        return rows


_TAKEN: Final = ", ".join(f"c.{name}" for name in (*_COLUMNS, "code", "input_tokens", "output_tokens"))
_POSTGRESQL: Final = (
    f"WITH m AS MATERIALIZED (SELECT k.bar, {_TAKEN}, "  # noqa: S608 (constants)
    "c.counts || coalesce(c.response_counts, '{}') AS found "
    f"FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[]) AS k(id, at, bar) JOIN {_TABLE} c "
    "ON c.id = k.id AND c.started_at = k.at WHERE c.started_at >= %s AND c.started_at <= %s), "
    "f AS (SELECT e.key AS name FROM m, jsonb_object_keys(m.found) AS e(key)) "
)
_SQLITE: Final = (
    f"WITH m AS MATERIALIZED (SELECT json_extract(k.value, '$[1]') AS bar, {_TAKEN}, "  # noqa: S608 (constants)
    "json_patch(c.counts, coalesce(c.response_counts, '{}')) AS found "
    f"FROM json_each(%s) AS k CROSS JOIN {_TABLE} c ON c.id = json_extract(k.value, '$[0]')), "
    "f AS (SELECT e.key AS name FROM m, json_each(m.found) AS e) "
)
_GROUPS: Final = " UNION ALL ".join(
    [
        "SELECT 'bar' AS kind, CAST(bar AS varchar) || ' ' || action AS value, count(*) AS calls, "
        "sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens FROM m GROUP BY bar, action",
        *(
            f"SELECT '{name}', CAST({name} AS varchar), count(*), NULL, NULL FROM m GROUP BY {name}"  # noqa: S608 (constants)
            for name in (*_COLUMNS, "code")
        ),
        "SELECT 'class', name, count(*), NULL, NULL FROM f GROUP BY name",
    ]
)
