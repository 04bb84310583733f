"""Access tokens by OAuth 2 client credentials (RFC 6749, section 4.4), fetched by the guarded client.

Neither the client's secret nor anything that the provider answered is in an error.
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

import orjson

from gateway.credentials.outbound import FetchFailed, fetch
from gateway.credentials.secret import Secret

SECONDS: Final = 10.0
LARGEST: Final = 64 * 1024
UNSAID: Final = 300.0
"""Seconds that a token is taken to be good for whose provider does not say."""

LONGEST: Final = 86_400.0
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}\Z")
POST: Final = "client_secret_post"


class TokenFailed(Exception):
    """No token: `code` is address, timeout, too_large, url, transport, status_<number> or answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who asks where for what. Equal ones share a token."""

    token_url: str
    client_id: str
    secret: Secret
    auth: str = "client_secret_basic"
    scope: str = ""
    audience: str = ""
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class AccessToken:
    """`good_for` in seconds from when it was asked for."""

    value: Secret
    good_for: float
    asked_at: float = field(default=0.0)  # time.monotonic()


def token_fetch(client: Client) -> AccessToken:
    """Ask for a token. Raises `TokenFailed`."""
    asked_at = time.monotonic()
    form = {"grant_type": "client_credentials"}
    form |= {name: said for name in ("scope", "audience") if (said := getattr(client, name))}
    headers = {"accept": "application/json"}
    if client.auth == POST:
        form |= {"client_id": client.client_id, "client_secret": client.secret.reveal()}
    else:
        headers["authorization"] = _basic(client)
    try:
        answer = fetch(
            client.token_url,
            allow_private=client.allow_private,
            seconds=SECONDS,
            max_bytes=LARGEST,
            form=form,
            headers=headers,
        )
    except FetchFailed as failure:
        raise TokenFailed(failure.code) from None
    if answer.status != 200:
        raise TokenFailed(f"status_{answer.status}")
    token = _token(answer.body, asked_at)
    if token is None:
        raise TokenFailed("answer")
    return token


def _basic(client: Client) -> str:
    """Both parts are form-encoded first (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret.reveal())}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _token(body: bytes, asked_at: float) -> AccessToken | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or str(said.get("token_type", "bearer")).lower() != "bearer":
        return None
    value = said.get("access_token")
    if not isinstance(value, str) or not _TOKEN.match(value):
        return None
    return AccessToken(Secret(value), _seconds(said.get("expires_in")), asked_at)


def _seconds(said: object) -> float:
    try:
        seconds = float(said) if isinstance(said, int | float | str) else UNSAID
    except ValueError:
        return UNSAID
    return min(seconds, LONGEST) if seconds > 0 else UNSAID
