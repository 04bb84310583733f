"""Signing in with an OpenID provider: mozilla-django-oidc's flow, with our checks in place of its own.

The library keeps state, nonce and PKCE verifier in the browser's session and walks through the flow. It would
take any audience and issuer, any age, and link people by e-mail address; what it fetches and believes is
therefore replaced: requests go through the guarded client, ID tokens through `gateway.identity.id_token`, and
people come from `person_vouched` alone.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from gateway.credentials.secret import Secret
from gateway.identity.id_token import CLOCK, Proof, id_token
from gateway.identity.mapping import TooManyGroups, claim_values
from gateway.identity.oidc_provider import Provider, SignInFailed
from gateway.identity.overage import LookupFailed, find, is_overage
from gateway.identity.people import NotVouched, person_vouched
from gateway.models import Overage, Source, User

KNOWN_ERRORS: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
"""What a token endpoint may say (RFC 6749, 5.2). Other words of it are not repeated anywhere."""


def settings_of(provider: Provider, name: str, *default: Any) -> Any:
    """What the library asks its settings for."""
    known = {
        "OIDC_OP_AUTHORIZATION_ENDPOINT": provider.authorization,
        "OIDC_OP_TOKEN_ENDPOINT": provider.token,
        "OIDC_OP_USER_ENDPOINT": provider.userinfo,
        "OIDC_OP_JWKS_ENDPOINT": "unused",
        "OIDC_RP_CLIENT_ID": settings.OIDC_CLIENT_ID,
        "OIDC_RP_CLIENT_SECRET": "unused",
        "OIDC_RP_SIGN_ALGO": "RS256",  # unused as well: `id_token` knows the issuer's own
        "OIDC_RP_SCOPES": settings.OIDC_SCOPES,
        "OIDC_AUTHENTICATION_CALLBACK_URL": "oidc_callback",
        "OIDC_USE_PKCE": True,
        "OIDC_MAX_STATES": 10,
    }
    if name in known:
        return known[name]
    if not default:
        raise ImproperlyConfigured(f"{name} is none of ours.")
    return default[0]


class OidcBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # the library carries no types
    """One sign-in. Not among AUTHENTICATION_BACKENDS: it says who somebody is, never what they may do."""

    def __init__(self, provider: Provider, now: float) -> None:
        self.provider, self.now = provider, now
        self.proof: Proof | None = None
        self.id_token = Secret("")
        super().__init__()

    def get_settings(self, name: str, *default: Any) -> Any:
        return settings_of(self.provider, name, *default)

    def get_token(self, payload: dict[str, str]) -> Mapping[str, Any]:
        headers = _client_authentication(payload, self.provider.client_auth)
        status, answer = self.provider.ask(self.provider.token, form=payload, headers=headers)
        if status != 200:
            said = answer.get("error")
            raise SignInFailed("code", said if said in KNOWN_ERRORS else "status")
        if not all(isinstance(answer.get(name), str) for name in ("id_token", "access_token")):
            raise SignInFailed("token", "no_id_token")
        return answer

    def verify_token(self, token: str, **kwargs: Any) -> Mapping[str, Any]:
        nonce, terms = kwargs.get("nonce") or "", self.provider.terms
        try:
            self.proof = self.provider.judge(
                lambda keys: id_token(
                    token, terms, keys, client_id=settings.OIDC_CLIENT_ID, nonce=nonce, now=self.now
                )
            )
        except SignInFailed as failure:
            if failure.detail in CLOCK:
                raise SignInFailed("clock", failure.detail) from None
            raise
        self.id_token = Secret(token)
        return self.proof.vouched.claims

    def store_tokens(self, access_token: str, id_token: str) -> None:
        """Neither is kept; what signing out needs is sealed by the view."""

    def get_or_create_user(self, access_token: str, id_token: str, payload: Mapping[str, Any]) -> User:
        assert self.proof is not None  # noqa: S101  `verify_token` has run
        issuer, word = self.provider.row, self.proof.vouched
        claims = self._completed(access_token, payload)
        name = claims.get(issuer.name_claim) if issuer.name_claim else ""
        try:
            return person_vouched(
                issuer=issuer,
                subject=word.subject,
                name=_shown(name),
                username=_shown(claims.get("preferred_username")),
                email=_shown(claims.get("email")),
                values=self._values(claims),
                source=Source.OIDC,
            )
        except NotVouched as refusal:
            if refusal.code == "too_many_groups":
                raise SignInFailed("groups", "too_many") from None
            raise SignInFailed(refusal.code) from None

    def _completed(self, access_token: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """The ID token's claims, and those that only userinfo has, asked for where some are missing."""
        issuer = self.provider.row
        wanted = [path for path in (issuer.groups_claim, issuer.name_claim) if path]
        if not self.provider.userinfo or all(_has(claims, path) for path in wanted):
            return claims
        headers = {"authorization": f"Bearer {access_token}"}
        status, more = self.provider.ask(self.provider.userinfo, headers=headers)
        if status != 200:
            raise SignInFailed("provider", "userinfo_status")
        if more.get("sub") != claims.get("sub"):
            raise SignInFailed("token", "userinfo_subject")
        return {**more, **claims}

    def _values(self, claims: Mapping[str, Any]) -> Collection[str] | None:
        path = self.provider.row.groups_claim
        if not path:
            return None
        if is_overage(claims, path):
            return self._looked_up()
        try:
            return claim_values(claims, path)
        except TooManyGroups:
            raise SignInFailed("groups", "too_many") from None

    def _looked_up(self) -> Collection[str]:
        """The groups that did not fit, from whoever the issuer names for that."""
        assert self.proof is not None  # noqa: S101  `verify_token` has run
        issuer = self.provider.row
        lookup = find(issuer.overage_lookup) if issuer.overage == Overage.LOOKUP else None
        if lookup is None:
            raise SignInFailed("groups", "overage")
        try:
            return lookup(self.proof.vouched)
        except LookupFailed:
            raise SignInFailed("groups", "lookup") from None


def _client_authentication(payload: dict[str, str], offered: tuple[str, ...]) -> dict[str, str]:
    """Puts the secret where the provider wants it: a header (RFC 6749, 2.3.1), else the form."""
    payload.pop("client_secret", None)
    secret = settings.OIDC_CLIENT_SECRET
    if not secret:
        return {}  # a public client: PKCE alone
    if "client_secret_basic" in offered or "client_secret_post" not in offered:
        pair = f"{quote(settings.OIDC_CLIENT_ID, safe='')}:{quote(secret.reveal(), safe='')}"
        del payload["client_id"]
        return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    payload["client_secret"] = secret.reveal()
    return {}


def _has(claims: Mapping[str, Any], path: str) -> bool:
    found: object = claims
    if path in claims:
        return True
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value if each.isprintable()).strip()[:150]
