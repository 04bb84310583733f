"""Endpoints may speak Anthropic's API. SQLite rebuilds the table for that, which loses its triggers."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from gateway import triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)
    triggers.install(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0012_webhooks")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, install),
        migrations.RemoveConstraint(model_name="endpoint", name="gateway_endpoint_kind_known"),
        migrations.AlterField(
            model_name="endpoint",
            name="kind",
            field=models.CharField(
                choices=[
                    ("openai", "OpenAI API"),
                    ("anthropic", "Anthropic API"),
                    ("json", "Plain JSON"),
                ],
                default="openai",
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["openai", "anthropic", "json"])),
                name="gateway_endpoint_kind_known",
            ),
        ),
        migrations.RunPython(install, migrations.RunPython.noop),
    ]
