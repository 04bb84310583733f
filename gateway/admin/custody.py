"""Who can have a credential's secret sent: the endpoints that use it, and who reaches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from gateway.access_review.reading import active_rules, callers_of, reach_of, rule_facts
from gateway.access_review.values import Page, RuleFacts
from gateway.admin.person import person
from gateway.models import AccessRule, Credential, Endpoint, Issuer

MOST: Final = 200
"""Callers of one endpoint that are listed; its review lists them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One endpoint that sends the secret. `page` None: who reaches it is not for this person to see."""

    endpoint: Endpoint
    rules: tuple[tuple[AccessRule, RuleFacts], ...] = ()
    page: Page | None = None
    last_call: datetime | None = None


def custody_page(request: HttpRequest, credential: Credential, context: Mapping[str, Any]) -> HttpResponse:
    reach = reach_of(person(request))
    sees = reach.covers(credential.area_id)
    uses = list(_uses(credential, sees))
    shown = {
        "credential": credential,
        "title": f"Who can use {credential}",
        "uses": uses,
        "sees": sees,
        "issuers": Issuer.objects.filter(introspection_credential=credential).order_by("name"),
        "last_call": max((use.last_call for use in uses if use.last_call), default=None),
    }
    return TemplateResponse(request, "admin/gateway/credential/custody.html", {**context, **shown})


def _uses(credential: Credential, sees: bool) -> Iterator[Use]:
    now = timezone.now()
    used = Endpoint.objects.filter(Q(credential=credential) | Q(client_certificate=credential))
    for endpoint in used.select_related("area").order_by("slug"):
        if not sees:
            yield Use(endpoint=endpoint)
            continue
        rows = active_rules(now).filter(endpoint=endpoint).select_related("group", "policy")
        page = callers_of(endpoint, limit=MOST, now=now)
        calls = [row.last_call for row in page.rows if row.last_call]
        yield Use(
            endpoint=endpoint,
            rules=tuple((rule, rule_facts(rule)) for rule in rows),
            page=page,
            last_call=max(calls, default=None),
        )
