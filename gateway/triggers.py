"""Triggers that raise the revision whenever configuration changes, on SQLite and PostgreSQL.

They name the columns that matter, so that a sign-in (`last_login`) or an edited draft wakes nobody. A
migration that rebuilds one of these tables drops the triggers first and installs them again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper

Watched = dict[str, tuple[str, ...]]

WATCHED: Watched = {
    "auth_group": ("name",),
    "gateway_user": ("username", "is_active"),
    "gateway_user_groups": ("user_id", "group_id"),
    "gateway_serviceaccount": ("name", "owner_id", "area_id", "is_active"),
    "gateway_serviceaccount_groups": ("serviceaccount_id", "group_id"),
    "gateway_area": ("slug", "name"),
    "gateway_apikey": (
        "digest",
        "user_id",
        "service_account_id",
        "expires_at",
        "revoked_at",
        "declared_level",
        "group_ids",
        "allowed_endpoints",
        "allowed_models",
        "networks",
    ),
    "gateway_lock": (
        "user_id",
        "service_account_id",
        "api_key_id",
        "group_id",
        "endpoint_id",
        "area_id",
        "everything",
        "expires_at",
        "lifted_at",
    ),
    "gateway_cut": ("call_id",),
    "gateway_issuer": (
        "kind",
        "issuer",
        "enabled",
        "allow_private",
        "accepts_tokens",
        "audiences",
        "authorized_parties",
        "algorithms",
        "jwks_uri",
        "accepts_id_tokens",
        "required_claims",
        "leeway",
        "max_stale",
        "introspection_url",
        "introspection_credential_id",
        "subject_claim",
        "name_claim",
        "groups_claim",
        "overage",
        "overage_lookup",
        "creates_people",
    ),
    "gateway_groupmapping": ("issuer_id", "match", "value", "group_id"),
    "gateway_identity": ("issuer", "subject", "user_id", "service_account_id"),
    "gateway_endpoint": (
        "area_id",
        "slug",
        "name",
        "kind",
        "origin",
        "base_path",
        "allow_private",
        "credential_id",
        "client_certificate_id",
        "ceiling",
        "max_body_bytes",
        "connect_timeout",
        "first_byte_timeout",
        "idle_timeout",
        "ca_certificates",
        "breaker_failures",
        "breaker_rate",
        "breaker_seconds",
        "enabled",
    ),
    "gateway_credential": (
        "origin",
        "header",
        "scheme",
        "disabled_at",
        "placement",
        "parameter",
        "username",
        "token_url",
        "client_id",
        "client_auth",
        "scope",
        "audience",
        "token_private",
    ),
    "gateway_credentialversion": ("state", "sealed", "key_id"),
    "gateway_accessrule": (
        "group_id",
        "endpoint_id",
        "policy_id",
        "priority",
        "allowed_models",
        "allowed_paths",
        "networks",
        "requests_per_minute",
        "tokens_per_minute",
        "tokens_per_day",
        "tokens_per_month",
        "max_concurrent",
        "enabled",
        "expires_at",
    ),
    "policies_schema": ("slug", "name", "area_id"),
    "policies_schemaversion": ("state",),
    "policies_policy": ("slug", "name", "area_id"),
    "policies_policyversion": ("state",),
}
# No upsert: on SQLite the outer statement's OR IGNORE (Django's `groups.add`) would override it.
_BUMP = (
    "INSERT INTO gateway_revision (id, value) SELECT 1, 0"
    " WHERE NOT EXISTS (SELECT 1 FROM gateway_revision WHERE id = 1);"
    " UPDATE gateway_revision SET value = value + 1 WHERE id = 1;"
)
_EVENTS = ("insert", "delete", "update")


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create all triggers and the counter's row; the triggers must not exist.

    An earlier migration finds tables without the columns of later ones, which install them again.
    """
    watched = _there(schema_editor)
    postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in _postgresql(watched) if postgresql else _sqlite(watched):
        schema_editor.execute(statement, params=None)
    for statement in _BUMP.split(";")[:2]:
        schema_editor.execute(statement, params=None)


def drop(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove all triggers, if they are there."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name in names():
        suffix = f" ON {table}" if postgresql else ""
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}", params=None)
    if postgresql:
        schema_editor.execute("DROP FUNCTION IF EXISTS gateway_revision_bump()", params=None)


def names() -> list[tuple[str, str]]:
    """(table, trigger) of every trigger."""
    return [(table, f"{table}_revision_{event}") for table in WATCHED for event in _EVENTS]


def _there(schema_editor: BaseDatabaseSchemaEditor) -> Watched:
    """What of it exists by now."""
    with schema_editor.connection.cursor() as cursor:
        tables = set(schema_editor.connection.introspection.table_names(cursor))
        return {
            table: tuple(name for name in columns if name in _columns(cursor, table))
            for table, columns in WATCHED.items()
            if table in tables
        }


def _columns(cursor: CursorWrapper, table: str) -> set[str]:
    cursor.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608  one of our own names
    return {column[0] for column in cursor.description}


def _events(table: str, columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield f"{table}_revision_insert", "INSERT"
    yield f"{table}_revision_delete", "DELETE"
    yield f"{table}_revision_update", f"UPDATE OF {', '.join(columns)}"


def _sqlite(watched: Watched) -> Iterator[str]:
    for table, columns in watched.items():
        for name, event in _events(table, columns):
            yield f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {_BUMP} END"


def _postgresql(watched: Watched) -> Iterator[str]:
    yield (
        "CREATE FUNCTION gateway_revision_bump() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_BUMP} RETURN NULL; END $$"
    )
    for table, columns in watched.items():
        for name, event in _events(table, columns):
            yield (
                f"CREATE TRIGGER {name} AFTER {event} ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION gateway_revision_bump()"
            )
