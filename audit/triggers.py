"""The database's own guard of the evidence: entries are never changed or deleted, payloads never changed.

Retention removes payloads and keys and detaches whole months; it never touches an entry. TRUNCATE and `flush`
empty the store as a whole, which a chain cannot survive unnoticed and a guard need not prevent.
"""

from __future__ import annotations

ENTRIES = "audit_entry"
PAYLOADS = "audit_payload"
CHECKPOINTS = "audit_checkpoint"
GUARDED = (ENTRIES, PAYLOADS)
_FORBIDDEN = ((ENTRIES, "UPDATE"), (ENTRIES, "DELETE"), (PAYLOADS, "UPDATE"))
OF_CHECKPOINTS = ((CHECKPOINTS, "UPDATE"), (CHECKPOINTS, "DELETE"))
"""Guarded since the migration that made them."""
ORIGINALS = "audit_original"
REVEALS = "audit_reveal"
OF_ORIGINALS = ((ORIGINALS, "UPDATE"), (REVEALS, "UPDATE"), (REVEALS, "DELETE"))
"""Retention removes originals. Who was allowed to look at one stays as it is."""

FLAG_ACTS = "audit_flagact"
OF_FLAG_ACTS = ((FLAG_ACTS, "UPDATE"), (FLAG_ACTS, "DELETE"))
"""What people did about flagged calls, guarded likewise."""

OF_RETENTION = (("audit_removal", "UPDATE"), ("audit_removal", "DELETE"), ("audit_legalhold", "DELETE"))
"""What was removed, and what was held, is not forgotten."""

Forbidden = tuple[tuple[str, str], ...]


def _name(table: str, operation: str) -> str:
    return f"{table}_no_{operation.lower()}"


def sqlite_create(forbidden: Forbidden = _FORBIDDEN) -> list[str]:
    """One trigger for each forbidden operation."""
    return [
        f"CREATE TRIGGER IF NOT EXISTS {_name(table, operation)} BEFORE {operation} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
        for table, operation in forbidden
    ]


def sqlite_drop(forbidden: Forbidden = _FORBIDDEN) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {_name(table, operation)};" for table, operation in forbidden]


def postgresql_create(forbidden: Forbidden = _FORBIDDEN) -> list[str]:
    """One function and a row trigger per operation; PostgreSQL copies them to every partition."""
    function = (
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001'; END $$"
    )
    return [function] + [
        f"CREATE TRIGGER {_name(table, operation)} BEFORE {operation} ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION audit_append_only()"
        for table, operation in forbidden
    ]


def postgresql_drop(forbidden: Forbidden = _FORBIDDEN) -> list[str]:
    """The triggers; the function goes with the last of them."""
    triggers = [f"DROP TRIGGER IF EXISTS {_name(t, operation)} ON {t}" for t, operation in forbidden]
    return [*triggers, *(["DROP FUNCTION IF EXISTS audit_append_only()"] if forbidden is _FORBIDDEN else [])]
