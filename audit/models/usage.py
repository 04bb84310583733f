"""What calls used, by month, and what tokens cost. Sums are made once per closed call (`audit.usage`)."""

from __future__ import annotations

import re
from datetime import date
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from audit import ids

NOBODY = UUID(int=0)
"""Stands for callers whom nobody knows: a key that may be empty would not be unique."""


class Used(models.Model):
    """Calls that reached a model in one month, and their tokens as the model's service counted them."""

    id = models.BigAutoField(primary_key=True)
    month = models.DateField()  # its first day, UTC
    area = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=255)
    model = models.CharField(max_length=255)
    calls = models.PositiveBigIntegerField(default=0)
    uncounted = models.PositiveBigIntegerField(default=0)  # calls whose answer named no tokens
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class CallerUsage(Used):
    """By caller. Adds up."""

    caller_id = models.UUIDField()
    owner_id = models.UUIDField(null=True)  # who answers for a program, as of its last call
    name = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["month", "area", "endpoint", "model", "caller_id"], name="audit_callerusage_once"
            ),
        ]
        indexes = [
            models.Index(fields=["caller_id", "month"], name="audit_callerusage_caller"),
            models.Index(fields=["owner_id", "month"], name="audit_callerusage_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.name} in {self.month:%Y-%m}"


class GroupUsage(Used):
    """By group. Does not add up: a call counts in each of its caller's groups."""

    group = models.CharField(max_length=150)  # empty: the caller was in none

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["month", "area", "endpoint", "model", "group"], name="audit_groupusage_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group} in {self.month:%Y-%m}"


def validate_month(value: date) -> None:
    if value.day != 1:
        raise ValidationError("A price is in force from the first day of a month.")


def validate_pattern(value: str) -> None:
    if re.search(r"[\[\]?]|\*\*", value):
        raise ValidationError("Write a model's name; * stands for any text.")


class Price(models.Model):
    """What a million tokens of a model cost, from a month on."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    pattern = models.CharField(
        "model",
        max_length=255,
        validators=[validate_pattern],
        help_text="A model's name as callers write it; * stands for any text: gpt-4o*. The longest wins.",
    )
    endpoint = models.CharField(
        max_length=255,
        blank=True,
        help_text="Short name of the endpoint that has this price; empty means every one.",
    )
    input_price = models.DecimalField(
        "per million input tokens", max_digits=14, decimal_places=6, validators=[MinValueValidator(0)]
    )
    output_price = models.DecimalField(
        "per million output tokens", max_digits=14, decimal_places=6, validators=[MinValueValidator(0)]
    )
    currency = models.CharField(
        max_length=3, validators=[RegexValidator(r"^[A-Z]{3}\Z", "Three capital letters, such as EUR.")]
    )
    valid_from = models.DateField(
        validators=[validate_month], help_text="First day of the month from which on it holds."
    )

    class Meta:
        ordering = ["pattern", "endpoint", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["pattern", "endpoint", "valid_from"],
                name="audit_price_once",
                violation_error_message="There is a price of this model from this month on already.",
            ),
            models.CheckConstraint(
                condition=models.Q(input_price__gte=0, output_price__gte=0), name="audit_price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"{self.pattern}{where} from {self.valid_from:%B %Y}"
