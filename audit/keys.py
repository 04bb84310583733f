"""The keys of the record: files in a directory that is neither in the database nor in its backups.

Monthly keys wrap the calls' keys and key the blind index: destroying a month's file erases that month's
payloads. Lasting keys (`lasting("requests")`) key the digests that must be comparable for years. Keys are
made on first use, once, whatever number of processes ask.

    KeysUnavailable          the directory cannot be used: nothing can be recorded
        KeyMissing           this one key is gone: what it sealed stays closed
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from datetime import datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path
from typing import final

from audit.crypto import KEY_BYTES, MonthKey

PAYLOAD = "payload"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}(-\d{4}-\d{2})?")
_SUFFIX = ".key"


class KeysUnavailable(Exception):
    """The key directory is missing, not a directory, not writable, or holds a damaged file."""


class KeyMissing(KeysUnavailable):
    """A key that once existed is not in the directory."""


@final
class KeyDirectory:
    """All keys of the record. Thread-safe; each key is read once."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise KeysUnavailable(f"AUDIT_KEY_DIR: {path} is not a directory; make it and restart")
        self._path = path
        self._keys: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @classmethod
    def make(cls, path: Path) -> KeyDirectory:
        """Create the directory if need be. For demos and tests: in production it is mounted."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    def __repr__(self) -> str:
        return f"KeyDirectory({self._path})"

    def month(self, purpose: str, when: datetime) -> MonthKey:
        """The key of a purpose for the month of `when` (UTC), made if there is none."""
        name = f"{purpose}-{when.year:04d}-{when.month:02d}"
        return MonthKey(name, self._have(name))

    def lasting(self, purpose: str) -> bytes:
        """The key of a purpose that does not change with the month, made if there is none."""
        return self._have(purpose)

    def find(self, name: str) -> bytes:
        """A key that must exist; raises KeyMissing."""
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = self._read(name)
        return key

    def check(self) -> bytes:
        """A value that proves, without telling a key, that a store's keys are these."""
        return hmac_digest(self.lasting("store"), b"postern.store.v1", sha256)

    def _have(self, name: str) -> bytes:
        key = self._keys.get(name)
        if key is not None:
            return key
        with self._lock:
            try:
                key = self._read(name)
            except KeyMissing:
                self._create(name)
                key = self._read(name)  # maybe another process's: the first file stays
            self._keys[name] = key
        return key

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeyMissing(f"{name!r} is not a key's name")
        return self._path / (name + _SUFFIX)

    def _read(self, name: str) -> bytes:
        try:
            key = self._file(name).read_bytes()
        except FileNotFoundError:
            raise KeyMissing(f"key {name} is not in {self._path}") from None
        except OSError as error:
            raise KeysUnavailable(f"key {name} cannot be read: {error.strerror}") from None
        if len(key) != KEY_BYTES:
            raise KeysUnavailable(f"key {name} is damaged: {len(key)} bytes instead of {KEY_BYTES}")
        return key

    def _create(self, name: str) -> None:
        """Write beside, sync, then link: the key's name never stands for a part of it."""
        beside = self._path / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            self._write(beside, secrets.token_bytes(KEY_BYTES))
            try:
                os.link(beside, self._file(name))
            except FileExistsError:
                return
            finally:
                beside.unlink()
            self._sync_directory()
        except OSError as error:
            raise KeysUnavailable(f"key {name} cannot be made in {self._path}: {error.strerror}") from None

    def _write(self, path: Path, key: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, key)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
