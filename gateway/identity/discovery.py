"""Asks an issuer where its keys are, and for them. Blocks: off the event loop only.

Discovery as OpenID Connect has it, else as RFC 8414 has it. The document must name the very issuer that was
asked, so that one provider cannot speak for another.

    ProviderError          `code` says what was wrong, nothing of what was received
    ├── ProviderDown       no answer, or one of its own troubles: what is known already still counts
    └── ProviderWrong      it answered, and the answer cannot be used
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from gateway.credentials.outbound import Fetched, FetchFailed, fetch
from gateway.identity.jwks import KeySet, KeysUnreadable, read_keys
from policies.engine import jsontext
from policies.engine.jsontext import Json, JsonError

SECONDS: Final = 5.0
MAX_DOCUMENT: Final = 256 * 1024
JSON_TYPES: Final = ("application/json", "application/jwk-set+json")


class ProviderError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ProviderDown(ProviderError):
    pass


class ProviderWrong(ProviderError):
    pass


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issuer is asked. `jwks_uri` is empty where discovery finds it."""

    issuer: str
    jwks_uri: str = ""
    allow_private: bool = False


def discover(place: Place) -> Mapping[str, Json]:
    """The issuer's own description of itself. Raises `ProviderError`."""
    document: Mapping[str, Json] | None = None
    for address in _addresses(place.issuer):
        answer = _get(address, place)
        if answer.status == 404:
            continue
        document = _object(answer)
        break
    if document is None:
        raise ProviderWrong("no_discovery")
    if document.get("issuer") != place.issuer:
        raise ProviderWrong("other_issuer")
    return document


def fetch_keys(place: Place) -> KeySet:
    """The issuer's keys as it publishes them now. Raises `ProviderError`."""
    address = place.jwks_uri or discover(place).get("jwks_uri")
    if not isinstance(address, str):
        raise ProviderWrong("no_jwks_uri")
    answer = _get(address, place)
    if answer.status != 200 or answer.content_type not in (*JSON_TYPES, "text/plain", ""):
        raise ProviderWrong("keys_status" if answer.status != 200 else "keys_type")
    try:
        return read_keys(answer.body)
    except KeysUnreadable:
        raise ProviderWrong("keys_unreadable") from None


def check_address(url: str, issuer: str) -> None:
    """Keys and answers of an issuer come over TLS, but for a test on this machine. Raises `ProviderWrong`."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return
    if not (parts.scheme == "http" and settings.PLAIN_HTTP and issuer.startswith("http:")):
        raise ProviderWrong("not_https")


def _addresses(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return [
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    ]


def _get(url: str, place: Place) -> Fetched:
    check_address(url, place.issuer)
    try:
        answer = fetch(
            url,
            allow_private=place.allow_private,
            allow_loopback=settings.PLAIN_HTTP,
            seconds=SECONDS,
            max_bytes=MAX_DOCUMENT,
        )
    except FetchFailed as error:
        raise (ProviderWrong if error.code in ("address", "url") else ProviderDown)(error.code) from None
    if answer.status == 429 or answer.status >= 500:
        raise ProviderDown("status")
    return answer


def _object(answer: Fetched) -> Mapping[str, Json]:
    if answer.status != 200:
        raise ProviderWrong("discovery_status")
    try:
        tree = jsontext.loads(answer.body, max_depth=10)
    except JsonError:
        raise ProviderWrong("discovery_unreadable") from None
    if not isinstance(tree, dict):
        raise ProviderWrong("discovery_unreadable")
    return tree
