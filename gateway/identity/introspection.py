"""Asks an issuer about a token that only the issuer can read (RFC 7662). Blocks: off the event loop only.

The token travels to the one address that the issuer's settings name, with a credential that is sealed for
that origin. Whatever is not a clear yes is a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.conf import settings

from gateway.credentials.outbound import FetchFailed, fetch
from gateway.identity.discovery import SECONDS, ProviderDown, ProviderWrong, check_address
from gateway.identity.tokens import ClaimsRefused, Terms, Vouched, judged, time_of
from gateway.identity.trust import Introspection, Trusted
from policies.engine import jsontext
from policies.engine.jsontext import Json, JsonError

FRESH: Final = 4.0
"""Seconds that an answer counts: a token that is revoked at its issuer is refused within five."""

MAX_ANSWER: Final = 64 * 1024
TYPES: Final = ("", "bearer", "access_token")


def introspect(token: str, trusted: Trusted, now: float) -> Vouched:
    """What the issuer says of the token. Raises `ProviderError` and `TokenError`."""
    where = trusted.introspection
    if where is None:
        raise ProviderWrong("no_introspection")
    claims = _ask(token, where, trusted)
    if claims.get("active") is not True:
        raise ClaimsRefused("inactive")
    kind = claims.get("token_type", "")
    if not isinstance(kind, str) or kind.lower() not in TYPES or "cnf" in claims:
        raise ClaimsRefused("kind")
    if claims.get("iss", trusted.terms.issuer) != trusted.terms.issuer:
        raise ClaimsRefused("issuer")
    issued_at, expires_at = time_of(claims, "iat"), time_of(claims, "exp")
    return judged(
        _with_audience(claims, trusted.terms),
        trusted.terms,
        now,
        issued_at=now if issued_at is None else issued_at,
        expires_at=now + FRESH if expires_at is None else expires_at,
    )


def _with_audience(claims: Mapping[str, Json], terms: Terms) -> Mapping[str, Json]:
    """An answer may leave the audience out. Then the client must be one that this issuer's settings name,
    which the check of the client sees to."""
    if "aud" in claims or not terms.authorized_parties:
        return claims
    return {**claims, "aud": [*terms.audiences]}


def _ask(token: str, where: Introspection, trusted: Trusted) -> Mapping[str, Json]:
    check_address(where.url, trusted.terms.issuer)
    secret = {where.header: where.value.reveal()} if where.header else {}
    try:
        answer = fetch(
            where.url,
            allow_private=trusted.place.allow_private,
            allow_loopback=settings.PLAIN_HTTP,
            seconds=SECONDS,
            max_bytes=MAX_ANSWER,
            form={"token": token, "token_type_hint": "access_token"},
            headers={"accept": "application/json", **secret},
        )
    except FetchFailed as error:
        raise ProviderDown(error.code) from None
    if answer.status != 200 or answer.content_type != "application/json":
        raise ProviderDown("introspection_answer")
    try:
        tree = jsontext.loads(answer.body, max_depth=10)
    except JsonError:
        raise ProviderWrong("introspection_unreadable") from None
    if not isinstance(tree, dict):
        raise ProviderWrong("introspection_unreadable")
    return tree
