"""Where an export lies: what is being written in a folder of its own, what is finished as one file.

Only whoever runs the gateway may read any of it. A worker holds the folder's lock while it writes, so that
one that was thought dead never writes beside the one that took over.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, final
from uuid import UUID

from django.conf import settings

from audit.exporting.asked import Progress
from audit.exporting.formats import FORMS
from audit.exporting.manifest import ENTRIES

log = logging.getLogger(__name__)

_FINISHED: Final = ".zip"
_UNFINISHED: Final = ".part"
_PREFIX: Final = "export-"


class Busy(Exception):
    """Another worker, thought dead, still has the folder."""


@final
class Place:
    """The folder and the file of one export."""

    def __init__(self, job_id: UUID) -> None:
        root = Path(settings.AUDIT_EXPORT_DIR)
        self.folder = root / f"{_PREFIX}{job_id}{_UNFINISHED}"
        self.finished = root / f"{_PREFIX}{job_id}{_FINISHED}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep everybody else out of it. Raises `Busy`."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Busy from None
        finally:
            os.close(descriptor)

    def write(self, name: str, *, anew: bool = True) -> IO[bytes]:
        """A file of the folder, which only its owner may read."""
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if anew else 0)
        return os.fdopen(os.open(self.folder / name, flags, 0o600), "r+b")

    def finish(self, name: str) -> None:
        """Put a file of the folder in its lasting place, whole or not at all."""
        os.replace(self.folder / name, self.finished)
        descriptor = os.open(self.finished.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        """Remove what was being written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove everything of this export. What stays for now is removed by `keeping.exports_forget`."""
        self.clear()
        try:
            self.finished.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", self.finished.name, error.strerror)


def lying() -> list[UUID]:
    """The exports of which anything lies in the directory."""
    root = Path(settings.AUDIT_EXPORT_DIR)
    names = {path.name.removeprefix(_PREFIX).rpartition(".")[0] for path in root.glob(f"{_PREFIX}*.*")}
    return [found for name in sorted(names) if (found := _number(name)) is not None]


def _number(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


@final
class Writing:
    """The two files that grow: the rows and their entries. What was not saved as written is cut off again."""

    def __init__(self, place: Place, form: str, progress: Progress) -> None:
        self._data = place.write(FORMS[form], anew=False)
        self._entries = place.write(ENTRIES, anew=False)
        self.resumed = self._cut(self._data, progress.data) and self._cut(self._entries, progress.entries)

    def _cut(self, file: IO[bytes], size: int) -> bool:
        """False: less is there than was written, as after another machine's work."""
        if os.fstat(file.fileno()).st_size < size:
            return False
        file.truncate(size)
        file.seek(size)
        return True

    def anew(self) -> None:
        for file in (self._data, self._entries):
            self._cut(file, 0)

    def add(self, rows: str, entries: str) -> None:
        self._data.write(rows.encode())
        self._entries.write(entries.encode())

    def save(self) -> tuple[int, int]:
        """Make what was added lasting; returns the sizes of both."""
        for file in (self._data, self._entries):
            file.flush()
            os.fsync(file.fileno())
        return self._data.tell(), self._entries.tell()

    def close(self) -> None:
        for file in (self._data, self._entries):
            file.close()
