"""Tables that hold what the configuration was, and the triggers that keep them as they are."""

import django.db.models.deletion
import django.utils.timezone
import simple_history.models
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
from gateway.history_triggers import TABLES
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor, TABLES)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, TABLES)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("gateway", "0004_revision_triggers"),
        ("policies", "0004_two_people"),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoricalArea",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                (
                    "two_person_publish",
                    models.BooleanField(default=False, verbose_name="two people to publish"),
                ),
                (
                    "two_person_access",
                    models.BooleanField(default=False, verbose_name="two people for access"),
                ),
                (
                    "two_person_origin",
                    models.BooleanField(default=False, verbose_name="two people for origins"),
                ),
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
            ],
            options={
                "verbose_name": "historical area",
                "verbose_name_plural": "historical areas",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalGroup",
            fields=[
                ("id", models.IntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                ("name", models.CharField(db_index=True, max_length=150, verbose_name="name")),
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
            ],
            options={
                "verbose_name": "historical group",
                "verbose_name_plural": "historical groups",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalUser",
            fields=[
                ("is_superuser", models.BooleanField(default=False, verbose_name="superuser status")),
                (
                    "username",
                    models.CharField(
                        db_index=True,
                        error_messages={"unique": "A user with that username already exists."},
                        max_length=150,
                        verbose_name="username",
                    ),
                ),
                ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                ("email", models.EmailField(blank=True, max_length=254, verbose_name="email address")),
                ("is_staff", models.BooleanField(default=False, verbose_name="staff status")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                (
                    "date_joined",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined"),
                ),
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
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
            ],
            options={
                "verbose_name": "historical user",
                "verbose_name_plural": "historical users",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalAccessRule",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("priority", models.PositiveSmallIntegerField(default=100)),
                ("allowed_models", models.JSONField(blank=True, default=list)),
                ("allowed_paths", models.JSONField(blank=True, default=list)),
                ("networks", models.JSONField(blank=True, default=list)),
                ("requests_per_minute", models.PositiveBigIntegerField(blank=True, null=True)),
                ("tokens_per_minute", models.PositiveBigIntegerField(blank=True, null=True)),
                ("tokens_per_day", models.PositiveBigIntegerField(blank=True, null=True)),
                ("tokens_per_month", models.PositiveBigIntegerField(blank=True, null=True)),
                ("max_concurrent", models.PositiveBigIntegerField(blank=True, null=True)),
                ("enabled", models.BooleanField(default=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("note", models.CharField(blank=True, max_length=300)),
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
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.endpoint",
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="auth.group",
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
            ],
            options={
                "verbose_name": "historical access rule",
                "verbose_name_plural": "historical access rules",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalApiKey",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(db_index=True, editable=False, max_length=16)),
                ("declared_level", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
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
                    "created_by",
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
                    "service_account",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.serviceaccount",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical API key",
                "verbose_name_plural": "historical API keys",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalCredential",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.CharField(max_length=100)),
                ("origin", models.CharField(max_length=255)),
                ("header", models.CharField(default="Authorization", max_length=64)),
                ("scheme", models.CharField(blank=True, default="Bearer", max_length=32)),
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
                "verbose_name": "historical credential",
                "verbose_name_plural": "historical credentials",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalCredentialVersion",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("number", models.PositiveIntegerField()),
                ("state", models.CharField(default="pending", max_length=10)),
                ("key_id", models.CharField(editable=False, max_length=40)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
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
                    "created_by",
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
                    "credential",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.credential",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical credential version",
                "verbose_name_plural": "historical credential versions",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalEndpoint",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                ("kind", models.CharField(default="openai", max_length=20)),
                ("origin", models.CharField(max_length=255)),
                ("base_path", models.CharField(blank=True, max_length=200)),
                ("allow_private", models.BooleanField(default=False)),
                ("ceiling", models.PositiveSmallIntegerField(default=3)),
                ("max_body_bytes", models.PositiveIntegerField(default=8388608)),
                ("connect_timeout", models.PositiveSmallIntegerField(default=5)),
                ("first_byte_timeout", models.PositiveSmallIntegerField(default=120)),
                ("idle_timeout", models.PositiveSmallIntegerField(default=60)),
                ("enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("updated_at", models.DateTimeField(blank=True, editable=False)),
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
                (
                    "credential",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.credential",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical endpoint",
                "verbose_name_plural": "historical endpoints",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalIdentity",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("issuer", models.CharField(max_length=300)),
                ("subject", models.CharField(max_length=255)),
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
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical identity",
                "verbose_name_plural": "historical identities",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalLock",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("reason", models.CharField(max_length=300)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("lifted_at", models.DateTimeField(blank=True, editable=False, null=True)),
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
                (
                    "created_by",
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
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.endpoint",
                    ),
                ),
                (
                    "lifted_by",
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
                    "service_account",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="gateway.serviceaccount",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical lock",
                "verbose_name_plural": "historical locks",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalServiceAccount",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.SlugField(max_length=80)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("is_active", models.BooleanField(default=True)),
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
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical service account",
                "verbose_name_plural": "historical service accounts",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="MembershipChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "member_kind",
                    models.CharField(
                        choices=[("person", "Person"), ("service_account", "Service account")], max_length=20
                    ),
                ),
                ("member_id", models.UUIDField(db_index=True)),
                ("member", models.CharField(max_length=150)),
                ("group_id", models.IntegerField(db_index=True)),
                ("group", models.CharField(max_length=150)),
                ("joined", models.BooleanField()),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("manual", "By hand"),
                            ("system", "Postern itself"),
                            ("oidc", "Sign-in (OIDC)"),
                            ("scim", "Directory (SCIM)"),
                        ],
                        max_length=10,
                    ),
                ),
                ("changed_by_id", models.UUIDField(db_index=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=400)),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("view_history", "Can read who changed what in the configuration")],
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("source__in", ["manual", "system", "oidc", "scim"])),
                        name="gateway_membershipchange_source_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("member_kind__in", ["person", "service_account"])),
                        name="gateway_membershipchange_member_known",
                    ),
                ],
            },
        ),
        migrations.RunPython(install, drop),
    ]
