"""Sealed originals, by month like the payloads, and who may look at one. Both are guarded against change."""

from datetime import UTC, datetime

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.fields
import audit.ids
from audit import partitions, triggers

MONTHS_AHEAD = 3


def partition_and_guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "postgresql":
        run(editor, triggers.sqlite_create(triggers.OF_ORIGINALS))
        return
    run(editor, partitions.partition_table(triggers.ORIGINALS))
    for first, following in partitions.months(datetime.now(UTC), MONTHS_AHEAD):
        run(editor, partitions.attach_month(triggers.ORIGINALS, first, following))
    run(editor, triggers.postgresql_create(triggers.OF_ORIGINALS))


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    drop = triggers.postgresql_drop if postgresql else triggers.sqlite_drop
    run(editor, drop(triggers.OF_ORIGINALS))


def run(editor: BaseDatabaseSchemaEditor, statements: list[str]) -> None:
    for statement in statements:
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0007_exports")]

    operations = [
        migrations.CreateModel(
            name="Original",
            fields=[
                ("id", audit.fields.PlaceField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("call_id", models.UUIDField()),
                ("sealed", models.BinaryField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["call_id"], name="audit_original_call")],
            },
        ),
        migrations.CreateModel(
            name="Reveal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("call_id", models.UUIDField()),
                ("area", models.CharField(max_length=64)),
                ("person_id", models.UUIDField()),
                ("confirmed_by_id", models.UUIDField()),
                ("proposal_id", models.UUIDField(unique=True)),
                ("created_at", models.DateTimeField()),
                ("until", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "permissions": [("confirm_reveal", "Can confirm that somebody else looks at an original")],
                "indexes": [models.Index(fields=["call_id", "person_id"], name="audit_reveal_call")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("confirmed_by_id", models.F("person_id")), _negated=True),
                        name="audit_reveal_two_people",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("created_at"))), name="audit_reveal_ends"
                    ),
                ],
            },
        ),
        migrations.RunPython(partition_and_guard, unguard),
    ]
