"""The providers that people may sign in with, as buttons of the sign-in page."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse

from gateway.models import Issuer, SignInMethod


@dataclass(frozen=True, slots=True)
class Way:
    """`url` begins a sign-in; it takes `next`, and `again` where somebody is to prove themself once more."""

    method: str
    label: str
    url: str


def ways_in() -> list[Way]:
    ways = []
    if settings.OIDC_ISSUER:
        name = Issuer.objects.filter(issuer=settings.OIDC_ISSUER).values_list("name", flat=True).first()
        ways.append(Way(SignInMethod.OIDC, name or "single sign-on", reverse("oidc_start")))
    return ways


def way_of(method: str) -> Way | None:
    """The provider that vouched by this method."""
    return next((way for way in ways_in() if way.method == method), None)
