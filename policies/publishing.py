"""What publishing means for any version: lock, freeze, supersede, copy. Called by services only.

PolicyServiceError
├── PublishRefused      not fit to be published; `problems` lists everything at once
├── NotADraft           only drafts are published
├── DraftExists         there is a draft already: two would be published past each other
└── DraftChanged        edited while it was being checked
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Max, QuerySet
from django.utils import timezone

from policies.history import ADDED, COPIED, record
from policies.models import DataClass, Detector, Example, PolicyVersion, Rule, SchemaVersion, State, Version

V = TypeVar("V", bound=Version)
M = TypeVar("M", bound=models.Model)


POLICY_SETTINGS = (
    "default_transform",
    "opaque_gate",
    "mode",
    "observe_until",
    "hold_score",
    "block_score",
    "count_cap",
    "keeps",
    "keeps_original",
    "reviewers",
    "approvals_needed",
    "hold_seconds",
    "valid_minutes",
    "escalate_minutes",
    "escalate_to",
    "purpose_required",
    "keeps_alive",
    "clear_release",
)
"""What a policy version says beside its rules and its schema."""


class PolicyServiceError(Exception):
    """Root of what the services refuse, in words for the person who asked."""


class PublishRefused(PolicyServiceError):
    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


class NotADraft(PolicyServiceError):
    pass


class DraftExists(PolicyServiceError):
    pass


class DraftChanged(PolicyServiceError):
    pass


def key_of(person: AbstractUser | None) -> UUID | None:
    """The key of whoever acted; None is the system itself."""
    return person.pk if person else None


def lock_draft(versions: QuerySet[V], version: V) -> V:
    """The draft, locked until the transaction ends; writers of its rows wait (`policies.triggers`)."""
    locked = versions.select_for_update(of=("self",)).get(pk=version.pk)
    if not locked.is_draft:
        raise NotADraft(
            f"{locked} is {locked.get_state_display().lower()}. Clone it to a draft to change it."
        )
    return locked


def freeze(
    siblings: QuerySet[V], draft: V, *, by: AbstractUser | None, effective_at: datetime | None
) -> None:
    """Publish the draft; if it takes effect at once, everything published before it is retired."""
    now = timezone.now()
    draft.state = State.PUBLISHED
    draft.published_by_id = key_of(by)
    draft.published_at = now
    draft.effective_at = max(now, effective_at or now)
    draft.save(update_fields=("state", "published_by_id", "published_at", "effective_at"))
    if draft.effective_at == now:
        replaced = [row.pk for row in siblings.filter(state=State.PUBLISHED).exclude(pk=draft.pk)]
        siblings.filter(pk__in=replaced).update(state=State.RETIRED)
        record(siblings.filter(pk__in=replaced))


def next_number(siblings: QuerySet[V]) -> int:
    """The number after the highest; the caller holds the parent's lock."""
    highest: int | None = siblings.aggregate(highest=Max("number"))["highest"]
    return (highest or 0) + 1


def refuse_second_draft(siblings: QuerySet[V]) -> None:
    if draft := siblings.filter(state=State.DRAFT).first():
        raise DraftExists(f"{draft} is a draft already. Publish or delete it first.")


def copy_classes(source: SchemaVersion, target: SchemaVersion) -> None:
    """Data classes, detectors and examples of one version into another, in six inserts: rows and history."""
    classes = list(DataClass.objects.filter(version=source))
    copies = {row.pk: _copy(row, version_id=target.pk) for row in classes}
    detectors = Detector.objects.filter(data_class__version=source)
    children = [_copy(row, data_class_id=copies[row.data_class_id].pk) for row in detectors]
    tried = Example.objects.filter(data_class__version=source)
    examples = [_copy(row, data_class_id=copies[row.data_class_id].pk) for row in tried]
    for rows in (
        DataClass.objects.bulk_create(copies.values()),
        Detector.objects.bulk_create(children),
        Example.objects.bulk_create(examples),
    ):
        record(rows, change=ADDED, reason=COPIED)


def copy_rules(source: PolicyVersion, target: PolicyVersion) -> None:
    """Rules of one version into another."""
    rows = [_copy(row, version_id=target.pk) for row in Rule.objects.filter(version=source)]
    record(Rule.objects.bulk_create(rows), change=ADDED, reason=COPIED)


def _copy(row: M, **parent: object) -> M:
    """The same row with a new id under another parent."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    del values["id"]
    return type(row)(**{**values, **parent})
