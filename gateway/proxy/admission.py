"""Second line behind the front proxy: framing, header and size checks before anything is believed.

Servers differ in what they let through (doubled headers, underscores, both length and chunks), so whatever
could mean two things to two readers is refused here.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

from gateway.identity.network import ForwardedInvalid, TrustedProxies
from gateway.proxy.errors import BadRequest, HeadersTooLarge, TooLarge, Unauthenticated, UnsupportedMedia

Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_PATH: Final = 2048
BODY_SECONDS: Final = 30.0
"""How long a request body may take to arrive, whatever its size."""

SINGLE: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"host",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"x-postern-session",
        b"x-postern-classification",
        b"anthropic-version",
    }
)
"""Headers that must not come twice: two readers could each believe another one."""


class ClientGone(Exception):
    """The client left before it was answered."""


class RequestHead(NamedTuple):
    """A request's head that means one thing only. Header names are lower-case bytes."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    network: str

    def __repr__(self) -> str:
        return f"RequestHead({self.method}, {len(self.headers)} headers)"

    def text(self, name: bytes) -> str:
        value = self.headers.get(name)
        return value.decode("latin-1").strip() if value else ""


def check_head(scope: Mapping[str, Any], proxies: TrustedProxies | None = None) -> RequestHead:
    """Read the ASGI scope; refuse what is ambiguous or too large. `proxies` may say who is behind them."""
    raw = scope["headers"]
    if len(raw) > MAX_HEADERS:
        raise HeadersTooLarge("too_many_headers", f"More than {MAX_HEADERS} headers.")
    headers = dict(raw)
    # As a rule every name comes once and in lower case; all names are looked at in one step then.
    if len(headers) < len(raw) or not b"".join(headers).islower():
        headers = _unified(raw)
    if b"_" in b"".join(headers):
        raise BadRequest("ambiguous_header", "Header names with an underscore are not accepted.")
    if len(b"".join(chain.from_iterable(raw))) > MAX_HEADER_BYTES:
        raise HeadersTooLarge("headers_too_large", f"Headers exceed {MAX_HEADER_BYTES} bytes.")
    _check_framing(scope, headers)
    if scope.get("query_string"):
        raise BadRequest("query_not_allowed", "This API takes no query string.")
    client = scope.get("client")
    network = client[0] if client else ""
    if proxies is not None:
        network = _forwarded(proxies, network, raw)
    return RequestHead(scope["method"], _path(scope), headers, network)


def _forwarded(proxies: TrustedProxies, peer: str, raw: Iterable[tuple[bytes, bytes]]) -> str:
    try:
        return proxies.address_of(peer, raw)
    except ForwardedInvalid:
        raise BadRequest("invalid_forwarded_for", "X-Forwarded-For is no list of addresses.") from None


def _unified(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Names in lower case; of what comes more than once the first, if it may come more than once."""
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        name = name.lower()
        if name in headers and name in SINGLE:
            raise BadRequest("duplicate_header", f"The header {name.decode()} came twice.")
        headers.setdefault(name, value)
    return headers


def _check_framing(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    transfer = headers.get(b"transfer-encoding")
    if transfer is not None:
        if b"content-length" in headers:
            raise BadRequest("ambiguous_length", "Both Content-Length and Transfer-Encoding were sent.")
        if transfer.strip().lower() != b"chunked" or scope.get("http_version") == "1.0":
            raise BadRequest("ambiguous_length", "Only 'Transfer-Encoding: chunked' on HTTP/1.1 is accepted.")
    length = headers.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) < 16):
        raise BadRequest("invalid_length", "Content-Length is not a number.")


def _path(scope: Mapping[str, Any]) -> str:
    """The path as sent: percent-encoding, dots and doubled slashes have no use here and many abuses."""
    raw = scope.get("raw_path")
    path: str = raw.decode("latin-1") if raw else scope["path"]
    path = path.partition("?")[0]
    if len(path) > MAX_PATH:
        raise TooLarge("path_too_long", f"The path exceeds {MAX_PATH} characters.")
    if not path.isascii() or "%" in path or "\\" in path or "//" in path or "/." in path or ";" in path:
        raise BadRequest("invalid_path", "The path has characters or segments that are not accepted.")
    return path


async def read_body(receive: Receive, head: RequestHead, limit: int) -> bytes:
    """The whole body, decoded from gzip where it says so; never more than `limit` bytes of either."""
    length = int(head.headers.get(b"content-length", b"0"))
    if length > limit:
        raise _too_large(limit)
    body = await _received(receive, limit)
    return _decoded(body, head.text(b"content-encoding").lower(), limit)


def check_content_type(head: RequestHead) -> None:
    """Only JSON in UTF-8 can be read here."""
    text = head.text(b"content-type").lower()
    if text == "application/json":
        return
    kind, _, parameters = text.partition(";")
    if kind.strip() != "application/json":
        raise UnsupportedMedia("unsupported_content_type", "Send 'Content-Type: application/json'.")
    charset = parameters.replace(" ", "").replace('"', "")
    if charset and charset != "charset=utf-8":
        raise UnsupportedMedia("unsupported_charset", "Send JSON in UTF-8.")


async def _received(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise UnsupportedMedia("unsupported_content_encoding", "Send the body plain or with gzip.")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest("invalid_encoding", "The body is not valid gzip.") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("invalid_encoding", "The body is not exactly one whole gzip member.")
    return plain


def _too_large(limit: int) -> TooLarge:
    return TooLarge("body_too_large", f"The body exceeds {limit} bytes.")


def credential(head: RequestHead) -> str:
    """The one credential that was presented; two different ones are two identities."""
    presented = {value for name in (b"x-api-key", b"api-key") if (value := head.text(name))}
    if bearer := head.text(b"authorization"):
        scheme, _, value = bearer.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise Unauthenticated("unsupported_credential", "Send 'Authorization: Bearer <key>'.")
        presented.add(value.strip())
    if not presented:
        raise Unauthenticated("missing_credential", "Send a Postern API key as a bearer token.")
    if len(presented) > 1:
        raise BadRequest("conflicting_credentials", "The request carries two different credentials.")
    return presented.pop()
