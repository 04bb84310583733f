"""Tables, written by makemigrations."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import audit.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("gateway", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Policy",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "area",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="policies",
                        to="gateway.area",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "policies",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField(editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published"), ("retired", "Retired")],
                        default="draft",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True,
                        help_text="What changed and why, for whoever reads the history.",
                        max_length=300,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("published_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "effective_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When it takes effect once published; empty means at once.",
                        null=True,
                    ),
                ),
                (
                    "default_transform",
                    models.CharField(
                        choices=[
                            ("none", "None: pass in clear"),
                            ("redact", "Redact: ***"),
                            ("remove", "Remove"),
                            ("partial", "Partial: XXXX-1234"),
                            ("label", "Label: [EMAIL]"),
                        ],
                        default="redact",
                        help_text="What happens to a data class that no rule names.",
                        max_length=10,
                    ),
                ),
                (
                    "opaque_gate",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Allow"), (1, "Flag"), (2, "Hold"), (3, "Block")],
                        default=3,
                        help_text="What happens to images, audio, files and other content that cannot be read here.",
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[("enforce", "Enforce"), ("observe", "Observe")],
                        default="enforce",
                        max_length=10,
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="policies.policy",
                    ),
                ),
                (
                    "published_by",
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
                "ordering": ["policy__name", "-number"],
                "permissions": [("publish_policyversion", "Can publish policy versions")],
            },
        ),
        migrations.CreateModel(
            name="Rule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                ("name", models.CharField(max_length=100)),
                (
                    "directions",
                    models.CharField(
                        choices=[
                            ("both", "Request and response"),
                            ("request", "Request"),
                            ("response", "Response"),
                        ],
                        default="both",
                        max_length=10,
                    ),
                ),
                (
                    "matcher",
                    models.CharField(
                        choices=[
                            ("class", "Data class"),
                            ("tag", "Tag"),
                            ("level", "Level and above"),
                            ("opaque", "Opaque content"),
                        ],
                        default="class",
                        max_length=10,
                    ),
                ),
                (
                    "value",
                    models.CharField(
                        blank=True,
                        help_text="The data class, tag or level. For opaque content: empty for all, or a kind such as image.",
                        max_length=100,
                    ),
                ),
                (
                    "gate",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Allow"), (1, "Flag"), (2, "Hold"), (3, "Block")], default=0
                    ),
                ),
                (
                    "transform",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("none", "None: pass in clear"),
                            ("redact", "Redact: ***"),
                            ("remove", "Remove"),
                            ("partial", "Partial: XXXX-1234"),
                            ("label", "Label: [EMAIL]"),
                        ],
                        help_text="Empty: this rule says nothing about the text.",
                        max_length=10,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rules",
                        to="policies.policyversion",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
            },
        ),
        migrations.CreateModel(
            name="Schema",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("slug", models.SlugField()),
                ("name", models.CharField(max_length=100)),
                ("description", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "area",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="schemas", to="gateway.area"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.AddField(
            model_name="policyversion",
            name="schema",
            field=models.ForeignKey(
                help_text="Calls are classified by this schema's version in force at the time of the call.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="policy_versions",
                to="policies.schema",
            ),
        ),
        migrations.CreateModel(
            name="SchemaVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField(editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published"), ("retired", "Retired")],
                        default="draft",
                        editable=False,
                        max_length=10,
                    ),
                ),
                (
                    "note",
                    models.CharField(
                        blank=True,
                        help_text="What changed and why, for whoever reads the history.",
                        max_length=300,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("published_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "effective_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When it takes effect once published; empty means at once.",
                        null=True,
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "published_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "schema",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="policies.schema",
                    ),
                ),
            ],
            options={
                "ordering": ["schema__name", "-number"],
                "permissions": [("publish_schemaversion", "Can publish schema versions")],
            },
        ),
        migrations.CreateModel(
            name="DataClass",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    models.CharField(
                        help_text="Shown in labels and headers, such as EMAIL.",
                        max_length=40,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z][A-Z0-9_]{1,39}\\Z",
                                "Use capitals, digits and underscores, beginning with a letter, such as PATIENT_ID.",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "Public"), (1, "Internal"), (2, "Confidential"), (3, "Restricted")],
                        default=2,
                    ),
                ),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=1, help_text="How much one finding adds to the risk."
                    ),
                ),
                (
                    "tags",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Words separated by commas, such as payment, contact.",
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="classes",
                        to="policies.schemaversion",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "data classes",
                "ordering": ["position", "slug"],
            },
        ),
        migrations.CreateModel(
            name="Detector",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("library", "Built-in recogniser"),
                            ("regex", "Pattern"),
                            ("terms", "Word list"),
                            ("key", "JSON key names"),
                            ("path", "JSON path"),
                        ],
                        default="library",
                        max_length=10,
                    ),
                ),
                (
                    "value",
                    models.TextField(
                        help_text="The recogniser's name, the pattern, or one word, phrase or key name per line.",
                        max_length=100000,
                    ),
                ),
                (
                    "max_len",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Longest match of a pattern in characters. Needed when the pattern has no end of its own.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(4096),
                        ],
                    ),
                ),
                ("ignore_case", models.BooleanField(default=False)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "data_class",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="detectors",
                        to="policies.dataclass",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["library", "regex", "terms", "key", "path"])),
                        name="policies_detector_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("value", ""), _negated=True), name="policies_detector_value_given"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("max_len__isnull", True),
                            models.Q(("max_len__gte", 1), ("max_len__lte", 4096)),
                            _connector="OR",
                        ),
                        name="policies_detector_max_len_range",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.UniqueConstraint(fields=("area", "slug"), name="policies_policy_slug_unique"),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("directions__in", ["both", "request", "response"])),
                name="policies_rule_directions_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("matcher__in", ["class", "tag", "level", "opaque"])),
                name="policies_rule_matcher_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("gate__in", [0, 1, 2, 3])), name="policies_rule_gate_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("transform__in", ["", "none", "redact", "remove", "partial", "label"])),
                name="policies_rule_transform_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("matcher", "opaque"), models.Q(("value", ""), _negated=True), _connector="OR"
                ),
                name="policies_rule_value_given",
                violation_error_message="Name the data class, tag or level that the rule is about.",
            ),
        ),
        migrations.AddConstraint(
            model_name="schema",
            constraint=models.UniqueConstraint(fields=("area", "slug"), name="policies_schema_slug_unique"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                fields=("policy", "number"), name="policies_policyversion_number_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["draft", "published", "retired"])),
                name="policies_policyversion_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("published_at__isnull", True), ("state", "draft")),
                    models.Q(
                        models.Q(("state", "draft"), _negated=True),
                        ("effective_at__isnull", False),
                        ("published_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="policies_policyversion_published_iff_not_draft",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("default_transform__in", ["none", "redact", "remove", "partial", "label"])
                ),
                name="policies_policyversion_transform_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("opaque_gate__in", [0, 1, 2, 3])),
                name="policies_policyversion_opaque_gate_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ["enforce", "observe"])),
                name="policies_policyversion_mode_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="schemaversion",
            constraint=models.UniqueConstraint(
                fields=("schema", "number"), name="policies_schemaversion_number_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="schemaversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["draft", "published", "retired"])),
                name="policies_schemaversion_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="schemaversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("published_at__isnull", True), ("state", "draft")),
                    models.Q(
                        models.Q(("state", "draft"), _negated=True),
                        ("effective_at__isnull", False),
                        ("published_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="policies_schemaversion_published_iff_not_draft",
            ),
        ),
        migrations.AddConstraint(
            model_name="dataclass",
            constraint=models.UniqueConstraint(
                fields=("version", "slug"), name="policies_dataclass_slug_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="dataclass",
            constraint=models.CheckConstraint(
                condition=models.Q(("level__in", [0, 1, 2, 3])), name="policies_dataclass_level_known"
            ),
        ),
    ]
