"""Each way of sending a secret, over real connections: it arrives, and it is in nothing else (P17)."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.credentials.certificates import CertificateError, identity_of, load
from gateway.credentials.oauth import AccessToken, Client, TokenFailed, token_fetch
from gateway.credentials.placing import Placed, basic, in_body, in_header, in_query
from gateway.credentials.secret import Secret
from gateway.proxy.errors import BadRequest, ProxyError, Unavailable, UpstreamFailed
from gateway.proxy.patience import Patience
from gateway.proxy.renewing import AccessTokens, Renewing
from gateway.proxy.routes import Certificate, Target
from gateway.proxy.upstream import Upstream
from gateway.proxy.upstream import send as send_on

CANARY = "canary-0123456789"


class Service(BaseHTTPRequestHandler):
    """Keeps what it was sent; answers with it."""

    seen: list[tuple[str, dict[str, str], bytes]] = []
    answer: dict[str, Any] | None = None
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        said = self.answer or {"path": self.path, "headers": dict(self.headers), "body": body.decode()}
        data = json.dumps(said).encode()
        self.send_response(self.status)
        for name, value in (("content-type", "application/json"), ("x-ratelimit-who", CANARY)):
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, type[Service]]]:
    yield from _serve(None)


def _serve(context: ssl.SSLContext | None) -> Iterator[tuple[str, type[Service]]]:
    handler = type("Fresh", (Service,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()


def target(origin: str, credential: Placed | AccessTokens | None, **more: Any) -> Target:
    values: dict[str, Any] = {
        "id": uuid4(),
        "slug": "chat",
        "area": "default",
        "kind": "json",
        "origin": origin,
        "base_path": "",
        "allow_private": True,
        "credential": credential,
        "max_body": 1 << 20,
        "connect_timeout": 5,
        "first_byte_timeout": 5,
        "idle_timeout": 5,
        **more,
    }
    return Target(**values)


def send(to: Target, body: bytes = b'{"q": 1}', path: str = "/v1/x") -> tuple[bytes, list[Any], str]:
    """The answer's body, its headers for clients, and what the library knows of the request."""

    async def run() -> tuple[bytes, list[Any], str]:
        upstream, patience = Upstream(), Patience(_never)
        turn = upstream.turn(to)
        try:
            answer = await send_on(turn, path, body, patience)
            got, headers = await answer.body(), answer.passed_headers()
            known = f"{answer._response!r} {answer._response.url} {answer._response.request_info.url}"
            answer.close()
            return got, headers, known
        finally:
            patience.end()
            turn.end()
            await upstream.pools.close()

    return asyncio.run(run())


async def _never() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


PLACED = {
    "header": in_header("x-api-key", "", Secret(CANARY)),
    "query": in_query("key", Secret(CANARY)),
    "body": in_body("api_key", Secret(CANARY)),
    "basic": basic("svc", Secret(CANARY)),
}


@pytest.mark.parametrize("where", PLACED)
def test_it_arrives_and_does_not_come_back(
    service: tuple[str, type[Service]], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    origin, handler = service
    got, headers, known = send(target(origin, PLACED[where]))
    path, sent, body = handler.seen[-1]
    held = {
        "header": sent.get("x-api-key") == CANARY,
        "query": path == f"/v1/x?key={CANARY}",
        "body": json.loads(body) == {"q": 1, "api_key": CANARY},
        "basic": sent.get("authorization", "").startswith("Basic "),
    }
    assert held[where] and sum(held.values()) == 1
    for seen in (got.decode(), str(headers), known.partition("\n")[0], caplog.text):
        assert CANARY not in seen and "c3ZjOmNhbmFyeS0wMTIz" not in seen


def test_a_failure_does_not_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for placed in PLACED.values():
        with pytest.raises(UpstreamFailed) as failure:
            send(target("http://127.0.0.1:9", placed))
        told = "".join(traceback.format_exception(failure.value)) + repr(failure.value.__context__)
        assert CANARY not in told + caplog.text


def test_a_body_that_has_the_field_does_not_keep_its_own(service: tuple[str, type[Service]]) -> None:
    origin, handler = service
    send(target(origin, PLACED["body"]), b'{"api_key": "mine"}')
    assert json.loads(handler.seen[-1][2]) == {"api_key": CANARY}
    with pytest.raises(BadRequest) as refusal:
        send(target(origin, PLACED["body"]), b"[1]")
    assert refusal.value.code == "body_not_object"


def test_a_query_that_is_there_already_is_kept(service: tuple[str, type[Service]]) -> None:
    origin, handler = service
    send(target(origin, in_query("key", Secret("a&b=c 0123"))), path="/v1/x?alt=sse")
    assert handler.seen[-1][0] == "/v1/x?alt=sse&key=a%26b%3Dc%200123"


# --- access tokens ----------------------------------------------------------------------------------


def client(url: str, **more: Any) -> Client:
    return Client(
        token_url=f"{url}/token",
        client_id="gw",
        secret=Secret(CANARY),
        scope="infer",
        audience="models",
        allow_private=True,
        **more,
    )


@pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post"])
def test_a_token_is_fetched_with_the_clients_secret(service: tuple[str, type[Service]], auth: str) -> None:
    origin, handler = service
    handler.answer = {"access_token": "at-123456789", "token_type": "Bearer", "expires_in": 60}
    token = token_fetch(client(origin, auth=auth))
    assert (token.value.reveal(), token.good_for) == ("at-123456789", 60)
    _, headers, body = handler.seen[-1]
    form = body.decode()
    assert "grant_type=client_credentials" in form and "scope=infer" in form and "audience=models" in form
    assert (f"client_secret={CANARY}" in form) is (auth == "client_secret_post")
    assert ("authorization" in headers) is (auth == "client_secret_basic")


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (401, {"error": CANARY}, "status_401"),
        (200, {"no": "token"}, "answer"),
        (200, {"access_token": "a b"}, "answer"),
        (200, {"access_token": "at-123456789", "token_type": "mac"}, "answer"),
    ],
)
def test_a_provider_that_gives_none_is_told_by_a_code(
    service: tuple[str, type[Service]], status: int, answer: dict[str, Any], code: str
) -> None:
    origin, handler = service
    handler.status, handler.answer = status, answer
    with pytest.raises(TokenFailed) as failure:
        token_fetch(client(origin))
    assert failure.value.code == code and CANARY not in "".join(traceback.format_exception(failure.value))


def test_without_a_token_the_endpoint_refuses_and_with_one_it_is_sent(
    service: tuple[str, type[Service]],
) -> None:
    origin, handler = service
    tokens = AccessTokens(client(origin), "Authorization", "Bearer")
    with pytest.raises(Unavailable) as refusal:
        send(target(origin, tokens))
    assert refusal.value.code == "upstream_token_unavailable" and handler.seen == []
    tokens.renew(lambda _: AccessToken(Secret("at-123456789"), 1e6, 0.0))
    assert send(target(origin, tokens))[0].count(b"at-123456789") == 0
    assert handler.seen[-1][1]["authorization"] == "Bearer at-123456789"


def test_a_token_is_good_until_it_runs_out_and_one_fetch_goes_on_at_a_time() -> None:
    calls: list[Client] = []
    tokens = AccessTokens(client("https://id.example.com"), "Authorization", "Bearer")

    def late(asked: Client) -> AccessToken:
        calls.append(asked)
        assert not tokens.is_due()
        tokens.renew(late)  # somebody else, meanwhile
        return AccessToken(Secret("at-old"), 100, float("-inf"))

    tokens.renew(late)
    assert len(calls) == 1 and tokens.placed() is None and tokens.is_due()

    def fails(asked: Client) -> AccessToken:
        raise TokenFailed("timeout")

    tokens.renew(fails)
    assert not tokens.is_due()


def test_the_same_client_keeps_its_token_over_a_rebuild() -> None:
    renewing = Renewing(lambda _: AccessToken(Secret("at"), 1e6, 0.0))
    first = AccessTokens(client("https://id.example.com"), "Authorization", "Bearer")
    renewing.keep([first])
    assert renewing.same(AccessTokens(client("https://id.example.com"), "Authorization", "Bearer")) is first
    other = AccessTokens(client("https://id.example.com"), "x-token", "")
    assert renewing.same(other) is other


# --- client certificates ----------------------------------------------------------------------------


def certificate(name: str, *, days: int = 1) -> tuple[str, str]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_a_service_that_asks_gets_the_endpoints_certificate() -> None:
    theirs, ours = certificate("service"), certificate("gateway")
    context = load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Secret("".join(theirs)))
    context.load_verify_locations(cadata=ours[0])
    context.verify_mode = ssl.CERT_REQUIRED
    for origin, handler in _serve(context):
        shown = Certificate(uuid4(), Secret("".join(ours)))
        assert (
            json.loads(send(target(origin, None, certificate=shown, authorities=theirs[0]))[0])["path"]
            == "/v1/x"
        )
        other = Certificate(uuid4(), Secret("".join(certificate("stranger"))))
        with pytest.raises(ProxyError):
            send(target(origin, None, certificate=other, authorities=theirs[0]))
        assert len(handler.seen) == 1


def test_what_cannot_be_shown_is_refused_in_words_that_quote_nothing() -> None:
    (pem, key), (_, other) = certificate("gateway"), certificate("other")
    assert identity_of(Secret(pem + key)).name == "CN=gateway"
    broken = "-----BEGIN X PRIVATE KEY-----\nAA\n-----END X PRIVATE KEY-----"
    for wrong in ("", pem, key, pem + other, pem + key + other, "x" * 40_000, pem + broken):
        with pytest.raises(CertificateError) as refusal:
            identity_of(Secret(wrong))
        assert "BEGIN" not in str(refusal.value)
