"""Sinks as the settings name them:

    syslog+udp://host:514?facility=13&max=2048
    syslog+tcp://host:514?facility=13&max=8192&confirm=no
    syslog+tls://host:6514                                      the same
    https://host/path, private+https://…, private+http://…      inside the own network
    file:/absolute/path.jsonl?rotate=100M&keep=10

each with a name before it if one likes: `soc=https://…`. By its name a sink is known again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

from django.conf import settings

from gateway.sinking import syslog
from gateway.sinking.places import SECONDS, File, Sink, Syslog, Web
from gateway.sinking.trust import tls_context

LEAST: Final = 1024
"""Bytes of a syslog message: header and essence fit."""

_MOST: Final = {"udp": 2048, "tcp": 8192, "tls": 8192}
_UDP_MOST: Final = 65_000
_NAMED: Final = re.compile(r"([a-z][a-z0-9-]{0,31})=(?=[a-z+]+:)(.*)")
_SIZE: Final = re.compile(r"(\d{1,6})([KMG])")
_UNITS: Final = {"K": 10, "M": 20, "G": 30}


def sinks_of_settings() -> list[Sink]:
    """Raises ValueError. Two of one name would share one place in the record."""
    found = [sink_of(said) for said in settings.AUDIT_SINKS]
    names = [sink.name for sink in found]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two sinks are called {doubled[0]}: name them, as in soc=https://…")
    return found


def sink_of(said: str) -> Sink:
    """Raises ValueError, which names the setting's text without what stands behind the host."""
    named = _NAMED.fullmatch(said)
    name, address = (named[1], named[2]) if named else ("", said)
    try:
        if address.startswith("file:/"):
            return _file(name, address)
        if address.startswith("syslog+"):
            return _syslog(name, address)
        return _web(name, address)
    except ValueError as error:
        raise ValueError(f"{_shown(address)!r} is no sink: {error}") from None


def receiver_of(address: str, *, confirm: bool = True) -> syslog.Receiver:
    """Where a `syslog+…://host:port` leads. Raises ValueError."""
    parts = urlsplit(address)
    transport = parts.scheme.removeprefix("syslog+")
    if transport not in syslog.PORTS or not parts.hostname:
        raise ValueError("write syslog+udp, +tcp or +tls://host:port")
    if parts.path not in ("", "/") or parts.fragment or parts.username is not None:
        raise ValueError("nothing but host and port belongs there")
    return syslog.Receiver(
        transport=cast(syslog.Transport, transport),
        host=parts.hostname,
        port=parts.port or syslog.PORTS[transport],
        seconds=SECONDS,
        confirm=confirm,
        context=tls_context() if transport == "tls" else None,
    )


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port: paths and queries may be secrets."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"


def _syslog(name: str, address: str) -> Sink:
    parts = urlsplit(address)
    given = _parameters(parts.query, ("facility", "max", "confirm"))
    receiver = receiver_of(address, confirm=_yes(given.get("confirm", "yes")))
    facility = _number(given.get("facility", str(syslog.LOG_AUDIT)), least=0, most=23)
    most = _UDP_MOST if receiver.transport == "udp" else 1 << 20
    size = _number(given.get("max", str(_MOST[receiver.transport])), least=LEAST, most=most)
    return Syslog(name or origin_of(parts), receiver, facility=facility, most=size)


def _web(name: str, address: str) -> Sink:
    private, url = address.startswith("private+"), address.removeprefix("private+")
    parts = urlsplit(url)
    allowed = parts.scheme == "https" or (private and parts.scheme == "http")
    if not allowed or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("write syslog+tls://host:port, https://host/path or file:/path")
    secrets = webhook_secrets()
    if not secrets:
        raise ValueError("AUDIT_SINK_SECRET is not set, which signs what is sent")
    return Web(name or origin_of(parts), url, allow_private=private, secrets=secrets)


def _file(name: str, address: str) -> Sink:
    path, _, query = address.removeprefix("file:").partition("?")
    given = _parameters(query, ("rotate", "keep"))
    rotate, keep = _bytes(given.get("rotate", "100M")), _number(given.get("keep", "10"), least=1, most=1000)
    if path.endswith("/"):
        raise ValueError("it has to be a file")
    return File(name or f"file:{path}", Path(path), rotate=rotate, keep=keep)


def webhook_secrets() -> Sequence[str]:
    """Whatever signs now, the newest first. Raises ValueError."""
    found = [each.strip() for each in settings.AUDIT_SINK_SECRET.reveal().split(",") if each.strip()]
    for each in found:
        if not re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", each):
            raise ValueError("AUDIT_SINK_SECRET has to be whsec_ and at least 24 random bytes in base64")
    return found


def _parameters(query: str, known: tuple[str, ...]) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    if unknown := sorted(given.keys() - set(known)):
        raise ValueError(f"{unknown[0]} means nothing here")
    return given


def _number(text: str, *, least: int, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise ValueError(f"{text} is no number from {least} to {most}")
    return int(text)


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found or not int(found[1]):
        raise ValueError(f"{text} is no size: write 50M")
    return int(found[1]) << _UNITS[found[2]]


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("confirm is yes or no")
    return text == "yes"


def _shown(address: str) -> str:
    """As much of it as may be read by others."""
    scheme, _, rest = address.removeprefix("private+").partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('/')[0].partition('?')[0]}" if rest else address
