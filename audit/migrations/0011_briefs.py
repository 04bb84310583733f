"""A short row for each call that ended, from which a search adds up its matches; of calls before as well.

On PostgreSQL it is partitioned by month; on SQLite the rows lie in their key, which begins with the call's id.
"""

import re
from datetime import UTC, datetime

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit import partitions

MONTHS_AHEAD = 3
TABLE = "audit_brief"
COLUMNS = "started_at, call_id, area, name, action, input_tokens, output_tokens, rest"
REST = "model, endpoint, area, highest, policy, api, status, code"
ON_POSTGRESQL = (
    f"jsonb_build_array({REST}, (SELECT coalesce(jsonb_agg(k.name), '[]') FROM "  # noqa: S608 (constants)
    "jsonb_object_keys(counts || coalesce(response_counts, '{}')) AS k(name)))::text"
)
ON_SQLITE = (
    f"json_array({REST}, (SELECT json_group_array(key) FROM "  # noqa: S608 (constants)
    "json_each(json_patch(counts, coalesce(response_counts, '{}')))))"
)
FILL = (
    f"INSERT INTO {TABLE} ({COLUMNS}) SELECT started_at, id, area, name, action, input_tokens, "  # noqa: S608
    "output_tokens, {rest} FROM audit_call WHERE closed_at IS NOT NULL"
)


def lay_out(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    for statement in _on_postgresql(editor) if postgresql else _on_sqlite():
        editor.execute(statement, params=None)
    editor.execute(FILL.format(rest=ON_POSTGRESQL if postgresql else ON_SQLITE), params=None)


def _on_postgresql(editor: BaseDatabaseSchemaEditor) -> list[str]:
    """A partition for each month that calls have one of, and for those to come."""
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_call'::regclass"
        )
        found = [re.search(r"_y(\d{4})m(\d{2})$", name) for (name,) in cursor.fetchall()]
    starts = {datetime(int(each[1]), int(each[2]), 1, tzinfo=UTC) for each in found if each}
    starts |= {first for first, _ in partitions.months(datetime.now(UTC), MONTHS_AHEAD)}
    statements = partitions.partition_table(TABLE, "started_at, call_id")
    for start in sorted(starts):
        for first, following in partitions.months(start, 1):
            statements += partitions.attach_month(TABLE, first, following)
    return statements


def _on_sqlite() -> list[str]:
    return [
        f"DROP TABLE {TABLE}",
        f"CREATE TABLE {TABLE} (call_id char(32) NOT NULL, started_at datetime NOT NULL, "
        "area varchar(64) NOT NULL, name varchar(255) NOT NULL, action varchar(16) NOT NULL, "
        "input_tokens integer unsigned NULL, output_tokens integer unsigned NULL, rest text NOT NULL, "
        "PRIMARY KEY (call_id, started_at)) WITHOUT ROWID",
    ]


class Migration(migrations.Migration):
    dependencies = [("audit", "0010_forgetting")]

    operations = [
        migrations.CreateModel(
            name="Brief",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "started_at",
                        "call_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("call_id", models.UUIDField()),
                ("area", models.CharField(max_length=64)),
                ("name", models.CharField(max_length=255)),
                ("action", models.CharField(max_length=16)),
                ("input_tokens", models.PositiveIntegerField(null=True)),
                ("output_tokens", models.PositiveIntegerField(null=True)),
                ("rest", models.TextField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunPython(lay_out, migrations.RunPython.noop),
    ]
