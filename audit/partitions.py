"""Month partitions of the evidence tables on PostgreSQL. SQLite keeps plain tables and never comes here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

TABLES = (
    "audit_entry",
    "audit_payload",
    "audit_callkey",
    "audit_call",
    "audit_word",
    "audit_fact",
    "audit_brief",
    "audit_fingerprint",
    "audit_original",
)


def months(start: datetime, count: int) -> Iterator[tuple[datetime, datetime]]:
    """`count` months, the first being that of `start`, each as (first moment, first moment of the next)."""
    year, month = start.year, start.month
    for _ in range(count):
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        yield datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)
        year, month = following


def name(table: str, first: datetime) -> str:
    return f"{table}_y{first.year:04d}m{first.month:02d}"


def partition_table(table: str, key: str = "started_at, id") -> list[str]:
    """Turn the empty table that Django made into a partitioned one with the same columns and checks.

    The caller adds indexes and unique constraints again. The default partition takes rows for which
    no month was made: a missing partition must never refuse an admission.
    """
    plain = f"{table}_plain"
    return [
        f"ALTER TABLE {table} RENAME TO {plain}",
        f"CREATE TABLE {table} (LIKE {plain} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY "
        "INCLUDING STORAGE INCLUDING COMPRESSION) PARTITION BY RANGE (started_at)",
        f"DROP TABLE {plain}",
        f"ALTER TABLE {table} ADD PRIMARY KEY ({key})",
        f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT",
    ]


def attach_month(table: str, first: datetime, following: datetime) -> list[str]:
    """One month's partition. ATTACH locks the parent weakly, so calls go on while it is added."""
    part = name(table, first)
    return [
        f"CREATE TABLE {part} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES "
        "INCLUDING STORAGE INCLUDING COMPRESSION)",
        f"ALTER TABLE {table} ATTACH PARTITION {part} "
        f"FOR VALUES FROM ('{first.isoformat()}') TO ('{following.isoformat()}')",
    ]
