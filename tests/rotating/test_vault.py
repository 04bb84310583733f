"""Secrets from Vault or OpenBao, from a stub that answers as their API's documents say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest

from gateway.credentials.secret import Secret
from gateway.rotating.contract import Door, Errand, Failed, Refused, Waiting
from gateway.rotating.rotators.vault import rotator

KV = {"engine": "kv", "path": "secret/data/model", "field": "api_key"}
DYNAMIC = {"engine": "dynamic", "path": "openai/creds/team", "field": "api_key"}
TOKEN, ROLE, SECRET_ID = "hvs.token-of-the-tests", "role-1", "secret-id-1"


class Vault:
    """The handful of its API that we call."""

    def __init__(self) -> None:
        self.kv: dict[str, Any] = {"api_key": "sk-first"}
        self.version = 1
        self.leases: dict[str, str] = {}
        self.status = 0  # of the next answer, whatever was asked
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self._any("GET")

            def do_POST(self) -> None:
                self._any("POST")

            def do_PUT(self) -> None:
                self._any("PUT")

            def _any(self, method: str) -> None:
                said = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, answer = stub.answer(method, self.path, dict(self.headers), json.loads(said or b"{}"))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method: str, path: str, headers: dict[str, str], said: Any) -> tuple[int, Any]:
        if self.status:
            return self.status, {"errors": ["sealed"]}
        if path == "/v1/auth/approle/login":
            good = said == {"role_id": ROLE, "secret_id": SECRET_ID}
            return (200, {"auth": {"client_token": TOKEN}}) if good else (400, {"errors": ["invalid"]})
        if {name.lower(): value for name, value in headers.items()}.get("x-vault-token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        if path == "/v1/secret/data/model":
            return 200, {"data": {"data": self.kv, "metadata": {"version": self.version}}}
        if path == "/v1/openai/creds/team":
            lease, secret = f"openai/creds/team/{uuid4().hex}", f"sk-{uuid4().hex}"
            self.leases[lease] = secret
            return 200, {"lease_id": lease, "lease_duration": 3600, "data": {"api_key": secret}}
        if (method, path) == ("PUT", "/v1/sys/leases/revoke"):
            self.leases.pop(said["lease_id"], None)
            return 204, None
        return 404, {"errors": []}


@pytest.fixture
def vault() -> Iterator[Vault]:
    found = Vault()
    yield found
    found.server.shutdown()
    found.server.server_close()


def errand(vault: Vault, options: dict[str, str], secret: str = TOKEN, current: str = "sk-old") -> Errand:
    door = Door(
        origin=vault.origin,
        headers={"X-Vault-Token": Secret(secret)},
        secret=Secret(secret),
        allow_private=True,
    )
    return Errand(
        credential_id=uuid4(),
        label="postern-1-1-1",
        family="postern-1-",
        origin="https://models.example.com",
        options=options,
        door=door,
        current=Secret(current),
    )


def test_what_a_kv_store_holds_is_taken_once_it_is_another(vault: Vault) -> None:
    made = rotator.create(errand(vault, KV))
    assert (made.secret.reveal(), made.provider_id) == ("sk-first", "secret/data/model@1")
    with pytest.raises(Waiting):
        rotator.create(errand(vault, KV, current="sk-first"))
    rotator.revoke(errand(vault, KV), made.provider_id)  # whoever wrote it does


def test_a_lease_is_taken_told_how_long_and_ended_as_often_as_one_likes(vault: Vault) -> None:
    made = rotator.create(errand(vault, DYNAMIC))
    assert vault.leases == {made.provider_id: made.secret.reveal()}
    assert made.good_for == timedelta(hours=1)
    for _ in range(2):
        rotator.revoke(errand(vault, DYNAMIC), made.provider_id)
    assert vault.leases == {}


def test_a_lease_without_the_field_is_ended(vault: Vault) -> None:
    with pytest.raises(Failed, match="no such field"):
        rotator.create(errand(vault, {**DYNAMIC, "field": "password"}))
    assert vault.leases == {}


def test_an_approle_signs_in(vault: Vault) -> None:
    options = {**KV, "role_id": ROLE}
    assert rotator.create(errand(vault, options, secret=SECRET_ID)).secret == Secret("sk-first")
    with pytest.raises(Refused) as refused:
        rotator.create(errand(vault, options, secret="wrong-secret-id"))
    assert (
        "wrong-secret-id" not in f"{refused.value!r}{refused.value.__cause__!r}{refused.value.__context__!r}"
    )


@pytest.mark.parametrize(("status", "kind"), [(403, Refused), (404, Refused), (429, Failed), (503, Failed)])
def test_answers_that_are_none(vault: Vault, status: int, kind: type[Exception]) -> None:
    vault.status = status
    with pytest.raises(kind):
        rotator.create(errand(vault, KV))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**KV, "engine": "kv1"},
        {**KV, "path": "/secret"},
        {**KV, "path": "secret/../sys/seal"},
        {**KV, "path": "secret/data/model?version=1"},
        {**KV, "field": ""},
        {**KV, "more": "x"},
        {**KV, "field": 7},
    ],
)
def test_options_that_will_not_do(options: Any) -> None:
    assert rotator.complaints(options)
    assert rotator.complaints(KV) == rotator.complaints(DYNAMIC) == []
