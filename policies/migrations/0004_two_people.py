"""Permissions to confirm what somebody else proposed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0003_frozen_versions"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="proposal",
            options={
                "ordering": ["-proposed_at"],
                "permissions": [
                    ("confirm_access", "Can confirm access rules that somebody else proposed"),
                    ("confirm_origin", "Can confirm where endpoints lead when somebody else proposed it"),
                    ("confirm_area", "Can confirm that an area no longer takes two people"),
                ],
            },
        ),
    ]
