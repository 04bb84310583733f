"""`manage.py rekey`: what is sealed under an older master key comes under the first, while calls go on."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.credentials.sealing import SealError
from gateway.credentials.services import master_keys
from gateway.rekeying import BATCH, Count, forget, rekey, used_keys

FAILED = 1
"""Exit status when a row did not open, or is still under an older key."""


class Command(BaseCommand):
    help = "Bring all that is sealed under the first master key. Can be run again at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and what opens")
        parser.add_argument("--batch", type=int, default=BATCH, help=f"rows per transaction ({BATCH})")
        parser.add_argument("--forget", metavar="KEY", default="", help="give up what only a lost key opens")

    def handle(self, *, dry_run: bool, batch: int, forget: str, **options: Any) -> None:
        if batch < 1:
            raise CommandError("--batch takes a number from 1.")
        try:
            if forget:
                self._forget(forget)
                return
            counts = rekey(batch=batch, dry_run=dry_run, tell=self._progress)
        except SealError as error:
            raise CommandError(f"Nothing was changed: {error}.") from None
        for name, count in counts.items():
            self._tell(name, count, dry_run)
        left = self._keys(dry_run)
        if any(count.failed for count in counts.values()) or (left and not dry_run):
            sys.exit(FAILED)

    def _progress(self, name: str, count: Count) -> None:
        seen = count.done + count.moved + len(count.failed)
        self.stderr.write(f"{name}: {seen} of {count.due}")

    def _tell(self, name: str, count: Count, dry_run: bool) -> None:
        done = f"{count.due} to do" if dry_run else f"{count.done} of {count.due} done"
        moved = f", {count.moved} changed meanwhile" if count.moved else ""
        self.stdout.write(f"{name}: {done}{moved}, {len(count.failed)} failed")
        for problem in count.failed:
            self.stdout.write(f"  {problem}")

    def _keys(self, dry_run: bool) -> int:
        """Says which keys can go. Returns how many rows are not under the first one."""
        keys, used = master_keys(), used_keys()
        idle = [key_id for key_id in keys.keys if key_id != keys.first and not used[key_id]]
        left = sum(rows for key_id, rows in used.items() if key_id != keys.first)
        if left and not dry_run:
            self.stdout.write(f"{left} rows still need an older key. Run this again.")
        elif idle:
            self.stdout.write(f"No row needs these any more; take them out of MASTER_KEYS: {', '.join(idle)}")
        return left

    def _forget(self, key_id: str) -> None:
        counts = forget(key_id)
        said = ", ".join(f"{rows} {name}" for name, rows in counts.items())
        self.stdout.write(f"Given up with master key {key_id}: {said}. Set the secrets again.")
