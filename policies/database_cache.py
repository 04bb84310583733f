"""Compiled pattern databases as files, so that a process starts in milliseconds instead of compiling again.

A compiled database is code to the matcher: each file carries a keyed digest, and a file that does not verify
is treated as absent. Losing the directory costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import platform
from collections.abc import Iterator, MutableMapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

log = logging.getLogger(__name__)

TAG_BYTES = 32


@cache
def machine() -> bytes:
    """What a compiled database depends on: the library's version and the processor's features."""
    flags = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), flags)
    return f"{version('hyperscan')} {platform.machine()} {flags}".encode()


class DatabaseCache(MutableMapping[bytes, bytes]):
    """A mapping whose values survive the process. Keys name content; the machine is added here."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self._directory = directory
        self._key = hashlib.sha256(b"postern.pattern-cache\0" + key).digest()

    def __getitem__(self, key: bytes) -> bytes:
        try:
            held = self._path(key).read_bytes()
        except OSError:
            raise KeyError(key) from None
        tag, data = held[:TAG_BYTES], held[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(key, data)):
            log.warning("a cached pattern database does not verify; it is compiled again")
            raise KeyError(key)
        return data

    def __setitem__(self, key: bytes, value: bytes) -> None:
        try:
            self._write(self._path(key), self._tag(key, value) + value)
        except OSError as error:
            log.warning("a pattern database could not be cached: %s", error.strerror)

    def __delitem__(self, key: bytes) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[bytes]:
        """Keys are stored as digests, so there is nothing to list."""
        return iter(())

    def __len__(self) -> int:
        return 0

    def _path(self, key: bytes) -> Path:
        return self._directory / f"{hashlib.sha256(machine() + bytes(1) + key).hexdigest()}.hsdb"

    def _tag(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, key + hashlib.sha256(data).digest(), "sha256")

    def _write(self, path: Path, data: bytes) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._directory, delete=False) as file:  # created with mode 0600
            try:
                file.write(data)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
