"""The providers that people may sign in with, as buttons of the sign-in page."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from gateway.identity.saml.service import saml_issuers
from gateway.models import Issuer


@dataclass(frozen=True, slots=True)
class Way:
    """`url` begins a sign-in; it takes `next`."""

    label: str
    url: str


def ways_in() -> list[Way]:
    ways = []
    if settings.OIDC_ISSUER:
        name = Issuer.objects.filter(issuer=settings.OIDC_ISSUER).values_list("name", flat=True).first()
        ways.append(Way(name or "single sign-on", reverse("oidc_start")))
    for issuer in saml_issuers():
        ways.append(Way(issuer.name, reverse("saml_login", args=[issuer.pk])))
    return ways
