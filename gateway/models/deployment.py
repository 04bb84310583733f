"""The rules of this deployment that belong to no area. One row, made when it is first asked for."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class Deployment(models.Model):
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    two_person_issuers = models.BooleanField(
        "two people for issuers",
        default=False,
        help_text="Who vouches for callers is proposed by one person and confirmed by another.",
    )
    two_person_roles = models.BooleanField(
        "two people for roles",
        default=False,
        help_text="Giving a group a role is proposed by one person and confirmed by another.",
    )
    key_max_days = models.PositiveSmallIntegerField(
        "longest life of an API key",
        default=366,
        validators=[MinValueValidator(1), MaxValueValidator(366)],
        help_text="Days. Keys that exist keep their end.",
    )
    personal_key_hours = models.PositiveSmallIntegerField(
        "longest life of a personal key",
        default=12,
        validators=[MinValueValidator(1), MaxValueValidator(12)],
        help_text="Hours that a key lives which somebody makes after signing in.",
    )

    class Meta:
        verbose_name = verbose_name_plural = "deployment settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="gateway_deployment_single_row"),
            models.CheckConstraint(
                condition=models.Q(key_max_days__gte=1, key_max_days__lte=366),
                name="gateway_deployment_key_days_bounded",
            ),
            models.CheckConstraint(
                condition=models.Q(personal_key_hours__gte=1, personal_key_hours__lte=12),
                name="gateway_deployment_key_hours_bounded",
            ),
        ]

    def __str__(self) -> str:
        return "Deployment settings"
