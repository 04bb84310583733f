"""Proposals about the whole deployment lie in no area."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0007_identity"),
        ("policies", "0005_history"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="proposal",
            options={
                "ordering": ["-proposed_at"],
                "permissions": [
                    ("confirm_access", "Can confirm access rules that somebody else proposed"),
                    ("confirm_origin", "Can confirm where endpoints lead when somebody else proposed it"),
                    (
                        "confirm_identity",
                        "Can confirm issuers, roles and deployment settings that somebody proposed",
                    ),
                    ("confirm_area", "Can confirm that an area no longer takes two people"),
                ],
            },
        ),
        migrations.AlterField(
            model_name="proposal",
            name="area",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposals",
                to="gateway.area",
            ),
        ),
    ]
