"""What a policy says about calls that wait: who else is asked when, what leaves in clear, what is asked for."""

import django.core.validators
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import policies.models.policy
from policies import triggers
from policies.rebuilding import Altered


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor, without=triggers.OF_0008)


def install_former(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.install(schema_editor, without=(*triggers.OF_0007, *triggers.OF_0008))


HISTORY = [
    migrations.AddField(
        model_name="historicalpolicyversion",
        name="escalate_minutes",
        field=models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="escalate after"),
    ),
    migrations.AddField(
        model_name="historicalpolicyversion",
        name="escalate_to",
        field=models.JSONField(blank=True, default=list),
    ),
    migrations.AddField(
        model_name="historicalpolicyversion",
        name="purpose_required",
        field=models.BooleanField(default=False),
    ),
    migrations.AddField(
        model_name="historicalpolicyversion",
        name="keeps_alive",
        field=models.BooleanField(default=False, verbose_name="keeps streams alive"),
    ),
    migrations.AddField(
        model_name="historicalpolicyversion",
        name="clear_release",
        field=models.BooleanField(default=False, verbose_name="releases in clear"),
    ),
]
COLUMNS = [
    migrations.AddField(
        model_name="policyversion",
        name="escalate_minutes",
        field=models.PositiveSmallIntegerField(
            blank=True,
            help_text="After so many minutes without a decision others are asked as well. Empty: never.",
            null=True,
            validators=[
                django.core.validators.MinValueValidator(1),
                django.core.validators.MaxValueValidator(1440),
            ],
            verbose_name="escalate after",
        ),
    ),
    migrations.AddField(
        model_name="policyversion",
        name="escalate_to",
        field=models.JSONField(
            blank=True,
            default=list,
            help_text="Groups that may decide as well from then on, separated by commas.",
            validators=[policies.models.policy.validate_groups],
        ),
    ),
    migrations.AddField(
        model_name="policyversion",
        name="purpose_required",
        field=models.BooleanField(
            default=False, help_text="Whoever calls has to say what the call is for; reviewers read it."
        ),
    ),
    migrations.AddField(
        model_name="policyversion",
        name="keeps_alive",
        field=models.BooleanField(
            default=False,
            help_text=(
                "A streaming call that waits is sent comments, so that nothing on the way gives it up. "
                "Its status is 200 then, and a denial is an error inside the stream."
            ),
            verbose_name="keeps streams alive",
        ),
    ),
    migrations.AddField(
        model_name="policyversion",
        name="clear_release",
        field=models.BooleanField(
            default=False,
            help_text="What is approved leaves as it was written, unmasked. Takes at least two approvals.",
            verbose_name="releases in clear",
        ),
    ),
    migrations.AlterField(
        model_name="policyversion",
        name="reviewers",
        field=models.JSONField(
            blank=True,
            default=list,
            help_text="Groups that decide about held calls, separated by commas.",
            validators=[policies.models.policy.validate_groups],
        ),
    ),
    migrations.AlterField(
        model_name="policyversion",
        name="valid_minutes",
        field=models.PositiveSmallIntegerField(
            default=60,
            help_text="How many minutes a decision may take, and then how long an approval may be used.",
            validators=[
                django.core.validators.MinValueValidator(1),
                django.core.validators.MaxValueValidator(1440),
            ],
        ),
    ),
]
CONSTRAINTS = [
    migrations.AddConstraint(
        model_name="policyversion",
        constraint=models.CheckConstraint(
            condition=models.Q(("clear_release", False), ("approvals_needed__gte", 2), _connector="OR"),
            name="policies_policyversion_clear_takes_two",
            violation_error_message="What leaves in clear has to be approved by at least two persons.",
        ),
    ),
    migrations.AddConstraint(
        model_name="policyversion",
        constraint=models.CheckConstraint(
            condition=models.Q(
                models.Q(("escalate_minutes__isnull", True), ("escalate_to", [])),
                models.Q(("escalate_minutes__isnull", False), models.Q(("escalate_to", []), _negated=True)),
                _connector="OR",
            ),
            name="policies_policyversion_escalation_complete",
            violation_error_message=(
                "Say both after how many minutes others are asked and which groups, or neither."
            ),
        ),
    ),
    migrations.AddConstraint(
        model_name="policyversion",
        constraint=models.CheckConstraint(
            condition=models.Q(
                ("escalate_minutes__isnull", True),
                models.Q(("escalate_minutes__gte", 1), ("escalate_minutes__lt", models.F("valid_minutes"))),
                _connector="OR",
            ),
            name="policies_policyversion_escalates_in_time",
            violation_error_message="Others are asked before the time for a decision is over.",
        ),
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0006_proposals_of_the_deployment"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(drop, install_former),
        Altered([*HISTORY, *COLUMNS, *CONSTRAINTS]),
        migrations.RunPython(install, drop),
    ]
