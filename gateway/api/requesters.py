"""Whoever asked, with the credential that they asked with: they may look at what is their own, and no more.

Here a person's key and a bearer token count as well, whatever endpoints and models a key is for: they are
what the call came with, and the caller is told to look up how it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import Model
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audit.records import Who
from gateway.identity.presented import CredentialRefused, Holder, holder_of
from gateway.identity.reach import NOWHERE, Reach
from gateway.models import ServiceAccount
from policies.journal import who as who_is

HEADERS: Final = ("HTTP_X_API_KEY", "HTTP_API_KEY")


@dataclass(frozen=True, slots=True)
class Requester:
    """A person or a program that came with a credential. Stands where the framework wants a user."""

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True

    holder: Holder

    @property
    def pk(self) -> Any:
        return self.holder.pk

    def has_perm(self, permission: str, row: Model | None = None) -> bool:
        return False

    def areas_with(self, permission: str) -> Reach:
        return NOWHERE

    def get_username(self) -> str:
        return str(self.holder)

    def get_full_name(self) -> str:
        return "" if isinstance(self.holder, ServiceAccount) else self.holder.get_full_name()

    def who(self) -> Who:
        """As the record names them."""
        if not isinstance(self.holder, ServiceAccount):
            return who_is(self.holder)
        return Who(
            person_id=self.holder.pk,
            subject=f"service:{self.holder.name}",
            name=self.holder.name,
            kind="service",
            owner_id=self.holder.owner_id,
        )


class Presented(BaseAuthentication):
    """`Authorization: Bearer …`, `x-api-key` or `api-key`, one of them, and no session beside it."""

    def authenticate(self, request: Request) -> tuple[Requester, None] | None:
        try:
            found = requester(request._request)
        except CredentialRefused:
            raise AuthenticationFailed("This credential is not accepted.") from None
        return (found, None) if found else None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Postern"'


def requester(request: HttpRequest) -> Requester | None:
    """Who came with a credential; None for who came without. Raises `CredentialRefused`."""
    found = {value for name in HEADERS if (value := request.META.get(name, "").strip())}
    if authorization := request.META.get("HTTP_AUTHORIZATION", ""):
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise CredentialRefused
        found.add(value.strip())
    if not found:
        return None
    if len(found) > 1 or request.user.is_authenticated:
        raise CredentialRefused
    return Requester(holder_of(found.pop(), request.META.get("REMOTE_ADDR") or ""))


class PresentedScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    target_class = "gateway.api.requesters.Presented"
    name = "requester"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "The requester's own API key or access token, as their calls carry it."
        return {"type": "http", "scheme": "bearer", "description": text}
