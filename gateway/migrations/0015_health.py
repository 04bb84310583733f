"""What is known of a model's service, and how it is watched. SQLite rebuilds tables, which lose their triggers."""

import django.core.validators
import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import gateway.upstreams.certificates
from gateway import triggers
from policies import history_triggers

REBUILT = ("gateway_historicalendpoint",)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    drop(apps, schema_editor)
    triggers.install(schema_editor)
    history_triggers.install(schema_editor, REBUILT)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)
    history_triggers.drop(schema_editor, REBUILT)


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0014_rotation"),
    ]

    operations = [
        migrations.RunPython(drop, install),
        migrations.CreateModel(
            name="EndpointHealth",
            fields=[
                (
                    "endpoint",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="health",
                        serialize=False,
                        to="gateway.endpoint",
                    ),
                ),
                ("origin", models.CharField(max_length=460)),
                (
                    "state",
                    models.CharField(
                        choices=[("unknown", "Not known"), ("healthy", "Healthy"), ("failing", "Failing")],
                        default="unknown",
                        max_length=10,
                    ),
                ),
                ("since", models.DateTimeField()),
                ("call_ok_at", models.DateTimeField(null=True)),
                ("call_error_at", models.DateTimeField(null=True)),
                ("call_error", models.CharField(blank=True, max_length=40)),
                ("opened_at", models.DateTimeField(null=True)),
                ("probe_ok_at", models.DateTimeField(null=True)),
                ("probe_error_at", models.DateTimeField(null=True)),
                ("probe_error", models.CharField(blank=True, max_length=40)),
                ("probe_failures", models.PositiveIntegerField(default=0)),
                ("latency_ms", models.PositiveIntegerField(null=True)),
                ("next_probe_at", models.DateTimeField(null=True)),
                ("tested_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name_plural": "endpoint health",
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="endpoint",
            name="breaker_failures",
            field=models.PositiveSmallIntegerField(
                default=5,
                help_text="Failures in a row after which calls are refused for a while. 0: never.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="breaker_rate",
            field=models.PositiveSmallIntegerField(
                default=50,
                help_text="The same for this percentage of failures among at least 20 calls of 30 s. 0: not looked at.",
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(100),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="breaker_seconds",
            field=models.PositiveSmallIntegerField(
                default=5,
                help_text="Seconds until one call may try again; doubled each time it fails, up to 60.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(60),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="ca_certificates",
            field=models.TextField(
                blank=True,
                help_text="Authorities in PEM that alone vouch for this service. Empty: those of the system.",
                validators=[gateway.upstreams.certificates.validate_authorities],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="probe_path",
            field=models.CharField(
                blank=True,
                help_text="Asked for by GET with the credential, such as /v1/models. Empty: no probes.",
                max_length=200,
                validators=[
                    django.core.validators.RegexValidator(
                        "^(/(?!\\.{1,2}(/|\\Z))[A-Za-z0-9._~-]+)+\\Z",
                        "Begin with a slash and end without one, such as /v1/models; no query, no dots alone.",
                    )
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="probe_seconds",
            field=models.PositiveSmallIntegerField(
                default=60,
                help_text="Seconds between two probes.",
                validators=[
                    django.core.validators.MinValueValidator(10),
                    django.core.validators.MaxValueValidator(3600),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="probe_status",
            field=models.PositiveSmallIntegerField(
                default=200,
                help_text="The status that a probe expects.",
                validators=[
                    django.core.validators.MinValueValidator(100),
                    django.core.validators.MaxValueValidator(599),
                ],
            ),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="breaker_failures",
            field=models.PositiveSmallIntegerField(default=5),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="breaker_rate",
            field=models.PositiveSmallIntegerField(default=50),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="breaker_seconds",
            field=models.PositiveSmallIntegerField(default=5),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="ca_certificates",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="probe_path",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="probe_seconds",
            field=models.PositiveSmallIntegerField(default=60),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="probe_status",
            field=models.PositiveSmallIntegerField(default=200),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("breaker_rate__lte", 100),
                    ("breaker_seconds__gte", 1),
                    ("breaker_seconds__lte", 60),
                    ("probe_seconds__gte", 10),
                ),
                name="gateway_endpoint_health_settings_range",
            ),
        ),
        migrations.AddIndex(
            model_name="endpointhealth",
            index=models.Index(
                condition=models.Q(("next_probe_at__isnull", False)),
                fields=["next_probe_at"],
                name="gateway_health_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="endpointhealth",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["unknown", "healthy", "failing"])),
                name="gateway_health_state_known",
            ),
        ),
        migrations.RunPython(install, drop),
    ]
