"""Triggers: an approval moves only as the table says, votes and comments are written once."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from approvals import triggers
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor)
    history_triggers.install(schema_editor, triggers.APPEND_ONLY)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, triggers.APPEND_ONLY)
    triggers.drop(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("approvals", "0002_deciding")]

    operations = [migrations.RunPython(install, drop)]
