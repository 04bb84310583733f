"""What a SAML issuer's metadata says, and what the provider has to be told: one page of the admin."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from gateway.console.saml import here
from gateway.identity.saml.issuers import saml_problems, saml_shown, saml_warnings
from gateway.identity.saml.metadata import MetadataError, Provider, saml_metadata_read
from gateway.models import Issuer, IssuerKind
from policies.admin.base import badge, require

BADGES = {"in force": "active", "soon": "expiring", "expired": "expired"}


class SamlTool:
    """A button above the page of an issuer, for its admin. Reads what is kept; asks nobody."""

    admin_site: Any
    opts: Any

    def tool_saml(self, request: HttpRequest, issuer: Issuer) -> HttpResponse:
        require(self.has_view_permission(request) and issuer.kind == IssuerKind.SAML)  # type: ignore[attr-defined]
        provider = _provider(issuer)
        context = {
            **self.admin_site.each_context(request),
            "title": f"SAML metadata of {issuer}",
            "opts": self.opts,
            "issuer": issuer,
            "provider": provider,
            "problems": [words for _, words in saml_problems(issuer)],
            "warnings": saml_warnings(issuer),
            "certificates": _certificates(provider),
            "here": here(request),
        }
        response = TemplateResponse(request, "admin/gateway/issuer/saml.html", context)
        response["Cache-Control"] = "no-store"
        return response


def _provider(issuer: Issuer) -> Provider | None:
    try:
        return saml_metadata_read(issuer.metadata)
    except MetadataError:  # `saml_problems` says it
        return None


def _certificates(provider: Provider | None) -> list[dict[str, Any]]:
    if provider is None:
        return []
    shown = saml_shown(provider, timezone.now())
    return [{**each, "badge": badge(BADGES[each["state"]], each["state"])} for each in shown]
