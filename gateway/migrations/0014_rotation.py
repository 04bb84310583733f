"""How secrets of the models' services are replaced: plans, rotations, versions that run out."""

import datetime

import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
from gateway import triggers
from gateway.history_triggers import REBUILT, ROTATION
from policies import history_triggers


def loosen(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """SQLite rebuilds tables, which loses their triggers."""
    triggers.drop(schema_editor)
    history_triggers.drop(schema_editor, REBUILT)


def guard(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor)
    history_triggers.install(schema_editor, REBUILT)


def guard_new(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor, ROTATION)


def loosen_new(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, ROTATION)


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0013_anthropic_endpoints"),
    ]

    operations = [
        migrations.RunPython(loosen, guard),
        migrations.CreateModel(
            name="HistoricalRotationPlan",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("rotator", models.CharField(max_length=40)),
                ("options", models.JSONField(blank=True, default=dict)),
                ("allow_private", models.BooleanField(default=False)),
                ("every", models.DurationField(blank=True, null=True)),
                ("cron", models.CharField(blank=True, max_length=100)),
                ("timezone", models.CharField(default="UTC", max_length=60)),
                ("jitter", models.DurationField(default=datetime.timedelta(0))),
                ("windows", models.JSONField(blank=True, default=list)),
                ("overlap", models.DurationField(default=datetime.timedelta(seconds=3600))),
                ("test_path", models.CharField(blank=True, max_length=200)),
                ("paused", models.BooleanField(default=False)),
                ("escalate_after", models.DurationField(blank=True, null=True)),
                ("disable_after", models.DurationField(blank=True, null=True)),
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
                "verbose_name": "historical rotation plan",
                "verbose_name_plural": "historical rotation plans",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Rotation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("schedule", "Schedule"),
                            ("age", "Too old"),
                            ("asked", "Asked for"),
                            ("compromised", "Compromised"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "step",
                    models.CharField(
                        choices=[
                            ("create", "Make the next secret"),
                            ("test", "Try it"),
                            ("switch", "Use it"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="create",
                        max_length=6,
                    ),
                ),
                ("attempt", models.PositiveIntegerField(default=0)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField(default=audit.ids.now, null=True)),
                ("error", models.CharField(blank=True, max_length=40)),
                ("detail", models.CharField(blank=True, max_length=300)),
                ("reminded_at", models.DateTimeField(blank=True, null=True)),
                ("escalated_at", models.DateTimeField(blank=True, null=True)),
                ("step_since", models.DateTimeField(default=audit.ids.now)),
                ("started_at", models.DateTimeField(default=audit.ids.now)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="RotationPlan",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("rotator", models.CharField(help_text="Who makes the next secret.", max_length=40)),
                (
                    "options",
                    models.JSONField(
                        blank=True, default=dict, help_text="What the rotator wants to know. Never a secret."
                    ),
                ),
                (
                    "allow_private",
                    models.BooleanField(
                        default=False, help_text="The admin API lies inside your own network."
                    ),
                ),
                (
                    "every",
                    models.DurationField(
                        blank=True,
                        help_text="Time from one rotation to the next, such as '30 00:00:00' for 30 days.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(datetime.timedelta(seconds=1)),
                            django.core.validators.MaxValueValidator(datetime.timedelta(days=3660)),
                        ],
                    ),
                ),
                (
                    "cron",
                    models.CharField(
                        blank=True,
                        help_text="Instead of a time between: minute hour day month weekday.",
                        max_length=100,
                    ),
                ),
                (
                    "timezone",
                    models.CharField(default="UTC", help_text="Of cron and windows.", max_length=60),
                ),
                (
                    "jitter",
                    models.DurationField(
                        default=datetime.timedelta(0),
                        help_text="Up to so much later, so that not everything rotates at once.",
                        validators=[
                            django.core.validators.MinValueValidator(datetime.timedelta(0)),
                            django.core.validators.MaxValueValidator(datetime.timedelta(days=7)),
                        ],
                    ),
                ),
                (
                    "windows",
                    models.JSONField(
                        blank=True, default=list, help_text="When a rotation may begin. Empty: at any time."
                    ),
                ),
                (
                    "overlap",
                    models.DurationField(
                        default=datetime.timedelta(seconds=3600),
                        help_text="How long the secret before stays valid.",
                        validators=[
                            django.core.validators.MinValueValidator(datetime.timedelta(seconds=10)),
                            django.core.validators.MaxValueValidator(datetime.timedelta(days=366)),
                        ],
                    ),
                ),
                (
                    "test_path",
                    models.CharField(
                        blank=True,
                        help_text="What a new secret is tried with. Empty: the list of models.",
                        max_length=200,
                    ),
                ),
                ("paused", models.BooleanField(default=False)),
                ("next_at", models.DateTimeField(blank=True, null=True)),
                ("failures", models.PositiveIntegerField(default=0, editable=False)),
                (
                    "escalate_after",
                    models.DurationField(
                        blank=True,
                        help_text="By hand only: how long a rotation may be overdue until it is escalated.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(datetime.timedelta(seconds=3600)),
                            django.core.validators.MaxValueValidator(datetime.timedelta(days=3660)),
                        ],
                    ),
                ),
                (
                    "disable_after",
                    models.DurationField(
                        blank=True,
                        help_text="By hand only: how long it may be overdue until the secret is no longer sent.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(datetime.timedelta(seconds=3600)),
                            django.core.validators.MaxValueValidator(datetime.timedelta(days=3660)),
                        ],
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["credential"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="credentialversion",
            name="gateway_credentialversion_one_per_state",
        ),
        migrations.RemoveConstraint(
            model_name="credentialversion",
            name="gateway_credentialversion_state_known",
        ),
        migrations.AddField(
            model_name="credential",
            name="disabled_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Since when it is not sent: its rotation is overdue.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="credentialversion",
            name="activated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="credentialversion",
            name="provider_id",
            field=models.CharField(
                blank=True, editable=False, help_text="What its provider calls it: no secret.", max_length=200
            ),
        ),
        migrations.AddField(
            model_name="credentialversion",
            name="retire_at",
            field=models.DateTimeField(
                blank=True, help_text="When it is taken back at the provider and wiped.", null=True
            ),
        ),
        migrations.AddField(
            model_name="credentialversion",
            name="retire_next_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="credentialversion",
            name="retire_tries",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="disabled_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="historicalcredentialversion",
            name="activated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="historicalcredentialversion",
            name="provider_id",
            field=models.CharField(blank=True, editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="historicalcredentialversion",
            name="retire_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="credentialversion",
            name="state",
            field=models.CharField(
                choices=[
                    ("spare", "Spare"),
                    ("pending", "Pending"),
                    ("current", "Current"),
                    ("previous", "Previous"),
                    ("retired", "Retired"),
                ],
                default="pending",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="credentialversion",
            index=models.Index(
                condition=models.Q(("retire_next_at__isnull", False)),
                fields=["retire_next_at"],
                name="gateway_version_retire_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="credentialversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ("pending", "current"))),
                fields=("credential", "state"),
                name="gateway_credentialversion_one_per_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="credentialversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["spare", "pending", "current", "previous", "retired"])),
                name="gateway_credentialversion_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="credentialversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("retire_at__isnull", True), ("retire_next_at__isnull", True)),
                    ("state__in", ("previous", "retired")),
                    _connector="OR",
                ),
                name="gateway_credentialversion_none_in_use_taken_back",
            ),
        ),
        migrations.AddField(
            model_name="historicalrotationplan",
            name="admin_credential",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="historicalrotationplan",
            name="credential",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="rotation",
            name="asked_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="rotation",
            name="credential",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rotations", to="gateway.credential"
            ),
        ),
        migrations.AddField(
            model_name="rotation",
            name="version",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="rotation",
                to="gateway.credentialversion",
            ),
        ),
        migrations.AddField(
            model_name="rotationplan",
            name="admin_credential",
            field=models.ForeignKey(
                blank=True,
                help_text="Opens the provider's admin API, at that credential's own origin.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rotates",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="rotationplan",
            name="credential",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="plan", to="gateway.credential"
            ),
        ),
        migrations.AddIndex(
            model_name="rotation",
            index=models.Index(
                condition=models.Q(("next_at__isnull", False)),
                fields=["next_at"],
                name="gateway_rotation_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="rotation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("step__in", ("done", "failed")), _negated=True),
                fields=("credential",),
                name="gateway_rotation_one_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="rotation",
            constraint=models.CheckConstraint(
                condition=models.Q(("step__in", ["create", "test", "switch", "done", "failed"])),
                name="gateway_rotation_step_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rotation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", False), ("next_at__isnull", True), ("step", "done")),
                    models.Q(("ended_at__isnull", False), ("step", "failed")),
                    models.Q(
                        models.Q(("step__in", ("done", "failed")), _negated=True),
                        ("ended_at__isnull", True),
                        ("next_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="gateway_rotation_ended_iff_ended",
            ),
        ),
        migrations.AddIndex(
            model_name="rotationplan",
            index=models.Index(
                condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="gateway_plan_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="rotationplan",
            constraint=models.CheckConstraint(
                condition=models.Q(("every__isnull", True), ("cron", ""), _connector="OR"),
                name="gateway_rotationplan_one_schedule",
            ),
        ),
        migrations.AddConstraint(
            model_name="rotationplan",
            constraint=models.CheckConstraint(
                condition=models.Q(("overlap__gte", datetime.timedelta(seconds=10))),
                name="gateway_rotationplan_overlap_long_enough",
            ),
        ),
        migrations.AddConstraint(
            model_name="rotationplan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("every__isnull", True), ("every__gte", datetime.timedelta(seconds=1)), _connector="OR"
                ),
                name="gateway_rotationplan_interval_positive",
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="credential",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="gateway.credential",
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="approval_id",
            field=models.UUIDField(help_text="Empty: about a credential, or a test.", null=True),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("approval_id", None), ("credential", None), _connector="OR"),
                name="gateway_delivery_about_one",
            ),
        ),
        migrations.RunPython(guard, loosen),
        migrations.RunPython(guard_new, loosen_new),
    ]
