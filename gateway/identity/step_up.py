"""Step-up: some acts want a proof of who somebody is that is fresh, and strong where the provider can say so.

The acts are named here by the address that does them, since what they change must not know of browsers. A
POST to one without a fresh proof does nothing and leads to the page that asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from gateway.identity.sessions import sign_in_of
from gateway.models import SignIn, SignInMethod

LEEWAY: Final = 30
ACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "publish": (
        "admin:policies_schemaversion_publish",
        "admin:policies_schemaversion_rollback",
        "admin:policies_policyversion_publish",
        "admin:policies_policyversion_rollback",
        "proposal_confirm",
        "/api/v1/schema-versions/<uuid:pk>/publish",
        "/api/v1/schema-versions/<uuid:pk>/rollback",
        "/api/v1/policy-versions/<uuid:pk>/publish",
        "/api/v1/policy-versions/<uuid:pk>/rollback",
        "/api/v1/policy/apply",
    ),
    "approve": (
        "review:decide",
        "review:revoke",
        "review:look_at",
        "/api/v1/approvals/<uuid:pk>/decide",
        "/api/v1/approvals/<uuid:pk>/revoke",
        "/api/v1/approvals/<uuid:pk>/look",
    ),
    "roles": (
        "admin:gateway_rolegrant_add",
        "admin:gateway_rolegrant_change",
        "admin:gateway_rolegrant_delete",
        "admin:gateway_rolegrant_changelist",  # deletes what was ticked
        "admin:gateway_user_add",
        "admin:gateway_user_change",
        "admin:auth_user_password_change",
        "admin:gateway_directorytoken_add",
        "admin:gateway_directorytoken_replace",
        "admin:gateway_directoryuser_add",
        "admin:gateway_directorygroup_add",
        "admin:gateway_directorygroup_delete",
        "admin:gateway_identity_add",
        "admin:gateway_identity_change",
    ),
    "issuers": (
        "admin:gateway_issuer_add",
        "admin:gateway_issuer_change",
        "admin:gateway_issuer_delete",
        "admin:gateway_issuer_changelist",
        "admin:gateway_deployment_change",
        "/api/v1/issuers",
        "/api/v1/issuers/<uuid:pk>",
        "/api/v1/deployment",
    ),
}
"""Act -> names of addresses, or routes of those without a name. Revealing joins them here."""

_WANTED: Final = frozenset(name for names in ACTS.values() for name in names)


def is_fresh(sign_in: SignIn | None, now: float) -> bool:
    """Whether this sign-in may do such an act now."""
    if not settings.STEP_UP_SECONDS:
        return True
    if sign_in is None:
        return False
    return _proves(sign_in.authenticated_at.timestamp(), sign_in.acr, now, sign_in.method)


def proves(authenticated_at: float | None, acr: str, now: float) -> bool:
    """Whether a provider's answer is the proof that was asked for. One that does not say when is none."""
    return authenticated_at is not None and _proves(authenticated_at, acr, now, SignInMethod.OIDC)


def _proves(authenticated_at: float, acr: str, now: float, method: str) -> bool:
    strong = not settings.STEP_UP_ACR or method != SignInMethod.OIDC or acr == settings.STEP_UP_ACR
    return strong and now - authenticated_at <= settings.STEP_UP_SECONDS + LEEWAY


class StepUp(MiddlewareMixin):
    """Stands behind `SignedIn`. Calls with an API key have no sign-in and are no person's: they pass."""

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        match, sign_in = request.resolver_match, sign_in_of(request)
        if request.method in ("GET", "HEAD", "OPTIONS") or sign_in is None or match is None:
            return None
        if not {match.view_name, f"/{match.route}"} & _WANTED or is_fresh(sign_in, time.time()):
            return None
        if request.path.startswith("/api/"):
            detail = "Sign in once more in the console: this act wants a fresh proof of who you are."
            body = {"type": "about:blank", "title": "Fresh sign-in needed", "status": 403, "detail": detail}
            return JsonResponse(body, status=403, content_type="application/problem+json")
        return HttpResponseRedirect(f"{reverse('step_up')}?{urlencode({'next': _came_from(request)})}")


def _came_from(request: HttpRequest) -> str:
    """The page with the form, if it is one of ours: this very address would refuse a GET."""
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc != request.get_host():
        return "/"
    return referer.path + (f"?{referer.query}" if referer.query else "")
