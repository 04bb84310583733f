import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import audit.ids


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0001_initial"),
        ("policies", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Example",
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
                        choices=[("positive", "Must be found"), ("negative", "Must not be found")],
                        default="positive",
                        max_length=10,
                    ),
                ),
                (
                    "text",
                    models.TextField(
                        help_text="Made up, never real data: everybody who may edit the schema reads it.",
                        max_length=4000,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                "ordering": ["position", "id"],
            },
        ),
        migrations.CreateModel(
            name="Proposal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("target_id", models.UUIDField(null=True)),
                ("target", models.CharField(max_length=200)),
                ("payload", models.JSONField(default=dict)),
                ("shown", models.JSONField(default=list)),
                ("basis", models.CharField(max_length=64)),
                ("reason", models.CharField(max_length=300)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("confirmed", "Confirmed"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                            ("stale", "Overtaken"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("proposed_at", models.DateTimeField(auto_now_add=True)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_note", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "ordering": ["-proposed_at"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="rule",
            name="policies_rule_matcher_known",
        ),
        migrations.RemoveConstraint(
            model_name="rule",
            name="policies_rule_value_given",
        ),
        migrations.AddField(
            model_name="dataclass",
            name="context",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Words separated by commas that stand shortly before it, such as patient, chart.",
            ),
        ),
        migrations.AddField(
            model_name="dataclass",
            name="context_needed",
            field=models.BooleanField(
                default=False, help_text="Patterns and word lists count only near one of these words."
            ),
        ),
        migrations.AddField(
            model_name="dataclass",
            name="description",
            field=models.CharField(blank=True, help_text="What it is, for whoever reads it.", max_length=300),
        ),
        migrations.AddField(
            model_name="detector",
            name="threshold",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="For a built-in recogniser: how sure it has to be, 0 to 100.",
                validators=[django.core.validators.MaxValueValidator(100)],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="approvals_needed",
            field=models.PositiveSmallIntegerField(
                default=1,
                help_text="How many persons have to approve.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(5),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="block_score",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="From this risk on a request is blocked. Empty: never.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="count_cap",
            field=models.PositiveSmallIntegerField(
                default=10,
                help_text="How many findings of one data class add to the risk, at most.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="hold_score",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="From this risk on a request waits for a person. Empty: never.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="hold_seconds",
            field=models.PositiveSmallIntegerField(
                default=50,
                help_text="How long a call waits for a decision, at most.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3600),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="keeps",
            field=models.CharField(
                choices=[("text", "Masked text and findings"), ("findings", "Findings only")],
                default="text",
                help_text="What the record keeps of payloads.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="observe_until",
            field=models.DateTimeField(
                blank=True, help_text="When observing ends and the rules are enforced.", null=True
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="reviewers",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Groups that decide about held calls, separated by commas.",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="valid_minutes",
            field=models.PositiveSmallIntegerField(
                default=60,
                help_text="How long an approval may be used.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1440),
                ],
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="at_least",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="For bulk and distinct values: from how many on.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="weight",
            field=models.PositiveSmallIntegerField(
                default=0, help_text="Added to the risk when the rule applies."
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="window",
            field=models.CharField(
                blank=True,
                choices=[("hour", "Hour"), ("day", "Day")],
                help_text="For distinct values: counted over this time.",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="policyversion",
            name="mode",
            field=models.CharField(
                choices=[("enforce", "Enforce"), ("observe", "Observe")],
                default="enforce",
                help_text="Observe: what rules would do is recorded; only restricted data is enforced.",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="matcher",
            field=models.CharField(
                choices=[
                    ("class", "Data class"),
                    ("tag", "Tag"),
                    ("level", "Level and above"),
                    ("opaque", "Opaque content"),
                    ("combination", "Combination: all of them"),
                    ("bulk", "Bulk: many in one call"),
                    ("distinct", "Distinct values per caller"),
                    ("above_declared", "Found above the declared level"),
                    ("unlabelled", "No level declared"),
                    ("unclassified", "Unclassified field"),
                ],
                default="class",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="value",
            field=models.CharField(
                blank=True,
                help_text=(
                    "The data class, tag or level, PERSON + DIAGNOSIS for a combination; "
                    "for opaque content a kind, or empty for all."
                ),
                max_length=200,
            ),
        ),
        migrations.AddConstraint(
            model_name="detector",
            constraint=models.CheckConstraint(
                condition=models.Q(("threshold__lte", 100)), name="policies_detector_threshold_range"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("mode", "enforce"), ("observe_until__isnull", True)),
                    models.Q(("mode", "observe"), ("observe_until__isnull", False)),
                    _connector="OR",
                ),
                name="policies_policyversion_observe_ends",
                violation_error_message="Say when observing ends; a policy that enforces has no such time.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("hold_score__isnull", True),
                    ("block_score__isnull", True),
                    ("hold_score__lt", models.F("block_score")),
                    _connector="OR",
                ),
                name="policies_policyversion_scores_ordered",
                violation_error_message="The score that blocks must be above the score that holds.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("keeps__in", ["text", "findings"])),
                name="policies_policyversion_keeps_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approvals_needed__gte", 1),
                    ("count_cap__gte", 1),
                    ("hold_seconds__gte", 1),
                    ("valid_minutes__gte", 1),
                ),
                name="policies_policyversion_numbers_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "matcher__in",
                        [
                            "class",
                            "tag",
                            "level",
                            "opaque",
                            "combination",
                            "bulk",
                            "distinct",
                            "above_declared",
                            "unlabelled",
                            "unclassified",
                        ],
                    )
                ),
                name="policies_rule_matcher_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "matcher__in",
                        ["opaque", "bulk", "distinct", "above_declared", "unlabelled", "unclassified"],
                    ),
                    models.Q(("value", ""), _negated=True),
                    _connector="OR",
                ),
                name="policies_rule_value_given",
                violation_error_message="Name the data class, tag or level that the rule is about.",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("at_least__gte", 1), ("matcher__in", ["bulk", "distinct"])),
                    models.Q(
                        models.Q(("matcher__in", ["bulk", "distinct"]), _negated=True),
                        ("at_least__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="policies_rule_count_given",
                violation_error_message="Bulk and distinct rules say from how many on; others do not count.",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("matcher", "distinct"), ("window__in", ["hour", "day"])),
                    models.Q(models.Q(("matcher", "distinct"), _negated=True), ("window", "")),
                    _connector="OR",
                ),
                name="policies_rule_window_given",
                violation_error_message="Only distinct values are counted over time: an hour or a day.",
            ),
        ),
        migrations.AddField(
            model_name="example",
            name="data_class",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="examples", to="policies.dataclass"
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="area",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="proposals", to="gateway.area"
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="decided_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddConstraint(
            model_name="example",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["positive", "negative"])), name="policies_example_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="example",
            constraint=models.CheckConstraint(
                condition=models.Q(("text", ""), _negated=True), name="policies_example_text_given"
            ),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["proposed_at"], name="policies_proposal_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "confirmed", "rejected", "withdrawn", "stale"])),
                name="policies_proposal_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at__isnull", True), ("state", "open")),
                    models.Q(models.Q(("state", "open"), _negated=True), ("decided_at__isnull", False)),
                    _connector="OR",
                ),
                name="policies_proposal_decided_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "confirmed"), _negated=True),
                    models.Q(
                        ("decided_by__isnull", False),
                        models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="policies_proposal_two_people",
                violation_error_message="Somebody else has to confirm what you proposed.",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "open")),
                fields=("kind", "target_id"),
                name="policies_proposal_one_open",
                violation_error_message="There is an open proposal for this already.",
            ),
        ),
    ]
