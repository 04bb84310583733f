"""Tables, written by makemigrations."""

import django.db.models.deletion
from django.db import migrations, models

import audit.ids
import gateway.models.access_rule


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("gateway", "0001_initial"),
        ("policies", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessRule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        default=100,
                        help_text="Of the rules that fit a caller, the lowest number decides; ties go to the older.",
                    ),
                ),
                (
                    "allowed_models",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Names separated by commas; empty means every model.",
                        validators=[gateway.models.access_rule.validate_models],
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="Empty: until it is taken away.", null=True),
                ),
                ("note", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="access_rules",
                        to="gateway.endpoint",
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="access_rules",
                        to="auth.group",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="access_rules",
                        to="policies.policy",
                    ),
                ),
            ],
            options={
                "ordering": ["endpoint", "priority", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("group", "endpoint", "priority"), name="gateway_accessrule_priority_unique"
                    )
                ],
            },
        ),
    ]
