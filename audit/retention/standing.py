"""Which calls may get rows in an index: those that were not removed meanwhile, whoever read them before.

What is written about a call is read first, without a lock, and removing may come in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.db import connection

from audit import ids
from audit.models import Call, Store

_AT_ONCE: Final = 500


def standing(calls: Iterable[UUID]) -> dict[UUID, bool]:
    """Of these the calls whose rows are there, and whether their text is. It stays so until the transaction
    ends: whoever removes evidence waits for it."""
    _no_removal_meanwhile()
    found: dict[UUID, bool] = {}
    wanted = sorted(set(calls), key=lambda call: call.bytes)
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        first, last = ids.time_of(some[0]), ids.time_of(some[-1])
        rows = Call.objects.filter(id__in=some, started_at__gte=first, started_at__lte=last)
        found.update((call, removal is None) for call, removal in rows.values_list("id", "removal_id"))
    return found


def _no_removal_meanwhile() -> None:
    """Against `holds.lock`. Many may hold this at once. On SQLite the transaction itself does it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {Store._meta.db_table} WHERE id = 1 FOR SHARE")  # noqa: S608
