import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import audit.ids
import gateway.models.access_rule


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0002_access_rules"),
    ]

    operations = [
        migrations.CreateModel(
            name="Running",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("instance_id", models.UUIDField()),
                ("rule_id", models.UUIDField()),
                ("caller", models.CharField(max_length=255)),
                ("calls", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "running",
            },
        ),
        migrations.CreateModel(
            name="Sketch",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("schema_id", models.UUIDField()),
                ("caller", models.CharField(max_length=255)),
                ("data_class", models.CharField(max_length=64)),
                ("window", models.CharField(max_length=8)),
                ("starts_at", models.DateTimeField()),
                ("registers", models.BinaryField()),
            ],
            options={
                "verbose_name_plural": "sketches",
            },
        ),
        migrations.CreateModel(
            name="StructuredField",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("path", models.CharField(max_length=300)),
                ("shape", models.CharField(max_length=60)),
                ("calls", models.PositiveBigIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("new", "Not looked at"),
                            ("proposed", "Proposed in a draft"),
                            ("dismissed", "Dismissed"),
                        ],
                        default="new",
                        max_length=10,
                    ),
                ),
                ("first_seen", models.DateTimeField()),
                ("last_seen", models.DateTimeField()),
            ],
            options={
                "ordering": ["-calls"],
            },
        ),
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("rule_id", models.UUIDField()),
                ("caller", models.CharField(max_length=255)),
                ("window", models.CharField(max_length=8)),
                ("starts_at", models.DateTimeField()),
                ("calls", models.PositiveBigIntegerField(default=0)),
                ("tokens", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "usage",
            },
        ),
        migrations.AddField(
            model_name="accessrule",
            name="allowed_paths",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Paths below the endpoint, such as /v1/chat/completions; empty means every path.",
                validators=[gateway.models.access_rule.validate_paths],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="max_concurrent",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Calls of one caller at the same time. Empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="networks",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Address ranges that calls may come from, such as 10.0.0.0/8; empty means any.",
                validators=[gateway.models.access_rule.validate_networks],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="requests_per_minute",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Calls of one caller in a minute. Empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="tokens_per_day",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Tokens of one caller in a day (UTC). Empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="tokens_per_minute",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Tokens of one caller in a minute, in and out. Empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="accessrule",
            name="tokens_per_month",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Tokens of one caller in a month (UTC). Empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000000000000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="declared_level",
            field=models.PositiveSmallIntegerField(
                blank=True,
                choices=[(0, "Public"), (1, "Internal"), (2, "Confidential"), (3, "Restricted")],
                help_text="The level that calls with this key carry at most, unless a call says so itself.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="area",
            name="two_person_access",
            field=models.BooleanField(
                default=False,
                help_text="Access rules are proposed by one person and confirmed by another.",
                verbose_name="two people for access",
            ),
        ),
        migrations.AddField(
            model_name="area",
            name="two_person_origin",
            field=models.BooleanField(
                default=False,
                help_text="Where an endpoint's calls go is proposed by one person and confirmed by another.",
                verbose_name="two people for origins",
            ),
        ),
        migrations.AddField(
            model_name="area",
            name="two_person_publish",
            field=models.BooleanField(
                default=False,
                help_text="A schema or policy version is proposed by one person and published by another.",
                verbose_name="two people to publish",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("declared_level__isnull", True), ("declared_level__in", [0, 1, 2, 3]), _connector="OR"
                ),
                name="gateway_apikey_level_known",
            ),
        ),
        migrations.AddIndex(
            model_name="running",
            index=models.Index(fields=["at"], name="gateway_running_at"),
        ),
        migrations.AddConstraint(
            model_name="running",
            constraint=models.UniqueConstraint(
                fields=("instance_id", "rule_id", "caller"), name="gateway_running_caller_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="sketch",
            index=models.Index(fields=["starts_at"], name="gateway_sketch_start"),
        ),
        migrations.AddConstraint(
            model_name="sketch",
            constraint=models.UniqueConstraint(
                fields=("schema_id", "caller", "data_class", "window", "starts_at"),
                name="gateway_sketch_window_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="sketch",
            constraint=models.CheckConstraint(
                condition=models.Q(("window__in", ["hour", "day"])), name="gateway_sketch_window_known"
            ),
        ),
        migrations.AddField(
            model_name="structuredfield",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="fields", to="gateway.endpoint"
            ),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(fields=["starts_at"], name="gateway_usage_start"),
        ),
        migrations.AddConstraint(
            model_name="usage",
            constraint=models.UniqueConstraint(
                fields=("rule_id", "caller", "window", "starts_at"), name="gateway_usage_window_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="usage",
            constraint=models.CheckConstraint(
                condition=models.Q(("window__in", ["minute", "day", "month"])),
                name="gateway_usage_window_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="structuredfield",
            constraint=models.UniqueConstraint(
                fields=("endpoint", "path", "shape"), name="gateway_structuredfield_place_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="structuredfield",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["new", "proposed", "dismissed"])),
                name="gateway_structuredfield_state_known",
            ),
        ),
    ]
