"""Triggers that freeze published versions: no code path can edit what calls were judged by.

A version may go draft -> published -> retired and change in nothing else once published; its children can be
written only while it is a draft. A migration that alters one of these tables does so in `rebuilding.Altered`,
and drops and installs the triggers anew around it where they name what it adds.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FROZEN = "a published version cannot be changed"
VERSIONS = {
    "policies_schemaversion": (
        "id",
        "number",
        "note",
        "author_id",
        "created_at",
        "published_by_id",
        "published_at",
        "effective_at",
        "schema_id",
    ),
    "policies_policyversion": (
        "id",
        "number",
        "note",
        "author_id",
        "created_at",
        "published_by_id",
        "published_at",
        "effective_at",
        "policy_id",
        "schema_id",
        "default_transform",
        "opaque_gate",
        "mode",
        "observe_until",
        "hold_score",
        "block_score",
        "count_cap",
        "keeps",
        "reviewers",
        "approvals_needed",
        "hold_seconds",
        "valid_minutes",
        "escalate_minutes",
        "escalate_to",
        "purpose_required",
        "keeps_alive",
        "clear_release",
        "keeps_original",
    ),
}
OF_0007 = ("escalate_minutes", "escalate_to", "purpose_required", "keeps_alive", "clear_release")
"""Columns that came with the migration 0007: before it, no trigger can name them."""
OF_0008 = ("keeps_original",)
"""The same of the migration 0008."""

_PARENT = "SELECT state FROM {version} WHERE id = {row}.version_id"
_GRANDPARENT = (
    "SELECT v.state FROM policies_schemaversion v JOIN policies_dataclass c ON c.version_id = v.id"
    " WHERE c.id = {row}.data_class_id"
)
CHILDREN = {
    "policies_dataclass": _PARENT.replace("{version}", "policies_schemaversion"),
    "policies_detector": _GRANDPARENT,
    "policies_example": _GRANDPARENT,
    "policies_rule": _PARENT.replace("{version}", "policies_policyversion"),
}
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


def install(schema_editor: BaseDatabaseSchemaEditor, without: Container[str] = ()) -> None:
    """Create all triggers; they must not exist. `without`: columns that are not there yet."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in _postgresql(without) if postgresql else _sqlite(without):
        schema_editor.execute(statement, params=None)


def drop(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove all triggers, if they are there."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name in names():
        suffix = f" ON {table}" if postgresql else ""
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}", params=None)
        if postgresql:
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {name}()", params=None)


def names() -> list[tuple[str, str]]:
    """(table, trigger) of every trigger."""
    found = [(table, f"{table}_frozen_{event}") for table in VERSIONS for event in ("update", "delete")]
    return found + [(table, f"{table}_frozen_{event.lower()}") for table in CHILDREN for event in _ROWS]


def _conditions(distinct: str, without: Container[str]) -> Iterator[tuple[str, str, str]]:
    """(table, event, condition under which the statement is refused)."""
    for table, columns in VERSIONS.items():
        there = [column for column in columns if column not in without]
        changed = " OR ".join(f"OLD.{column} {distinct} NEW.{column}" for column in there)
        retiring = f"OLD.state = 'published' AND NEW.state = 'retired' AND NOT ({changed})"
        yield (
            table,
            "UPDATE",
            f"(OLD.state <> 'draft' AND NOT ({retiring}))"
            + (" OR (OLD.state = 'draft' AND NEW.state = 'retired')"),
        )
        yield table, "DELETE", "OLD.state <> 'draft'"
    for table, query in CHILDREN.items():
        for event, rows in _ROWS.items():
            yield table, event, " OR ".join(f"({query.format(row=row)}) <> 'draft'" for row in rows)


def _sqlite(without: Container[str]) -> Iterator[str]:
    for table, event, condition in _conditions("IS NOT", without):
        yield (
            f"CREATE TRIGGER {table}_frozen_{event.lower()} BEFORE {event} ON {table} FOR EACH ROW"
            f" WHEN {condition} BEGIN SELECT RAISE(ABORT, '{FROZEN}'); END"
        )


def _postgresql(without: Container[str]) -> Iterator[str]:
    for table, event, condition in _conditions("IS DISTINCT FROM", without):
        name = f"{table}_frozen_{event.lower()}"
        # FOR SHARE waits for a publication in progress; without it a row could slip in behind its back.
        locked = condition.replace(".version_id)", ".version_id FOR SHARE)").replace(
            ".data_class_id)", ".data_class_id FOR SHARE)"
        )
        result = "OLD" if event == "DELETE" else "NEW"
        yield (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {locked} THEN RAISE EXCEPTION '{FROZEN}' USING ERRCODE = 'integrity_constraint_violation';"
            f" END IF; RETURN {result}; END $$"
        )
        yield f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
