"""A policy may say that originals are kept, sealed."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from policies import triggers
from policies.rebuilding import Altered


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor)


def install_former(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor, without=triggers.OF_0008)


class Migration(migrations.Migration):
    dependencies = [("policies", "0007_holding_options")]

    operations = [
        migrations.RunPython(drop, install_former),
        Altered(
            [
                migrations.AddField(
                    model_name="historicalpolicyversion",
                    name="keeps_original",
                    field=models.BooleanField(default=False, verbose_name="keeps originals, sealed"),
                ),
                migrations.AddField(
                    model_name="policyversion",
                    name="keeps_original",
                    field=models.BooleanField(
                        default=False,
                        help_text=(
                            "What was sent is kept as well, sealed so that no gateway can read it. "
                            "Two people together may look at one call's original."
                        ),
                        verbose_name="keeps originals, sealed",
                    ),
                ),
            ]
        ),
        migrations.RunPython(install, drop),
    ]
