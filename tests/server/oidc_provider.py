"""The OpenID provider of the tests as a process: `python -m tests.server.oidc_provider PORT`.

oidc-provider-mock with what it leaves out: access tokens that are signed (for the client `jwt`; others get
opaque ones), introspection of the opaque ones, and keys that can be rotated.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.services import free_port, wait_for_port

from .world import ROOT

AUDIENCE = "https://postern.example.com"
CALLBACK = "http://127.0.0.1/callback"


def main(port: int) -> None:
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    logging.disable(logging.WARNING)
    import flask
    import oidc_provider_mock
    from authlib import jose
    from oidc_provider_mock._storage import storage

    app = flask.Flask("provider")
    app.secret_key = secrets.token_bytes(16)
    published: list[Any] = []

    def access_token(client: Any, user: Any, **_: Any) -> str:
        if client.id != "jwt":
            return secrets.token_urlsafe(32)
        now = int(time.time())
        body = {
            "iss": flask.request.host_url.rstrip("/"),
            "aud": AUDIENCE,
            "sub": user.sub,
            "client_id": client.id,
            "iat": now,
            "exp": now + 600,
            "jti": secrets.token_hex(8),
            **user.claims,
        }
        head = {"alg": "RS256", "typ": "at+jwt", "kid": storage.jwk.thumbprint()}
        return str(jose.jwt.encode(head, body, storage.jwk).decode())

    def jwks() -> Any:
        keys = {key.thumbprint(): key for key in [*published, storage.jwk]}
        return {"keys": [{**key.as_dict(), "kid": kid, "use": "sig"} for kid, key in keys.items()]}

    app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = access_token
    oidc_provider_mock.init_app(app)
    app.view_functions["oidc-provider-mock.jwks"] = jwks

    @app.post("/introspect")
    def introspect() -> Any:
        if flask.request.headers.get("authorization") != "Basic c2VjcmV0":
            return {"error": "invalid_client"}, 401
        found = storage.get_access_token(flask.request.form.get("token", ""))
        if found is None:
            return {"active": False}
        user, expires = found.get_user(), int(found.expires_at.timestamp())
        return {"active": True, "sub": user.sub, "aud": AUDIENCE, "exp": expires, **user.claims}

    @app.post("/rotate")
    def rotate() -> Any:
        """The next token is signed by a key that nobody has seen; the old one is still published."""
        published.append(storage.jwk)
        storage.jwk = jose.RSAKey.generate_key(is_private=True)
        return {}

    app.run("127.0.0.1", port, threaded=True)


class OidcProvider:
    """The running process, as somebody with a browser and an administrator see it."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def person(self, subject: str, **claims: Any) -> None:
        """Add a person or change what is said of them."""
        requests.put(f"{self.issuer}/users/{subject}", json=claims, timeout=10).raise_for_status()

    def token(self, subject: str, client: str = "jwt") -> str:
        """The access token that a person gets who signs in."""
        query = {
            "client_id": client,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile",
        }
        asked = requests.post(
            f"{self.issuer}/oauth2/authorize",
            params=query,
            data={"sub": subject},
            allow_redirects=False,
            timeout=10,
        )
        code = parse_qs(urlsplit(asked.headers["location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        auth = (client, "any")
        got = requests.post(f"{self.issuer}/oauth2/token", data=form, auth=auth, timeout=10)
        return str(got.json()["access_token"])

    def revoke(self, subject: str) -> None:
        requests.post(f"{self.issuer}/users/{subject}/revoke-tokens", timeout=10).raise_for_status()

    def rotate(self) -> None:
        requests.post(f"{self.issuer}/rotate", timeout=10).raise_for_status()


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    port = free_port()
    argv = [sys.executable, "-m", "tests.server.oidc_provider", str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield OidcProvider(port)
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main(int(sys.argv[1]))
