"""The database's own guard of the history: its rows are written once, never changed and never deleted.

Emptying a store as a whole (`flush`) is not kept from anybody: whoever can do that can drop the triggers too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = tuple(
    f"policies_historical{name}"
    for name in (
        "schema",
        "schemaversion",
        "dataclass",
        "detector",
        "example",
        "policy",
        "policyversion",
        "rule",
    )
)
_OPERATIONS = ("UPDATE", "DELETE")


def install(schema_editor: BaseDatabaseSchemaEditor, tables: Iterable[str] = TABLES) -> None:
    """Create the triggers of these tables; they must not exist."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for table in tables:
        for statement in _postgresql(table) if postgresql else _sqlite(table):
            schema_editor.execute(statement, params=None)


def drop(schema_editor: BaseDatabaseSchemaEditor, tables: Iterable[str] = TABLES) -> None:
    """Remove the triggers of these tables, if they are there."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for table in tables:
        for operation in _OPERATIONS:
            suffix = f" ON {table}" if postgresql else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {_name(table, operation)}{suffix}", params=None)
        if postgresql:
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {table}_kept()", params=None)


def _name(table: str, operation: str) -> str:
    return f"{table}_no_{operation.lower()}"


def _sqlite(table: str) -> Iterator[str]:
    for operation in _OPERATIONS:
        yield (
            f"CREATE TRIGGER {_name(table, operation)} BEFORE {operation} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _postgresql(table: str) -> Iterator[str]:
    yield (
        f"CREATE FUNCTION {table}_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '{table} is append-only' USING ERRCODE = '23001'; END $$"
    )
    for operation in _OPERATIONS:
        yield (
            f"CREATE TRIGGER {_name(table, operation)} BEFORE {operation} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {table}_kept()"
        )
