"""Tables, written by makemigrations."""

from django.db import migrations, models

import audit.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "epoch",
                    models.PositiveIntegerField(
                        help_text="The store's epoch: a restored backup has another one."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved"),
                            ("denied", "Denied"),
                            ("expired", "Expired"),
                            ("withdrawn", "Withdrawn"),
                            ("superseded", "Superseded"),
                            ("consumed", "Consumed"),
                            ("revoked", "Revoked"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("call_id", models.UUIDField(help_text="The call that opened it.")),
                ("request_hmac", models.BinaryField(max_length=32)),
                ("sent_digest", models.BinaryField(max_length=32)),
                ("requester_id", models.UUIDField(help_text="The person or service account that called.")),
                ("requester_kind", models.CharField(max_length=10)),
                ("requester_name", models.CharField(max_length=150)),
                (
                    "owner_id",
                    models.UUIDField(
                        help_text="A service account's owner, who may not decide either.", null=True
                    ),
                ),
                ("key_id", models.UUIDField(null=True)),
                ("area", models.CharField(max_length=50)),
                ("endpoint_id", models.UUIDField()),
                ("endpoint", models.CharField(max_length=50)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("access_rule_id", models.UUIDField()),
                ("policy_version_id", models.UUIDField()),
                ("schema_version_id", models.UUIDField()),
                ("reasons", models.JSONField(default=list)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(null=True)),
                ("decided_by", models.UUIDField(null=True)),
                ("consumed_at", models.DateTimeField(null=True)),
                ("consumed_call_id", models.UUIDField(help_text="The call that used the grant.", null=True)),
            ],
            options={
                "ordering": ["-created_at"],
                "indexes": [models.Index(fields=["status", "expires_at"], name="approvals_status_expiry")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("pending", "approved"))),
                        fields=("requester_id", "request_hmac"),
                        name="approvals_one_open_per_request",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "pending",
                                    "approved",
                                    "denied",
                                    "expired",
                                    "withdrawn",
                                    "superseded",
                                    "consumed",
                                    "revoked",
                                ],
                            )
                        ),
                        name="approvals_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("owner_id__isnull", True), ("requester_kind", "person")),
                            models.Q(("owner_id__isnull", False), ("requester_kind", "service")),
                            _connector="OR",
                        ),
                        name="approvals_requester_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("decided_by__isnull", True),
                            models.Q(
                                models.Q(("decided_by", models.F("requester_id")), _negated=True),
                                models.Q(
                                    ("owner_id__isnull", True),
                                    models.Q(("decided_by", models.F("owner_id")), _negated=True),
                                    _connector="OR",
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="approvals_four_eyes",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at__isnull", True), ("status__in", ["pending", "withdrawn"])),
                            ("status__in", ["expired", "superseded"]),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("decided_by__isnull", False),
                                ("status__in", ["approved", "denied", "consumed", "revoked"]),
                            ),
                            _connector="OR",
                        ),
                        name="approvals_decided_iff_decided",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("consumed_at__isnull", False),
                                ("consumed_call_id__isnull", False),
                                ("status", "consumed"),
                            ),
                            models.Q(
                                models.Q(("status", "consumed"), _negated=True),
                                ("consumed_at__isnull", True),
                                ("consumed_call_id__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="approvals_consumed_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("created_at"))),
                        name="approvals_expires_later",
                    ),
                ],
            },
        ),
    ]
