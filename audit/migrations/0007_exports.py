"""Exporting calls is a permission of its own."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_flags_usage")]

    operations = [
        migrations.AlterModelOptions(
            name="call", options={"permissions": [("export_call", "Can export calls")]}
        ),
    ]
