"""What to do about it: a policy, its versions and their rules. Gate and transform are apart."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from audit import ids
from policies.engine.types import Gate, Matcher, Style
from policies.models.choices import GATE_VALUES, GATES, MATCHER_VALUES, MATCHERS, STYLE_VALUES, STYLES
from policies.models.schema import Schema
from policies.models.version import Version, state_constraints

MAY_BE_EMPTY = [
    each.value
    for each in (
        Matcher.OPAQUE,
        Matcher.BULK,
        Matcher.DISTINCT,
        Matcher.ABOVE_DECLARED,
        Matcher.UNLABELLED,
        Matcher.UNCLASSIFIED,
    )
]
COUNTING = [Matcher.BULK.value, Matcher.DISTINCT.value]


def validate_groups(value: object) -> None:
    """A JSON list of distinct names that a group can have."""
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name.strip() and len(name) <= 150 for name in value
    ):
        raise ValidationError('Use a list of groups by name, such as ["Privacy", "Legal"].')
    if len(set(value)) != len(value):
        raise ValidationError("A group is named twice.")


class Mode(models.TextChoices):
    ENFORCE = "enforce", "Enforce"
    OBSERVE = "observe", "Observe"


class Ways(models.TextChoices):
    """The directions that a rule covers."""

    BOTH = "both", "Request and response"
    REQUEST = "request", "Request"
    RESPONSE = "response", "Response"


class Kept(models.TextChoices):
    """What the record keeps of payloads. Either way confidential data and above is masked in it."""

    TEXT = "text", "Masked text and findings"
    FINDINGS = "findings", "Findings only"


class Window(models.TextChoices):
    """The time over which distinct values are counted."""

    HOUR = "hour", "Hour"
    DAY = "day", "Day"


class Policy(models.Model):
    """A named policy. What it says lives in its versions."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey("gateway.Area", models.PROTECT, related_name="policies")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["area", "slug"], name="policies_policy_slug_unique")]

    def __str__(self) -> str:
        return self.name


class PolicyVersion(Version):
    """One version of a policy; immutable once published."""

    policy = models.ForeignKey(Policy, models.PROTECT, related_name="versions")
    schema = models.ForeignKey(
        Schema,
        models.PROTECT,
        related_name="policy_versions",
        help_text="Calls are classified by this schema's version in force at the time of the call.",
    )
    default_transform = models.CharField(
        max_length=10,
        choices=STYLES,
        default=Style.REDACT.value,
        help_text="What happens to a data class that no rule names.",
    )
    opaque_gate = models.PositiveSmallIntegerField(
        choices=GATES,
        default=Gate.BLOCK.value,
        help_text="What happens to images, audio, files and other content that cannot be read here.",
    )
    mode = models.CharField(
        max_length=10,
        choices=Mode,
        default=Mode.ENFORCE,
        help_text="Observe: what rules would do is recorded; only restricted data is enforced.",
    )
    observe_until = models.DateTimeField(
        null=True, blank=True, help_text="When observing ends and the rules are enforced."
    )
    hold_score = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="From this risk on a request waits for a person. Empty: never.",
    )
    block_score = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="From this risk on a request is blocked. Empty: never.",
    )
    count_cap = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="How many findings of one data class add to the risk, at most.",
    )
    keeps = models.CharField(
        max_length=10, choices=Kept, default=Kept.TEXT, help_text="What the record keeps of payloads."
    )
    keeps_original = models.BooleanField(
        "keeps originals, sealed",
        default=False,
        help_text=(
            "What was sent is kept as well, sealed so that no gateway can read it. "
            "Two people together may look at one call's original."
        ),
    )
    reviewers = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_groups],
        help_text="Groups that decide about held calls, separated by commas.",
    )
    approvals_needed = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(5)],
        help_text="How many persons have to approve.",
    )
    hold_seconds = models.PositiveSmallIntegerField(
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="How long a call waits for a decision, at most.",
    )
    valid_minutes = models.PositiveSmallIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(1440)],
        help_text="How many minutes a decision may take, and then how long an approval may be used.",
    )
    escalate_minutes = models.PositiveSmallIntegerField(
        "escalate after",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1440)],
        help_text="After so many minutes without a decision others are asked as well. Empty: never.",
    )
    escalate_to = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_groups],
        help_text="Groups that may decide as well from then on, separated by commas.",
    )
    purpose_required = models.BooleanField(
        default=False, help_text="Whoever calls has to say what the call is for; reviewers read it."
    )
    keeps_alive = models.BooleanField(
        "keeps streams alive",
        default=False,
        help_text=(
            "A streaming call that waits is sent comments, so that nothing on the way gives it up. "
            "Its status is 200 then, and a denial is an error inside the stream."
        ),
    )
    clear_release = models.BooleanField(
        "releases in clear",
        default=False,
        help_text="What is approved leaves as it was written, unmasked. Takes at least two approvals.",
    )

    class Meta:
        ordering = ["policy__name", "-number"]
        permissions = [("publish_policyversion", "Can publish policy versions")]
        constraints = [
            *state_constraints("policies_policyversion", "policy"),
            models.CheckConstraint(
                condition=models.Q(default_transform__in=STYLE_VALUES),
                name="policies_policyversion_transform_known",
            ),
            models.CheckConstraint(
                condition=models.Q(opaque_gate__in=GATE_VALUES),
                name="policies_policyversion_opaque_gate_known",
            ),
            models.CheckConstraint(
                condition=models.Q(mode__in=Mode.values), name="policies_policyversion_mode_known"
            ),
            models.CheckConstraint(
                condition=models.Q(mode=Mode.ENFORCE, observe_until__isnull=True)
                | models.Q(mode=Mode.OBSERVE, observe_until__isnull=False),
                name="policies_policyversion_observe_ends",
                violation_error_message="Say when observing ends; a policy that enforces has no such time.",
            ),
            models.CheckConstraint(
                condition=models.Q(hold_score__isnull=True)
                | models.Q(block_score__isnull=True)
                | models.Q(hold_score__lt=models.F("block_score")),
                name="policies_policyversion_scores_ordered",
                violation_error_message="The score that blocks must be above the score that holds.",
            ),
            models.CheckConstraint(
                condition=models.Q(keeps__in=Kept.values), name="policies_policyversion_keeps_known"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    count_cap__gte=1, approvals_needed__gte=1, hold_seconds__gte=1, valid_minutes__gte=1
                ),
                name="policies_policyversion_numbers_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(clear_release=False) | models.Q(approvals_needed__gte=2),
                name="policies_policyversion_clear_takes_two",
                violation_error_message="What leaves in clear has to be approved by at least two persons.",
            ),
            models.CheckConstraint(
                condition=models.Q(escalate_minutes__isnull=True, escalate_to=[])
                | models.Q(escalate_minutes__isnull=False) & ~models.Q(escalate_to=[]),
                name="policies_policyversion_escalation_complete",
                violation_error_message=(
                    "Say both after how many minutes others are asked and which groups, or neither."
                ),
            ),
            models.CheckConstraint(
                condition=models.Q(escalate_minutes__isnull=True)
                | models.Q(escalate_minutes__gte=1, escalate_minutes__lt=models.F("valid_minutes")),
                name="policies_policyversion_escalates_in_time",
                violation_error_message="Others are asked before the time for a decision is over.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.name} v{self.number}"


class Rule(models.Model):
    """One line of a policy version: which findings, in which direction, with which gate and transform."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    version = models.ForeignKey(PolicyVersion, models.CASCADE, related_name="rules")
    position = models.PositiveSmallIntegerField(default=0)
    name = models.CharField(max_length=100)
    directions = models.CharField(max_length=10, choices=Ways, default=Ways.BOTH)
    matcher = models.CharField(max_length=20, choices=MATCHERS, default=Matcher.CLASS.value)
    value = models.CharField(
        max_length=200,
        blank=True,
        help_text=(
            "The data class, tag or level, PERSON + DIAGNOSIS for a combination; "
            "for opaque content a kind, or empty for all."
        ),
    )
    at_least = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="For bulk and distinct values: from how many on.",
    )
    window = models.CharField(
        max_length=10, choices=Window, blank=True, help_text="For distinct values: counted over this time."
    )
    weight = models.PositiveSmallIntegerField(default=0, help_text="Added to the risk when the rule applies.")
    gate = models.PositiveSmallIntegerField(choices=GATES, default=Gate.ALLOW.value)
    transform = models.CharField(
        max_length=10, choices=STYLES, blank=True, help_text="Empty: this rule says nothing about the text."
    )

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(directions__in=Ways.values), name="policies_rule_directions_known"
            ),
            models.CheckConstraint(
                condition=models.Q(matcher__in=MATCHER_VALUES), name="policies_rule_matcher_known"
            ),
            models.CheckConstraint(condition=models.Q(gate__in=GATE_VALUES), name="policies_rule_gate_known"),
            models.CheckConstraint(
                condition=models.Q(transform__in=["", *STYLE_VALUES]), name="policies_rule_transform_known"
            ),
            models.CheckConstraint(
                condition=models.Q(matcher__in=MAY_BE_EMPTY) | ~models.Q(value=""),
                name="policies_rule_value_given",
                violation_error_message="Name the data class, tag or level that the rule is about.",
            ),
            models.CheckConstraint(
                condition=models.Q(matcher__in=COUNTING, at_least__gte=1)
                | ~models.Q(matcher__in=COUNTING) & models.Q(at_least__isnull=True),
                name="policies_rule_count_given",
                violation_error_message="Bulk and distinct rules say from how many on; others do not count.",
            ),
            models.CheckConstraint(
                condition=models.Q(matcher=Matcher.DISTINCT.value, window__in=Window.values)
                | ~models.Q(matcher=Matcher.DISTINCT.value) & models.Q(window=""),
                name="policies_rule_window_given",
                violation_error_message="Only distinct values are counted over time: an hour or a day.",
            ),
        ]

    def __str__(self) -> str:
        return self.name
