"""Every way the proxy says no, and the shape each API's clients expect it in.

ProxyError
├── Refused                     4xx, the caller's to mend; SDKs are told not to retry
│   ├── BadRequest              400  unreadable or malformed
│   ├── Unauthenticated         401  no credential, or one that is not valid
│   │   └── TokenRefused        401  a bearer token that is not believed
│   ├── Forbidden               403  no access rule, locked, model not allowed
│   │   ├── PolicyBlocked       403  the verdict is block
│   │   ├── ApprovalRequired    403  the verdict is hold, and nobody has approved
│   │   │   ├── ApprovalPending 202  the same, for a client that asked not to wait
│   │   │   └── ApprovalDenied  403  somebody has decided against it
│   │   └── CallCut             403  was let in, and may not go on: locked, revoked, cut by hand
│   ├── NotFound                404  unknown endpoint or path
│   ├── MethodNotAllowed        405
│   ├── BodyTimeout             408  the request body came too slowly
│   ├── TooLarge                413
│   ├── UnsupportedMedia        415
│   ├── HeadersTooLarge         431
│   └── LimitReached            429  a limit of the access rule; comes with Retry-After
├── UpstreamFailed              502  the model's service answered in a way that cannot be passed on
│   ├── UpstreamTimeout         504
│   └── UpstreamUnhealthy       503  it failed so often that it is left alone; comes with Retry-After
└── Unavailable                 503  ours; comes with Retry-After
    ├── NoOriginals             503  what the policy promises to keep cannot be kept
    └── Unrecorded              503  no record, no service: a stream is broken off without a word

A message never holds a matched value, an upstream host or a stack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final

import orjson

from gateway.proxy.wire.sse import encode

PATIENT: Final = 60
"""Seconds that clients wait when Retry-After asks for it."""


class ProxyError(Exception):
    """`status` and `code` go to the client and into the record; `message` is for a person."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    retry: bool | None = None  # None: leave it to the client's own rules
    reason = ""  # for the record and the log, and not for the client

    def __init__(self, code: str, message: str, **headers: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Refused(ProxyError):
    status = 400
    type = "invalid_request_error"
    retry: bool | None = False


class BadRequest(Refused):
    pass


class Unauthenticated(Refused):
    status = 401
    type = "authentication_error"

    def __init__(self, code: str, message: str, **headers: str) -> None:
        super().__init__(code, message, **{"www_authenticate": "Bearer", **headers})


class TokenRefused(Unauthenticated):
    """A bearer token that is not believed. A client is told nothing else, the record why."""

    def __init__(self, code: str, message: str, reason: str) -> None:
        super().__init__(code, message, www_authenticate='Bearer error="invalid_token"')
        self.reason = reason


class Forbidden(Refused):
    status = 403
    type = "permission_error"


class PolicyBlocked(Forbidden):
    type = "policy_error"


class ApprovalRequired(Forbidden):
    """`approval` tells the client where it stands: id, status, status_url."""

    type = "policy_error"

    def __init__(
        self, code: str, message: str, approval: Mapping[str, str] | None = None, **headers: str
    ) -> None:
        super().__init__(code, message, **headers)
        self.approval = approval or {}


class ApprovalPending(ApprovalRequired):
    status = 202
    retry = None


class ApprovalDenied(ApprovalRequired):
    pass


class CallCut(Forbidden):
    """Ended from the outside while it ran."""


class NotFound(Refused):
    status = 404
    type = "not_found_error"


class MethodNotAllowed(Refused):
    status = 405


class BodyTimeout(Refused):
    status = 408  # with x-should-retry: false, else SDKs send the slow body again


class TooLarge(Refused):
    status = 413
    type = "request_too_large"


class UnsupportedMedia(Refused):
    status = 415


class HeadersTooLarge(Refused):
    status = 431


class LimitReached(Refused):
    """A limit is used up: `limit` in words, `wait` in seconds.

    A client that retries by itself is told to only for a wait that it keeps: the openai SDK takes a
    Retry-After of more than a minute for none and would come back at once.
    """

    status = 429
    type = "rate_limit_error"
    sampled = True  # False: one of very many, counted and not recorded as a call

    def __init__(self, code: str, limit: str, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        message = f"Your limit of {limit} is reached. Try again in {seconds} s."
        super().__init__(code, message, retry_after=str(seconds))
        self.wait = wait
        self.retry = seconds <= PATIENT


class UpstreamFailed(ProxyError):
    status = 502


class UpstreamTimeout(UpstreamFailed):
    status = 504


class UpstreamUnhealthy(UpstreamFailed):
    """Not asked at all: `wait` seconds from now somebody may try again."""

    status = 503

    def __init__(self, code: str, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        message = f"The model's service fails and is left alone for now. Try again in {seconds} s."
        super().__init__(code, message, retry_after=str(seconds))


class Unavailable(ProxyError):
    status = 503

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, retry_after="2")


class NoOriginals(Unavailable):
    """The policy keeps originals and nothing can seal them. Becomes a row: somebody has to set the key."""


class Unrecorded(Unavailable):
    pass


def stopped() -> PolicyBlocked:
    return PolicyBlocked("response_blocked", "The policy blocks this answer.")


def no_originals() -> NoOriginals:
    return NoOriginals("originals_unavailable", "The policy keeps originals, which cannot be sealed now.")


def unrecorded() -> Unrecorded:
    return Unrecorded("record_unavailable", "The gateway cannot record calls now. Try again shortly.")


def body_for(kind: str, error: ProxyError, call: str = "") -> bytes:
    """The error as the clients of this kind of endpoint read it; `call`: the call's id.

    OpenAI: `{"error": {"message", "type", "param", "code"}}`. Anthropic: `{"type": "error", "error": {"type",
    "message", "code"}, "request_id"}`. Plain JSON services: `{"error": "text"}` plus
    a `code`, which KServe-style clients ignore. A call that waits for a person is told `approval` as well.
    """
    more = {"approval": error.approval} if isinstance(error, ApprovalRequired) and error.approval else {}
    if isinstance(error, ApprovalPending):
        return orjson.dumps({"message": error.message, **more})
    if kind == "openai":
        detail = {"message": error.message, "type": error.type, "param": None, "code": error.code, **more}
        return orjson.dumps({"error": detail})
    if kind == "anthropic":
        word = "permission_error" if error.type == "policy_error" else error.type
        detail = {"type": word, "message": error.message, "code": error.code, **more}
        return orjson.dumps({"type": "error", "error": detail, "request_id": call})
    return orjson.dumps({"error": error.message, "code": error.code, **more})


def event_for(kind: str, error: ProxyError, call: str = "") -> bytes:
    """The error inside a stream that has already begun. The API's own end may not follow it."""
    return encode(body_for(kind, error, call), "error" if kind == "anthropic" else "")


def headers_for(error: ProxyError) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    if error.retry is not None:
        headers.append((b"x-should-retry", b"true" if error.retry else b"false"))
    return headers


def place_of(error: BaseException) -> str:
    """File and line of the innermost frame: enough to find a bug, nothing of what was said."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown"
