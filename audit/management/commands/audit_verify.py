"""Verifies the stored chains, and writes them out for a verifier that trusts nobody here."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit import around, chain, verifier
from audit.chain import Link
from audit.checkpoints import row_fits, signed_of, signing_key
from audit.events import link
from audit.keys import KeyDirectory, KeysUnavailable
from audit.models import Checkpoint, Entry, Stream
from audit.tombstones import payload_problems

_AT_ONCE = 2000


class Command(BaseCommand):
    help = "Check every stream and the payloads it stands for; --export FILE also writes the entries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--export", type=Path, help="write the entries as JSON lines for audit.verifier")

    def handle(self, *args: Any, export: Path | None = None, **options: Any) -> None:
        out = export.open("w", encoding="utf-8") if export else None
        try:
            found = self._verify(out)
        finally:
            if out is not None:
                out.close()
        if found:
            raise CommandError(f"{found} problems")

    def _verify(self, out: TextIO | None) -> int:
        """Checkpoints are read first: the entries that they state are there by then."""
        count = found = 0
        stated = list(Checkpoint.objects.order_by("number").iterator(_AT_ONCE))
        digests: verifier.Digests = {}
        acts = around.Acts()

        def say(problems: Iterable[str]) -> None:
            nonlocal found
            for problem in problems:
                self.stdout.write(problem)
                found += 1

        for stream in Stream.objects.order_by("number"):
            reading = Reading(stream, out, acts)
            say([*verifier.problems(reading.links(), digests), *reading.problems()])
            count += reading.count
        say(around.stray_problems())
        say(_contradictions(digests, stated))
        say(around.row_problems())
        say(acts.problems())
        self.stdout.write(f"{count} entries, {found} problems")
        return found


def _contradictions(digests: verifier.Digests, stated: list[Checkpoint]) -> Iterator[str]:
    """By the store's own checkpoints. They lie beside the entries: those of an anchor say more."""
    if not stated:
        return
    try:
        key = signing_key(KeyDirectory(settings.AUDIT_KEY_DIR)).public_key()
    except KeysUnavailable as error:
        yield f"checkpoints cannot be checked: {error}"
        return
    yield from verifier.contradictions(digests, [signed_of(row) for row in stated], key)
    for row in stated:
        if not row_fits(row):
            yield f"checkpoint {row.number}: its row is not what was signed"


class Reading:
    """One pass over a stream, a few thousand entries in memory at a time."""

    def __init__(self, stream: Stream, out: TextIO | None, acts: around.Acts) -> None:
        self._stream, self._out, self._acts = stream, out, acts
        self._others: set[UUID] = set()
        self._payloads: list[str] = []
        self.count = 0

    def links(self) -> Iterator[Link]:
        first = chain.entry_id(self._stream.number, 0)
        following = chain.entry_id(self._stream.number + 1, 0)
        entries = Entry.objects.filter(id__gte=first, id__lt=following).order_by("id")
        found: list[Link] = []
        for entry in entries.iterator(_AT_ONCE):
            found.append(link(entry))
            if len(found) == _AT_ONCE:
                yield from self._taken(found)
                found = []
        yield from self._taken(found)

    def _taken(self, links: list[Link]) -> list[Link]:
        self.count += len(links)
        self._payloads += payload_problems(links)
        self._acts.take(links)
        self._others |= around.moved_streams(self._stream, links)
        if self._out is not None:
            self._out.writelines(verifier.line(link) + "\n" for link in links)
        return links

    def problems(self) -> Iterator[str]:
        """What the entries alone do not show; ask when `links` has ended."""
        if self.count < self._stream.sequence:
            yield f"stream {self._stream.id}: its end is missing"
        if self._stream.stated > self.count:
            yield f"stream {self._stream.id}: its row says that more was stated than there is"
        for other in sorted(self._others):
            yield f"stream {other}: its entries lie at the place of stream {self._stream.id}"
        yield from self._payloads
