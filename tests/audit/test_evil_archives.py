"""The verifier reads what somebody may have made to harm whoever checks it: each of these gives words and an
exit code, in bounded memory, and nothing else happens. Run as a program, as an auditor runs it.
"""

from __future__ import annotations

import os
import resource
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest

from audit import verifier
from audit.checkpoint import signed
from audit.exporting import manifest
from audit.exporting.checking import Export
from audit.lines import line
from audit.verifier import GAP, LONGEST_LINE, LONGEST_SAID, MOST_SAID
from tests.audit.test_checkpoint import KEY, OTHER, chained, contents, stated
from tests.audit.test_export_proof import SIGNED, STREAMS, Files, export, manifest_of, packed

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = KEY.public_key().public_bytes_raw().hex()
MEMORY = 600 << 20
"""Bytes of address space; the interpreter with its libraries has about 200 MB of it."""

NO_DJANGO = """
import sys

class Nobody:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "rest_framework", "celery", "asyncio", "socket"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Nobody())
from audit.verifier import main
sys.exit(main(sys.argv[1:]))
"""


def verify(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """As a program without Django and with little memory."""
    return subprocess.run(
        [sys.executable, "-c", NO_DJANGO, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **more},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )


def said(path: Path, *more: object) -> tuple[int, str]:
    done = verify(path, "--key", PUBLIC, *more)
    assert done.stderr == "", done.stderr[-2000:]
    assert "Traceback" not in done.stdout
    assert all(len(text) <= LONGEST_SAID + 20 for text in done.stdout.splitlines())
    return done.returncode, done.stdout


def signed_parts(files: Files) -> Files:
    text = manifest_of(files, "jsonl")
    return {manifest.NAME: text, manifest.SIGNATURE: manifest.signed(text, KEY)}


# --- whole archives -------------------------------------------------------------------------------------
def repacked(path: Path, change: Callable[[ZipInfo], None]) -> None:
    """A whole export in which one file is marked as something else."""
    whole = export()
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in {**whole, **signed_parts(whole)}.items():
            info = ZipInfo(name)
            info.compress_type = ZIP_DEFLATED
            if name == "entries.jsonl":
                change(info)
            archive.writestr(info, data)


def encrypted(path: Path) -> None:
    packed(path, export())
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark, data.find(b"entries.jsonl", data.find(mark)) - 60)
        data[at + flags] |= 1
    path.write_bytes(bytes(data))


def symlink(path: Path) -> None:
    def linked(info: ZipInfo) -> None:
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16

    repacked(path, linked)


def device(path: Path) -> None:
    def made(info: ZipInfo) -> None:
        info.create_system, info.external_attr = 3, (stat.S_IFCHR | 0o666) << 16

    repacked(path, made)


def _compressed(how: int) -> Callable[[Path], None]:
    return lambda path: repacked(path, lambda info: setattr(info, "compress_type", how))


def patched(path: Path, mark: bytes, at: int, what: bytes) -> None:
    """Somewhere behind the last place where this mark stands."""
    packed(path, export())
    data = bytearray(path.read_bytes())
    begin = data.rfind(mark) + at
    data[begin : begin + len(what)] = what
    path.write_bytes(bytes(data))


def later_program(path: Path) -> None:
    patched(path, b"PK\x01\x02", 6, struct.pack("<H", 99))


def size_lies(path: Path) -> None:
    """The table says that the last file has 4 GB."""
    patched(path, b"PK\x01\x02", 24, b"\xff\xff\xff\xff")


def zip64_lies(path: Path) -> None:
    """A file is said to be 2**62 bytes long."""
    whole = export()
    with ZipFile(path, "w") as archive:
        for name, data in {**whole, **signed_parts(whole)}.items():
            with archive.open(ZipInfo(name), "w", force_zip64=True) as file:
                file.write(data)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    name, extra = struct.unpack_from("<HH", data, at + 28)
    assert extra == 0
    data[at + 24 : at + 28] = b"\xff" * 4
    data[at + 30 : at + 32] = struct.pack("<H", 12)
    data[at + 46 + name : at + 46 + name] = struct.pack("<HHQ", 1, 8, 1 << 62)
    end = data.rfind(b"PK\x05\x06")
    (size,) = struct.unpack_from("<L", data, end + 12)
    data[end + 12 : end + 16] = struct.pack("<L", size + 12)
    path.write_bytes(bytes(data))


def offset_lies(path: Path) -> None:
    patched(path, b"PK\x01\x02", 42, b"\xfe\xff\xff\xff")


def table_lies(path: Path) -> None:
    patched(path, b"PK\x05\x06", 12, b"\xff\xff\xff\x7f")


def garbage_in_the_table(path: Path) -> None:
    patched(path, b"PK\x01\x02", 0, b"PK\x07\x07")


def no_utf8_name(path: Path) -> None:
    patched(path, b"PK\x01\x02", 8, struct.pack("<H", 0x800))
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 46] = 0xFF
    path.write_bytes(bytes(data))


def thousands(path: Path) -> None:
    packed(path, export())
    with ZipFile(path, "a") as archive:
        for number in range(5_000):
            archive.writestr(f"{number}", b"")


def a_hundred_thousand(path: Path) -> None:
    """The table alone has some megabytes."""
    packed(path, export())
    with ZipFile(path, "a") as archive:
        for number in range(100_000):
            archive.writestr(f"{number}", b"")


def long_names(path: Path) -> None:
    packed(path, export())
    with ZipFile(path, "a") as archive:
        for number in range(20):
            archive.writestr(f"{number}" + "x" * 60_000, b"")


ODD = ("/etc/x", "../../x", "..\\x", "C:x", "Entries.JSONL", "\u202ereversed", "\x1b[2J", "a\nb", "é☃")


def odd_names(path: Path) -> None:
    packed(path, export())
    with ZipFile(path, "a") as archive:
        for name in ODD:
            archive.writestr(name, b"x")


def duplicates(path: Path) -> None:
    packed(path, export())
    with ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(300):
            archive.writestr("entries.jsonl", b"x")


def bomb(path: Path) -> None:
    """Half a gigabyte in half a megabyte, where the manifest says a few kilobytes."""
    whole = export()
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in {**whole, **signed_parts(whole)}.items():
            with archive.open(ZipInfo(name) if name != "proof.jsonl" else _packs(name), "w") as file:
                file.write(data)
                for _ in range(512 if name == "proof.jsonl" else 0):
                    file.write(bytes(1 << 20))


def _packs(name: str) -> ZipInfo:
    info = ZipInfo(name)
    info.compress_type = ZIP_DEFLATED
    return info


def bomb_of_a_manifest(path: Path) -> None:
    """Nobody signed it. What it nests would take a gigabyte."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        with archive.open(_packs(manifest.NAME), "w") as file:
            for _ in range(64):
                file.write(b"[[],{}" * (1 << 17))
        archive.writestr(manifest.SIGNATURE, b"{}")


def manifest_that_nests(path: Path) -> None:
    """As long as one may be: nobody reads it before its signature."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(manifest.NAME, b"[[],{}" * (1 << 21))
        archive.writestr(manifest.SIGNATURE, b"{}")


def bomb_of_a_signature(path: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(manifest.NAME, b"{}")
        with archive.open(_packs(manifest.SIGNATURE), "w") as file:
            for _ in range(64):
                file.write(b"[" * (1 << 20))


def cut_in_the_table(path: Path) -> None:
    packed(path, export())
    path.write_bytes(path.read_bytes()[:-40])


def cut_at_the_start(path: Path) -> None:
    packed(path, export())
    path.write_bytes(path.read_bytes()[100:])


def something_before(path: Path) -> None:
    packed(path, export())
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())


def comment(path: Path) -> None:
    packed(path, export())
    with ZipFile(path, "a") as archive:
        archive.comment = b"checked, all good"


def empty_zip(path: Path) -> None:
    ZipFile(path, "w").close()


def a_folder(path: Path) -> None:
    path.mkdir()


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def not_there(path: Path) -> None:
    pass


ARCHIVES: dict[Callable[[Path], None], tuple[int, str]] = {
    encrypted: (1, "is encrypted, as none in an export is"),
    symlink: (1, "entries.jsonl is no plain file"),
    device: (1, "entries.jsonl is no plain file"),
    later_program: (2, "zip file version"),
    size_lies: (2, "manifest.sig cannot be read: it is longer"),
    zip64_lies: (1, "was changed"),
    offset_lies: (2, "cannot be read"),
    table_lies: (2, "cannot be read"),
    garbage_in_the_table: (2, "cannot be read"),
    no_utf8_name: (2, "cannot be read"),
    thousands: (1, "and 4980 more problems of this sort"),
    a_hundred_thousand: (2, "its table of contents is longer than that of any export"),
    long_names: (1, "was put in"),
    odd_names: (1, "../../x was put in"),
    duplicates: (1, "entries.jsonl is there twice"),
    bomb: (1, "proof.jsonl was changed"),
    bomb_of_a_manifest: (2, "manifest.json cannot be read: it is longer"),
    bomb_of_a_signature: (2, "manifest.sig cannot be read: it is longer"),
    manifest_that_nests: (1, "nothing else was looked at"),
    cut_in_the_table: (2, "cannot be read"),
    cut_at_the_start: (2, "cannot be read"),
    something_before: (1, "something was put before its first file"),
    comment: (1, "a comment was put in"),
    empty_zip: (2, "manifest.json cannot be read"),
    a_folder: (2, "cannot be read"),
    nothing: (0, "0 entries, 0 problems"),
    not_there: (2, "cannot be read"),
}


@pytest.mark.parametrize("make", ARCHIVES, ids=lambda make: make.__name__)
def test_an_evil_archive_gets_words_and_an_exit_code(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "e.zip"
    make(path)
    code, words = ARCHIVES[make]
    returned, told = said(path)
    assert returned == code and words in told, told
    assert [each.name for each in tmp_path.iterdir()] in ([path.name], [])


@pytest.mark.parametrize("how", [ZIP_BZIP2, ZIP_LZMA])
def test_what_unpacks_in_ways_without_a_bound_is_not_opened(tmp_path: Path, how: int) -> None:
    _compressed(how)(tmp_path / "e.zip")
    code, told = said(tmp_path / "e.zip")
    assert code == 1 and "entries.jsonl is packed as none in an export is" in told


def test_one_that_is_only_stored_is_as_good(tmp_path: Path) -> None:
    _compressed(ZIP_STORED)(tmp_path / "e.zip")
    assert said(tmp_path / "e.zip")[0] == 0


def test_a_bad_signature_is_said_first_and_alone(tmp_path: Path) -> None:
    path = packed(tmp_path / "e.zip", {**export(), "calls.jsonl": b"[" * 10**6}, key=OTHER)
    code, told = said(path)
    first, last, *_ = told.splitlines()
    assert code == 1 and first.startswith("manifest.sig: ") and first.endswith("nothing else was looked at")
    assert last == "without checkpoints from an anchor this rests on the key alone"


def test_a_terminal_without_our_letters_gets_codes(tmp_path: Path) -> None:
    odd_names(tmp_path / "e.zip")
    done = verify(tmp_path / "e.zip", "--key", PUBLIC, PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and done.stderr == "" and "\\xe9\\u2603 was put in" in done.stdout
    assert "\x1b" not in done.stdout and "\\x1b[2J was put in" in done.stdout


# --- checkpoints of another place -----------------------------------------------------------------------
def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_checkpoints_of_another_deployment_are_refused_in_words(tmp_path: Path) -> None:
    """Of another key, and of another store that somebody signs with the same one."""
    path = packed(tmp_path / "e.zip", export())
    mine = written(tmp_path / "mine.json", *(each.line() for each in SIGNED))
    assert said(path, "--checkpoints", mine)[0] == 0
    theirs = stated(((1, 1),), _store(), key=OTHER)
    code, told = said(path, "--checkpoints", written(tmp_path / "theirs.json", theirs[0].line()))
    assert code == 1 and "none of the checkpoints given is signed by this key" in told
    moved = [replace(each.read(), store=b"another store") for each in stated(((1, 1),), _store())]
    there = written(tmp_path / "moved.json", *(signed(each, KEY).line() for each in moved))
    code, told = said(path, "--checkpoints", there)
    assert code == 1 and "of another store than the export" in told and "does not have it" not in told


def _store() -> dict[UUID, list[verifier.Link]]:
    return {stream: chained(stream, contents(1)) for stream in STREAMS}


def test_an_export_of_an_earlier_epoch_holds_no_later_checkpoint(tmp_path: Path) -> None:
    path = packed(tmp_path / "e.zip", export(), epoch=0)
    problems = [*Export(path, KEY.public_key()).problems()]
    assert problems == [f"checkpoint {number}: is of a later epoch than the export" for number in (1, 3)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "theirs.json, line 1: no signed checkpoint"),
        (b"\xff\xfe\n", "theirs.json, line 1: no signed checkpoint"),
        (b'{"checkpoint":"[[","key":"","signature":"00"}\n', "none of the checkpoints given"),
        (b" " * (LONGEST_LINE + 2), "line 1 is longer than any of ours"),
    ],
)
def test_evil_checkpoints_get_words(tmp_path: Path, text: bytes, words: str) -> None:
    path = packed(tmp_path / "e.zip", export())
    code, told = said(path, "--checkpoints", written(tmp_path / "theirs.json", text))
    assert code in (1, 2) and words in told


# --- entries of everything -------------------------------------------------------------------------------
WHOLE = [f"{line(link)}\n".encode() for link in chained(STREAMS[0], contents(3))]


def numbered(value: bytes) -> bytes:
    return WHOLE[0].replace(b'"sequence": 1', b'"sequence": ' + value)


LINES: dict[str, tuple[bytes, int, str]] = {
    "no end": (b"x" * (LONGEST_LINE + 2), 2, "line 4 is longer than any of ours"),
    "nested": (b"[" * 100_000 + b"\n", 2, "line 4: not an entry"),
    "no UTF-8": (b"\xff\xfe\n", 2, "line 4: "),
    "huge number": (numbered(b"9" * 5_000), 2, "line 4: "),
    "NaN": (numbered(b"NaN"), 2, "line 4: "),
    "infinite": (numbered(b"Infinity"), 2, "line 4: not an entry"),
    "beyond 64 bits": (numbered(b"9" * 40), 1, "was changed"),
    "negative": (numbered(b"-5"), 1, "was changed"),
    "a long word": (numbered(b'"' + b"9" * 4_000 + b'x"'), 2, "line 4: "),
    "null": (b"null\n", 2, "line 4: not an entry"),
    "a text": (b'"entry"\n', 2, "line 4: not an entry"),
}


@pytest.mark.parametrize("evil", LINES)
def test_an_evil_line_gets_words(tmp_path: Path, evil: str) -> None:
    text, code, words = LINES[evil]
    returned, told = said(written(tmp_path / "e.jsonl", *WHOLE, text))
    assert (returned, words in told) == (code, True), told


def test_far_places_take_no_more_room_however_many_they_are(tmp_path: Path) -> None:
    """Each entry is said to stand a million behind the one before, each in a stream of its own or not."""
    link = chained(STREAMS[0], contents(1))[0]
    far = [replace(link, stream=UUID(int=n % 50), sequence=n * (GAP - 1)) for n in range(1, 200)]
    path = written(tmp_path / "e.jsonl", *(f"{line(each)}\n".encode() for each in far))
    mine = written(tmp_path / "mine.json", *(each.line() for each in SIGNED))
    code, told = said(path, "--checkpoints", mine)
    assert code == 1 and "199 entries" in told


def test_problems_without_number_are_counted(tmp_path: Path) -> None:
    link = chained(STREAMS[0], contents(1))[0]
    bad = f"{line(replace(link, meta=b'another'))}\n".encode()
    code, told = said(written(tmp_path / "e.jsonl", *[bad] * 2 * MOST_SAID))
    assert code == 1 and len(told.splitlines()) == MOST_SAID + 3
    assert "more problems of this sort" in told and f"{2 * MOST_SAID} entries" in told
