"""Reading settings from the process environment: typed, strict, and silent about values.

Every secret has a `NAME_FILE` form that names a file holding it. A value that cannot be used stops the
process with the setting's name; the value itself is never quoted, it may be the secret.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from audit.hybrid import PublicKey
from gateway.identity.network import TrustedProxies, trusted_proxies

POSTGRESQL_PARAMETERS = frozenset(
    {
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "application_name",
        "target_session_attrs",
    }
)
YES, NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class Environment:
    """A mapping of strings read as typed settings. An empty string counts as absent."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, "").strip() or default

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.text(name).lower()
        if not value:
            return default
        if value not in YES | NO:
            raise ImproperlyConfigured(f"{name} must be one of 1, true, yes, on, 0, false, no, off.")
        return value in YES

    def integer(self, name: str, default: int, *, least: int = 0) -> int:
        value = self.text(name)
        if not value:
            return default
        if not value.isascii() or not value.isdecimal() or int(value) < least:
            raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}.")
        return int(value)

    def choice(self, name: str, among: tuple[str, ...]) -> str:
        """One of these words; the first where nothing is said."""
        value = self.text(name, among[0]).lower()
        if value not in among:
            raise ImproperlyConfigured(f"{name} must be one of {', '.join(among)}.")
        return value

    def names(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """A comma-separated list."""
        return [item for part in self.text(name).split(",") if (item := part.strip())] or list(default)

    def pairs(self, name: str) -> dict[str, str]:
        """A comma-separated list of `name=value`."""
        found: dict[str, str] = {}
        for item in self.names(name):
            key, separator, value = item.partition("=")
            if not separator or not key.strip() or not value.strip() or key.strip() in found:
                raise ImproperlyConfigured(f"{name} must be a list of name=value, each name once.")
            found[key.strip()] = value.strip()
        return found

    def counts(self, name: str, among: tuple[str, ...], default: dict[str, int]) -> dict[str, int]:
        """A comma-separated list of `name=number` for some of these names; 0 takes the default away."""
        found = dict(default)
        for key, value in self.pairs(name).items():
            if key not in among or not value.isdecimal():
                raise ImproperlyConfigured(f"{name} is a list of name=number, for {', '.join(among)}.")
            found[key] = int(value)
        return found

    def secret(self, name: str) -> str:
        """The secret itself, or the content of the file that `NAME_FILE` names; "" when neither is set."""
        path = self.text(f"{name}_FILE")
        if not path:
            return self.text(name)
        if self.text(name):
            raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {type(problem).__name__}.") from None
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE names an empty file.")
        return value

    def keys(self, name: str) -> dict[str, bytes]:
        """`id:base64,…` as a key ring of 32-byte keys; the first one seals, all of them open."""
        ring: dict[str, bytes] = {}
        for item in self.secret(name).replace("\n", ",").split(","):
            if not item.strip():
                continue
            key_id, _, encoded = item.strip().partition(":")
            if not key_id or key_id in ring:
                raise ImproperlyConfigured(
                    f"{name}: every key needs an id of its own, as in `2026a:<base64>`."
                )
            ring[key_id] = _key(name, encoded)
        return ring


def proxies(name: str, words: list[str]) -> TrustedProxies | None:
    """Addresses and ranges of peers that are believed."""
    try:
        return trusted_proxies(words)
    except ValueError:
        text = f"{name}: write addresses or ranges such as 10.0.0.0/8, or `unix`, separated by commas."
        raise ImproperlyConfigured(text) from None


def options(name: str, text: str) -> dict[str, Any]:
    """A JSON object, or nothing."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ImproperlyConfigured(f"{name} must be a JSON object.")
    return found


def public_key(name: str, text: str) -> PublicKey | None:
    """What originals are sealed to; None where nothing is said."""
    try:
        return PublicKey.read(text) if text else None
    except ValueError:
        raise ImproperlyConfigured(f"{name}: use what `manage.py originals_key` printed.") from None


def _key(name: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured(f"{name}: a key is 32 random bytes in base64.")
    return key


def database(url: str, password: str = "") -> dict[str, Any]:
    """A Django database from `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`.

    A password given apart keeps it out of process listings and error reports that show the URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured("DATABASE_URL is not a URL.") from None
    if parts.fragment:
        raise ImproperlyConfigured("DATABASE_URL: percent-encode `#` in the password.")
    if parts.scheme == "sqlite":
        return _sqlite(parts.netloc, parts.path, parts.query)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:/// or postgresql://.")
    options = _parameters(parts.query)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")) or "postern",
        "USER": unquote(parts.username or ""),
        "PASSWORD": password or unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": options.pop("port", "") or str(port or ""),
        "OPTIONS": options,
    }


def _sqlite(netloc: str, path: str, query: str) -> dict[str, Any]:
    name = unquote(path.removeprefix("/"))
    if netloc or query or not name:
        raise ImproperlyConfigured("DATABASE_URL: write sqlite:///file or sqlite:////absolute/file.")
    return {"ENGINE": "audit.sqlite", "NAME": name, "OPTIONS": {}}


def _parameters(query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(parameters.keys() - POSTGRESQL_PARAMETERS)
    if unknown:
        raise ImproperlyConfigured(f"DATABASE_URL: unknown parameter {', '.join(unknown)}.")
    return parameters
