"""The providers that people may sign in with, as buttons of the sign-in page."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from gateway.identity.saml.service import saml_issuers
from gateway.models import Issuer, SignInMethod


@dataclass(frozen=True, slots=True)
class Way:
    """`url` begins a sign-in; it takes `next`, and `again` where somebody is to prove themself once more."""

    method: str
    issuer: str
    label: str
    url: str


def ways_in() -> list[Way]:
    ways = []
    if issuer := settings.OIDC_ISSUER:
        name = Issuer.objects.filter(issuer=issuer).values_list("name", flat=True).first()
        ways.append(Way(SignInMethod.OIDC, issuer, name or "single sign-on", reverse("oidc_start")))
    for row in saml_issuers():
        ways.append(Way(SignInMethod.SAML, row.issuer, row.name, reverse("saml_login", args=[row.pk])))
    return ways


def way_of(method: str, issuer: str) -> Way | None:
    """The provider that vouched for a sign-in."""
    return next((way for way in ways_in() if (way.method, way.issuer) == (method, issuer)), None)
