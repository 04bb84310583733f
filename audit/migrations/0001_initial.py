"""The evidence tables; on PostgreSQL partitioned by month; guarded against change on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.expressions import CombinedExpression

import audit.fields
import audit.ids
from audit import partitions, triggers

MONTHS_AHEAD = 3


def partition_and_guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "postgresql":
        run(editor, triggers.sqlite_create())
        return
    for table in partitions.OF_0001:
        partition(editor, table)
    run(editor, ["CREATE INDEX audit_entry_id ON audit_entry (id)"])  # a stream's last entry, any month
    run(editor, triggers.postgresql_create())


def partition(editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """The table's indexes follow by themselves: Django defers them to the end of the migration."""
    run(editor, partitions.partition_table(table))
    for first, following in partitions.months(datetime.now(UTC), MONTHS_AHEAD):
        run(editor, partitions.attach_month(table, first, following))


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    run(editor, triggers.postgresql_drop() if postgresql else triggers.sqlite_drop())


def run(editor: BaseDatabaseSchemaEditor, statements: list[str]) -> None:
    for statement in statements:
        editor.execute(statement, params=None)  # a % in it is no placeholder


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CallKey",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("month_key", models.CharField(max_length=32)),
                ("wrapped", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Payload",
            fields=[
                ("id", audit.fields.PlaceField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("sealed", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Unindexed",
            fields=[
                ("id", audit.fields.PlaceField(editable=False, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("fingerprints", models.BinaryField()),
            ],
            options={
                "verbose_name_plural": "unindexed",
            },
        ),
        migrations.CreateModel(
            name="Call",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("instance_id", models.UUIDField()),
                ("stream_id", models.UUIDField()),
                ("session_id", models.UUIDField(null=True)),
                ("person_id", models.UUIDField(null=True)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=16)),
                ("owner_id", models.UUIDField(null=True)),
                ("key_id", models.UUIDField(null=True)),
                ("key_prefix", models.CharField(max_length=32)),
                ("groups", models.JSONField()),
                ("network", models.CharField(max_length=64)),
                ("area", models.CharField(max_length=64)),
                ("endpoint_id", models.UUIDField(null=True)),
                ("endpoint", models.CharField(max_length=255)),
                ("api", models.CharField(max_length=32)),
                ("method", models.CharField(max_length=16)),
                ("path", models.CharField(max_length=512)),
                ("model", models.CharField(max_length=255)),
                ("streaming", models.BooleanField()),
                ("access_rule_id", models.UUIDField(null=True)),
                ("policy_version_id", models.UUIDField(null=True)),
                ("policy", models.CharField(max_length=255)),
                ("schema_version_id", models.UUIDField(null=True)),
                ("schema", models.CharField(max_length=255)),
                ("action", models.CharField(max_length=16)),
                ("gate", models.CharField(max_length=16)),
                ("code", models.CharField(max_length=64)),
                ("reasons", models.JSONField()),
                ("rules", models.JSONField()),
                ("counts", models.JSONField()),
                ("highest", models.CharField(max_length=32)),
                ("request_hmac", models.BinaryField(max_length=32)),
                ("sent_digest", models.BinaryField(max_length=32)),
                ("request_size", models.PositiveIntegerField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("complete", models.BooleanField(null=True)),
                ("finish_reason", models.CharField(db_default="", max_length=64)),
                ("input_tokens", models.PositiveIntegerField(null=True)),
                ("output_tokens", models.PositiveIntegerField(null=True)),
                ("response_size", models.PositiveBigIntegerField(db_default=0)),
                ("response_counts", models.JSONField(null=True)),
                ("timings", models.JSONField(null=True)),
                ("extra", models.JSONField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["session_id", "started_at"], name="audit_call_session"),
                    models.Index(
                        condition=models.Q(("closed_at", None)),
                        fields=["instance_id"],
                        name="audit_call_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at", None), ("complete", None), ("status", None)),
                            models.Q(
                                ("closed_at__isnull", False),
                                ("complete__isnull", False),
                                ("status__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="audit_call_closed_whole",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", audit.fields.PlaceField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("at", models.DateTimeField()),
                ("stream_id", models.UUIDField()),
                ("sequence", models.PositiveBigIntegerField()),
                ("previous", models.BinaryField(max_length=32)),
                ("digest", models.BinaryField(max_length=32)),
                ("kind", models.CharField(max_length=16)),
                ("call_id", models.UUIDField(null=True)),
                ("meta", models.BinaryField()),
                ("payload_digest", models.BinaryField(max_length=32)),
            ],
            options={
                "verbose_name_plural": "entries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("call_id", None), _negated=True),
                        fields=["call_id"],
                        name="audit_entry_call",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("sequence__gte", 1)), name="audit_entry_sequence_from_one"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "sequence",
                                CombinedExpression(models.F("id"), "&", models.Value(1099511627775)),
                            )
                        ),
                        name="audit_entry_place",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Fingerprint",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("data_class", models.CharField(max_length=64)),
                ("digest", models.BinaryField(max_length=32)),
                ("call_id", models.UUIDField()),
            ],
            options={
                "indexes": [models.Index(fields=["digest", "started_at"], name="audit_fingerprint_digest")],
            },
        ),
        migrations.CreateModel(
            name="Instance",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("host", models.CharField(max_length=255)),
                ("boot", models.CharField(max_length=64)),
                ("pid", models.PositiveIntegerField()),
                ("process_start", models.CharField(max_length=32)),
                ("started_at", models.DateTimeField()),
                ("heartbeat_at", models.DateTimeField()),
                ("stopped_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("stopped_at", None)),
                        fields=["host"],
                        name="audit_instance_running",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                ("state", models.CharField(default="pending", max_length=16)),
                ("options", models.JSONField(default=dict)),
                ("result", models.JSONField(null=True)),
                ("asked_by", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("leased_until", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("finished_at", None)), fields=["due_at"], name="audit_job_due"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["pending", "running", "done", "failed"])),
                        name="audit_job_state",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.BinaryField(max_length=32)),
                ("thread", models.BinaryField(max_length=32)),
                ("hinted", models.BooleanField()),
                ("started_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("person_id", models.UUIDField(null=True)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=16)),
                ("area", models.CharField(max_length=64)),
                ("endpoint_id", models.UUIDField(null=True)),
                ("endpoint", models.CharField(max_length=255)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["thread", "started_at"], name="audit_session_thread"),
                    models.Index(
                        condition=models.Q(("closed_at", None)),
                        fields=["started_at"],
                        name="audit_session_open",
                    ),
                    models.Index(fields=["person_id", "started_at"], name="audit_session_person"),
                ],
                "constraints": [models.UniqueConstraint(fields=("key",), name="audit_session_key")],
            },
        ),
        migrations.CreateModel(
            name="Store",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("epoch", models.PositiveIntegerField(default=1)),
                ("key_check", models.BinaryField(max_length=32)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="audit_store_single_row")
                ],
            },
        ),
        migrations.CreateModel(
            name="Stream",
            fields=[
                ("number", models.BigAutoField(primary_key=True, serialize=False)),
                ("id", models.UUIDField(default=audit.ids.new, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(choices=[("instance", "instance"), ("events", "events")], max_length=16),
                ),
                ("instance_id", models.UUIDField(null=True)),
                ("sequence", models.PositiveBigIntegerField(default=0)),
                ("digest", models.BinaryField(max_length=32)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "events")),
                        fields=("kind",),
                        name="audit_stream_one_events",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WordIndex",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("month_key", models.CharField(max_length=32)),
                ("digest", models.BinaryField(max_length=32)),
                ("call_id", models.UUIDField()),
            ],
            options={
                "verbose_name_plural": "word index",
                "indexes": [models.Index(fields=["digest", "started_at"], name="audit_wordindex_digest")],
            },
        ),
        migrations.RunPython(partition_and_guard, unguard),
    ]
