"""How a credential stands: whether its secret is in order, too old, being replaced, or waits for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from gateway.models import Credential, CredentialState, CredentialVersion, Endpoint, Rotation, RotationPlan
from gateway.models.rotation import ENDED, under_way
from policies.engine.types import Level

SOON: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Standing:
    """`tone` is that of a badge; `needs` says whether somebody has to do something."""

    tone: str
    text: str
    needs: bool = False
    since: datetime | None = None
    """Since when the secret is in use."""
    too_old_at: datetime | None = None
    number: int | None = None
    """Of the version in use."""
    running: Rotation | None = None


def standing(credential: Credential, plan: RotationPlan | None) -> Standing:
    """Asks the store three times at most."""
    current = credential.versions.filter(state=CredentialState.CURRENT).first()
    if current is None:
        return _stands(credential, plan, None, None, None)
    return _stands(credential, plan, current, longest_age(credential), under_way(credential))


def standings(plans: Sequence[tuple[Credential, RotationPlan | None]]) -> dict[UUID, Standing]:
    """The same for many credentials, by their key: three queries, however many they are."""
    keys = [credential.pk for credential, _ in plans]
    versions = CredentialVersion.objects.filter(credential__in=keys, state=CredentialState.CURRENT)
    current = {version.credential_id: version for version in versions.defer("sealed")}
    begun = Rotation.objects.filter(credential__in=keys).exclude(step__in=ENDED)
    begun = begun.select_related("version", "asked_by").defer("version__sealed")
    running = {rotation.credential_id: rotation for rotation in begun}
    limits = _limits(keys)
    return {
        credential.pk: _stands(
            credential,
            plan,
            current.get(credential.pk),
            limits.get(credential.pk),
            running.get(credential.pk),
        )
        for credential, plan in plans
    }


def _limits(credentials: Sequence[UUID]) -> dict[UUID, timedelta | None]:
    """By the highest level that any endpoint which uses one may see, as its key or as its certificate."""
    uses = Q(credential__in=credentials) | Q(client_certificate__in=credentials)
    highest: dict[UUID, int] = {}
    rows = Endpoint.objects.filter(uses, enabled=True).values_list(
        "credential", "client_certificate", "ceiling"
    )
    for key, certificate, ceiling in rows:
        for held in {key, certificate} - {None}:
            highest[held] = max(ceiling, highest.get(held, 0))
    return {held: _limit(ceiling) for held, ceiling in highest.items()}


def _stands(
    credential: Credential,
    plan: RotationPlan | None,
    current: CredentialVersion | None,
    limit: timedelta | None,
    running: Rotation | None,
) -> Standing:
    if current is None:
        return Standing("error", "No secret", needs=True, running=running)
    since = current.activated_at or current.created_at
    too_old = since + limit if limit else None
    tone, text, needs = _said(credential, plan, too_old, timezone.now(), running)
    return Standing(tone, text, needs, since, too_old, current.number, running)


def _said(
    credential: Credential,
    plan: RotationPlan | None,
    too_old: datetime | None,
    now: datetime,
    running: Rotation | None,
) -> tuple[str, str, bool]:
    if credential.disabled_at is not None:
        return "error", "Not sent: overdue", True
    if running is not None and running.error == "by_hand":
        return "warning", "Waits for a new secret", True
    if plan is not None and plan.failures:
        return "error", f"Failed {plan.failures} times" if plan.failures > 1 else "Failed", True
    if too_old is not None and too_old <= now:
        return "error", "Too old", running is None
    if running is not None:
        return "pending", "Is being replaced", False
    if plan is not None and plan.paused:
        return "warning", "Paused", False
    if too_old is not None and too_old <= now + SOON and (plan is None or plan.next_at is None):
        return "warning", "Soon too old", True
    return "ok", "In order", False


def is_too_old(credential: Credential, now: datetime) -> bool:
    """Whether the secret in use is, and nobody replaces it yet."""
    current = credential.versions.filter(state=CredentialState.CURRENT).first()
    limit = longest_age(credential)
    if current is None or limit is None or (current.activated_at or current.created_at) + limit > now:
        return False
    return under_way(credential) is None


def longest_age(credential: Credential) -> timedelta | None:
    """None: no limit."""
    return _limits([credential.pk]).get(credential.pk)


def _limit(ceiling: int) -> timedelta | None:
    days = settings.CREDENTIAL_MAX_DAYS.get(Level(ceiling).name.lower(), 0)
    return timedelta(days=days) if days else None
