"""Who calls the API: a signed-in person, or a service account with a Postern API key.

Keys of persons call models and nothing else. They lie in notebooks and environment files, and must not turn
into the administrator's password when their owner becomes one. What a program may do here is said explicitly:
by the roles of the groups that its service account is in, never by the rights of its owner. Whoever made its
key has seen it, so it does nothing that they may not do as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any, ClassVar, Final, cast

from django.db.models import Model
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from audit.records import Who
from gateway.identity.held import Lent, lent_by
from gateway.identity.keys import digest, has_shape
from gateway.identity.last_used import key_used
from gateway.identity.programs import is_narrow, stands
from gateway.identity.reach import Reach
from gateway.models import ApiKey, ServiceAccount, User
from gateway.proxy.access import within
from policies.history import acting
from policies.journal import note, who

UNKNOWN: Final = "This key is not known, or it has ended."


@dataclass(frozen=True, slots=True)
class Program:
    """A service account that came with a key. Stands where the framework wants a user."""

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True

    account: ServiceAccount
    key: ApiKey
    lent: Lent

    @property
    def pk(self) -> Any:
        return self.account.pk

    def has_perm(self, permission: str, row: Model | None = None) -> bool:
        """Whether it may do something anywhere, or to this row."""
        return self.lent.has(permission, row)

    def areas_with(self, permission: str) -> Reach:
        """Where it may do something."""
        return self.lent.reach(permission)

    def __str__(self) -> str:
        return self.account.name


class Session(SessionAuthentication):
    """A person of the console. What changes something carries the CSRF token."""


class Key(BaseAuthentication):
    """`Authorization: Bearer pst_…` or `x-api-key: pst_…`, one of them, and no session beside it."""

    def authenticate(self, request: Request) -> tuple[Program, ApiKey] | None:
        presented = list(_presented(request))
        if not presented:
            return None
        signed_in = getattr(getattr(request._request, "user", None), "is_authenticated", False)
        if len(presented) > 1 or signed_in:
            raise AuthenticationFailed("Send one credential: a key or a session, not both.")
        if not has_shape(presented[0]):
            raise AuthenticationFailed(UNKNOWN)
        return _program(digest(presented[0]), request.META.get("REMOTE_ADDR") or "")

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Postern"'


def _presented(request: Request) -> Iterator[str]:
    if authorization := request.META.get("HTTP_AUTHORIZATION"):
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Only Bearer is read in Authorization.")
        yield value.strip()
    if key := request.META.get("HTTP_X_API_KEY"):
        yield key.strip()


def _program(tag: bytes, address: str) -> tuple[Program, ApiKey]:
    """Read anew for each request: revoking, locking and closing count at once."""
    now = timezone.now()
    rows = ApiKey.objects.select_related("service_account__owner", "user", "created_by")
    row = rows.filter(digest=tag).first()
    if row is None or not row.is_valid_at(now):
        raise AuthenticationFailed(UNKNOWN)
    account = row.service_account
    if account is None:
        raise PermissionDenied("A person's key calls models only. Use the key of a service account here.")
    if not stands(row, now):
        raise AuthenticationFailed(UNKNOWN)
    if is_narrow(row):
        raise PermissionDenied("This key is for calls to certain endpoints or models. Use another one here.")
    if row.networks and not within(address, [ip_network(network) for network in row.networks]):
        raise PermissionDenied("This key may not be used from your address.")
    key_used(key=row, address=address, now=now)
    return Program(account, row, lent_by(row)), row


def asker(request: Request) -> User | Program:
    """Who is let in, as `Permitted` found them: they have a name and rights."""
    return cast("User | Program", request.user)


def person_of(request: Request) -> User:
    """Who answers for the request: the person, or the owner of the service account."""
    user: Any = request.user
    return user.account.owner if isinstance(user, Program) else cast(User, user)


def who_of(request: Request) -> Who:
    """Whoever asks, as the record names them: a program by its own name, with its key."""
    user, network = asker(request), request.META.get("REMOTE_ADDR") or ""
    if not isinstance(user, Program):
        return replace(who(user), network=network)
    return Who(
        person_id=user.account.pk,
        subject=f"service:{user.account.name}",
        name=user.account.name,
        kind="service",
        owner_id=user.account.owner_id,
        key_id=user.key.pk,
        key_prefix=user.key.prefix,
        network=network,
    )


@contextmanager
def changing(request: Request) -> Iterator[User]:
    """Around each change. One that a program asks for is an event first, so that its key is on record."""
    user: Any = request.user
    person = person_of(request)
    if not isinstance(user, Program):
        with acting(person, "Through the API"):
            yield person
        return
    match = request._request.resolver_match
    facts = {
        "service_account": user.account.name,
        "key": user.key.prefix,
        "request": f"{request.method} {match.route if match else ''}",
        "about": {name: str(value) for name, value in match.kwargs.items()} if match else {},
    }
    note(action="api.called", by=person, target=user.account, facts=facts)
    with acting(person, f"Through the API by {user.account.name}, key {user.key.prefix}…"):
        yield person


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    target_class = "gateway.api.callers.Key"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "A Postern API key of a service account, `pst_…`."
        return {"type": "http", "scheme": "bearer", "description": text}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    target_class = "gateway.api.callers.Session"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "A signed-in person of the console; changes need the header X-CSRFToken."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": text}
