"""Judges what an OpenID provider says to this client: ID tokens and logout tokens. Pure.

Stricter than for bearer tokens: meant for this client alone, for this very sign-in (`nonce`), made a moment
ago. Signatures are those that the issuer is set to use, none of which shares a secret.

Errors are those of `gateway.identity.tokens`: a code, and nothing of the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.identity.jwks import Key, KeySet
from gateway.identity.tokens import (
    LATEST,
    ClaimsRefused,
    HeaderRefused,
    KeyRefused,
    Terms,
    Unverified,
    Vouched,
    check_header,
    check_signature,
    find_key,
    read,
    vouched,
)
from policies.engine.jsontext import Json

YOUNG: Final = 600
"""Seconds: a token that was made for this sign-in is not older."""

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
CLOCK: Final = frozenset({"expired", "not_yet", "issued_in_future", "too_old"})
"""Codes that a clock which is wrong, here or there, would explain."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified ID token: who, and how they proved it. `authenticated_at` None: it does not say."""

    vouched: Vouched
    sid: str
    acr: str
    authenticated_at: float | None


@dataclass(frozen=True, slots=True)
class Logout:
    """A verified logout token: whose sign-ins are over. One of `sid` and `subject` may be empty."""

    token_id: str
    sid: str
    subject: str
    expires_at: float


def id_token(token: str, terms: Terms, keys: KeySet, *, client_id: str, nonce: str, now: float) -> Proof:
    """The proof in an ID token. Raises `TokenError`; `UnknownKey` where newer keys may help."""
    taken = read(token, needs_key_id=False)
    _signed(taken, terms, keys, types=("", "jwt"))
    claims = taken.claims
    word = vouched(taken, terms, now)
    _meant_for(claims, client_id)
    _check_kind(claims)
    said = claims.get("nonce")
    if not isinstance(said, str) or not nonce or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise ClaimsRefused("nonce")
    if word.issued_at < now - YOUNG - terms.leeway:
        raise ClaimsRefused("too_old")
    when = _time(claims, "auth_time") if "auth_time" in claims else None
    if when is not None and when > now + terms.leeway:
        raise ClaimsRefused("auth_time")
    return Proof(word, _text(claims.get("sid")), _text(claims.get("acr")), when)


def logout_token(token: str, terms: Terms, keys: KeySet, *, client_id: str, now: float) -> Logout:
    """What a logout token (OpenID Connect Back-Channel Logout 1.0) asks for. Raises `TokenError`."""
    taken = read(token, needs_key_id=False)
    _signed(taken, terms, keys, types=("", "jwt", "logout+jwt"))
    claims = taken.claims
    if claims.get("iss") != terms.issuer:
        raise ClaimsRefused("issuer")
    _meant_for(claims, client_id)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise ClaimsRefused("kind")
    if "nonce" in claims:
        raise ClaimsRefused("nonce")  # an ID token that was made to look like one
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if issued > now + terms.leeway:
        raise ClaimsRefused("issued_in_future")
    if issued < now - YOUNG - terms.leeway:
        raise ClaimsRefused("too_old")
    if expires <= now - terms.leeway:
        raise ClaimsRefused("expired")
    token_id, sid, subject = (_text(claims.get(name)) for name in ("jti", "sid", terms.subject_claim))
    if not token_id:
        raise ClaimsRefused("no_token_id")
    if not sid and not subject:
        raise ClaimsRefused("subject")
    return Logout(token_id, sid, subject, expires)


def _signed(token: Unverified, terms: Terms, keys: KeySet, *, types: tuple[str, ...]) -> None:
    untyped = {name: value for name, value in token.header.items() if name != "typ"}
    check_header(replace(token, header=untyped), terms)
    kind = token.header.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise HeaderRefused("type")
    check_signature(token, _key(token, keys))


def _key(token: Unverified, keys: KeySet) -> Key:
    """Without a name the key must be the only one there is."""
    if token.kid:
        return find_key(token, keys)
    if len(keys.keys) != 1 or keys.doubled:
        raise KeyRefused("no_key_id")
    (key,) = keys.keys.values()
    if token.algorithm not in key.algorithms:
        raise KeyRefused("key_type")
    return key


def _meant_for(claims: Mapping[str, Json], client_id: str) -> None:
    """For this client; where it is for others too, it must have been made for this one."""
    audience = claims.get("aud")
    meant = [audience] if isinstance(audience, str) else audience
    if not isinstance(meant, list) or client_id not in meant:
        raise ClaimsRefused("audience")
    party = claims.get("azp", client_id if len(meant) == 1 else None)
    if party != client_id:
        raise ClaimsRefused("client")


def _check_kind(claims: Mapping[str, Json]) -> None:
    """Keycloak and Cognito say it in a claim."""
    for name in ("typ", "token_use"):
        said = claims.get(name, "id")
        if not isinstance(said, str) or said.lower() != "id":
            raise ClaimsRefused("kind")


def _time(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LATEST:
        raise ClaimsRefused("time")
    return float(value)


def _text(value: Json) -> str:
    return value[:255] if isinstance(value, str) and value.isprintable() else ""
