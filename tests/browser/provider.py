"""oidc-provider-mock as a process of its own, with what it lacks: telling a client that somebody signed out.

python -m tests.browser.provider PORT
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def running_provider() -> Iterator[str]:
    """Its issuer, once it answers."""
    port = free_port()
    env = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    argv = [sys.executable, "-m", "tests.browser.provider", str(port)]
    process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    issuer = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                requests.get(f"{issuer}/.well-known/openid-configuration", timeout=2)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield issuer
    finally:
        process.terminate()
        process.wait(10)


def serve(port: int) -> None:
    warnings.simplefilter("ignore")
    import flask
    import oidc_provider_mock
    from authlib import jose

    app = oidc_provider_mock.app()

    @app.post("/signed-out/<subject>")
    def signed_out(subject: str) -> str:
        key, now = flask.g.oidc_provider_mock_storage.jwk, int(time.time())
        said = {
            "iss": flask.request.host_url.rstrip("/"),
            "aud": flask.request.form["client_id"],
            "sub": subject,
            "iat": now,
            "exp": now + 120,
            "jti": os.urandom(8).hex(),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        token: bytes = jose.jwt.encode({"alg": "RS256", "typ": "logout+jwt"}, said, key)
        return token.decode()

    app.run(host="127.0.0.1", port=port, debug=False, threaded=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
