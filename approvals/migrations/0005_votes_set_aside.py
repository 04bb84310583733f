"""Votes that no longer count: written once, as votes are."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from approvals import triggers
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor, triggers.OF_0005)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, triggers.OF_0005)


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_queue_indexes")]

    operations = [
        migrations.CreateModel(
            name="SetAside",
            fields=[
                (
                    "vote",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="set_aside",
                        serialize=False,
                        to="approvals.vote",
                    ),
                ),
                (
                    "because",
                    models.CharField(
                        choices=[("locked", "locked"), ("inactive", "made inactive")], max_length=8
                    ),
                ),
                ("at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("because__in", ["locked", "inactive"])),
                        name="approvals_set_aside_known",
                    )
                ],
            },
        ),
        migrations.RunPython(install, drop),
    ]
