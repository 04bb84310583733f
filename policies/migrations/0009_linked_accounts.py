"""Several accounts may be one person's."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("policies", "0008_sealed_originals"),
    ]

    operations = [
        migrations.CreateModel(
            name="LinkedAccount",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="linked",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("person", models.UUIDField(db_index=True)),
                ("linked_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"default_permissions": ()},
        ),
    ]
