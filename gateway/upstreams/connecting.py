"""One question to a model's service with the endpoint's own credential, and what came of it.

Everything goes through the guarded client: one origin, checked addresses, no redirects. Nothing of the answer
but its status is kept, and the secret is in no result, no log and no text.

    Aim                     what is asked, ready; made where the store is at hand
    ask(aim)                speaks HTTP and nothing else, so that a thread may do it
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.credentials.certificates import load
from gateway.credentials.oauth import TokenFailed
from gateway.credentials.outbound import AddressRefused, AnswerRefused, NameUnknown, outbound_client
from gateway.credentials.placing import BODY, Carried, Placed, carry
from gateway.credentials.secret import Secret
from gateway.credentials.sending import tried
from gateway.credentials.services import NoSecret, credential_current, credential_reveal_for_origin
from gateway.models import Credential, Endpoint, EndpointKind
from gateway.upstreams.certificates import context_for, own_context
from gateway.upstreams.saying import tls_code, words_for

SECONDS: Final = 10.0
"""For one question, from the look-up of the name to the head of the answer; less where the endpoint's own
timeout is less."""

USUAL: Final = {EndpointKind.OPENAI: "/v1/models", EndpointKind.ANTHROPIC: "/v1/models"}
"""What is asked where the endpoint names no path."""

ANTHROPIC_VERSION: Final = "2023-06-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A GET, ready to be sent. Prints no secret."""

    origin: str
    path: str
    allow_private: bool
    authorities: str
    expected: int  # 0: any that is no refusal
    headers: dict[str, str]
    seconds: float
    placed: Placed | None = None  # the secret where it goes
    certificate: Secret | None = None  # what is shown of us
    problem: str = ""  # why it cannot be asked at all


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it: a code of `saying.py`, empty if all is well."""

    error: str
    status: int | None = None
    seconds: float = 0.0

    @property
    def milliseconds(self) -> int:
        return round(self.seconds * 1000)

    @property
    def words(self) -> str:
        """For a person. No host, no address, nothing of the answer."""
        said = words_for(self.error)
        return f"{said} Status {self.status}, {self.milliseconds} ms." if self.status else said


def aim_at(endpoint: Endpoint, *, expected: int = 0) -> Aim:
    """What to ask of an endpoint. Reads the store."""
    placed, certificate, problem = _held(endpoint)
    return Aim(
        origin=endpoint.origin,
        path=path_of(endpoint) or endpoint.base_path + "/",
        allow_private=endpoint.allow_private,
        authorities=endpoint.ca_certificates,
        expected=expected,
        headers={"accept": "application/json", **version_of(endpoint)},
        seconds=min(SECONDS, float(endpoint.first_byte_timeout)),
        placed=placed,
        certificate=certificate,
        problem=problem,
    )


def path_of(endpoint: Endpoint) -> str:
    """What is asked to see whether it answers; empty where nobody says what."""
    path = endpoint.probe_path or USUAL.get(EndpointKind(endpoint.kind), "")
    return endpoint.base_path + path if path else ""


def version_of(endpoint: Endpoint) -> dict[str, str]:
    """The header that says which version of its API is meant, for an API that wants one."""
    return {"anthropic-version": ANTHROPIC_VERSION} if endpoint.kind == EndpointKind.ANTHROPIC else {}


def ask(aim: Aim) -> Heard:
    """Never raises for what a service does."""
    if aim.problem:
        return Heard(aim.problem)
    began = time.monotonic()
    try:
        status, error = _status(aim), ""
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
        status, error = None, _code(problem)
    took = time.monotonic() - began
    return Heard(error if status is None else _meaning(status, aim.expected), status, took)


def _status(aim: Aim) -> int:
    """The body is not read: nobody needs it, and it might be anything."""
    carried = carry(aim.placed, b"") if aim.placed else Carried()
    headers = {**aim.headers, **carried.headers}
    client = outbound_client(
        origin=aim.origin,
        allow_private=aim.allow_private,
        timeout=aim.seconds,
        verify=_context(aim),
        deadline=time.monotonic() + aim.seconds,
    )
    path = f"{aim.path}?{carried.query}" if carried.query else aim.path
    with client, client.stream("GET", path, headers=headers) as response:
        return response.status_code


def _context(aim: Aim) -> ssl.SSLContext:
    """Raises `CertificateError`, a ValueError."""
    if aim.certificate is None:
        return context_for(aim.authorities)
    return load(own_context(aim.authorities), aim.certificate)


def _code(problem: Exception) -> str:
    if isinstance(problem, AddressRefused):
        return "address"
    if isinstance(problem, NameUnknown):
        return "dns"
    if isinstance(problem, AnswerRefused):
        return "too_large"
    if isinstance(problem, httpx.TimeoutException):
        return "timeout"
    if (code := tls_code(problem)) is not None:
        return code
    return "connect" if isinstance(problem, httpx.ConnectError) else "transport"


def _meaning(status: int, expected: int) -> str:
    if status == expected:
        return ""
    if status in (401, 403):
        return "credential_refused"
    if 300 <= status < 400:
        return "redirect"
    if status >= 500:
        return "server_error"
    return "status" if expected else ""


def _held(endpoint: Endpoint) -> tuple[Placed | None, Secret | None, str]:
    """The secret where it goes, the client certificate, and why they cannot be had."""
    try:
        certificate = opened(endpoint.client_certificate, endpoint.origin)
        secret = opened(endpoint.credential, endpoint.origin)
        placed = tried(endpoint.credential, secret) if endpoint.credential and secret else None
    except NoSecret:
        return None, None, "credential"
    except TokenFailed:
        return None, None, "token"
    if placed is not None and placed.where == BODY:
        return None, None, "unasked"
    return placed, certificate, ""


def opened(credential: Credential | None, origin: str) -> Secret | None:
    """What it holds now, for this origin. Raises `NoSecret`."""
    if credential is None:
        return None
    version = credential_current(credential=credential)
    return credential_reveal_for_origin(version=version, origin=origin)
