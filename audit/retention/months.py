"""Whole months on PostgreSQL: their partitions are dropped instead of emptied. SQLite never comes here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.utils import Error

from audit import partitions
from audit.events import event
from audit.keynames import start_of
from audit.models import Call, LegalHold, Removal, RetentionRule
from audit.retention import days, emptying
from audit.retention.due import groups, is_due
from audit.retention.holds import held, lock

PARTITIONED: Final = connection.vendor == "postgresql"
_TABLES: Final = ("audit_payload", "audit_callkey", "audit_word", "audit_fingerprint", "audit_original")
_WAIT: Final = "500ms"
"""For the lock: as long as that, calls wait behind it."""


def span(day: date) -> tuple[date, date]:
    """The month of a day: its first day and the next one's."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def wholly_due(day: date, rules: Sequence[RetentionRule], holds: Sequence[LegalHold], today: date) -> bool:
    """Whether all payloads of the month that this day lies in are due, and none is held or open.

    A month without partitions of its own lies in the default ones, and goes row by row.
    """
    first, following = span(day)
    last = following - timedelta(days=1)
    if not PARTITIONED or not days.over(last):
        return False
    if not all(_there(partitions.name(table, start_of(first))) for table in _TABLES):
        return False
    kept = Call.objects.filter(days.during(first, following), removal_id=None)
    if (holds and kept.filter(held(holds)).exists()) or kept.filter(closed_at=None).exists():
        return False
    if not any(is_due(rule_due(rule, last), today) for rule in rules):
        return False
    return all(
        is_due(group.term.payloads_due(last), today)
        for each in days.days_with_calls(first, last)
        for group in groups(each, rules, ())
    )


def rule_due(rule: RetentionRule, day: date) -> date | None:
    return None if rule.payload_days is None else day + timedelta(days=rule.payload_days + 1)


def drop_emptied() -> list[str]:
    """Drop the partitions of past months of which every call was removed. Returns their names.

    One that cannot be dropped now is there for the next run.
    """
    dropped: list[str] = []
    for first in _months_there() if PARTITIONED else ():
        _, following = span(first)
        removed = Removal.objects.filter(day__gte=first, day__lt=following)
        if days.over(following - timedelta(days=1)) and removed.exists():
            dropped += _drop_month(first, following)
    return dropped


def _drop_month(first: date, following: date) -> list[str]:
    if not emptying.nothing_left(first, following):
        return []
    names = [(table, partitions.name(table, start_of(first))) for table in _TABLES]
    dropped = [name for table, name in names if _drop(table, name, first, following)]
    if dropped:
        event("evidence.partitions_dropped", detail={"month": f"{first:%Y-%m}", "partitions": dropped})
    return dropped


def _months_there() -> list[date]:
    """The months that have partitions of one of these tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY(%s::regclass[])",
            [list(_TABLES)],
        )
        names = [str(name) for (name,) in cursor.fetchall()]
    found = {match for name in names if (match := re.search(r"_y(\d{4})m(\d{2})$", name))}
    return sorted({date(int(each[1]), int(each[2]), 1) for each in found})


def _there(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        ((found,),) = cursor.fetchall()
        return bool(found)


def _drop(table: str, name: str, first: date, following: date) -> bool:
    """False when there is none, or it cannot be done now: calls hold the lock. Next time, then."""
    if not _there(name):
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
            lock()
            if not emptying.nothing_left(first, following):
                return False
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
            cursor.execute(f"DROP TABLE {name}")
    except Error:
        return False
    return True
