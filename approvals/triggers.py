"""The database's own guard of approvals: only moves that the table knows, and nothing that was bound changes.

The services move by compare-and-set already; this holds for every other hand as well, a forgotten update
included. A migration that rebuilds the table drops the triggers first and installs them again afterwards.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE: Final = "approvals_approval"
APPEND_ONLY: Final = ("approvals_vote", "approvals_comment")
OF_0005: Final = ("approvals_setaside",)
"""Written once as well; the table came with the migration 0005."""
MOVES: Final = (
    ("pending", "approved"),
    ("pending", "denied"),
    ("pending", "expired"),
    ("pending", "withdrawn"),
    ("pending", "superseded"),
    ("approved", "consumed"),
    ("approved", "expired"),
    ("approved", "revoked"),
    ("approved", "superseded"),
)
"""As `models.TRANSITIONS` had them when the triggers were made; a test holds them together."""

BOUND: Final = (
    "id",
    "epoch",
    "call_id",
    "request_hmac",
    "sent_digest",
    "requester_id",
    "requester_kind",
    "owner_id",
    "key_id",
    "area",
    "endpoint_id",
    "model",
    "access_rule_id",
    "policy_version_id",
    "schema_version_id",
    "needed",
    "clear",
    "created_at",
)
_NAMES: Final = (f"{TABLE}_moves", f"{TABLE}_kept")
_ILLEGAL: Final = "an approval may not move or change like this"


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create both triggers; they must not exist."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in _postgresql() if postgresql else _sqlite():
        schema_editor.execute(statement, params=None)


def drop(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove both triggers, if they are there."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for name in _NAMES:
        suffix = f" ON {TABLE}" if postgresql else ""
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}", params=None)
        if postgresql:
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {name}()", params=None)


def _condition(distinct: str) -> str:
    allowed = " OR ".join(f"(OLD.status = '{old}' AND NEW.status = '{new}')" for old, new in MOVES)
    changed = " OR ".join(f"OLD.{column} {distinct} NEW.{column}" for column in BOUND)
    return f"(OLD.status <> NEW.status AND NOT ({allowed})) OR {changed}"


def _sqlite() -> list[str]:
    moves, kept = _NAMES
    return [
        f"CREATE TRIGGER {moves} BEFORE UPDATE ON {TABLE} FOR EACH ROW WHEN {_condition('IS NOT')}"
        f" BEGIN SELECT RAISE(ABORT, '{_ILLEGAL}'); END",
        f"CREATE TRIGGER {kept} BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, '{_ILLEGAL}'); END",
    ]


def _postgresql() -> list[str]:
    moves, kept = _NAMES
    refuse = f"RAISE EXCEPTION '{_ILLEGAL}' USING ERRCODE = 'integrity_constraint_violation';"
    return [
        f"CREATE FUNCTION {moves}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {_condition('IS DISTINCT FROM')} THEN {refuse} END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER {moves} BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {moves}()",
        f"CREATE FUNCTION {kept}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse} END $$",
        f"CREATE TRIGGER {kept} BEFORE DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {kept}()",
    ]
