"""Writes index rows of calls, many in one statement: as models they took longer to make than to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final
from uuid import UUID

import orjson
from django.db import connection

from audit import ids
from audit.models import Fact, Word
from audit.search import statement

AT_ONCE: Final = 100
"""Calls in one statement."""


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """By what one call is found. No digest twice."""

    call_id: UUID
    digests: Sequence[int]


def terms_write(model: type[Word] | type[Fact], found: Sequence[Terms]) -> None:
    """The rows of these calls, in the order of the index; those that are there already stay."""
    sql = (_POSTGRESQL if connection.vendor == "postgresql" else _SQLITE).format(table=model._meta.db_table)
    with connection.cursor() as cursor:
        for start in range(0, len(found), AT_ONCE):
            said = [_said(terms) for terms in found[start : start + AT_ONCE]]
            cursor.execute(sql, [orjson.dumps(said).decode()])


def _said(terms: Terms) -> dict[str, object]:
    when = statement.time_of(ids.time_of(terms.call_id))
    return {"at": str(when), "call": str(statement.id_of(terms.call_id)), "digests": terms.digests}


_POSTGRESQL: Final = (
    "INSERT INTO {table} (digest, started_at, call_id) SELECT d.digest, r.at, r.call "
    "FROM json_to_recordset(%s::json) AS r(at timestamptz, call uuid, digests bigint[]) "
    "CROSS JOIN unnest(r.digests) AS d(digest) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"
)
_SQLITE: Final = (
    "INSERT OR IGNORE INTO {table} (digest, started_at, call_id) "
    "SELECT d.value, json_extract(r.value, '$.at'), json_extract(r.value, '$.call') "
    "FROM json_each(%s) AS r, json_each(r.value, '$.digests') AS d ORDER BY 1, 2, 3"
)
