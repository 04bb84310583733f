"""What schema versions and policy versions share: a number, a state and who published them when."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class State(models.TextChoices):
    """draft -> published -> retired, never back. Triggers (`policies.triggers`) freeze what is published."""

    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    RETIRED = "retired", "Retired"


class Version(models.Model):
    """One numbered state of something that is edited as a draft and then published for good."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    number = models.PositiveIntegerField(editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT, editable=False)
    note = models.CharField(
        max_length=300, blank=True, help_text="What changed and why, for whoever reads the history."
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    effective_at = models.DateTimeField(
        null=True, blank=True, help_text="When it takes effect once published; empty means at once."
    )

    class Meta:
        abstract = True

    @property
    def is_draft(self) -> bool:
        return self.state == State.DRAFT


def state_constraints(prefix: str, parent: str) -> list[models.BaseConstraint]:
    """The constraints of a concrete version table, named by it."""
    published = models.Q(published_at__isnull=False, effective_at__isnull=False)
    return [
        models.UniqueConstraint(fields=[parent, "number"], name=f"{prefix}_number_unique"),
        models.CheckConstraint(condition=models.Q(state__in=State.values), name=f"{prefix}_state_known"),
        models.CheckConstraint(
            condition=models.Q(state=State.DRAFT, published_at__isnull=True)
            | ~models.Q(state=State.DRAFT) & published,
            name=f"{prefix}_published_iff_not_draft",
        ),
    ]
