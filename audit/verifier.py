"""Checks exported entries without a database, Django or secrets:

    python -m audit.verifier EXPORT [--checkpoints FILE_OR_DIRECTORY …] [--key PUBLIC_KEY]

EXPORT is a file of JSON lines, one entry each, as `manage.py audit_verify --export` writes it: stream (UUID),
sequence, previous, digest, payload_digest and meta (hex), id, call (UUID or null), started_at and at
(microseconds since 1970), kind. By themselves entries show what was changed, left out, put in or moved.

Whoever can write the store can also write a chain anew, cut off its end or bring back an older one. That is
found with signed checkpoints (`audit.checkpoint`) from a place that the gateway cannot rewrite, and the
public key that signed them: 64 hexadecimal digits, or a file that holds them.

EXPORT may also be one from the auditors' pages, a zip that holds its own proof (`audit.exporting.checking`,
docs/exports.md). That needs the key, and the checkpoints to hold it against an anchor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Final
from uuid import UUID
from zipfile import is_zipfile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit import chain
from audit.chain import Link
from audit.checkpoint import NONE_BEFORE, Checkpoint, CheckpointError, Run, Signed, key_id, parse_line
from audit.exporting.archive import UNREADABLE, why
from audit.exporting.checking import Export
from audit.lines import line as line
from audit.lines import parse as parse
from audit.merkle import Tree

Line = list[tuple[Signed, Checkpoint]]
Digests = dict[UUID, bytearray]
"""By stream, the digests of its entries from the first on, 32 bytes each."""

WIDTH = 32
LATE: Final = 3600 * 1_000_000
"""Microseconds. Clocks of hosts differ by less, and checkpoints are made twice a minute: by then an entry is
in one."""

GAP = 1_000_000
"""Missing entries beyond which the rest is not put in its place: each takes 32 bytes."""

LONGEST_LINE: Final = 1 << 25
"""Bytes of an entry, or of a checkpoint."""

MOST_SAID: Final = 1_000
"""Problems that are named; their number is said in any case."""

NONE_SIGNED: Final = (
    "none of the checkpoints given is signed by this key: there are none, or they are of another deployment"
)
LONGEST_SAID: Final = 500
"""Characters of a problem: what is wrong may be as long as somebody likes."""


def problems(links: Iterable[Link], digests: Digests | None = None) -> Iterator[str]:
    """What is wrong with these entries, in words; nothing when every stream is whole.

    Entries of one stream must come together, in order, from its first on. `digests` are filled meanwhile.
    """
    heads: dict[UUID, tuple[int, bytes]] = {}
    room = GAP
    for link in links:
        sequence, digest = heads.get(link.stream, (0, chain.GENESIS))
        yield from (f"stream {link.stream}: {problem}" for problem in _wrong(link, sequence, digest))
        heads[link.stream] = (link.sequence, link.digest)
        if digests is not None:
            room -= _put(digests.setdefault(link.stream, bytearray()), link, room)


def _wrong(link: Link, sequence: int, digest: bytes) -> Iterator[str]:
    if link.sequence != sequence + 1:
        yield f"{sequence} is followed by {link.sequence}"
    if link.previous != digest:
        yield f"{link.sequence} does not follow {sequence}"
    if link.id & ((1 << chain.SEQUENCE_BITS) - 1) != link.sequence:
        yield f"{link.sequence} stands in another's place"
    if not link.fits():
        yield f"{link.sequence} was changed"


def _put(known: bytearray, link: Link, room: int) -> int:
    """At its place, so that one that is missing moves no other; behind the end if its place is none, or is
    farther than there is room. Returns how many were missing."""
    gap = link.sequence - 1 - len(known) // WIDTH
    missing = gap if 0 <= gap <= room else 0
    known.extend(bytes(missing * WIDTH))
    known.extend(link.digest[:WIDTH].ljust(WIDTH, b"\0"))
    return missing


def contradictions(
    digests: Mapping[UUID, bytearray], signed: Iterable[Signed], key: Ed25519PublicKey
) -> Iterator[str]:
    """What signed checkpoints say that is not so, in words. They come as `checkpoints_in` has them."""
    line, problems = line_of(signed, key)
    yield from problems
    told: dict[UUID, int] = {}
    for _, checkpoint in line:
        name = f"checkpoint {checkpoint.number}"
        yield from (f"{name}: {problem}" for problem in _not_so(checkpoint, digests, told))


def line_of(signed: Iterable[Signed], key: Ed25519PublicKey) -> tuple[Line, list[str]]:
    """The checkpoints that follow one another up to the last one, and what is wrong with the others."""
    line: Line = []
    problems: list[str] = []
    for each in signed:
        try:
            each.check(key)
            checkpoint = each.read()
        except CheckpointError as error:
            problems.append(f"a checkpoint behind number {line[-1][1].number if line else 0}: {error}")
            continue
        wrong = _joined(line, each, checkpoint)
        problems += [f"checkpoint {checkpoint.number}: {problem}" for problem in wrong]
    return line, problems


def _joined(line: Line, signed: Signed, checkpoint: Checkpoint) -> Iterator[str]:
    """Add one to the line that it continues.

    A backup that was brought back begins a new epoch behind the last checkpoint that it holds: what had been
    stated later is not part of the line any more. In one epoch there is one of each number.
    """
    if line and checkpoint.epoch > line[-1][1].epoch:
        while line and line[-1][1].number >= checkpoint.number:
            line.pop()
    before, last = line[-1] if line else (None, None)
    number = last.number if last else 0
    if before is not None and signed.text == before.text:
        return  # of another anchor
    if checkpoint.number == number:
        yield "there are two of this number: the record was continued from an older state"
        return
    if checkpoint.number != number + 1:
        yield f"follows number {number}"
    elif checkpoint.previous != (before.digest if before else NONE_BEFORE):
        yield f"does not follow number {number}"
    if last is not None and checkpoint.store != last.store:
        yield "is of another store"
    line.append((signed, checkpoint))


def _not_so(
    checkpoint: Checkpoint, digests: Mapping[UUID, bytearray], told: dict[UUID, int]
) -> Iterator[str]:
    tree, whole = Tree(), True
    for run in checkpoint.runs:
        expected, told[run.stream] = told.get(run.stream, 0) + 1, run.last
        if run.first != expected:
            yield f"stream {run.stream}: begins at {run.first} instead of {expected}"
        known = digests.get(run.stream, bytearray())
        if len(known) < run.last * WIDTH:
            there = len(known) // WIDTH
            yield f"stream {run.stream}: had {run.last} entries, {there} are there: its end is missing"
            whole = False
            continue
        if _digest(known, run.last) != run.digest:
            yield f"stream {run.stream}: {run.last} was another entry: something up to it was changed"
        for sequence in range(run.first, run.last + 1):
            tree.add(_digest(known, sequence))
    if whole and (tree.size != checkpoint.size or tree.root() != checkpoint.root):
        yield f"its entries are not those of then: {_runs(checkpoint.runs)}"


class Unstated:
    """Entries that no checkpoint of the line states, though one was made long after they say they were."""

    def __init__(self, line: Line) -> None:
        self._told = {run.stream: run.last for _, checkpoint in line for run in checkpoint.runs}
        self._last = line[-1][1] if line else None
        self._first: dict[UUID, int] = {}
        self.newer = 0

    def look(self, link: Link) -> None:
        if self._last is None or link.sequence <= self._told.get(link.stream, 0):
            return
        if link.at < self._last.at - LATE:
            self._first.setdefault(link.stream, link.sequence)
        else:
            self.newer += 1

    def problems(self) -> Iterator[str]:
        for stream, sequence in self._first.items():
            number = self._last.number if self._last else 0
            said = f"is in no checkpoint and older than number {number}"
            yield f"stream {stream}: {sequence} {said}: it was put in, or kept from being stated"


def _digest(known: bytearray, sequence: int) -> bytes:
    return bytes(known[(sequence - 1) * WIDTH : sequence * WIDTH])


def _runs(runs: Iterable[Run]) -> str:
    return ", ".join(f"stream {run.stream} {run.first} to {run.last}" for run in runs) or "none"


def checkpoints_in(paths: Iterable[Path]) -> list[Signed]:
    """All that lie in files, and in the files of directories, in the order of their epochs and numbers."""
    files = [file for path in paths for file in (path.rglob("*.json") if path.is_dir() else [path])]
    found: dict[bytes, Signed] = {}
    for file in files:
        for number, text in _lines(file):
            try:
                each = parse_line(text)
            except CheckpointError as error:
                raise ValueError(f"{file.name}, line {number}: {error}") from None
            found[each.line()] = each
    return sorted(found.values(), key=place)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that say something, with their numbers."""
    with open(path, "rb") as file:
        for number, text in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
            if len(text) > LONGEST_LINE:
                raise ValueError(f"line {number} is longer than any of ours")
            if text.strip():
                yield number, text


def place(each: Signed) -> tuple[int, int]:
    """Where a checkpoint stands among others: epoch and number."""
    try:
        checkpoint = each.read()
    except CheckpointError:
        return 0, 0
    return checkpoint.epoch, checkpoint.number


def public_key(said: str) -> Ed25519PublicKey:
    """From 64 hexadecimal digits, or from the file that holds them."""
    text = said if len(said) == 64 else Path(said).read_text(encoding="ascii")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))


def main(arguments: list[str]) -> int:
    asked = _arguments(arguments)
    try:
        found = _selected(asked) if is_zipfile(asked.export) else _whole(asked)
    except (OSError, *UNREADABLE) as error:
        _say(f"cannot be read: {why(error)}")
        return 2
    except MemoryError:
        _say("cannot be read: it does not fit into memory")
        return 2
    return 1 if found else 0


def _whole(asked: argparse.Namespace) -> int:
    """All entries of the store. Returns how many problems there are, having said each."""
    count = 0
    found: list[str] = []
    digests: Digests = {}
    signed = checkpoints_in(asked.checkpoints or ())
    line = line_of(signed, public_key(asked.key))[0] if signed else []
    unstated = Unstated(line)

    def links() -> Iterator[Link]:
        nonlocal count
        for number, text in _lines(asked.export):
            count += 1
            try:
                link = parse(text.decode())
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            unstated.look(link)
            yield link

    wrong = problems(links(), digests)
    found += islice(wrong, MOST_SAID)
    more = sum(1 for _ in wrong)
    if asked.checkpoints:
        found += [] if line else [NONE_SIGNED]
        found += contradictions(digests, signed, public_key(asked.key))
        found += unstated.problems()
        _tell(signed, public_key(asked.key))
        if unstated.newer:
            _say(f"{unstated.newer} entries are newer than the last checkpoint: the chain alone covers them")
    for problem in found:
        _say(problem)
    if not asked.checkpoints:
        _say("without checkpoints an end that was cut off, and a chain written anew, are not found")
    if more:
        _say(f"and {more} more problems of this sort")
    _say(f"{count} entries, {len(found) + more} problems")
    return len(found) + more


def _selected(asked: argparse.Namespace) -> int:
    """An export of some calls with its proof."""
    if not asked.key:
        raise ValueError("an export needs --key: else anybody could have signed it")
    key = public_key(asked.key)
    found: list[str] = []
    anchored = None
    if asked.checkpoints:
        signed = checkpoints_in(asked.checkpoints)
        line, found = line_of(signed, key)
        if not line:
            found = [NONE_SIGNED]
        anchored = {(said.epoch, said.number): each.text for each, said in line}
        _tell(signed, key)
    export = Export(asked.export, key, anchored)
    found = [*found, *export.problems()]
    for problem in found:
        _say(problem)
    if anchored is None:
        _say("without checkpoints from an anchor this rests on the key alone")
    counts = ", ".join(f"{count} {name}" for name, count in export.counts.items())
    _say(f"{counts}, {len(found)} problems")
    return len(found)


def _tell(signed: list[Signed], key: Ed25519PublicKey) -> None:
    _say(f"{len(signed)} checkpoints, signed by key {key_id(key)}")
    _tell_epochs(signed, key)


def _tell_epochs(signed: list[Signed], key: Ed25519PublicKey) -> None:
    """A restored backup is no problem once somebody has said so, and no secret."""
    line, _ = line_of(signed, key)
    for (_, one), (_, other) in pairwise(line):
        if other.epoch != one.epoch:
            _say(f"epoch {other.epoch} begins with checkpoint {other.number}: a backup was restored")
    if lost := len(signed) - len(line):
        _say(f"{lost} checkpoints state what is not in this line any more")


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m audit.verifier", description="Verify exported entries.")
    parser.add_argument("export", type=Path, help="entries as JSON lines, or a zip from the auditors' pages")
    parser.add_argument("--checkpoints", type=Path, nargs="+", help="files or directories of checkpoints")
    parser.add_argument("--key", help="the public key of the checkpoints, or the file that holds it")
    asked = parser.parse_args(arguments)
    if asked.checkpoints and not asked.key:
        parser.error("--checkpoints needs --key: else anybody could have signed them")
    return asked


def _say(text: str) -> None:
    """An export's own words may be anybody's: what is not printable, or not in the terminal's letters, is
    written as its code, and the middle of what is too long is left out."""
    if len(text) > LONGEST_SAID:
        text = f"{text[: LONGEST_SAID - 100]} … {text[-100:]}"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoding = sys.stdout.encoding or "ascii"
    print(shown.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201  a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
