"""Retention rules, legal holds, what was removed by them; which removal a call's payloads went with."""

from django.apps.registry import Apps
from django.core.validators import MaxValueValidator
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
from audit import triggers


def guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    create = triggers.postgresql_create if postgresql else triggers.sqlite_create
    for statement in create(triggers.OF_RETENTION):
        editor.execute(statement, params=None)


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    drop = triggers.postgresql_drop if postgresql else triggers.sqlite_drop
    for statement in drop(triggers.OF_RETENTION):
        editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0008_originals"),
    ]

    operations = [
        migrations.CreateModel(
            name="EvidenceDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("settled", models.CharField(blank=True, max_length=64)),
                ("next_due", models.DateField(null=True)),
                ("generation", models.SmallIntegerField(default=1)),
                ("rekey_asked_at", models.DateTimeField(null=True)),
                ("rekey_to", models.SmallIntegerField(null=True)),
                ("emptied_at", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("area", models.CharField(blank=True, max_length=64)),
                ("endpoint", models.CharField(blank=True, max_length=255)),
                ("subject", models.CharField(blank=True, max_length=255)),
                ("session_id", models.UUIDField(blank=True, null=True)),
                ("call_id", models.UUIDField(blank=True, null=True)),
                ("since", models.DateTimeField(blank=True, null=True)),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(max_length=300)),
                ("placed_by", models.CharField(max_length=255)),
                ("placed_at", models.DateTimeField(default=audit.ids.now)),
                ("lifted_by", models.CharField(blank=True, max_length=255)),
                ("lifted_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-placed_at"],
            },
        ),
        migrations.CreateModel(
            name="Removal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=8)),
                ("day", models.DateField()),
                ("area", models.CharField(max_length=64)),
                ("why", models.CharField(max_length=200)),
                ("job_id", models.UUIDField()),
                ("count", models.PositiveIntegerField()),
                ("root", models.BinaryField(max_length=32)),
                ("calls", models.BinaryField()),
                ("entry_id", models.BigIntegerField()),
            ],
            options={
                "permissions": [("erase_removal", "Can ask that recorded calls are erased")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=80, unique=True)),
                ("area", models.CharField(blank=True, max_length=64)),
                ("endpoint", models.CharField(blank=True, max_length=255)),
                ("policy", models.CharField(blank=True, max_length=255)),
                (
                    "level",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "payload_days",
                    models.PositiveIntegerField(
                        blank=True, null=True, validators=[MaxValueValidator(36_500)]
                    ),
                ),
                (
                    "row_days",
                    models.PositiveIntegerField(
                        blank=True, null=True, validators=[MaxValueValidator(36_500)]
                    ),
                ),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["name"],
                "permissions": [
                    ("confirm_retentionrule", "Can confirm what removes evidence, or lifts a legal hold")
                ],
            },
        ),
        migrations.AddField(
            model_name="call",
            name="removal_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddIndex(
            model_name="fingerprint",
            index=models.Index(fields=["started_at"], name="audit_fingerprint_time"),
        ),
        migrations.AddIndex(
            model_name="evidenceday",
            index=models.Index(
                condition=models.Q(("rekey_asked_at", None), _negated=True),
                fields=["rekey_asked_at"],
                name="audit_day_rekey",
            ),
        ),
        migrations.AddIndex(
            model_name="legalhold",
            index=models.Index(
                condition=models.Q(("lifted_at", None)), fields=["placed_at"], name="audit_legalhold_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lifted_at", None), ("lifted_by", "")),
                    models.Q(("lifted_at__isnull", False), models.Q(("lifted_by", ""), _negated=True)),
                    _connector="OR",
                ),
                name="audit_legalhold_lifted_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="legalhold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("area", ""),
                    ("call_id", None),
                    ("endpoint", ""),
                    ("session_id", None),
                    ("since", None),
                    ("subject", ""),
                    ("until", None),
                    _negated=True,
                ),
                name="audit_legalhold_holds_something",
                violation_error_message="Say what it holds.",
            ),
        ),
        migrations.AddIndex(
            model_name="removal",
            index=models.Index(fields=["day"], name="audit_removal_day"),
        ),
        migrations.AddConstraint(
            model_name="removal",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["expired", "rows", "erased"])), name="audit_removal_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.UniqueConstraint(
                fields=("area", "endpoint", "policy", "level"),
                name="audit_retentionrule_scope",
                violation_error_message="There is a rule for exactly these calls already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("payload_days", None), ("payload_days__gte", 1), _connector="OR"),
                name="audit_retentionrule_a_day",
                violation_error_message="Keep payloads for at least one day.",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("row_days", None),
                    models.Q(("payload_days__isnull", False), ("row_days__gte", models.F("payload_days"))),
                    _connector="OR",
                ),
                name="audit_retentionrule_row_longer",
                violation_error_message="The row has to be kept at least as long as the payloads.",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="audit_retentionrule_named"
            ),
        ),
        migrations.RunPython(guard, unguard),
    ]
