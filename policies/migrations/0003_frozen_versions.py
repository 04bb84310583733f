"""Triggers that freeze published versions."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from policies import triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor, without=(*triggers.OF_0007, *triggers.OF_0008))


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("policies", "0002_scores_examples_proposals")]
    operations = [migrations.RunPython(install, drop)]
