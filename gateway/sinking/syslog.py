"""Syslog as RFC 5424 says it, over UDP (RFC 5426), TCP (RFC 6587, octet counting) and TLS (RFC 5425).

Syslog has no answers. Over TCP and TLS one is made of how the connection ends: we say that nothing more comes
and wait until the receiver closes as well, which it does when it has read everything. A receiver that died
with something unread resets the connection, one that vanished says nothing: both have not got it.

SyslogFailed            in words, without an address
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal

from gateway.credentials.addresses import refused
from gateway.sinking.saying import stamp

LOG_AUDIT: Final = 13
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}
ENTERPRISE: Final = 32473
"""The number that RFC 5612 sets aside for those who have none of their own."""

APP: Final = "postern"
BOM: Final = b"\xef\xbb\xbf"
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")
_QUOTED: Final = re.compile(r'(["\\\]])')
Transport = Literal["udp", "tcp", "tls"]


class SyslogFailed(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the message."""

    severity: int
    at: datetime
    process: str
    message_id: str
    data: Mapping[str, str]
    facility: int = LOG_AUDIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where to, and whether the end of a connection is waited for."""

    transport: Transport
    host: str
    port: int
    seconds: float
    confirm: bool = True
    context: ssl.SSLContext | None = None  # for TLS


def header(said: Header) -> bytes:
    """All of a message but its text, and the space before that."""
    fields = (_word(_here(), 255), APP, _word(said.process, 128), _word(said.message_id, 32))
    first = f"<{said.facility * 8 + said.severity}>1 {stamp(said.at)} {' '.join(fields)}"
    return f"{first} {_structured(said.data)} ".encode()


def message(said: Header, text: bytes) -> bytes:
    """`text` is UTF-8. The mark that says so stands before what is not plain ASCII, which needs none."""
    return header(said) + (text if text.isascii() else BOM + text)


def framed(messages: Sequence[bytes]) -> bytes:
    """For a connection: each with its length before it."""
    return b"".join(b"%d %b" % (len(each), each) for each in messages)


def send(receiver: Receiver, messages: Sequence[bytes]) -> None:
    """Returns when the receiver has them; over UDP, when they are on their way. Raises `SyslogFailed`."""
    deadline = time.monotonic() + receiver.seconds
    with _told():
        if receiver.transport == "udp":
            _datagrams(receiver, messages)
        else:
            _connection(receiver, framed(messages), deadline)


# --- sockets ----------------------------------------------------------------------------------------


def _datagrams(receiver: Receiver, messages: Sequence[bytes]) -> None:
    """A receiver of this host or network that is not there may be noticed, by the answer to a datagram
    before."""
    address = _addresses(receiver, socket.SOCK_DGRAM)[0]
    with socket.socket(address[0], socket.SOCK_DGRAM) as sender:
        sender.settimeout(receiver.seconds)
        sender.connect(address[1])
        for each in messages:
            sender.send(each)
        if error := sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "refused")


def _connection(receiver: Receiver, data: bytes, deadline: float) -> None:
    with _connected(receiver, deadline) as plain:
        if receiver.transport == "tcp":
            plain.sendall(data)
            _ended(receiver, plain, deadline)
            return
        context = receiver.context or ssl.create_default_context()
        with context.wrap_socket(plain, server_hostname=receiver.host) as sealed:
            sealed.settimeout(_left(deadline))
            sealed.sendall(data)
            _sealed_end(receiver, sealed, deadline)


def _ended(receiver: Receiver, plain: socket.socket, deadline: float) -> None:
    plain.shutdown(socket.SHUT_WR)
    while receiver.confirm:
        plain.settimeout(_left(deadline))
        if not plain.recv(4096):
            return


def _sealed_end(receiver: Receiver, sealed: ssl.SSLSocket, deadline: float) -> None:
    """Many receivers close without saying so in TLS; the connection's own end is as good."""
    if not receiver.confirm:
        return
    sealed.settimeout(_left(deadline))
    try:
        plain = sealed.unwrap()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return
    plain.close()


@contextmanager
def _connected(receiver: Receiver, deadline: float) -> Iterator[socket.socket]:
    failure = OSError("no address")
    for family, address in _addresses(receiver, socket.SOCK_STREAM):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.settimeout(_left(deadline))
        try:
            found.connect(address)
        except OSError as error:
            found.close()
            failure = error
            continue
        with found:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield found
            return
    raise failure


def _addresses(
    receiver: Receiver, kind: socket.SocketKind
) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """A receiver inside is what is meant; a service that hands out secrets is not."""
    try:
        found = socket.getaddrinfo(receiver.host, receiver.port, type=kind)
    except (OSError, UnicodeError):
        raise SyslogFailed("its name does not resolve") from None
    if any(refused(str(entry[4][0]), allow_private=True) for entry in found):
        raise SyslogFailed("its address may not be connected to")
    return [(entry[0], entry[4]) for entry in found]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@contextmanager
def _told() -> Iterator[None]:
    """Errors in words of ours: theirs may hold addresses."""
    try:
        yield
        return
    except TimeoutError:
        words = "does not answer: timeout"
    except ssl.SSLCertVerificationError as error:
        words = f"its certificate is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        words = f"does not speak TLS with us: {error.reason or 'closed'}"
    except ConnectionRefusedError:
        words = "does not listen"
    except ConnectionError:
        words = "ended the connection before it had read everything"
    except OSError as error:
        words = f"cannot be reached: {error.strerror or type(error).__name__}"
    raise SyslogFailed(words)


# --- words ------------------------------------------------------------------------------------------


@cache
def _here() -> str:
    return socket.gethostname()


def _word(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("_", text)[:longest] or "-"


def _structured(data: Mapping[str, str]) -> str:
    if not data:
        return "-"
    pairs = (f'{_word(name, 32)}="{_QUOTED.sub(_escape, value)}"' for name, value in data.items())
    return f"[{APP}@{ENTERPRISE} {' '.join(pairs)}]"


def _escape(found: re.Match[str]) -> str:
    return "\\" + found[1]
