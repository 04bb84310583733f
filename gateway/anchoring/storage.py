"""An anchor in whatever Django's storage API reaches: object storage with retention is what is meant.

Backends are foreign code, and some say that nothing is there because they would overwrite it. So a checkpoint
is read before it is written, whatever `exists` says, written under a name that has to be granted, and read
again afterwards.
"""

from __future__ import annotations

from typing import Final, final

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from gateway.anchoring.naming import NOWHERE, AnchorFailed, Contradicted, Where, folder_of, name_of, where_of

BACKEND_HINT: Final = "pip install 'postern[storages]'"


@final
class Stored:
    """One object for each checkpoint; none is ever written again."""

    def __init__(self, alias: str) -> None:
        """Raises ValueError where no such storage is configured, or its backend cannot be loaded."""
        if alias not in storages.backends:
            raise ValueError(f"there is no storage called {alias}: set AUDIT_STORAGE_BACKEND")
        try:
            self._storage: Storage = storages[alias]
        except Exception as error:
            words = f"the storage {alias} cannot be used ({type(error).__name__}): {BACKEND_HINT}"
            raise ValueError(words) from None
        self.name = f"storage {alias}"

    def tell(self, where: Where, line: bytes) -> None:
        name = f"{folder_of(where)}/{name_of(where)}"
        there = self._read(name)
        if there is not None and there != line:
            self._make_way(name, where, there, line)
            there = None
        if there is None:
            self._write(name, line)
            self._held_to(name, where, line)

    def highest(self) -> Where:
        """Of the last folder, as in a directory."""
        try:
            folders = [name.strip("/") for name in self._storage.listdir("")[0]]
            last = max((name for name in folders if name.isdigit()), default="")
            names = self._storage.listdir(last)[1] if last else []
        except (FileNotFoundError, NotImplementedError):
            return NOWHERE
        except Exception as error:
            raise AnchorFailed(f"cannot be read: {type(error).__name__}") from None
        found = (where_of(name.rpartition("/")[2]) for name in names)
        return max((each for each in found if each is not None), default=NOWHERE)

    def _read(self, name: str) -> bytes | None:
        """None: it is not there. Where a backend says so and yet has it, it is read."""
        try:
            claimed = self._storage.exists(name)
        except Exception as error:
            raise AnchorFailed(f"cannot be read: {type(error).__name__}") from None
        try:
            with self._storage.open(name, "rb") as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None
        except Exception as error:
            if claimed:
                raise AnchorFailed(f"cannot be read: {type(error).__name__}") from None
            return None

    def _make_way(self, name: str, where: Where, there: bytes, line: bytes) -> None:
        """The beginning of this very line is a write of ours that broke off. All else is another one."""
        if not line.startswith(there):
            raise Contradicted(f"has another checkpoint {where[1]}")
        self._remove(name)
        if self._read(name) is not None:
            raise AnchorFailed(f"has the half of checkpoint {where[1]} and does not let it go")

    def _write(self, name: str, line: bytes) -> None:
        try:
            given = self._storage.save(name, ContentFile(line))
        except Exception as error:
            raise AnchorFailed(f"cannot be written: {type(error).__name__}") from None
        if given != name:  # somebody else was faster, and the backend evades
            self._remove(given)

    def _held_to(self, name: str, where: Where, line: bytes) -> None:
        kept = self._read(name)
        if kept == line:
            return
        if kept is None or line.startswith(kept):
            raise AnchorFailed(f"did not keep checkpoint {where[1]} whole")
        raise Contradicted(f"has another checkpoint {where[1]}")

    def _remove(self, name: str) -> None:
        """Only what we wrote ourselves and nobody may take for a checkpoint."""
        try:
            self._storage.delete(name)
        except Exception as error:
            raise AnchorFailed(f"cannot be written: {type(error).__name__}") from None
