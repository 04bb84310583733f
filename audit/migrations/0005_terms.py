"""The blind index: one row for each word of a call, and one for each fact that it is found by.

On PostgreSQL both are partitioned by month; on SQLite the rows lie in their index, without a table beside it.
"""

from datetime import UTC, datetime

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit import partitions

MONTHS_AHEAD = 3
TABLES = ("audit_word", "audit_fact")
KEY = "digest, started_at, call_id"
COLUMNS = "digest bigint NOT NULL, started_at datetime NOT NULL, call_id char(32) NOT NULL"


def lay_out(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    made = _on_postgresql if editor.connection.vendor == "postgresql" else _on_sqlite
    for table in TABLES:
        for statement in made(table):
            editor.execute(statement, params=None)


def _on_postgresql(table: str) -> list[str]:
    statements = partitions.partition_table(table, KEY)
    for first, following in partitions.months(datetime.now(UTC), MONTHS_AHEAD):
        statements += partitions.attach_month(table, first, following)
    return statements


def _on_sqlite(table: str) -> list[str]:
    return [
        f"DROP TABLE {table}",
        f"CREATE TABLE {table} ({COLUMNS}, PRIMARY KEY ({KEY})) WITHOUT ROWID",
    ]


def index_model(name: str) -> migrations.CreateModel:
    key = models.CompositePrimaryKey(
        "digest", "started_at", "call_id", blank=True, editable=False, primary_key=True, serialize=False
    )
    return migrations.CreateModel(
        name=name,
        fields=[
            ("pk", key),
            ("digest", models.BigIntegerField()),
            ("started_at", models.DateTimeField()),
            ("call_id", models.UUIDField()),
        ],
        options={
            "default_permissions": (),
            "indexes": [models.Index(fields=["started_at", "call_id"], name=f"audit_{name.lower()}_call")],
        },
    )


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_day_keys")]

    operations = [
        migrations.DeleteModel(name="WordIndex"),
        migrations.AlterModelOptions(
            name="fingerprint",
            options={"permissions": [("trace_fingerprint", "Can ask where a value passed")]},
        ),
        index_model("Word"),
        index_model("Fact"),
        migrations.CreateModel(
            name="Derived",
            fields=[
                ("stream", models.BigIntegerField(primary_key=True, serialize=False)),
                ("sequence", models.PositiveBigIntegerField()),
                ("ended", models.BooleanField(db_default=False, default=False)),
            ],
            options={"default_permissions": (), "verbose_name_plural": "derived"},
        ),
        migrations.RunPython(lay_out, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["area", "started_at", "id"], name="audit_call_area"),
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(fields=["area", "id"], name="audit_session_area"),
        ),
    ]
