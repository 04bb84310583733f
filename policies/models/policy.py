"""What to do about it: a policy, its versions and their rules. Gate and transform are apart."""

from __future__ import annotations

from django.db import models

from audit import ids
from policies.engine.types import Gate, Matcher, Style
from policies.models.choices import GATE_VALUES, GATES, MATCHER_VALUES, MATCHERS, STYLE_VALUES, STYLES
from policies.models.schema import Schema
from policies.models.version import Version, state_constraints


class Mode(models.TextChoices):
    ENFORCE = "enforce", "Enforce"
    OBSERVE = "observe", "Observe"


class Ways(models.TextChoices):
    """The directions that a rule covers."""

    BOTH = "both", "Request and response"
    REQUEST = "request", "Request"
    RESPONSE = "response", "Response"


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
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.ENFORCE)

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
    matcher = models.CharField(max_length=10, choices=MATCHERS, default=Matcher.CLASS.value)
    value = models.CharField(
        max_length=100,
        blank=True,
        help_text="The data class, tag or level. For opaque content: empty for all, or a kind such as image.",
    )
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
                condition=models.Q(matcher=Matcher.OPAQUE.value) | ~models.Q(value=""),
                name="policies_rule_value_given",
                violation_error_message="Name the data class, tag or level that the rule is about.",
            ),
        ]

    def __str__(self) -> str:
        return self.name
