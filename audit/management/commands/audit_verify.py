"""Verifies the stored chains, and writes them out for a verifier that trusts nobody here."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from audit import chain, verifier
from audit.chain import Link
from audit.events import link
from audit.models import Entry, Stream
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
        count = found = 0
        for stream in Stream.objects.order_by("number"):
            reading = Reading(stream, out)
            for problem in [*verifier.problems(reading.links()), *reading.problems()]:
                self.stdout.write(f"{problem}")
                found += 1
            count += reading.count
        self.stdout.write(f"{count} entries, {found} problems")
        return found


class Reading:
    """One pass over a stream, a few thousand entries in memory at a time."""

    def __init__(self, stream: Stream, out: TextIO | None) -> None:
        self._stream, self._out = stream, out
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
        if self._out is not None:
            self._out.writelines(verifier.line(link) + "\n" for link in links)
        return links

    def problems(self) -> Iterator[str]:
        """What the entries alone do not show; ask when `links` has ended."""
        if self.count < self._stream.sequence:
            yield f"stream {self._stream.id}: its end is missing"
        yield from self._payloads
