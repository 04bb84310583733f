"""Some calls added up by the database, in one pass over their brief rows: what comes back are sums.

Of each action the times of its calls come back as well, for the chart: its ends are known when all are read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, chain, pairwise
from typing import Any, Final, final
from uuid import UUID

from django.db import connection

from audit import ids
from audit.models import Brief, Call
from audit.search import briefs, statement
from audit.search.statement import Span
from audit.walls import EVERYWHERE, Areas

BARS: Final = 40
AT_ONCE: Final = 400
"""Ids in one statement."""

Row = tuple[str, str | None, int, int | None, int | None, str | None]
"""Kind, value, calls; of an action the tokens, and when its calls began, in hexadecimal milliseconds.
`matched` says how many, which was the last of them, and which have no brief row."""


@final
@dataclass(slots=True)
class Groups:
    """Sums that grow, newest calls first. `times` by action, in milliseconds since 1970; `missing` have no
    brief row; `last` is the call to go on before."""

    calls: int = 0
    matched: int = 0  # by the index: more than `calls` where a call has no brief row, or the wall hides it
    missing: list[UUID] = field(default_factory=list)
    last: UUID | None = None
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    times: dict[str, list[int]] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        for kind, value, calls, input_tokens, output_tokens, text in rows:
            if kind == "matched":
                self.matched += calls
                self.missing += map(UUID, (text or "").split())
                self.last = UUID(value) if value else self.last
            elif kind == "rest":
                self._rest(json.loads(value or "[]"), calls)
            else:
                self._count(kind, value, calls)
            if kind == "action":
                self.calls += calls
                self.times.setdefault(value or "", []).extend(int(at, 16) for at in (text or "").split())
                self.input_tokens += int(input_tokens or 0)
                self.output_tokens += int(output_tokens or 0)

    def _rest(self, rest: Sequence[Any], calls: int) -> None:
        *values, classes = rest
        for kind, value in zip(briefs.REST, values, strict=True):
            self._count(kind, value, calls)
        for name in classes:
            self._count("class", name, calls)

    def _count(self, kind: str, value: object, calls: int) -> None:
        if value not in (None, ""):
            self.counts.setdefault(kind, Counter())[str(value)] += calls

    def state(self) -> list[Any]:
        """All of it as JSON has it, but for what is still missing; of times how far each is after the last,
        which packs well."""
        times = {action: _steps(sorted(times)) for action, times in self.times.items()}
        return [self.calls, self.matched, self.counts, times, self.input_tokens, self.output_tokens]

    @classmethod
    def of(cls, state: Sequence[Any]) -> Groups:
        calls, matched, counts, times, input_tokens, output_tokens = state
        return cls(
            calls=calls,
            matched=matched,
            counts={kind: Counter(by) for kind, by in counts.items()},
            times={action: list(accumulate(steps)) for action, steps in times.items()},
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )

    def settle(self, areas: Areas) -> None:
        """Add the calls that matched and have no brief row, by their own."""
        calls_add(self, self.missing, areas)
        self.missing = []

    @property
    def ends(self) -> tuple[int, int]:
        """When the first and the last of the calls began. There is one at least."""
        return min(map(min, self.times.values())), max(map(max, self.times.values()))

    def bars(self) -> dict[int, dict[str, int]]:
        """Calls by action in each bar of a chart from the first call to the last one."""
        first, last = self.ends
        width = width_of(first, last)
        found: dict[int, dict[str, int]] = {}
        for action, times in self.times.items():
            for bar, calls in Counter((at - first) // width for at in times).items():
                found.setdefault(bar, {})[action] = calls
        return found


def _steps(times: Sequence[int]) -> list[int]:
    return [at - before for before, at in pairwise(chain((0,), times))]


def width_of(first: int, last: int) -> int:
    """Milliseconds of one bar of a chart from the first call to the last one."""
    return max(1, -(-(last + 1 - first) // BARS))


def matches_add(
    groups: Groups, spans: Sequence[Span], most: int, *, before: UUID | None = None, areas: Areas
) -> int:
    """Add the newest calls of some spans; returns how many matched. The wall stands here once more,
    whatever the index says."""
    asked = statement.newest(spans, before, most)
    if asked is None:
        return 0
    sql, values = asked
    inside, slugs = _inside("b", areas)
    matched = groups.matched
    bounds = [statement.time_of(spans[-1].first), statement.time_of(spans[0].end)]
    groups.add(_asked(_MATCHES.format(matches=sql, inside=inside), [*values, *bounds, *slugs]))
    return groups.matched - matched


def calls_add(groups: Groups, calls: Sequence[UUID], areas: Areas) -> None:
    """Add these calls, by their own rows: they may be open, and have no brief ones."""
    inside, slugs = _inside("c", areas)
    for start in range(0, len(calls), AT_ONCE):
        some = calls[start : start + AT_ONCE]
        marks = ", ".join(["%s"] * len(some))
        when = f"c.started_at IN ({marks}) AND c.id IN ({marks}) AND {inside}"
        times = [statement.time_of(ids.time_of(call)) for call in some]
        numbers = [statement.id_of(call) for call in some]
        groups.add(_asked(_CALLS.format(when=when, matched=""), [*times, *numbers, *slugs, len(some)]))


def newest_add(
    groups: Groups, since: datetime | None, until: datetime | None, before: UUID | None, most: int
) -> None:
    """Add the newest calls of a time, open ones as well."""
    when, values = ["true"], []
    for sign, moment in ((">=", since), ("<", until)):
        if moment is not None:
            when.append(f"c.started_at {sign} %s AND c.id {sign} %s")
            values += [statement.time_of(moment), statement.id_of(ids.lowest(moment))]
    if before is not None:
        when.append("c.started_at <= %s AND c.id < %s")
        values += [statement.time_of(ids.time_of(before)), statement.id_of(before)]
    groups.add(_asked(_CALLS.format(when=" AND ".join(when), matched=_MATCHED), [*values, most]))


def _inside(row: str, areas: Areas) -> tuple[str, list[str]]:
    if areas is EVERYWHERE:
        return "true", []
    if not areas:
        return "false", []
    return f"{row}.area IN ({', '.join(['%s'] * len(areas))})", sorted(areas)


def _asked(sql: str, values: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Row] = cursor.fetchall()
        return rows


_POSTGRESQL: Final = connection.vendor == "postgresql"
_AT: Final = (
    "string_agg(to_hex((date_part('epoch', started_at) * 1000)::bigint), ' ')"
    if _POSTGRESQL
    else "group_concat(substr(call_id, 1, 12), ' ')"
)
_IDS: Final = "string_agg(call_id::text, ' ')" if _POSTGRESQL else "group_concat(call_id, ' ')"
_LAST: Final = "(SELECT CAST(call_id AS text) FROM {rows} ORDER BY started_at, call_id LIMIT 1)"
_NONE: Final = "NULL, NULL, NULL"
_ORDER: Final = "c.started_at DESC, c.id DESC" if _POSTGRESQL else "c.id DESC"
_READ: Final = (*briefs.REST, "counts", "response_counts")
_SUMS: Final = (
    f"SELECT 'action', action, count(*), sum(input_tokens), sum(output_tokens), {_AT} FROM m "  # noqa: S608 (constants)
    f"GROUP BY action UNION ALL SELECT 'name', name, count(*), {_NONE} FROM m GROUP BY name "
)
_WHICH: Final = (
    "b.started_at = d.started_at AND b.call_id = d.call_id AND b.started_at >= %s AND b.started_at < %s"
)
_BRIEF: Final = Brief._meta.db_table
_ITS_BRIEF: Final = (
    f"LATERAL (SELECT * FROM {_BRIEF} b WHERE {_WHICH} OFFSET 0) AS b ON true"  # noqa: S608 (constants)
    if _POSTGRESQL
    else f"{_BRIEF} b ON {_WHICH}"
)
"""Each by itself: PostgreSQL would rather read all rows of these days than look up a few thousand."""

_MATCHES: Final = (
    "WITH d AS MATERIALIZED ({matches}), "  # noqa: S608 (constants)
    "a AS MATERIALIZED (SELECT d.call_id, b.call_id AS brief, b.started_at, b.area, b.name, b.action, "
    f"b.rest, b.input_tokens, b.output_tokens FROM d LEFT JOIN {_ITS_BRIEF}), "
    "m AS (SELECT * FROM a AS b WHERE brief IS NOT NULL AND {inside}) "
    f"{_SUMS} UNION ALL SELECT 'rest', rest, count(*), {_NONE} FROM m GROUP BY rest "
    f"UNION ALL SELECT 'matched', {_LAST.format(rows='d')}, (SELECT count(*) FROM d), NULL, NULL, "
    f"(SELECT {_IDS} FROM a WHERE brief IS NULL)"
)
_MATCHED: Final = f" UNION ALL SELECT 'matched', {_LAST.format(rows='m')}, (SELECT count(*) FROM m), {_NONE}"  # noqa: S608
_CALLS: Final = (
    f"WITH m AS MATERIALIZED (SELECT c.started_at, c.id AS call_id, c.name, c.action, c.input_tokens, "  # noqa: S608 (constants)
    f"c.output_tokens, {', '.join(f'c.{name}' for name in _READ)} FROM {Call._meta.db_table} c "
    f"WHERE {{when}} ORDER BY {_ORDER} LIMIT %s) {_SUMS} "
    f"UNION ALL SELECT 'rest', {briefs.POSTGRESQL if _POSTGRESQL else briefs.SQLITE}, calls, {_NONE} "
    f"FROM (SELECT {', '.join(_READ)}, count(*) AS calls FROM m GROUP BY {', '.join(_READ)}) AS alike"
    "{matched}"
)
