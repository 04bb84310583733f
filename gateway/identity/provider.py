"""What an OpenID provider says of itself, beside what was entered here. For people: nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.conf import settings

from gateway.credentials.outbound import FetchFailed, fetch
from gateway.identity.issuer_checks import url_problem
from gateway.models import Issuer

WELL_KNOWN: Final = "/.well-known/openid-configuration"
LARGEST: Final = 256 * 1024
SECONDS: Final = 5.0
LONGEST: Final = 300
FAILED: Final = {
    "address": "Its name leads to an address that may not be connected to. "
    "A private one has to be allowed in its settings.",
    "timeout": f"It did not answer within {SECONDS:.0f} seconds.",
    "too_large": f"Its answer is larger than {LARGEST // 1024} KB, or compressed.",
    "url": "This address is not one that may be asked.",
    "transport": "There was no connection: no such name, nobody listens, or its certificate is not trusted.",
}
SHOWN: Final = (
    ("Authorisation", "authorization_endpoint"),
    ("Token", "token_endpoint"),
    ("Keys", "jwks_uri"),
    ("People", "userinfo_endpoint"),
    ("Introspection", "introspection_endpoint"),
    ("Logging out", "end_session_endpoint"),
    ("Devices", "device_authorization_endpoint"),
)
LISTS: Final = (
    ("Signatures of ID tokens", "id_token_signing_alg_values_supported"),
    ("Scopes", "scopes_supported"),
    ("Claims", "claims_supported"),
    ("How strong a sign-in was", "acr_values_supported"),
    ("PKCE", "code_challenge_methods_supported"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """`problem` in words where there is no document. `differs`: what does not fit what was entered."""

    url: str
    problem: str = ""
    endpoints: tuple[tuple[str, str], ...] = ()
    lists: tuple[tuple[str, str], ...] = ()
    differs: tuple[str, ...] = ()


def look(issuer: Issuer) -> Look:
    """Ask the provider now, within seconds. Never raises for what the provider does."""
    url = issuer.issuer.rstrip("/") + WELL_KNOWN
    if problem := url_problem(url):
        return Look(url, problem)
    document, problem = _fetch(url, issuer.allow_private)
    if document is None:
        return Look(url, problem)
    return Look(
        url,
        endpoints=tuple((title, _text(document.get(name))) for title, name in SHOWN if document.get(name)),
        lists=tuple((title, words) for title, name in LISTS if (words := _words(document.get(name)))),
        differs=tuple(_differences(issuer, document)),
    )


def _fetch(url: str, allow_private: bool) -> tuple[Mapping[str, Any] | None, str]:
    """The document, or why there is none."""
    try:
        answer = fetch(
            url,
            allow_private=allow_private,
            allow_loopback=settings.PLAIN_HTTP,
            seconds=SECONDS,
            max_bytes=LARGEST,
        )
    except FetchFailed as failure:
        return None, FAILED.get(failure.code, FAILED["transport"])
    if 300 <= answer.status < 400:
        return None, f"It answered {answer.status}, a redirect, which is not followed."
    if answer.status != 200:
        return None, f"It answered {answer.status} instead of 200."
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, Mapping):
        return None, "What it answered is no JSON object."
    return document, ""


def _differences(issuer: Issuer, document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("issuer") != issuer.issuer:
        yield (
            f"It calls itself “{_text(document.get('issuer'))}”, and you “{issuer.issuer}”: "
            "its tokens would be refused. Both have to be the same to the last character."
        )
    jwks = _text(document.get("jwks_uri"))
    if issuer.jwks_uri and jwks != issuer.jwks_uri:
        yield f"Its keys are at {jwks or 'no address'}, and you entered {issuer.jwks_uri}."
    elif not issuer.jwks_uri and (not jwks or url_problem(jwks, query=True)):
        yield "It names no address of its keys that may be asked: enter one."
    offered = document.get("id_token_signing_alg_values_supported")
    if isinstance(offered, list) and not set(issuer.algorithms) & {str(each) for each in offered}:
        yield f"It signs with {_words(offered)}, and you accept {', '.join(issuer.algorithms)}."
    introspection = _text(document.get("introspection_endpoint"))
    if issuer.introspection_url and introspection and introspection != issuer.introspection_url:
        yield f"It introspects at {introspection}, and you entered {issuer.introspection_url}."
    pkce = document.get("code_challenge_methods_supported")
    if isinstance(pkce, list) and "S256" not in pkce:
        yield "It does not offer PKCE with S256, which signing in uses."
    claims, groups = document.get("claims_supported"), issuer.groups_claim.partition(".")[0]
    if isinstance(claims, list) and groups and groups not in claims and issuer.groups_claim not in claims:
        yield f"It does not list the claim “{groups}”. Not all providers list every claim."


def _text(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _words(value: object) -> str:
    if not isinstance(value, list):
        return ""
    return _text(", ".join(each for each in value if isinstance(each, str)))
