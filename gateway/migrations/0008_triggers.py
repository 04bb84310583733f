"""The triggers of what 0007 made or rebuilt: the revision is raised, the history stays as it is."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from gateway import triggers
from gateway.history_triggers import WHO_CALLS, WIDENED
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    drop(apps, schema_editor)
    triggers.install(schema_editor)
    history_triggers.install(schema_editor, [*WIDENED, *WHO_CALLS])


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)
    history_triggers.drop(schema_editor, [*WIDENED, *WHO_CALLS])


class Migration(migrations.Migration):
    dependencies = [("gateway", "0007_identity"), ("policies", "0006_proposals_of_the_deployment")]
    operations = [migrations.RunPython(install, drop)]
