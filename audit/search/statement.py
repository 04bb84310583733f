"""The statement that finds the newest calls with all of some terms, a few days at a time.

One term drives: its rows are read in order of time from the index that is the table's key. Each of the others
is looked up in its own index, by the same time and call. So a page costs what lies between its first and its
last row, however many calls there are. Nothing is counted, and nothing is sorted but a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, final
from uuid import UUID

from django.db import connection

from audit import ids
from audit.models import Fact, Word

WORDS: Final = Word._meta.db_table
FACTS: Final = Fact._meta.db_table
MOST: Final = 60
"""Selects of one statement: SQLite takes 500, and 32,766 values in all of them."""

MOST_PROBED: Final = 8
_EACH: Final = " LIMIT 1 OFFSET 0"
"""PostgreSQL knows nothing of how often one digest is there. What ends so it does not turn into a join that
reads all rows of a frequent one."""

_FEW: Final = "SELECT 1 FROM {table} WHERE digest = %s AND started_at >= %s AND started_at < %s LIMIT {most}"


@final
@dataclass(frozen=True, slots=True)
class Part:
    """One condition on one span of time: a row of `table` with one of these digests."""

    table: str
    digests: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Span:
    """From `first` up to but without `end`, with what has to hold there; the driving part first.

    `rare`: it has so few rows that each of them is looked up in the others.
    """

    first: datetime
    end: datetime
    parts: tuple[Part, ...]
    rare: bool = False


def matches(spans: Sequence[Span], before: UUID | None, limit: int) -> list[UUID]:
    """Up to `limit` newest of each span, newest first over all of them."""
    asked = [
        _one(span, (digest,), before, limit)
        for span in spans
        if all(part.digests for part in span.parts)
        for digest in span.parts[0].digests
    ]
    found: set[UUID] = set()
    with connection.cursor() as cursor:
        for start in range(0, len(asked), MOST):
            some = asked[start : start + MOST]
            values = [value for _, each in some for value in each]
            cursor.execute(" UNION ALL ".join(sql for sql, _ in some), values)
            found.update(_place(call) for _, call in cursor.fetchall())
    return sorted(found, key=attrgetter("int"), reverse=True)[:limit]  # the order of their times


def newest(spans: Sequence[Span], before: UUID | None, most: int) -> tuple[str, list[Any]] | None:
    """The statement for time and id of the `most` newest over all of some days, before a call; None: nothing
    can match."""
    living = [span for span in spans if all(part.digests for part in span.parts)]
    several = any(len(span.parts[0].digests) > 1 for span in living)
    asked = [_one(span, digests, before, most) for span in living for digests in _driving(span, len(living))]
    if not asked:
        return None
    sql = (
        f"SELECT {'DISTINCT ' if several else ''}started_at, call_id "  # noqa: S608 (constants)
        f"FROM ({' UNION ALL '.join(sql for sql, _ in asked)}) AS of_every_day "
        f"ORDER BY started_at DESC, call_id DESC LIMIT {int(most)}"
    )
    return sql, [value for _, each in asked for value in each]


def _driving(span: Span, spans: int) -> list[tuple[int, ...]]:
    """The digests that drive, each by itself where that is not too many selects: the index has the order."""
    digests = span.parts[0].digests
    return [(digest,) for digest in digests] if spans * len(digests) <= MOST else [digests]


def _one(span: Span, driving: Sequence[int], before: UUID | None, limit: int) -> tuple[str, list[Any]]:
    """The newest of one span with one of these digests of the part that drives it."""
    end = span.end
    is_driving = "= %s" if len(driving) == 1 else f"IN ({', '.join(['%s'] * len(driving))})"
    where = [f"d.digest {is_driving}", "d.started_at >= %s", "d.started_at < %s"]
    values: list[Any] = [*driving, time_of(span.first), time_of(end)]
    if before is not None:
        where.append("(d.started_at, d.call_id) < (%s, %s)")
        values += [time_of(ids.time_of(before)), id_of(before)]
    for at, part in enumerate(span.parts[1:]):
        marks = ", ".join(["%s"] * len(part.digests))
        where.append(
            f"EXISTS (SELECT 1 FROM {part.table} o{at} WHERE o{at}.digest IN ({marks}) "  # noqa: S608 (constants)
            f"AND o{at}.started_at = d.started_at AND o{at}.call_id = d.call_id "
            f"AND o{at}.started_at >= %s AND o{at}.started_at < %s{_EACH if span.rare else ''})"
        )
        values += [*part.digests, time_of(span.first), time_of(end)]
    table = span.parts[0].table
    sql = (
        f"SELECT * FROM (SELECT d.started_at, d.call_id FROM {table} d WHERE {' AND '.join(where)} "  # noqa: S608 (constants)
        f"ORDER BY d.started_at DESC, d.call_id DESC LIMIT {int(limit)}) AS found"
    )
    return sql, values


def frequency(spans: Iterable[tuple[Span, Part]], most: int) -> int:
    """How many rows a part has in these spans, counted no further than `most`."""
    rows, values = [], []
    for span, part in spans:
        for digest in part.digests[:MOST_PROBED]:
            rows.append(f"SELECT * FROM ({_FEW.format(table=part.table, most=int(most))}) AS few")  # noqa: S608
            values += [digest, time_of(span.first), time_of(span.end)]
    if not rows:
        return 0
    sql = f"SELECT * FROM ({' UNION ALL '.join(rows)}) AS all_of LIMIT {int(most)}"  # noqa: S608 (constants)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return len(cursor.fetchall())


def _place(call: Any) -> UUID:
    return call if isinstance(call, UUID) else UUID(call)


def time_of(value: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def id_of(value: UUID) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex
