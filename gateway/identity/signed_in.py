"""Middleware: whoever asks must have an open sign-in, at each request. Stands behind Django's own.

One query by primary key tells whether the sign-in is open and its person unlocked; Django's look-up of the
person tells whether they are active. So a sign-in that somebody ended, a person who was made inactive or
locked, is out at the next request, on every process, without anything to forget or to wait for.
"""

from __future__ import annotations

import time
from typing import Final

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.deprecation import MiddlewareMixin

from gateway.identity.sessions import HELD, SEEN, hold, sign_in_end
from gateway.models import Lock, SignIn, User
from gateway.models.lock import lock_in_force

ENDED: Final = "ended"
"""Where the empty session that is left keeps why, for the page that asks to sign in again."""

TOUCH: Final = 60
"""Seconds between two notes in a session that it was used: not every page view is worth a write."""


class SignedIn(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        session = request.session
        if SESSION_KEY not in session:
            return
        person, held, seen = session[SESSION_KEY], session.get(HELD), session.get(SEEN)
        row = _row(held)
        because = _over(row, str(person), seen)
        if not because and not request.user.is_authenticated:
            because = "revoked"  # inactive, or their password changed: Django knows, and did not let them in
        if because:
            _out(request, row, because)
            return
        assert row is not None  # noqa: S101  or it would be over
        hold(request, row)
        if row.session_key != session.session_key:  # a password change gives the session a new id
            row.session_key = str(session.session_key)
            row.save(update_fields=["session_key"])
        if time.time() - float(seen or 0) > TOUCH:
            session[SEEN] = int(time.time())


def holder_of(session: SessionBase) -> User | None:
    """Whose session this is, if it counts at this moment. For what is no request; changes nothing."""
    held, seen = session.get(HELD), session.get(SEEN)
    row = _row(held)
    if row is None or _over(row, str(session.get(SESSION_KEY)), seen):
        return None
    person = User.objects.filter(pk=row.user_id, is_active=True).first()
    if person is None or not _knows(person, str(session.get(HASH_SESSION_KEY, ""))):
        return None
    return person


def _knows(person: User, digest: str) -> bool:
    """Whether the password is the one that the session was begun with."""
    known = [person.get_session_auth_hash(), *person.get_session_auth_fallback_hash()]
    return any(constant_time_compare(digest, each) for each in known)


def _row(held: object) -> SignIn | None:
    locks = Lock.objects.filter(lock_in_force(timezone.now()), user=OuterRef("user"))
    try:
        return SignIn.objects.annotate(locked=Exists(locks)).filter(pk=str(held)).first() if held else None
    except (ValueError, ValidationError):
        return None


def _over(row: SignIn | None, person: str, seen: object) -> str:
    """Why this sign-in no longer counts; empty when it does."""
    if row is None or str(row.user_id) != person:
        return "unknown"
    if row.ended_at is not None:
        return row.ended_because or "ended"
    if row.expires_at <= timezone.now():
        return "expired"
    if row.locked:  # type: ignore[attr-defined]  # annotated above
        return "locked"
    idle = settings.SESSION_IDLE_SECONDS
    if idle and time.time() - (seen if isinstance(seen, int | float) else 0) > idle:
        return "idle"
    return ""


def _out(request: HttpRequest, row: SignIn | None, because: str) -> None:
    if row is not None and row.ended_at is None and because != "unknown":
        sign_in_end(sign_in=row, because=because, by=None)
    request.session.flush()
    request.session[ENDED] = because
    request.user = AnonymousUser()
