"""A review as a file: who reaches an endpoint, or what one caller reaches. First an event, then the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import orjson
from django.utils import timezone

from audit.spreadsheet import harmless
from gateway.access_review.marks import marks_of
from gateway.access_review.reading import Caller, callers_of, reached_by
from gateway.access_review.values import Reached, Way, plain
from gateway.identity.reach import Reach
from gateway.models import Endpoint, User
from policies.journal import note

FORMATS: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
TIMES: Final = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
CHUNK: Final = 500
MOST: Final = 250_000
COLUMNS: Final = (
    "area",
    "endpoint",
    "kind",
    "caller",
    "name",
    "owner",
    "state",
    "group",
    "source",
    "since",
    "rule",
    "priority",
    "policy",
    "models",
    "paths",
    "networks",
    "limits",
    "until",
    "last_call",
    "keys",
)


class TooMany(ValueError):
    """More callers than one file holds."""


def endpoint_export(*, endpoint: Endpoint, form: str, by: User | None) -> bytes:
    """Who reaches an endpoint, as `csv` or `json`. Raises `TooMany`."""
    now = timezone.now()
    mark = marks_of([endpoint.pk]).get(endpoint.pk)
    head = {"endpoint": endpoint.slug, "area": endpoint.area.slug, "at": plain(now)}
    head |= {"reviewed_at": plain(mark.at) if mark else None, "reviewed_by": mark.by if mark else None}
    rows = _all(endpoint, now)
    data, count = as_csv(rows) if form == "csv" else as_json(head, "callers", rows)
    facts = {"endpoint": endpoint.slug, "format": form, "callers": count}
    note(action="access.exported", by=by, target=endpoint, facts=facts)
    return data


def caller_export(*, caller: Caller, reach: Reach, form: str, by: User | None) -> bytes:
    """What one caller reaches in these areas."""
    now = timezone.now()
    rows = reached_by(caller, reach, now)
    head = {"caller": str(caller), "at": plain(now)}
    data, count = as_csv(rows) if form == "csv" else as_json(head, "endpoints", rows)
    facts = {"caller": str(caller), "format": form, "endpoints": count}
    note(action="access.exported", by=by, target=caller, facts=facts)
    return data


def as_csv(rows: Iterable[Reached]) -> tuple[bytes, int]:
    """One line for each way of each caller, formulas made harmless; and how many callers."""
    text, count = io.StringIO(), 0
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for row in rows:
        count += 1
        writer.writerows([harmless(value) for value in _line(row, way)] for way in row.ways)
    return text.getvalue().encode("utf-8-sig"), count  # the mark tells spreadsheets that it is UTF-8


def as_json(head: Mapping[str, str | None], name: str, rows: Iterable[Reached]) -> tuple[bytes, int]:
    """An object with the rows as its last member, written row by row; and how many rows."""
    data, count = io.BytesIO(), 0
    data.write(orjson.dumps(head)[:-1] + b"," + orjson.dumps(name) + b":[")
    for count, row in enumerate(rows, 1):
        data.write((b",\n" if count > 1 else b"\n") + orjson.dumps(row, option=TIMES))
    data.write(b"]}\n")
    return data.getvalue(), count


def _line(row: Reached, way: Way) -> list[str]:
    rule = way.rule
    return [
        row.area,
        row.endpoint,
        row.kind,
        row.caller,
        row.name,
        row.owner,
        "; ".join([*row.states, *(["group locked"] if way.group_locked else [])]),
        way.group,
        way.source,
        plain(way.since) or "",
        rule.id,
        str(rule.priority),
        rule.policy,
        "; ".join(rule.models),
        "; ".join(rule.paths),
        "; ".join(rule.networks),
        "; ".join(rule.limits),
        plain(rule.until) or "",
        plain(row.last_call) or "",
        "; ".join(key.prefix for key in row.keys),
    ]


def _all(endpoint: Endpoint, now: datetime) -> Iterator[Reached]:
    after, count = "", 0
    while True:
        page = callers_of(endpoint, after=after, limit=CHUNK, now=now)
        yield from page.rows
        count += len(page.rows)
        if not page.after:
            return
        if count >= MOST:
            raise TooMany(
                f"More than {MOST:,} callers reach this endpoint: read it through the API, in pages."
            )
        after = page.after
