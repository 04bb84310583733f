"""Signed checkpoints, which are guarded like entries, and the places that are told of them."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit import triggers


def guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    create = triggers.postgresql_create if postgresql else triggers.sqlite_create
    for statement in create(triggers.OF_CHECKPOINTS):
        editor.execute(statement, params=None)


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    drop = triggers.postgresql_drop if postgresql else triggers.sqlite_drop
    for statement in drop(triggers.OF_CHECKPOINTS):
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("number", models.PositiveBigIntegerField(default=0)),
                ("told_at", models.DateTimeField(null=True)),
                ("tried_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=200)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("number", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("epoch", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("size", models.PositiveBigIntegerField(help_text="New entries since the one before.")),
                ("text", models.BinaryField(help_text="What is signed.")),
                ("digest", models.BinaryField(max_length=32)),
                ("key", models.CharField(max_length=16)),
                ("signature", models.BinaryField(max_length=64)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("number__gte", 1)), name="audit_checkpoint_from_one"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="stream",
            name="stated",
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.RunPython(guard, unguard),
    ]
