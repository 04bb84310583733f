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
"""What people did about flagged calls, guarded likewise, until migration 0013 let it go with its call."""

OF_RETENTION = (("audit_removal", "UPDATE"), ("audit_removal", "DELETE"), ("audit_legalhold", "DELETE"))
"""What was removed, and what was held, is not forgotten."""

_ACTS_STAY = "audit_flagact_no_delete"

_MOMENT_OF = (
    "timestamptz 'epoch' + ('x' || lpad(substr(replace({}::text, '-', ''), 1, 12), 16, '0'))::bit(64)::bigint"
    " * interval '1 millisecond'"
)
"""The time in a call's id, by which its partition is found."""


def acts_go_sqlite() -> list[str]:
    """What people did about a flagged call may go once the call's evidence was removed, not before."""
    there = "SELECT 1 FROM audit_call WHERE id = OLD.flag_id AND removal_id IS NULL"
    return [
        f"DROP TRIGGER IF EXISTS {_ACTS_STAY};",
        f"CREATE TRIGGER {_ACTS_STAY} BEFORE DELETE ON {FLAG_ACTS} "
        f"WHEN EXISTS ({there}) "
        f"BEGIN SELECT RAISE(ABORT, '{FLAG_ACTS} is append-only'); END;",
    ]


def acts_go_postgresql() -> list[str]:
    moment = _MOMENT_OF.format("OLD.flag_id")
    there = f"SELECT 1 FROM audit_call WHERE id = OLD.flag_id AND started_at = {moment}"  # noqa: S608 (constants)
    return [
        f"DROP TRIGGER IF EXISTS {_ACTS_STAY} ON {FLAG_ACTS}",
        "CREATE OR REPLACE FUNCTION audit_flagact_stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF EXISTS ({there} AND removal_id IS NULL) THEN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001'; END IF; "
        "RETURN OLD; END $$",
        f"CREATE TRIGGER {_ACTS_STAY} BEFORE DELETE ON {FLAG_ACTS} "
        "FOR EACH ROW EXECUTE FUNCTION audit_flagact_stays()",
    ]


def acts_stay_postgresql() -> list[str]:
    """Back again."""
    return [
        *postgresql_drop(OF_FLAG_ACTS[1:]),
        "DROP FUNCTION IF EXISTS audit_flagact_stays()",
        *postgresql_create(OF_FLAG_ACTS[1:]),
    ]


def acts_stay_sqlite() -> list[str]:
    return [*sqlite_drop(OF_FLAG_ACTS[1:]), *sqlite_create(OF_FLAG_ACTS[1:])]


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
