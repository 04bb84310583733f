"""Sign-ins that this browser began and that a provider has not answered yet, in a signed cookie of their own.

A provider answers by a POST from its own site, which carries no cookie of ours that is `SameSite=Lax`. So
that POST is only sent on by a page of ours (`gateway.console.saml`), and this cookie comes along from there:
it is first-party, works without third-party cookies, and no other site can make a browser answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

LASTS: Final = 600
"""Seconds that a person has for signing in at the provider."""

MOST: Final = 3
"""Tabs that may sign in at the same time; the oldest gives way."""

LONGEST_ONWARD: Final = 500
SALT: Final = "gateway.saml.pending"


@dataclass(frozen=True, slots=True)
class Pending:
    """`onward` is a path of ours; `fresh`: the person is to prove once more who they are."""

    request_id: str
    issuer_id: UUID
    onward: str
    fresh: bool
    began: int  # Unix seconds

    @property
    def began_at(self) -> datetime:
        return datetime.fromtimestamp(self.began, UTC)


def cookie_name() -> str:
    return "saml" if settings.PLAIN_HTTP else "__Host-saml"


def pending_of(request: HttpRequest, now: datetime) -> list[Pending]:
    """Oldest first; nothing where the cookie is absent, changed or too old."""
    try:
        rows = signing.loads(request.COOKIES.get(cookie_name(), ""), salt=SALT, max_age=LASTS)
        found = [Pending(row[0], UUID(row[1]), row[2], row[3], row[4]) for row in rows]
    except (signing.BadSignature, ValueError, TypeError, LookupError):
        return []
    return [each for each in found if each.began > now.timestamp() - LASTS]


def pending_keep(response: HttpResponse, pending: Sequence[Pending]) -> None:
    """Set the cookie; none where nothing is pending."""
    if not pending:
        response.delete_cookie(cookie_name(), samesite="Lax")
        return
    rows = [[p.request_id, str(p.issuer_id), p.onward, p.fresh, p.began] for p in pending[-MOST:]]
    response.set_cookie(
        cookie_name(),
        signing.dumps(rows, salt=SALT, compress=True),
        max_age=LASTS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
