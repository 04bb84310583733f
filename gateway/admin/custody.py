"""The page that says who can have a credential's secret sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from gateway.access_review.custody import uses_of
from gateway.access_review.reading import reach_of
from gateway.admin.person import person
from gateway.models import Credential, Issuer


def custody_page(request: HttpRequest, credential: Credential, context: Mapping[str, Any]) -> HttpResponse:
    reach = reach_of(person(request))
    sees = reach.covers(credential.area_id)
    uses = list(uses_of(credential, sees=sees))
    shown = {
        "credential": credential,
        "title": f"Who can use {credential}",
        "uses": uses,
        "sees": sees,
        "issuers": Issuer.objects.filter(introspection_credential=credential).order_by("name"),
        "last_call": max((use.last_call for use in uses if use.last_call), default=None),
    }
    return TemplateResponse(request, "admin/gateway/credential/custody.html", {**context, **shown})
