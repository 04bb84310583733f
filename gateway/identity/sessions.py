"""Sign-ins: begun, renewed and ended here and nowhere else, whatever the person proved who they are with.

Every session of a browser belongs to one `SignIn`, found by its id in the session. A session without one is
nobody's (`gateway.identity.signed_in`), so a way in that forgets this service leads nowhere.

SignInRefused   `code`: inactive | locked
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY, login
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from audit.events import NOBODY, event
from audit.records import Who
from gateway.identity.personal import personal_keys_end
from gateway.models import Lock, SeenToken, SignIn, SignInMethod, User
from gateway.models.lock import lock_in_force
from policies.journal import who

HELD: Final = "sign_in"
"""Where a session keeps the id of its sign-in, and `SEEN` when it was last used (Unix seconds)."""

SEEN: Final = "seen"
KEPT: Final = timedelta(days=90)
"""How long the rows of sign-ins that are over stay to be looked at. Their events stay with the record."""


class SignInRefused(Exception):
    """The person is who they say, and may not come in."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def sign_in_begin(
    *,
    request: HttpRequest,
    user: User,
    method: SignInMethod,
    issuer: str = "",
    subject: str = "",
    sid: str = "",
    acr: str = "",
    authenticated_at: datetime | None = None,
) -> SignIn:
    """Let a person in whose word has been verified; the browser gets a session with a new id.

    `sid` is the provider's own session, `acr` how strong it calls the proof, `authenticated_at` when it was
    given (now, where nobody says). Raises `SignInRefused`.
    """
    now = timezone.now()
    with transaction.atomic():
        if code := refused(user, now):
            raise SignInRefused(code)
        before = sign_in_of(request)
        again = request.session.get(SESSION_KEY) == str(user.pk)
        login(request, user, backend=settings.ROLE_BACKEND)
        if again:
            request.session.cycle_key()  # Django keeps the id where the same person signs in once more
        request.session.set_expiry(None)  # what nobody had signed in with yet was to live shorter
        if request.session.session_key is None:
            request.session.create()
        row = SignIn(
            user=user,
            method=method,
            session_key=str(request.session.session_key),
            issuer=issuer,
            subject=subject,
            sid=sid[:255],
            acr=acr[:255],
            authenticated_at=min(authenticated_at or now, now),
            network=network_of(request),
            expires_at=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
        )
        row.save(force_insert=True)
        request.session[HELD] = str(row.pk)
        request.session[SEEN] = int(now.timestamp())
        request.session.save()
        if before is not None:
            _end([before], because="replaced", by=user, keep=row.session_key)
        _note("signin.began", row, user)
    hold(request, row)
    return row


def sign_in_renew(
    *, request: HttpRequest, sign_in: SignIn, acr: str = "", authenticated_at: datetime | None = None
) -> None:
    """The same person proved once more who they are: the session stays, with a new id and its old end."""
    now = timezone.now()
    with transaction.atomic():
        request.session.cycle_key()
        sign_in.session_key = str(request.session.session_key)
        sign_in.authenticated_at = min(authenticated_at or now, now)
        sign_in.acr = acr[:255]
        sign_in.save(update_fields=["session_key", "authenticated_at", "acr"])
        request.session.save()
        _note("signin.renewed", sign_in, sign_in.user)


def sign_in_end(*, sign_in: SignIn, because: str, by: User | None) -> bool:
    """End one sign-in; its session is gone at its next request. False where it was over already."""
    with transaction.atomic():
        return _end([sign_in], because=because, by=by) == 1


def sign_in_end_all(*, user: User, because: str, by: User | None, keep: SignIn | None = None) -> int:
    """End every open sign-in of a person, but for the one to `keep`. Returns how many ended.

    Where none is kept, the keys that were made for hours by signing in end as well.
    """
    with transaction.atomic():
        if keep is None:
            personal_keys_end(user=user, by=by)
        rows = SignIn.objects.filter(user=user, ended_at=None).select_related("user")
        return _end([row for row in rows if keep is None or row.pk != keep.pk], because=because, by=by)


def sign_ins_sweep(*, now: datetime) -> int:
    """Close what ran out, forget what was over long ago. Returns how many were closed."""
    over = SignIn.objects.filter(ended_at=None, expires_at__lte=now)
    closed = over.update(ended_at=now, ended_because="expired")
    SignIn.objects.filter(ended_at__lte=now - KEPT).delete()
    SeenToken.objects.filter(expires_at__lt=now - timedelta(hours=1)).delete()
    return closed


def refused(user: User, now: datetime) -> str:
    """Why this person may not be signed in; empty when they may."""
    if not user.is_active:
        return "inactive"
    return "locked" if Lock.objects.filter(lock_in_force(now), user=user).exists() else ""


def sign_in_of(request: HttpRequest) -> SignIn | None:
    """The open sign-in that this request belongs to."""
    found: SignIn | None = getattr(request, "_sign_in", None)
    return found


def hold(request: HttpRequest, sign_in: SignIn) -> None:
    """What `sign_in_of` answers from now on."""
    setattr(request, "_sign_in", sign_in)  # noqa: B010  Django's request knows no such attribute


def network_of(request: HttpRequest) -> str:
    """The address of the peer, as the server saw it."""
    return str(request.META.get("REMOTE_ADDR") or "")[:64]


def _end(rows: Iterable[SignIn], *, because: str, by: User | None, keep: str = "") -> int:
    """`keep` is the key of a session that lives on under another sign-in."""
    ended = 0
    for row in rows:
        open_row = SignIn.objects.filter(pk=row.pk, ended_at=None)
        if not open_row.update(ended_at=timezone.now(), ended_because=because):
            continue
        ended += 1
        if row.session_key != keep:
            Session.objects.filter(session_key=row.session_key).delete()
        _note("signin.ended", row, by, because=because)
    return ended


def _note(name: str, row: SignIn, by: User | None, **facts: str) -> None:
    actor: Who = replace(who(by), network=row.network) if by else NOBODY
    detail = {"name": row.user.get_username(), "method": row.method, "issuer": row.issuer, **facts}
    event(name, by=actor, about=f"gateway.signin {row.pk}", detail=detail)
