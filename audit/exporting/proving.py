"""The proof of an export: each of its entries in the signed checkpoint that states it.

Checkpoints are read in order, those that state none of the entries are passed over, and the tree of each of
the others is made anew from the stored digests, one page at a time.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Final, final
from uuid import UUID

from django.conf import settings

from audit import chain, ids
from audit.checkpoint import Run, Signed, parse
from audit.checkpoints import AT_ONCE, LOOK_BACK, checkpoint_make, signed_of
from audit.keys import KeyDirectory
from audit.lines import parse as parse_entry
from audit.models import Checkpoint, Entry, Stream
from audit.proof import Fold, Node, cover

PAGE: Final = 200
ATTEMPTS: Final = 5
_SLACK: Final = LOOK_BACK + timedelta(hours=1)
"""How far the clocks of two hosts, and an entry's time and its commit, may lie apart."""


class Unproven(Exception):
    """Some entries are in no checkpoint, and none that states them can be made."""


@final
@dataclass(slots=True)
class Wanted:
    """The entries of an export: by stream their sequences in order, eight bytes each."""

    sequences: dict[UUID, array[int]] = field(default_factory=dict)
    earliest: int | None = None  # microseconds since 1970
    count: int = 0

    @classmethod
    def of(cls, lines: Iterable[str]) -> Wanted:
        found = cls()
        for line in lines:
            link = parse_entry(line)
            found.sequences.setdefault(link.stream, array("Q")).append(link.sequence)
            found.count += 1
            found.earliest = link.at if found.earliest is None else min(found.earliest, link.at)
        found.sequences = {stream: array("Q", sorted(of)) for stream, of in found.sequences.items()}
        return found

    def within(self, run: Run) -> array[int]:
        """Those that a run states."""
        of = self.sequences.get(run.stream, array("Q"))
        return of[bisect_left(of, run.first) : bisect_right(of, run.last)]


@final
class Proving:
    """Writes the proof and the checkpoints that it leads to."""

    def __init__(self, wanted: Wanted, proof: IO[bytes], checkpoints: IO[bytes]) -> None:
        self._wanted, self._proof, self._checkpoints = wanted, proof, checkpoints
        self._left = wanted.count
        self._number = 0  # of the last checkpoint that was looked at
        self.count = 0
        self.last = 0  # the number of the last checkpoint that it leads to
        self.problems: list[str] = []

    def prove(self, keys: KeyDirectory, beat: Callable[[], None]) -> None:
        """Prove all entries; what no checkpoint states yet is stated now. Raises `Unproven`."""
        for _ in range(ATTEMPTS):
            for row in self._rows():
                self._number = row.number
                if self._left:
                    self._state(signed_of(row), beat)
            if not self._left:
                return
            checkpoint_make(keys)
        raise Unproven(f"{self._left} entries are in no checkpoint. Is the worker making any?")

    def _rows(self) -> Iterator[Checkpoint]:
        """Page by page, so that no query stays open meanwhile."""
        rows = Checkpoint.objects.filter(size__gt=0).order_by("number")
        if self._wanted.earliest is not None:
            rows = rows.filter(at__gte=ids.moment(self._wanted.earliest // 1000) - _SLACK)
        while page := list(rows.filter(number__gt=self._number)[:PAGE]):
            yield from page

    def _state(self, signed: Signed, beat: Callable[[], None]) -> None:
        checkpoint = parse(signed.text)
        wanted = [self._wanted.within(run) for run in checkpoint.runs]
        if not any(wanted):
            return
        beat()
        self._write("checkpoint", checkpoint.epoch, checkpoint.number, signed.digest.hex())
        self._checkpoints.write(signed.line())
        shown = iter(
            [(run.stream, each) for run, of in zip(checkpoint.runs, wanted, strict=True) for each in of]
        )
        fold = Fold()
        for piece in cover(_leaves(checkpoint.runs, wanted, beat)):
            fold.add(piece)
            if isinstance(piece, Node):
                self._write("node", piece.level, piece.digest.hex())
            else:
                stream, sequence = next(shown)
                self._write("entry", str(stream), sequence, piece.digest.hex())
        self._left -= sum(map(len, wanted))
        self.last = checkpoint.number
        self.count += 1
        if (fold.size, fold.root()) != (checkpoint.size, checkpoint.root):
            self.problems.append(f"checkpoint {checkpoint.number}: its entries are not those of then")

    def _write(self, *row: str | int) -> None:
        self._proof.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")


def _leaves(
    runs: Iterable[Run], wanted: Iterable[array[int]], beat: Callable[[], None]
) -> Iterator[tuple[bytes, bool]]:
    """The digests that a checkpoint is over, in its order, and whether each is of the export."""
    for run, of in zip(runs, wanted, strict=True):
        shown = iter(of)
        following = next(shown, None)
        for sequence, digest in _digests(run, beat):
            yield digest, sequence == following
            if sequence == following:
                following = next(shown, None)


def _digests(run: Run, beat: Callable[[], None]) -> Iterator[tuple[int, bytes]]:
    """One for each sequence of the run; nothing but zeros where the entry is gone, so that no other moves."""
    stream = Stream.objects.filter(id=run.stream).first()
    expected = run.first
    while expected <= run.last:
        beat()
        page = _page(stream, expected, run.last) if stream else []
        for sequence, digest in page:
            yield from ((missing, bytes(32)) for missing in range(expected, sequence))
            yield sequence, digest
            expected = sequence + 1
        if not page:
            yield from ((missing, bytes(32)) for missing in range(expected, run.last + 1))
            return


def _page(stream: Stream, first: int, last: int) -> list[tuple[int, bytes]]:
    place = chain.entry_id(stream.number, first), chain.entry_id(stream.number, last)
    rows = Entry.objects.filter(id__gte=place[0], id__lte=place[1]).order_by("id")
    return [
        (sequence, bytes(digest)) for sequence, digest in rows.values_list("sequence", "digest")[:AT_ONCE]
    ]


def key_directory() -> KeyDirectory:
    """Read anew for each export: it may be gone since the last one. Raises `KeysUnavailable`."""
    return KeyDirectory(settings.AUDIT_KEY_DIR)
