"""The test provider on a real port: a page to sign in at, and forms that post back.

`SamlProvider().start()`; `people` and `change` may be set while it runs.
"""

from __future__ import annotations

import base64
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lxml import etree

from tests.identity.saml.provider import NS, Answer, KeyPair, Provider, encoded, pair


class SamlProvider:
    """One provider that signs `people` in: subject -> attributes."""

    def __init__(self, keys: KeyPair | None = None) -> None:
        self.keys = keys or pair("idp")
        self.people: dict[str, dict[str, list[str]]] = {}
        self.change: Callable[[Answer], Answer] = lambda answer: answer
        self.asked: list[Any] = []  # requests as trees
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def entity_id(self) -> str:
        return f"{self.url}/metadata"

    def start(self) -> SamlProvider:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def metadata(self, *certificates: KeyPair) -> str:
        return self._provider("", "", "").metadata(*certificates, sso=f"{self.url}/sso")

    def answer(self, request: Any, subject: str) -> str:
        """The field of a form that answers this request for this person."""
        acs = request.get("AssertionConsumerServiceURL")
        audience = request.findtext("saml:Issuer", namespaces=NS)
        provider = self._provider(audience, acs, request.get("ID"))
        answers = replace(provider.answers, name_id=subject, attributes=self.people[subject])
        return encoded(replace(provider, answers=self.change(answers)).answer())

    def _provider(self, audience: str, acs: str, request_id: str) -> Provider:
        return Provider(Answer(self.entity_id, audience, acs, request_id), self.keys)


def request_of(url: str) -> Any:
    """The AuthnRequest that an address carries."""
    packed = parse_qs(urlsplit(url).query)["SAMLRequest"][0]
    return etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))


def _handler(provider: SamlProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if not self.path.startswith("/sso") or "SAMLRequest" not in query:
                self.send_response(204)  # browsers ask for an icon
                self.end_headers()
                return
            request = request_of(self.path)
            if "person" not in query:
                provider.asked.append(request)
                self._page(_choices(provider, query["SAMLRequest"][0]))
                return
            answer = provider.answer(request, query["person"][0])
            acs = escape(request.get("AssertionConsumerServiceURL"))
            self._page(
                f'<form method="post" action="{acs}"><input type="hidden" name="SAMLResponse" '
                f'value="{answer}"><input type="hidden" name="RelayState" value="https://evil.example.com/">'
                "<button>Go on</button></form>"
            )

        def _page(self, body: str) -> None:
            page = f'<!DOCTYPE html><html lang="en"><title>Test provider</title><body>{body}'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: Any) -> None:
            """Tests have enough to say."""

    return Handler


def _choices(provider: SamlProvider, request: str) -> str:
    fields = f'<input type="hidden" name="SAMLRequest" value="{escape(request)}">'
    buttons = "".join(f'<button name="person" value="{name}">{name}</button>' for name in provider.people)
    return f'<form method="get" action="/sso">{fields}{buttons}</form>'
