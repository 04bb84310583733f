"""The guarded client: one origin, checked addresses, no redirects, no surprises in size."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from gateway.credentials.outbound import AddressRefused, AnswerRefused, OriginRefused, outbound_client


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/small": b"ok", "/large": b"x" * 5000, "/packed": gzip.compress(b"x" * 50_000)}.get(
            self.path, b""
        )
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_it_speaks_to_its_own_origin(origin: str) -> None:
    with outbound_client(origin=origin, allow_private=True) as client:
        assert client.get("/small").text == "ok"


def test_it_refuses_a_private_address_unless_told(origin: str) -> None:
    with outbound_client(origin=origin) as client, pytest.raises(AddressRefused, match="loopback"):
        client.get("/small")


def test_it_refuses_a_name_with_one_bad_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        assert host == "models.example.com"
        return [(0, 0, 0, "", (address, port)) for address in ("93.184.216.34", "169.254.169.254")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with outbound_client(origin="http://models.example.com") as client, pytest.raises(AddressRefused):
        client.get("/")


def test_it_connects_to_the_address_that_it_checked(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(origin.rsplit(":", 1)[1])
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: object, **options: object) -> object:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", port))] if host == "model.internal" else real(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with outbound_client(origin=f"http://model.internal:{port}", allow_private=True) as client:
        assert client.get("/small").text == "ok"
    assert asked.count("model.internal") == 1


def test_it_does_not_follow_a_redirect(origin: str) -> None:
    with outbound_client(origin=origin, allow_private=True) as client:
        assert client.get("/away").status_code == 302


def test_it_speaks_to_no_other_origin(origin: str) -> None:
    with outbound_client(origin=origin, allow_private=True) as client, pytest.raises(OriginRefused):
        client.get("http://127.0.0.1:1/small")


def test_it_stops_reading_what_is_too_large(origin: str) -> None:
    with outbound_client(origin=origin, allow_private=True, max_bytes=4096) as client:
        assert client.get("/small").text == "ok"
        with pytest.raises(AnswerRefused, match="too large"):
            client.get("/large")


def test_it_refuses_a_compressed_answer(origin: str) -> None:
    with outbound_client(origin=origin, allow_private=True) as client, pytest.raises(AnswerRefused):
        client.get("/packed")


def test_it_ignores_proxies_of_the_environment(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with outbound_client(origin=origin, allow_private=True) as client:
        assert client.get("/small").text == "ok"


def test_whoever_catches_httpx_errors_catches_its_refusals() -> None:
    assert issubclass(AddressRefused, httpx.TransportError)
