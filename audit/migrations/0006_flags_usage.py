"""The inbox of flagged calls, what calls used by month, and what tokens cost."""

import django.core.validators
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
import audit.models.usage
from audit import triggers


def guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    create = triggers.postgresql_create if postgresql else triggers.sqlite_create
    for statement in create(triggers.OF_FLAG_ACTS):
        editor.execute(statement, params=None)


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    drop = triggers.postgresql_drop if postgresql else triggers.sqlite_drop
    for statement in drop(triggers.OF_FLAG_ACTS):
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_terms"),
    ]

    operations = [
        migrations.CreateModel(
            name="CallerUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("area", models.CharField(max_length=64)),
                ("endpoint", models.CharField(max_length=255)),
                ("model", models.CharField(max_length=255)),
                ("calls", models.PositiveBigIntegerField(default=0)),
                ("uncounted", models.PositiveBigIntegerField(default=0)),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("caller_id", models.UUIDField()),
                ("owner_id", models.UUIDField(null=True)),
                ("name", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=16)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["caller_id", "month"], name="audit_callerusage_caller"),
                    models.Index(fields=["owner_id", "month"], name="audit_callerusage_owner"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("month", "area", "endpoint", "model", "caller_id"),
                        name="audit_callerusage_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Flag",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("area", models.CharField(max_length=64)),
                ("endpoint", models.CharField(max_length=255)),
                ("model", models.CharField(max_length=255)),
                ("person_id", models.UUIDField(null=True)),
                ("owner_id", models.UUIDField(null=True)),
                ("name", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=16)),
                ("action", models.CharField(max_length=16)),
                ("directions", models.JSONField()),
                ("rules", models.JSONField()),
                ("classes", models.JSONField()),
                ("highest", models.CharField(max_length=32)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("closed", "Closed")], default="open", max_length=16
                    ),
                ),
                ("turn", models.PositiveIntegerField(default=0)),
                ("assignee_id", models.UUIDField(null=True)),
                ("assignee", models.CharField(blank=True, max_length=150)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("fine", "Fine"),
                            ("false_positive", "False positive"),
                            ("misuse", "Misuse"),
                            ("incident", "Incident"),
                        ],
                        max_length=16,
                    ),
                ),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "permissions": [("handle_flag", "Can assign, annotate and close flagged calls")],
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["state", "id"], name="audit_flag_state"),
                    models.Index(fields=["area", "state", "id"], name="audit_flag_area"),
                    models.Index(fields=["assignee_id", "state", "id"], name="audit_flag_assignee"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("outcome", ""), ("state", "open")),
                            models.Q(models.Q(("state", "closed")), models.Q(("outcome", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="audit_flag_closed_with_outcome",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FlagAct",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("flag_id", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=16)),
                ("person_id", models.UUIDField()),
                ("name", models.CharField(max_length=150)),
                ("about", models.CharField(blank=True, max_length=150)),
                ("text", models.CharField(blank=True, max_length=1000)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["flag_id", "id"], name="audit_flagact_of")],
            },
        ),
        migrations.CreateModel(
            name="FlagLabel",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("flag_id", models.UUIDField()),
                ("kind", models.CharField(max_length=8)),
                ("name", models.CharField(max_length=255)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "name", "flag_id"), name="audit_flaglabel_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="GroupUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("area", models.CharField(max_length=64)),
                ("endpoint", models.CharField(max_length=255)),
                ("model", models.CharField(max_length=255)),
                ("calls", models.PositiveBigIntegerField(default=0)),
                ("uncounted", models.PositiveBigIntegerField(default=0)),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("group", models.CharField(max_length=150)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("month", "area", "endpoint", "model", "group"), name="audit_groupusage_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "pattern",
                    models.CharField(
                        help_text="A model's name as callers write it; * stands for any text: gpt-4o*. The longest wins.",
                        max_length=255,
                        validators=[audit.models.usage.validate_pattern],
                        verbose_name="model",
                    ),
                ),
                (
                    "endpoint",
                    models.CharField(
                        blank=True,
                        help_text="Short name of the endpoint that has this price; empty means every one.",
                        max_length=255,
                    ),
                ),
                (
                    "input_price",
                    models.DecimalField(
                        decimal_places=6,
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="per million input tokens",
                    ),
                ),
                (
                    "output_price",
                    models.DecimalField(
                        decimal_places=6,
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(0)],
                        verbose_name="per million output tokens",
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}\\Z", "Three capital letters, such as EUR."
                            )
                        ],
                    ),
                ),
                (
                    "valid_from",
                    models.DateField(
                        help_text="First day of the month from which on it holds.",
                        validators=[audit.models.usage.validate_month],
                    ),
                ),
            ],
            options={
                "ordering": ["pattern", "endpoint", "-valid_from"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pattern", "endpoint", "valid_from"),
                        name="audit_price_once",
                        violation_error_message="There is a price of this model from this month on already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("input_price__gte", 0), ("output_price__gte", 0)),
                        name="audit_price_not_negative",
                    ),
                ],
            },
        ),
        migrations.RunPython(guard, unguard),
    ]
