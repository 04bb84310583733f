"""An export's file, which somebody may have made to do harm. Pure.

Nothing is unpacked. Nothing is read further than an export goes: not its table of contents, not a file beyond
what the signed manifest says, no line without end. What no export has (encryption, links, other compressions,
a comment) is said and not opened.
"""

from __future__ import annotations

import csv
import io
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

PIECE: Final = 1 << 20
LARGEST_READ: Final = 1 << 21
"""Bytes read in one go. A table of contents is read so; an export's has less than a thousand of them."""

LONGEST_LINE: Final = 1 << 28
"""Bytes. A row holds the payloads of one call: request and response have bounds of their own, well below."""

SMALL: Final = 1 << 24
"""Bytes of the manifest."""

UNREADABLE: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,  # what is said to need a later program, or nests without end
    BadZipFile,
    zlib.error,
    struct.error,
    csv.Error,
    EOFError,
)


@final
class _Careful(io.FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGEST_READ:
            raise BadZipFile("its table of contents is longer than that of any export")
        return super().read(-1 if size is None else size) or b""


@contextmanager
def opened(path: Path) -> Iterator[ZipFile]:
    """Raises OSError, or one of `UNREADABLE` where it is no zip."""
    with _Careful(path) as file, ZipFile(file) as archive:
        yield archive


def oddities(file: ZipFile, mine: Collection[str]) -> Iterator[str]:
    """What no export has. `mine`: the files that it has to have, and no others."""
    infos, there = file.infolist(), Counter(file.namelist())
    if file.comment:
        yield "a comment was put in"
    if infos and min(info.header_offset for info in infos) > 0:
        yield "something was put before its first file"
    yield from (f"{name} was put in" for name in there if name not in mine)
    yield from (f"{name} is there twice" for name, times in sorted(there.items()) if times > 1)
    yield from (f"{name} is missing" for name in mine if name not in there)
    yield from (f"{info.filename} {why}" for info in infos if (why := _odd(info)))


def _odd(info: ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1:
        return "is encrypted, as none in an export is"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is packed as none in an export is"
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        return "is no plain file"
    return ""


def is_what_is_said(file: ZipFile, name: str, said: Any) -> bool:
    """Whether a file has the SHA-256 and the size that the manifest says."""
    digest, size, wanted = sha256(), 0, _size(said)
    if file.getinfo(name).file_size != wanted:
        return False
    try:
        with _member(file, name) as data:
            while size <= wanted and (piece := data.read(PIECE)):
                digest.update(piece)
                size += len(piece)
    except UNREADABLE:
        return False
    return bool(said == {"sha256": digest.hexdigest(), "bytes": size})


def small(file: ZipFile, name: str) -> bytes:
    """A file that fits into memory. Raises ValueError for one that does not, or is missing or damaged."""
    try:
        with _member(file, name) as data:
            found = data.read(SMALL)
        if len(found) != file.getinfo(name).file_size:
            raise ValueError("it is longer than that of any export, or not as long as it is said to be")
        return found
    except UNREADABLE as error:
        raise ValueError(f"{name} cannot be read: {why(error)}") from None


@contextmanager
def lines_of(file: ZipFile, said: Mapping[str, Any], name: str) -> Iterator[Iterator[str]]:
    """The lines of a file, each of bounded length, and no more of them than the manifest says."""
    files = said.get("files")
    most = _size(files.get(name)) if isinstance(files, dict) else 0
    with _member(file, name) as data:
        yield bounded(data, most)


def bounded(data: IO[bytes], most: int) -> Iterator[str]:
    while text := data.readline(min(LONGEST_LINE, most) + 1):
        most -= len(text)
        if most < 0 or len(text) > LONGEST_LINE:
            raise ValueError("it is longer than the manifest says, or has a line that none of ours has")
        yield text.decode("utf-8")


@contextmanager
def _member(file: ZipFile, name: str) -> Iterator[IO[bytes]]:
    info = file.getinfo(name)
    if odd := _odd(info):
        raise BadZipFile(f"it {odd}")
    with file.open(info) as data:
        yield data


def _size(said: Any) -> int:
    """The bytes that a file has by the manifest."""
    size = said.get("bytes") if isinstance(said, dict) else None
    return size if isinstance(size, int) else 0


def why(error: BaseException) -> str:
    return str(error) or type(error).__name__
