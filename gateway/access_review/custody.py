"""Who can have a credential's secret sent: the endpoints that use it, and who reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone

from gateway.access_review.reading import active_rules, callers_of, rule_facts
from gateway.access_review.values import Page, RuleFacts
from gateway.models import AccessRule, Credential, Endpoint
from gateway.models.endpoint import endpoints_using

MOST: Final = 200
"""Callers of one endpoint that are listed; its review lists them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One endpoint that sends the secret. `page` None: who reaches it is not for this person to see."""

    endpoint: Endpoint
    rules: tuple[tuple[AccessRule, RuleFacts], ...] = ()
    page: Page | None = None
    last_call: datetime | None = None


def uses_of(credential: Credential, *, sees: bool) -> Iterator[Use]:
    """By the endpoints' names. `sees`: whether who reaches them may be told."""
    now = timezone.now()
    for endpoint in endpoints_using(credential).select_related("area").order_by("slug"):
        if not sees:
            yield Use(endpoint=endpoint)
            continue
        rules = active_rules(now).filter(endpoint=endpoint).select_related("group", "policy")
        page = callers_of(endpoint, limit=MOST, now=now)
        calls = [row.last_call for row in page.rows if row.last_call]
        yield Use(
            endpoint=endpoint,
            rules=tuple((rule, rule_facts(rule)) for rule in rules),
            page=page,
            last_call=max(calls, default=None),
        )
