"""Groups of some calls, counted by the database in one pass over exactly these rows.

PostgreSQL groups by every column at once (grouping sets); SQLite does it column by column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final
from uuid import UUID

from django.db import connection

from audit import ids
from audit.models import Call
from audit.search.selection import Selection
from audit.walls import Areas

BARS: Final = 40
Row = tuple[str, str, int, int | None, int | None]
"""Kind, value, calls; of a bar (its number and an action) the tokens as well."""

COLUMNS: Final = ("action", "model", "endpoint", "area", "name", "highest", "policy", "api", "status", "code")
_TABLE: Final = Call._meta.db_table
_TAKEN: Final = ", ".join(f"c.{name}" for name in (*COLUMNS, "input_tokens", "output_tokens"))


@final
@dataclass(frozen=True, slots=True)
class Groups:
    """Of calls between two moments, in milliseconds since 1970."""

    rows: Sequence[Row]
    first: int = 0
    last: int = 0


def width_of(first: int, last: int) -> int:
    """Milliseconds of one bar of a chart from the first call to the last one."""
    return max(1, -(-(last + 1 - first) // BARS))


def grouped(places: Sequence[UUID], areas: Areas) -> Groups:
    """Of these calls, newest first. The wall stands here once more, whatever the index says."""
    first, last = ids.milliseconds_of(places[-1]), ids.milliseconds_of(places[0])
    if connection.vendor == "postgresql":
        values: list[Any] = [list(places), ids.moment(first), ids.moment(last)]
        if areas is None:  # everywhere
            return _on_postgresql(_BY_ID, values)
        return _on_postgresql(f"{_BY_ID} AND c.area = ANY(%s)", [*values, sorted(areas)])
    bars = [(ids.milliseconds_of(place) - first) // width_of(first, last) for place in places]
    rows = json.dumps([[place.hex, bar] for place, bar in zip(places, bars, strict=True)])
    with connection.cursor() as cursor:
        cursor.execute(_SQLITE, [rows, areas is None, json.dumps(sorted(areas or ()))])
        return Groups(cursor.fetchall(), first, last)


def grouped_newest(selection: Selection, most: int) -> Groups:
    """Of the newest calls of a time. PostgreSQL only."""
    when, values = ["true"], []
    for sign, moment in ((">=", selection.since), ("<", selection.until)):
        if moment is not None:
            when.append(f"c.started_at {sign} %s")
            values.append(moment)
    return _on_postgresql(_NEWEST.format(when=" AND ".join(when)), [*values, most])


def _on_postgresql(source: str, values: list[Any]) -> Groups:
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL.format(source=source), values)
        found = cursor.fetchall()
    first, last = next(((row[-2], row[-1]) for row in found), (None, None))
    return Groups(list(_rows(found)), int(first or 0), int(last or 0))


def _rows(found: Sequence[Sequence[Any]]) -> Iterator[Row]:
    """The first column says which columns a row is not grouped by, one bit for each."""
    for mask, *columns, bar, calls, input_tokens, output_tokens, _, _ in found:
        if mask == _CLASS:
            yield "class", columns[0], calls, None, None
        elif not mask & 1:
            yield "bar", f"{bar} {columns[0]}", calls, input_tokens, output_tokens
        else:
            at = next(place for place in range(len(COLUMNS)) if not mask >> (len(COLUMNS) - place) & 1)
            if columns[at] is not None:
                yield COLUMNS[at], str(columns[at]), calls, None, None


_CLASS: Final = -1
_BY_ID: Final = (
    f"SELECT c.started_at, {_TAKEN}, c.counts, c.response_counts FROM unnest(%s::uuid[]) AS k(id) "  # noqa: S608 (constants)
    f"JOIN {_TABLE} c ON c.id = k.id AND c.started_at = timestamptz 'epoch' + interval '1 millisecond' * "
    "('x' || substr(k.id::text, 1, 8) || substr(k.id::text, 10, 4))::bit(48)::bigint "
    "WHERE c.started_at >= %s AND c.started_at <= %s"
)
_NEWEST: Final = (
    f"SELECT c.started_at, {_TAKEN}, c.counts, c.response_counts FROM {_TABLE} c WHERE {{when}} "  # noqa: S608 (constants)
    "ORDER BY c.started_at DESC, c.id DESC LIMIT %s"
)
_EMPTY: Final = ", ".join("NULL" for _ in COLUMNS[1:])
_POSTGRESQL: Final = (
    "WITH m AS MATERIALIZED ({source}), "  # noqa: S608 (constants)
    "e AS MATERIALIZED (SELECT (extract(epoch FROM min(started_at)) * 1000)::bigint AS first, "
    "(extract(epoch FROM max(started_at)) * 1000)::bigint AS last FROM m), "
    "b AS (SELECT m.*, ((extract(epoch FROM m.started_at) * 1000)::bigint - e.first) "
    f"/ greatest(1, (e.last - e.first + {BARS}) / {BARS}) AS bar FROM m, e), "
    f"g AS (SELECT GROUPING({', '.join(COLUMNS)}, bar) AS mask, {', '.join(COLUMNS)}, bar, "
    "count(*) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens "
    "FROM b GROUP BY GROUPING SETS "
    f"((bar, action), {', '.join(f'({name})' for name in COLUMNS)})), "
    "f AS (SELECT k.name, count(*) AS calls FROM m, "
    "jsonb_object_keys(m.counts || coalesce(m.response_counts, '{{}}')) AS k(name) GROUP BY k.name) "
    f"SELECT g.*, e.first, e.last FROM g, e UNION ALL SELECT {_CLASS}, f.name, {_EMPTY}, NULL, f.calls, "
    "NULL, NULL, e.first, e.last FROM f, e"
)
_COUNTED: Final = "SELECT '{name}', CAST({name} AS varchar), count(*), NULL, NULL FROM m GROUP BY {name}"
_SQLITE: Final = (
    f"WITH m AS MATERIALIZED (SELECT json_extract(k.value, '$[1]') AS bar, {_TAKEN}, "  # noqa: S608 (constants)
    "json_patch(c.counts, coalesce(c.response_counts, '{}')) AS found "
    f"FROM json_each(%s) AS k CROSS JOIN {_TABLE} c ON c.id = json_extract(k.value, '$[0]') "
    "WHERE %s OR c.area IN (SELECT value FROM json_each(%s))), "
    "f AS (SELECT e.key AS name FROM m, json_each(m.found) AS e) "
    + " UNION ALL ".join(
        [
            "SELECT 'bar' AS kind, CAST(bar AS varchar) || ' ' || action AS value, count(*) AS calls, "
            "sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens "
            "FROM m GROUP BY bar, action",
            *(_COUNTED.format(name=name) for name in COLUMNS),
            "SELECT 'class', name, count(*), NULL, NULL FROM f GROUP BY name",
        ]
    )
)
