"""The blind index holds facts as well as words, one row for each term of a call, and cursors say how far it is.

On PostgreSQL it is partitioned by month; on SQLite its rows lie in their index, without a table beside it.
"""

from datetime import UTC, datetime

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit import partitions

MONTHS_AHEAD = 3
KEY = "digest, started_at, call_id"


def lay_out(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        statements = partitions.partition_table("audit_term", KEY)
        statements.append("CREATE INDEX audit_term_when ON audit_term USING brin (started_at)")
        for first, following in partitions.months(datetime.now(UTC), MONTHS_AHEAD):
            statements += partitions.attach_month("audit_term", first, following)
    else:
        columns = "digest bigint NOT NULL, started_at datetime NOT NULL, call_id char(32) NOT NULL"
        statements = [
            "DROP TABLE audit_term",
            f"CREATE TABLE audit_term ({columns}, PRIMARY KEY ({KEY})) WITHOUT ROWID",
        ]
    for statement in statements:
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_checkpoints")]

    operations = [
        migrations.DeleteModel(name="WordIndex"),
        migrations.CreateModel(
            name="Term",
            fields=[
                ("digest", models.BigIntegerField()),
                ("started_at", models.DateTimeField()),
                ("call_id", models.UUIDField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "digest",
                        "started_at",
                        "call_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
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
    ]
