"""The keys of the record: files in a directory that is neither in the database nor in its backups.

Daily keys wrap the calls' keys and blind the indexes: destroying a day's file erases that day's payloads and
what a search could find of them, in every backup of the database. A day can get a further generation, and
what remains of it is moved to it before the one before is destroyed. Lasting keys (`lasting("requests")`)
key the digests that must be comparable for years. Keys are made on first use, once, however many processes
ask. Their names are in `audit.keynames`.

    KeysUnavailable          the directory cannot be used: nothing can be recorded
        KeyMissing           this one key is gone: what it sealed stays closed
"""

from __future__ import annotations

import os
import secrets
import threading
from datetime import date, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path
from typing import final

from audit.crypto import KEY_BYTES, DayKey
from audit.keynames import FIRST, NAME, Period, day_name, day_of, period

PAYLOAD = "payload"
_SUFFIX = ".key"


Mark = tuple[int, int] | None
"""Tells a file from another one of its name; None where there is none."""


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
        self._keys: dict[str, tuple[Mark, bytes]] = {}
        self._lock = threading.Lock()

    @classmethod
    def make(cls, path: Path) -> KeyDirectory:
        """Create the directory if need be. For demos and tests: in production it is mounted."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    def __repr__(self) -> str:
        return f"KeyDirectory({self._path})"

    def day(self, purpose: str, when: datetime) -> DayKey:
        """The newest key of a purpose for the day of `when` (UTC), made if there is none."""
        day = day_of(when)
        generation = max(self.generations(purpose, day), default=FIRST)
        return self.generation(purpose, day, generation)

    def generation(self, purpose: str, day: date, generation: int) -> DayKey:
        """One generation of a day's key, made if there is none."""
        name = day_name(purpose, day, generation)
        try:
            key = self.find(name)
        except KeyMissing:
            key = self._have(name)
        return DayKey(name, key, generation)

    def generations(self, purpose: str, day: date) -> list[int]:
        """Which generations of a day's key there are, oldest first."""
        names = (
            path.name.removesuffix(_SUFFIX) for path in self._path.glob(day_name(purpose, day) + "*.key")
        )
        found = (period(name) for name in names)
        return sorted(each.generation for each in found if each is not None and each.first == day)

    def days(self, purpose: str, day: date) -> list[DayKey]:
        """The keys that there are for a day, oldest generation first. None is made."""
        names = [(each, day_name(purpose, day, each)) for each in self.generations(purpose, day)]
        return [DayKey(name, self.find(name), generation) for generation, name in names]

    def periods(self, purpose: str) -> dict[str, Period]:
        """By their names all keys of a purpose that belong to a day or a month."""
        names = (path.name.removesuffix(_SUFFIX) for path in self._path.glob(f"{purpose}-*.key"))
        found = {name: period(name) for name in names}
        return {name: each for name, each in sorted(found.items()) if each and each.purpose == purpose}

    def lasting(self, purpose: str) -> bytes:
        """The key of a purpose that does not change with the day, made if there is none."""
        return self._have(purpose)

    def find(self, name: str) -> bytes:
        """A key that must exist; raises KeyMissing.

        A key that was destroyed must not live on in a process that has read it: look for its file each time.
        """
        known = self._keys.get(name)
        if known is not None and known[0] == _mark(self._file(name)):
            return known[1]
        self._keys.pop(name, None)
        return self._remember(name)

    def destroy(self, name: str) -> bool:
        """Overwrite and remove the key of a day or a month, for good. False: there was none.

        Raises ValueError for a lasting key. Copies of the directory, and what a disk that writes elsewhere
        keeps of old blocks, are out of its reach (docs/retention.md).
        """
        if period(name) is None:
            raise ValueError(f"{name!r} is not the key of a day or a month")
        self._keys.pop(name, None)
        file = self._file(name)
        try:
            self._overwrite(file)
            file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise KeysUnavailable(f"key {name} cannot be destroyed: {error.strerror}") from None
        finally:
            self._keys.pop(name, None)
        self._sync_directory()
        return True

    def check(self) -> bytes:
        """A value that proves, without telling a key, that a store's keys are these."""
        return hmac_digest(self.lasting("store"), b"postern.store.v1", sha256)

    def _have(self, name: str) -> bytes:
        known = self._keys.get(name)
        if known is not None:
            return known[1]
        with self._lock:
            try:
                return self._remember(name)
            except KeyMissing:
                self._create(name)
                return self._remember(name)  # maybe another process's: the first file stays

    def _remember(self, name: str) -> bytes:
        mark = _mark(self._file(name))  # before it is read: a file that is replaced meanwhile is read again
        key = self._read(name)
        self._keys[name] = mark, key
        return key

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
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

    def _overwrite(self, file: Path) -> None:
        descriptor = os.open(file, os.O_WRONLY)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mark(file: Path) -> Mark:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
