"""A provider in memory: it answers what the gateway asks, and signs what a test wants signed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.credentials.outbound import Fetched, FetchFailed

ISSUER = "https://idp.example.com"
CLIENT = "postern"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def published(*, kid: str = "k1", key: Any = RSA, **more: Any) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "00u1",
        "iat": now,
        "exp": now + 300,
        "nonce": "n-1",
        "auth_time": now,
        "sid": "s-1",
        "name": "Alice A.",
        "groups": ["pst-reviewers"],
    }
    return {name: value for name, value in {**said, **more}.items() if value is not ...}


def signed(said: Mapping[str, Any], *, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    named = {"kid": "k1", **header}
    headers = {name: value for name, value in named.items() if value is not ...}
    return jwt.encode(dict(said), key, algorithm=alg, headers=headers)


@dataclass
class Provider:
    """Everything it may be told to do otherwise."""

    said: dict[str, Any] = field(default_factory=dict)  # claims of the next ID token beside the usual
    userinfo: dict[str, Any] = field(default_factory=lambda: {"sub": "00u1"})
    document: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [published()])
    down: set[str] = field(default_factory=set)  # paths that do not answer
    status: dict[str, int] = field(default_factory=dict)
    token: str = ""  # sent instead of a good one
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    nonce: str = ""

    def fetch(self, url: str, *, form: Any = None, headers: Any = None, **bounds: Any) -> Fetched:
        path = urlsplit(url).path
        self.asked.append((path, dict(form or {}), dict(headers or {})))
        if path in self.down:
            raise FetchFailed("timeout")
        body = self._answer(path)
        return Fetched(
            self.status.get(path, 200 if body is not None else 404), "application/json", body or b"{}"
        )

    def _answer(self, path: str) -> bytes | None:
        if path == "/.well-known/openid-configuration":
            names = ("authorization", "token", "userinfo", "end_session")
            return orjson.dumps(
                {
                    "issuer": ISSUER,
                    **{f"{name}_endpoint": f"{ISSUER}/{name}" for name in names},
                    "jwks_uri": f"{ISSUER}/keys",
                    **self.document,
                }
            )
        if path == "/keys":
            return orjson.dumps({"keys": self.keys})
        if path == "/token":
            token = self.token or signed(claims(**{"nonce": self.nonce, **self.said}))
            return orjson.dumps({"access_token": "at", "token_type": "Bearer", "id_token": token})
        return orjson.dumps(self.userinfo) if path == "/userinfo" else None

    def begin(self, client: Client, query: str = "") -> dict[str, str]:
        """Go off to it; returns what the browser takes along."""
        answer = client.get(f"/oidc/start/{query}")
        assert answer.status_code == 302, answer.content
        assert answer["location"].startswith(f"{ISSUER}/authorization?")
        sent = {name: value[0] for name, value in parse_qs(urlsplit(answer["location"]).query).items()}
        self.nonce = sent["nonce"]
        return sent

    def come_back(self, client: Client, sent: Mapping[str, str], **more: str) -> Any:
        return client.get("/oidc/callback/", {"state": sent["state"], "code": "c-1", **more})

    def sign_in(self, client: Client, query: str = "") -> Any:
        return self.come_back(client, self.begin(client, query))
