"""Which version is in force: the latest publication whose time has come. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import Min, QuerySet
from django.utils import timezone

from policies.models import PolicyVersion, SchemaVersion, State, Version

V = TypeVar("V", bound=Version)

LATEST = ("-published_at", "-number")
"""The latest decision wins from its time on, whatever number its draft had."""


def policy_version_in_force(policy_id: UUID, now: datetime | None = None) -> PolicyVersion | None:
    rows = PolicyVersion.objects.select_related("policy", "schema").filter(policy_id=policy_id)
    return (
        rows.filter(state=State.PUBLISHED, effective_at__lte=now or timezone.now()).order_by(*LATEST).first()
    )


def schema_version_in_force(schema_id: UUID, now: datetime | None = None) -> SchemaVersion | None:
    rows = SchemaVersion.objects.select_related("schema").filter(schema_id=schema_id)
    return (
        rows.filter(state=State.PUBLISHED, effective_at__lte=now or timezone.now()).order_by(*LATEST).first()
    )


def published(rows: QuerySet[V], now: datetime | None = None) -> list[V]:
    """Of one schema's or policy's versions: the one in force and those that will be."""
    moment = now or timezone.now()
    found = list(rows.filter(state=State.PUBLISHED).order_by(*LATEST))
    coming = [row for row in found if row.effective_at is None or row.effective_at > moment]
    return coming + [row for row in found if row not in coming][:1]


def next_change_at(now: datetime | None = None) -> datetime | None:
    """When the next published version takes effect by itself, without any row changing."""
    moments = [
        model.objects.filter(state=State.PUBLISHED, effective_at__gt=now or timezone.now()).aggregate(
            at=Min("effective_at")
        )["at"]
        for model in (PolicyVersion, SchemaVersion)
    ]
    return min((moment for moment in moments if moment is not None), default=None)
