"""The guarded HTTP client for everything off the hot path: the only other way out of the gateway.

One client speaks to one origin. It resolves names itself and checks the address that it connects to, so a
name that answers differently the second time gains nothing. No redirects, no proxies from the environment,
no compression, and a cap on the answer's size.

    httpx.TransportError
    └── OutboundError
        ├── OriginRefused      the request names another origin
        ├── AddressRefused     the name resolves to an address that may not be connected to
        └── AnswerRefused      too large, or compressed although we did not ask for it
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator

import httpcore
import httpx

from gateway.credentials.addresses import refused
from gateway.credentials.origins import normalise_origin

MAX_ANSWER_BYTES = 1024 * 1024


class OutboundError(httpx.TransportError):
    """The guard said no."""


class OriginRefused(OutboundError):
    pass


class AddressRefused(OutboundError):
    pass


class AnswerRefused(OutboundError):
    pass


def outbound_client(
    *,
    origin: str,
    allow_private: bool = False,
    timeout: float = 10.0,
    max_bytes: int = MAX_ANSWER_BYTES,
    verify: ssl.SSLContext | None = None,
) -> httpx.Client:
    """A client for one origin; `timeout` in seconds per phase. Raises ValueError when `origin` is none."""
    context = verify or ssl.create_default_context()
    return httpx.Client(
        base_url=normalise_origin(origin),
        transport=GuardedTransport(origin, allow_private=allow_private, max_bytes=max_bytes, context=context),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity", "user-agent": "postern"},
    )


class GuardedTransport(httpx.HTTPTransport):
    def __init__(self, origin: str, *, allow_private: bool, max_bytes: int, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False, http2=False)
        self._origin = normalise_origin(origin)
        self._max_bytes = max_bytes
        # httpx offers no parameter for the pool's network backend, where the address is known; a test
        # connects to a refused address, so that a renamed attribute would be noticed.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=10, network_backend=GuardedBackend(allow_private)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        port = f":{request.url.port}" if request.url.port else ""
        if f"{request.url.scheme}://{request.url.raw_host.decode()}{port}" != self._origin:
            raise OriginRefused("this client speaks to one origin only", request=request)
        response = super().handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise AnswerRefused("the answer is compressed", request=request)
        assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  what HTTPTransport always gives
        response.stream = CappedStream(response.stream, self._max_bytes)
        return response


class CappedStream(httpx.SyncByteStream):
    """Passes bytes on until there are too many."""

    def __init__(self, stream: httpx.SyncByteStream, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise AnswerRefused("the answer is too large")
            yield chunk

    def close(self) -> None:
        self._stream.close()


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves, checks every address, and connects to a checked address, never to the name again."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._addresses(host, port):
            try:
                return self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("the name has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name does not resolve") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        reasons = [reason for each in addresses if (reason := refused(each, self._allow_private))]
        if reasons:
            # One bad address among good ones is an attack or a mistake; neither is worth guessing.
            raise AddressRefused(reasons[0])
        return addresses

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise AddressRefused("unix sockets are not origins")
