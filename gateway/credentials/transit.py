"""A master key that stays in HashiCorp Vault (or OpenBao): its transit engine wraps a data key for each row.

Never on the hot path: a row's key is unwrapped when the configuration is read, and kept in memory while the
process lives. While Vault is away nothing new is sealed or opened; what was opened before goes on.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from gateway.credentials.outbound import Fetched, FetchFailed, fetch
from gateway.credentials.sealing import SealError, SealUnavailable
from gateway.credentials.secret import Secret

SECONDS: Final = 2.0
"""One request. The thread that reads the configuration waits for it, and is stale after five."""

REST: Final = 5.0
"""Seconds after a failure in which it is not asked again."""

KEPT: Final = 4096
KEY_BYTES: Final = 32


def transit() -> Transit | None:
    """As the settings say; None where they name no Vault."""
    if not settings.MASTER_KEY_VAULT_URL:
        return None
    return _made(
        settings.MASTER_KEY_VAULT_URL,
        settings.MASTER_KEY_VAULT_MOUNT,
        settings.MASTER_KEY_VAULT_KEY,
        settings.MASTER_KEY_VAULT_NAMESPACE,
        settings.MASTER_KEY_VAULT_CA_FILE,
        settings.MASTER_KEY_VAULT_PRIVATE,
    )


@lru_cache(maxsize=4)
def _made(url: str, mount: str, key: str, namespace: str, ca_file: str, private: bool) -> Transit:
    return Transit(url=url, mount=mount, key=key, namespace=namespace, ca_file=ca_file, allow_private=private)


class Transit:
    """One key of one transit engine. One per process."""

    def __init__(
        self, *, url: str, mount: str, key: str, namespace: str, ca_file: str, allow_private: bool
    ) -> None:
        self._base, self._key, self._namespace = f"{url}/v1/{mount}", key, namespace
        self._ca_file, self._allow_private = ca_file, allow_private
        self._opened: dict[bytes, bytes] = {}
        self._rests_until = float("-inf")

    @property
    def key_id(self) -> str:
        return f"vault:{self._key}"

    def data_key(self) -> tuple[bytes, bytes]:
        """A new data key, and the same wrapped. Raises `SealUnavailable`."""
        said = self._ask(f"datakey/plaintext/{self._key}", {"bits": KEY_BYTES * 8})
        return self._plain(said), _text(said, "ciphertext").encode()

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises `SealError` where Vault says no, `SealUnavailable` where it says nothing."""
        found = self._opened.get(wrapped)
        if found is None:
            said = self._ask(f"decrypt/{self._key}", {"ciphertext": wrapped.decode("ascii", "replace")})
            found = self._plain(said)
            if len(self._opened) >= KEPT:
                self._opened.clear()
            self._opened[wrapped] = found
        return found

    def _plain(self, said: dict[str, Any]) -> bytes:
        try:
            key = base64.b64decode(_text(said, "plaintext"), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise SealUnavailable("Vault's answer cannot be used")
        return key

    def _ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        if time.monotonic() < self._rests_until:
            raise SealUnavailable("Vault does not answer")
        answer = self._post(path, orjson.dumps(question))
        if answer.status == 400:
            raise SealError(f"Vault does not open it with its key {self._key}")
        if answer.status != 200:
            self._rest()
            raise SealUnavailable(f"Vault answers with status {answer.status}")
        try:
            said = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            said = None
        found = said.get("data") if isinstance(said, dict) else None
        if not isinstance(found, dict):
            raise SealUnavailable("Vault's answer cannot be used")
        return found

    def _post(self, path: str, body: bytes) -> Fetched:
        headers = {"x-vault-token": _token().reveal(), "x-vault-request": "true"}
        if self._namespace:
            headers["x-vault-namespace"] = self._namespace
        try:
            return fetch(
                f"{self._base}/{path}",
                allow_private=self._allow_private,
                seconds=SECONDS,
                body=body,
                headers={**headers, "content-type": "application/json"},
                verify=_context(self._ca_file),
            )
        except (FetchFailed, OSError) as failure:
            self._rest()
            why = failure.code if isinstance(failure, FetchFailed) else "certificates"
        raise SealUnavailable(f"Vault does not answer ({why})")

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + REST


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise SealUnavailable("Vault's answer cannot be used")
    return value


def _token() -> Secret:
    """From the file as it is now: an agent beside the gateway renews it."""
    if not settings.MASTER_KEY_VAULT_TOKEN_FILE:
        token: Secret = settings.MASTER_KEY_VAULT_TOKEN
        return token
    try:
        return Secret(Path(settings.MASTER_KEY_VAULT_TOKEN_FILE).read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        raise SealUnavailable("MASTER_KEY_VAULT_TOKEN_FILE cannot be read") from None


@lru_cache(maxsize=4)
def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
