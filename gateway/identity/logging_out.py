"""Signing out at the provider too, and being signed out by it (OpenID Connect, RP-Initiated and Back-Channel
Logout 1.0).
"""

from __future__ import annotations

import base64
import os
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from gateway.credentials.secret import Secret
from gateway.identity.id_token import Logout, logout_token
from gateway.identity.oidc_provider import Provider, SignInFailed
from gateway.identity.sessions import sign_in_end
from gateway.models import SeenToken, SignIn

HINT: Final = "id_token_hint"
NONCE_BYTES: Final = 12
LONGEST_HINT: Final = 6000
"""A longer one would not fit into an address."""


def keep_hint(session: Any, sign_in: SignIn, id_token: Secret) -> None:
    """Keep the ID token for signing out at the provider: sealed, since sessions lie in the database."""
    key_id = next(iter(settings.MASTER_KEYS), None)
    if key_id is None or len(id_token.reveal()) > LONGEST_HINT:
        return
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(settings.MASTER_KEYS[key_id]).encrypt(nonce, id_token.reveal().encode(), _aad(sign_in))
    session[HINT] = [key_id, base64.b64encode(nonce + sealed).decode()]


def hint_of(session: Any, sign_in: SignIn) -> str:
    """The ID token of this sign-in; empty where there is none that can be opened."""
    key_id, sealed = session.get(HINT) or ("", "")
    key = settings.MASTER_KEYS.get(key_id)
    if key is None:
        return ""
    data = base64.b64decode(sealed)
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _aad(sign_in)).decode()
    except (InvalidTag, ValueError):
        return ""


def _aad(sign_in: SignIn) -> bytes:
    return b"postern.id-token.1\0" + sign_in.pk.bytes


def end_session_url(provider: Provider, *, hint: str, back: str) -> str:
    """Where the provider ends its own session; empty where it does not offer that."""
    if not provider.end_session:
        return ""
    query = {"client_id": settings.OIDC_CLIENT_ID, "post_logout_redirect_uri": back}
    if hint:
        query["id_token_hint"] = hint
    return f"{provider.end_session}{'&' if '?' in provider.end_session else '?'}{urlencode(query)}"


def provider_logout(*, provider: Provider, token: str) -> int:
    """End what a logout token names. Returns how many sign-ins ended. Raises `SignInFailed`."""
    now = time.time()
    logout: Logout = provider.judge(
        lambda keys: logout_token(token, provider.terms, keys, client_id=settings.OIDC_CLIENT_ID, now=now)
    )
    issuer = provider.row.issuer
    with transaction.atomic():
        _once(issuer, logout, provider.row.leeway)
        rows = SignIn.objects.filter(_named(logout), issuer=issuer, ended_at=None).select_related("user")
        return sum(sign_in_end(sign_in=row, because="signed out at the provider", by=None) for row in rows)


def _named(logout: Logout) -> Q:
    """With a session's id that session alone; a sign-in that never heard an id goes by the subject."""
    if not logout.sid:
        return Q(subject=logout.subject)
    named = Q(sid=logout.sid)
    if logout.subject:
        return (named | Q(sid="")) & Q(subject=logout.subject)
    return named


def _once(issuer: str, logout: Logout, leeway: int) -> None:
    expires_at = datetime.fromtimestamp(logout.expires_at + leeway, UTC)
    try:
        with transaction.atomic():
            SeenToken.objects.create(issuer=issuer, token_id=logout.token_id, expires_at=expires_at)
    except IntegrityError:
        raise SignInFailed("token", "replayed") from None
