"""Webhooks, mails, and what became of each message."""

import django.db.models.deletion
import django.utils.timezone
import simple_history.models
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import audit.ids
import gateway.credentials.origins
import gateway.models.webhook
from gateway.history_triggers import WEBHOOKS
from policies import history_triggers


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.install(schema_editor, WEBHOOKS)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    history_triggers.drop(schema_editor, WEBHOOKS)


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0011_who_handed_over"),
    ]

    operations = [
        migrations.CreateModel(
            name="MailsOff",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="mails_off",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("since", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Told",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("upto", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="HistoricalWebhook",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.CharField(max_length=100)),
                ("kind", models.CharField(default="standard", max_length=10)),
                ("origin", models.CharField(editable=False, max_length=255)),
                ("events", models.JSONField(blank=True, default=list)),
                ("allow_private", models.BooleanField(default=False)),
                ("enabled", models.BooleanField(default=True)),
                ("disabled_because", models.CharField(blank=True, editable=False, max_length=100)),
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
            ],
            options={
                "verbose_name": "historical webhook",
                "verbose_name_plural": "historical webhooks",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "kind",
                    models.CharField(
                        choices=[("standard", "Standard Webhooks, signed"), ("slack", "Slack message")],
                        default="standard",
                        max_length=10,
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        editable=False,
                        max_length=255,
                        validators=[gateway.credentials.origins.validate_origin],
                    ),
                ),
                ("target", models.BinaryField()),
                ("target_key_id", models.CharField(editable=False, max_length=40)),
                (
                    "events",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Which; empty means all.",
                        validators=[gateway.models.webhook.validate_events],
                    ),
                ),
                (
                    "allow_private",
                    models.BooleanField(
                        default=False,
                        help_text="Allow private addresses: only for receivers inside your own network.",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("disabled_because", models.CharField(blank=True, editable=False, max_length=100)),
                ("tells_from", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("failing_since", models.DateTimeField(editable=False, null=True)),
                ("succeeded_at", models.DateTimeField(editable=False, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "area",
                    models.ForeignKey(
                        blank=True,
                        help_text="Tells of held requests in this area; empty means everywhere.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhooks",
                        to="gateway.area",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("approval_id", models.UUIDField(help_text="Empty: a test.", null=True)),
                ("event", models.CharField(max_length=40)),
                ("event_at", models.DateTimeField()),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[("due", "Waits"), ("done", "Delivered"), ("failed", "Given up")],
                        default="due",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_at", models.DateTimeField(null=True)),
                ("queued_at", models.DateTimeField(default=audit.ids.now)),
                ("tried_at", models.DateTimeField(null=True)),
                (
                    "status",
                    models.PositiveSmallIntegerField(help_text="What the receiver answered.", null=True),
                ),
                ("error", models.CharField(blank=True, max_length=60)),
                ("duration_ms", models.PositiveIntegerField(null=True)),
                (
                    "person",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mails",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="gateway.webhook",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ["-id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="WebhookSecret",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("sealed", models.BinaryField()),
                ("key_id", models.CharField(max_length=40)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("ends_at", models.DateTimeField(null=True)),
                (
                    "webhook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="secrets",
                        to="gateway.webhook",
                    ),
                ),
            ],
            options={
                "ordering": ["webhook", "-number"],
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.UniqueConstraint(fields=("area", "name"), name="gateway_webhook_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["standard", "slack"])), name="gateway_webhook_kind_known"
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("next_at__isnull", False)),
                fields=["next_at"],
                name="gateway_delivery_due",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["approval_id"], name="gateway_delivery_of_approval"),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("person__isnull", True), ("webhook__isnull", False)),
                    models.Q(("person__isnull", False), ("webhook__isnull", True)),
                    _connector="OR",
                ),
                name="gateway_delivery_to_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("next_at__isnull", False), ("state", "due")),
                    models.Q(models.Q(("state", "due"), _negated=True), ("next_at__isnull", True)),
                    _connector="OR",
                ),
                name="gateway_delivery_due_iff_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                fields=("webhook", "approval_id", "event"), name="gateway_delivery_webhook_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                fields=("person", "approval_id", "event"), name="gateway_delivery_person_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="webhooksecret",
            constraint=models.UniqueConstraint(
                fields=("webhook", "number"), name="gateway_webhooksecret_number_unique"
            ),
        ),
        migrations.RunPython(install, drop),
    ]
