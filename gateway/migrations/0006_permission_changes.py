"""What groups and people were given and lost, and the triggers that keep it as it is."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
from gateway.history_triggers import PERMISSIONS
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor, PERMISSIONS)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, PERMISSIONS)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0005_history")]

    operations = [
        migrations.CreateModel(
            name="PermissionChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "holder_kind",
                    models.CharField(choices=[("group", "Group"), ("person", "Person")], max_length=10),
                ),
                ("holder_id", models.CharField(db_index=True, max_length=36)),
                ("holder", models.CharField(max_length=150)),
                ("given", models.JSONField(default=list)),
                ("taken", models.JSONField(default=list)),
                ("changed_by_id", models.UUIDField(db_index=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=400)),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("holder_kind__in", ["group", "person"])),
                        name="gateway_permissionchange_holder_known",
                    )
                ],
            },
        ),
        migrations.RunPython(install, drop),
    ]
