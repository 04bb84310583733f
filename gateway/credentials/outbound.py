"""The guarded HTTP client for everything off the hot path: the only other way out of the gateway.

One client speaks to one origin. It resolves names itself and checks the address that it connects to, so a
name that answers differently the second time gains nothing. No redirects, no proxies from the environment,
no compression, and a cap on the answer's size.

    httpx.TransportError
    └── OutboundError
        ├── OriginRefused      the request names another origin
        ├── NameUnknown        the name does not resolve
        ├── AddressRefused     the name resolves to an address that may not be connected to
        └── AnswerRefused      too large, or compressed although we did not ask for it

    FetchFailed                what `fetch` raises, whatever went wrong
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import httpcore
import httpx

from gateway.credentials.addresses import refused
from gateway.credentials.origins import normalise_origin

MAX_ANSWER_BYTES = 1024 * 1024


class OutboundError(httpx.TransportError):
    """The guard said no."""


class OriginRefused(OutboundError):
    pass


class NameUnknown(OutboundError):
    pass


class AddressRefused(OutboundError):
    pass


class AnswerRefused(OutboundError):
    pass


class FetchFailed(Exception):
    """No answer: `code` is address, timeout, too_large, url or transport."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Fetched(NamedTuple):
    """An answer, whatever its status."""

    status: int
    content_type: str  # without parameters, lower case
    body: bytes


def fetch(
    url: str,
    *,
    method: str = "",
    allow_private: bool = False,
    allow_loopback: bool = True,
    seconds: float = 5.0,
    max_bytes: int = MAX_ANSWER_BYTES,
    form: Mapping[str, str] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | None = None,
) -> Fetched:
    """GET one document, or POST a form or a body, unless `method` says otherwise.

    `seconds` bound the whole of it. Raises `FetchFailed`.
    """
    deadline = time.monotonic() + seconds
    try:
        parts = urlsplit(url)
        client = outbound_client(
            origin=f"{parts.scheme}://{parts.netloc}",
            allow_private=allow_private,
            allow_loopback=allow_loopback,
            timeout=seconds,
            max_bytes=max_bytes,
            verify=verify,
            deadline=deadline,
        )
    except (ValueError, httpx.InvalidURL):
        raise FetchFailed("url") from None
    method = method or ("GET" if form is None and body is None else "POST")
    code = "transport"
    try:
        with client, client.stream(method, url, data=form, content=body, headers=headers) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Fetched(response.status_code, kind, b"".join(response.iter_raw()))
    except AddressRefused:
        code = "address"
    except AnswerRefused:
        code = "too_large"
    except httpx.TimeoutException:
        code = "timeout"
    except (httpx.HTTPError, httpx.InvalidURL):
        pass
    raise FetchFailed(code)  # outside the handlers: no chained exception that holds the request


def outbound_client(
    *,
    origin: str,
    allow_private: bool = False,
    allow_loopback: bool = True,
    timeout: float = 10.0,
    max_bytes: int = MAX_ANSWER_BYTES,
    verify: ssl.SSLContext | None = None,
    deadline: float = float("inf"),
) -> httpx.Client:
    """A client for one origin. Raises ValueError when `origin` is none.

    `timeout` in seconds per phase; after `deadline` (`time.monotonic()`) nothing is waited for any more.
    """
    context = verify or ssl.create_default_context()
    backend = GuardedBackend(allow_private, allow_loopback, deadline)
    return httpx.Client(
        base_url=normalise_origin(origin),
        transport=GuardedTransport(origin, backend=backend, max_bytes=max_bytes, context=context),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity", "user-agent": "postern"},
    )


class GuardedTransport(httpx.HTTPTransport):
    def __init__(
        self, origin: str, *, backend: GuardedBackend, max_bytes: int, context: ssl.SSLContext
    ) -> None:
        super().__init__(verify=context, trust_env=False, http2=False)
        self._origin = normalise_origin(origin)
        self._max_bytes = max_bytes
        # httpx offers no parameter for the pool's network backend, where the address is known; a test
        # connects to a refused address, so that a renamed attribute would be noticed.
        self._pool = httpcore.ConnectionPool(ssl_context=context, max_connections=10, network_backend=backend)

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

    def __init__(self, allow_private: bool, allow_loopback: bool, deadline: float) -> None:
        self._allow_private = allow_private
        self._allow_loopback = allow_loopback
        self._deadline = deadline
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
                left = time_left(self._deadline, timeout, httpcore.ConnectTimeout)
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
                return TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("the name has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameUnknown("the name does not resolve") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        reasons = [reason for each in addresses if (reason := self._refused(each))]
        if reasons:
            # One bad address among good ones is an attack or a mistake; neither is worth guessing.
            raise AddressRefused(reasons[0])
        return addresses

    def _refused(self, address: str) -> str | None:
        return refused(address, self._allow_private, allow_loopback=self._allow_loopback)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise AddressRefused("unix sockets are not origins")


class TimedStream(httpcore.NetworkStream):
    """Waits until the deadline and no longer, however often a byte arrives."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, time_left(self._deadline, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, time_left(self._deadline, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = time_left(self._deadline, timeout, httpcore.ConnectTimeout)
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def time_left(deadline: float, timeout: float | None, late: type[Exception]) -> float | None:
    """Seconds that may still be waited; raises `late` when there are none."""
    if deadline == float("inf"):
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the time is up")
    return left if timeout is None else min(timeout, left)
