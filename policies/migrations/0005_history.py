"""Tables that hold what the configuration was, and the triggers that keep them as they are."""

import django.db.models.deletion
import simple_history.models
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor)


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0005_history"),
        ("policies", "0004_two_people"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoricalDataClass",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("slug", models.CharField(max_length=40)),
                ("name", models.CharField(max_length=100)),
                ("level", models.PositiveSmallIntegerField(default=2)),
                ("weight", models.PositiveSmallIntegerField(default=1)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("context", models.JSONField(blank=True, default=list)),
                ("context_needed", models.BooleanField(default=False)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.schemaversion",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical data class",
                "verbose_name_plural": "historical data classes",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalDetector",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("kind", models.CharField(default="library", max_length=10)),
                ("value", models.TextField(max_length=100000)),
                ("max_len", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("ignore_case", models.BooleanField(default=False)),
                ("threshold", models.PositiveSmallIntegerField(default=0)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "data_class",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.dataclass",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical detector",
                "verbose_name_plural": "historical detectors",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalExample",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("kind", models.CharField(default="positive", max_length=10)),
                ("text", models.TextField(max_length=4000)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "data_class",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.dataclass",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical example",
                "verbose_name_plural": "historical examples",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalPolicy",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "area",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.area",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical policy",
                "verbose_name_plural": "historical policies",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalPolicyVersion",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("number", models.PositiveIntegerField(editable=False)),
                ("state", models.CharField(default="draft", editable=False, max_length=10)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("published_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("effective_at", models.DateTimeField(blank=True, null=True)),
                ("default_transform", models.CharField(default="redact", max_length=10)),
                ("opaque_gate", models.PositiveSmallIntegerField(default=3)),
                ("mode", models.CharField(default="enforce", max_length=10)),
                ("observe_until", models.DateTimeField(blank=True, null=True)),
                ("hold_score", models.PositiveIntegerField(blank=True, null=True)),
                ("block_score", models.PositiveIntegerField(blank=True, null=True)),
                ("count_cap", models.PositiveSmallIntegerField(default=10)),
                ("keeps", models.CharField(default="text", max_length=10)),
                ("reviewers", models.JSONField(blank=True, default=list)),
                ("approvals_needed", models.PositiveSmallIntegerField(default=1)),
                ("hold_seconds", models.PositiveSmallIntegerField(default=50)),
                ("valid_minutes", models.PositiveSmallIntegerField(default=60)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.policy",
                    ),
                ),
                (
                    "published_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "schema",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.schema",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical policy version",
                "verbose_name_plural": "historical policy versions",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalRule",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("name", models.CharField(max_length=100)),
                ("directions", models.CharField(default="both", max_length=10)),
                ("matcher", models.CharField(default="class", max_length=20)),
                ("value", models.CharField(blank=True, max_length=200)),
                ("at_least", models.PositiveIntegerField(blank=True, null=True)),
                ("window", models.CharField(blank=True, max_length=10)),
                ("weight", models.PositiveSmallIntegerField(default=0)),
                ("gate", models.PositiveSmallIntegerField(default=0)),
                ("transform", models.CharField(blank=True, max_length=10)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.policyversion",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical rule",
                "verbose_name_plural": "historical rules",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalSchema",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "area",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.area",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical schema",
                "verbose_name_plural": "historical schemas",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalSchemaVersion",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("number", models.PositiveIntegerField(editable=False)),
                ("state", models.CharField(default="draft", editable=False, max_length=10)),
                ("note", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("published_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("effective_at", models.DateTimeField(blank=True, null=True)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "published_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "schema",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="policies.schema",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical schema version",
                "verbose_name_plural": "historical schema versions",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.RunPython(install, drop),
    ]
