"""Who opens a WebSocket: the same browser, the same session and sign-in as for a page, from one of our pages.

What middleware does for requests is done here for a connection that stays: asked when it opens, and again as
long as it is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

from gateway.identity.reach import Reach
from gateway.identity.signed_in import holder_of
from gateway.models import User

_SCHEMES: Final = {"ws": "http", "wss": "https"}


@final
@dataclass(frozen=True, slots=True)
class SocketRight:
    """A session's right to one permission."""

    session_key: str
    person_id: UUID
    permission: str

    def reach(self) -> Reach | None:
        """Where its person may do that now; None: nowhere, or they are not signed in any more."""
        person = _person(self.session_key)
        if person is None or person.pk != self.person_id:
            return None
        return person.areas_with(self.permission) or None


def admitted(scope: Any, permission: str) -> tuple[SocketRight, Reach] | None:
    """By the scope of a WebSocket that wants to open. None: nobody, or from a page that is not ours."""
    request = ASGIRequest(_as_request(scope), BytesIO())
    if not from_here(request):
        return None
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    person = _person(key) if key else None
    if person is None:
        return None
    right = SocketRight(key, person.pk, permission)
    reach = person.areas_with(permission)
    return (right, reach) if reach else None


def from_here(request: ASGIRequest) -> bool:
    """Whether its Origin is this site or one that the settings trust. A browser always sends one."""
    origin = request.headers.get("origin", "")
    try:
        host = request.get_host()
    except DisallowedHost:
        return False
    if origin == f"{'https' if request.is_secure() else 'http'}://{host}":
        return True
    return any(_fits(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def _fits(origin: str, trusted: str) -> bool:
    if "*" not in trusted:
        return origin == trusted
    given, wanted = urlsplit(origin), urlsplit(trusted)
    same = is_same_domain(given.netloc, wanted.netloc.lstrip("*"))
    return given.scheme == wanted.scheme and same


def _as_request(scope: Any) -> dict[str, Any]:
    scheme = _SCHEMES.get(scope.get("scheme", "ws"), "http")
    return {**scope, "type": "http", "method": "GET", "scheme": scheme}


def _person(session_key: str) -> User | None:
    return holder_of(SessionStore(session_key))
