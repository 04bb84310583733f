"""What an origin is here: scheme, host and port, nothing else. Pure but for the forms' error type."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?\Z|\[[0-9a-f:.]{2,45}\]\Z")
_NUMBER = re.compile(r"(?:\d+|0x[0-9a-f]*)\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalise_origin(value: str) -> str:
    """`HTTPS://Api.Example.com:443/` -> `https://api.example.com`; raises ValueError with the reason."""
    if re.search(r"[\s\\\x00-\x20\x7f-\uffff]", value):
        raise ValueError("use plain ASCII without spaces")
    parts = urlsplit(value)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("leave user names and passwords out; set a credential")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError("leave path, query and fragment out")
    host, port = _host(parts.netloc.lower()), parts.port  # .port raises ValueError when out of range
    shown = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def _host(netloc: str) -> str:
    host = re.sub(r":\d*\Z", "", netloc)
    if not _HOST.match(host) or ".." in host:
        raise ValueError("name a host")
    if _NUMBER.match(host.rpartition(".")[2]) and not _is_address(host):
        raise ValueError("write an address as four decimal numbers")
    return host


def _is_address(host: str) -> bool:
    """And not one of its other spellings (octal, hexadecimal, short), which two readers take differently."""
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


def validate_origin(value: str) -> None:
    """A field validator: the value must be an origin in its normal form."""
    try:
        normal = normalise_origin(value)
    except ValueError as error:
        raise ValidationError(f"Not an origin: {error}.", code="origin") from error
    if normal != value:
        raise ValidationError(f"Write it as {normal}.", code="origin_form")
