"""Checks an export without a database, Django or secrets. Pure.

    python -m audit.verifier EXPORT.zip --key PUBLIC_KEY [--checkpoints FILE_OR_DIRECTORY …]

What is held against what: the manifest against its signature, without which nothing else is looked at; every
file against the manifest; each entry against its own digest; each entry's digest, at its place, against a
signed checkpoint; each row against the entries of its call; the checkpoints against those of an anchor, where
there is one.

Memory: some 300 bytes for each entry of the export, and one line of it. What is longer than the manifest
says is not read to its end.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final, final
from uuid import UUID
from zipfile import ZipFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.chain import Link
from audit.checkpoint import Checkpoint, CheckpointError, key_id, parse_line
from audit.checkpoint import parse as parse_checkpoint
from audit.exporting import manifest
from audit.exporting.archive import UNREADABLE, is_what_is_said, lines_of, oddities, opened, small, why
from audit.exporting.facts import parts_missing
from audit.exporting.formats import FORMS, Form, Reading
from audit.lines import line, parse
from audit.proof import Fold, Node, Shown

Anchored = Mapping[tuple[int, int], bytes]
"""By epoch and number, the signed texts of the checkpoints that an anchor holds."""

Known = dict[UUID, dict[int, bytes]]
"""By stream and sequence, the digests of the export's entries."""

LONGEST: Final = 20
"""Problems of one sort that are named; their number is said in any case."""


@final
@dataclass(slots=True)
class Export:
    """An export being checked. `counts` are filled meanwhile."""

    path: Path
    key: Ed25519PublicKey
    anchored: Anchored | None = None
    before: tuple[int, int] = (0, 0)
    """Epoch and number of the last checkpoint that the proof came to."""

    counts: dict[str, int] = field(default_factory=lambda: {"calls": 0, "entries": 0, "checkpoints": 0})

    def problems(self) -> Iterator[str]:
        """What is wrong with it, in words. Raises ValueError or OSError where it cannot be read at all."""
        with opened(self.path) as file:
            said = yield from self._manifest(file)
            if said is None:
                return
            yield from _few(_files(file, said))
            yield from self._other_anchor(said)
            known: Known = {}
            yield from _few(self._entries(file, said, known))
            yield from _few(self._proof(file, said, known))
            for name in ("calls", "entries", "checkpoints"):
                told, there = said["counts"].get(name), self.counts[name]
                if told != there:
                    yield f"the manifest says {told} {name}, {there} are there"

    def _manifest(self, file: ZipFile) -> Generator[str, None, dict[str, Any] | None]:
        """None, behind a problem: nobody we know signed it, so that nothing that it says may be believed."""
        data, signature = small(file, manifest.NAME), b""
        if manifest.SIGNATURE in file.namelist():
            signature = small(file, manifest.SIGNATURE)
        if problem := manifest.wrong(data, signature, self.key):
            yield f"{manifest.SIGNATURE}: {problem}; nothing else was looked at"
            return None
        said = manifest.read(data)
        if said.get("form") not in list(FORMS) or not isinstance(said.get("counts"), dict):
            raise manifest.ManifestError("manifest.json says no format or no counts")
        return said

    def _other_anchor(self, said: Mapping[str, Any]) -> Iterator[str]:
        """Checkpoints of another store: each of this one's would be said to be missing there."""
        stores = set(map(_store_of, (self.anchored or {}).values()))
        if stores and said.get("store") not in stores:
            yield "the checkpoints given are of another store than the export: they say nothing of it"
            self.anchored = None

    def _entries(self, file: ZipFile, said: Mapping[str, Any], known: Known) -> Iterator[str]:
        """Each entry against its digest, and each row against its call's entries."""
        form = Form(str(said["form"]), str(said.get("gateway")))
        name = FORMS[form.name]
        try:
            with lines_of(file, said, name) as text, lines_of(file, said, manifest.ENTRIES) as lines:
                reading = Reading(form, text)
                if problem := reading.begin():
                    yield f"{name}: {problem}"
                links = map(_parsed, lines)
                for call, group in groupby(links, key=lambda link: link.call):
                    yield from self._call(call, list(group), reading, name, known)
                if left := reading.rest():
                    yield f"{name}: {left} rows more than there are calls"
        except UNREADABLE as error:
            at = self.counts["calls"]
            yield f"{name} or {manifest.ENTRIES} cannot be read behind call {at}: {why(error)}"

    def _call(
        self, call: UUID | None, links: list[Link], reading: Reading, name: str, known: Known
    ) -> Iterator[str]:
        self.counts["calls"] += 1
        self.counts["entries"] += len(links)
        for link in links:
            yield from _entry(link, known)
        if any(one.id >= other.id for one, other in pairwise(links)):
            yield f"call {call}: its entries are not in their order"
        if (missing := parts_missing(links)) > 0:
            yield f"call {call}: {missing} parts of its response are missing"
        if problem := reading.differs(links):
            yield f"{name}, row {reading.count} (call {call}): {problem}"

    def _proof(self, file: ZipFile, said: Mapping[str, Any], known: Known) -> Iterator[str]:
        """Each part of the proof against its checkpoint, then what was proven against `known`."""
        unproven = {stream: set(digests) for stream, digests in known.items()}
        try:
            proof, checkpoints = (
                lines_of(file, said, manifest.PROOF),
                lines_of(file, said, manifest.CHECKPOINTS),
            )
            with proof as text, checkpoints as lines:
                section: _Section | None = None
                for row in map(_row, text):
                    if row[0] == "checkpoint":
                        yield from section.end() if section else ()
                        section = _Section(*(yield from self._next(lines, row, said)), known, unproven)
                    elif section is None:
                        raise ValueError("the proof begins without a checkpoint")
                    else:
                        yield from section.take(row)
                yield from section.end() if section else ()
                if any(True for _ in lines):
                    yield f"{manifest.CHECKPOINTS}: holds more checkpoints than the proof uses"
        except UNREADABLE as error:
            at = self.counts["checkpoints"]
            files = f"{manifest.PROOF} or {manifest.CHECKPOINTS}"
            yield f"{files} cannot be read behind checkpoint {at}: {why(error)}"
        for stream, sequences in unproven.items():
            for sequence in sorted(sequences):
                yield f"stream {stream}: {sequence} is in no checkpoint: it was put in, or never stated"

    def _next(
        self, lines: Iterable[str], row: list[Any], said: Mapping[str, Any]
    ) -> Generator[str, None, tuple[Checkpoint, str]]:
        """The checkpoint that the next part of the proof is about."""
        self.counts["checkpoints"] += 1
        text = next(iter(lines), "").encode()
        signed = parse_line(text)
        _same(text, signed.line())
        checkpoint = signed.read()
        name = f"checkpoint {checkpoint.number}"
        try:
            signed.check(self.key)
        except CheckpointError as error:
            yield f"{name}: {error}"
        if checkpoint.store.hex() != said.get("store"):
            yield f"{name}: is of another store than the export"
        if not isinstance(epoch := said.get("epoch"), int) or checkpoint.epoch > epoch:
            yield f"{name}: is of a later epoch than the export"
        if signed.key != key_id(self.key):
            yield f"{name}: names another key"
        if row[1:] != [checkpoint.epoch, checkpoint.number, signed.digest.hex()]:
            yield f"{name}: the proof is for another one, epoch {row[1]} number {row[2]}"
        if (checkpoint.epoch, checkpoint.number) <= self.before:
            yield f"{name}: stands behind a later one, or is there twice"
        self.before = (checkpoint.epoch, checkpoint.number)
        if self.anchored is not None:
            there = self.anchored.get((checkpoint.epoch, checkpoint.number))
            if there is None:
                yield f"{name}: the anchor does not have it"
            elif there != signed.text:
                yield f"{name}: the anchor has another one"
        return checkpoint, name


@final
class _Section:
    """The proof's part for one checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, name: str, known: Known, unproven: Mapping[UUID, set[int]]
    ) -> None:
        self._checkpoint, self._name = checkpoint, name
        self._known, self._unproven = known, unproven
        self._fold = Fold()
        self._starts: dict[UUID, list[tuple[int, int, int]]] = {}
        at = 0
        for run in checkpoint.runs:
            self._starts.setdefault(run.stream, []).append((run.first, run.last, at))
            at += run.last - run.first + 1

    def take(self, row: list[Any]) -> Iterator[str]:
        if row[0] == "node":
            node = Node(int(row[1]), bytes.fromhex(row[2]))
            _same(row, ["node", node.level, node.digest.hex()])
            self._fold.add(node)
            return
        stream, sequence, digest = UUID(row[1]), int(row[2]), bytes.fromhex(row[3])
        _same(row, ["entry", str(stream), sequence, digest.hex()])
        at = self._fold.add(Shown(digest))
        said = f"stream {stream}: {sequence}"
        if at != self._place(stream, sequence):
            yield f"{said} stands in another's place in {self._name}"
        mine = self._known.get(stream, {}).get(sequence)
        self._unproven.get(stream, set()).discard(sequence)
        if mine is None:
            yield f"{said} was left out: {self._name} has it and the proof shows it"
        elif mine != digest:
            yield f"{said} was changed: it is not the one that {self._name} states"

    def _place(self, stream: UUID, sequence: int) -> int | None:
        for first, last, at in self._starts.get(stream, ()):
            if first <= sequence <= last:
                return at + sequence - first
        return None

    def end(self) -> Iterator[str]:
        if (self._fold.size, self._fold.root()) != (self._checkpoint.size, self._checkpoint.root):
            yield f"{self._name}: the proof does not lead to what was signed"


def _entry(link: Link, known: Known) -> Iterator[str]:
    said = f"stream {link.stream}: {link.sequence}"
    of_stream = known.setdefault(link.stream, {})
    if link.sequence in of_stream:
        yield f"{said} is there twice"
    if not link.fits():
        yield f"{said} was changed"
    of_stream[link.sequence] = link.digest


def _parsed(text: str) -> Link:
    """An entry's line, in the one form that it is written in."""
    link = parse(text)
    _same(text, line(link) + "\n")
    return link


def _row(text: str) -> list[Any]:
    row = json.loads(text)
    _same(text, json.dumps(row, separators=(",", ":")) + "\n")
    if not isinstance(row, list):
        raise ValueError("a line of the proof is none")
    return row


def _same(found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError("a line is not in its one form")


def _files(file: ZipFile, said: Mapping[str, Any]) -> Iterator[str]:
    """Which files there are, and whether each is what the manifest says."""
    files = said.get("files")
    wanted: Mapping[str, Any] = files if isinstance(files, dict) else {}
    yield from oddities(file, [*wanted, manifest.NAME, manifest.SIGNATURE])
    there = frozenset(file.namelist())
    for name in wanted:
        if name in there and not is_what_is_said(file, name, wanted[name]):
            yield f"{name} was changed: it is not the file of which the manifest says the SHA-256"


def _store_of(text: bytes) -> str:
    try:
        return parse_checkpoint(text).store.hex()
    except CheckpointError:
        return ""


def _few(problems: Iterable[str]) -> Iterator[str]:
    """The first ones and how many more: a file whose rows moved by one has as many problems as rows."""
    more = 0
    for number, problem in enumerate(problems):
        if number < LONGEST:
            yield problem
        else:
            more += 1
    if more:
        yield f"and {more} more problems of this sort"
