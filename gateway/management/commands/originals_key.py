"""`manage.py originals_key DIR`: a key pair for sealed originals. The private half goes into a file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.originals import private_key_make


class Command(BaseCommand):
    help = (
        "Make the key pair of sealed originals: the private half in a file of DIR, the public half printed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "directory", help="where the private half is written; not the gateway's AUDIT_KEY_DIR"
        )

    def handle(self, *args: Any, directory: str = "", **options: Any) -> None:
        where = Path(directory).resolve()
        if where.is_relative_to(settings.AUDIT_KEY_DIR):
            raise CommandError(
                "Not in AUDIT_KEY_DIR: whoever writes originals must not be able to read them."
            )
        try:
            path, public = private_key_make(where)
        except OSError as error:
            raise CommandError(f"The key cannot be written to {where}: {error.strerror}.") from None
        self.stderr.write(f"The private half is {path}. Without it nobody reads what is sealed from now on.")
        self.stdout.write(f"AUDIT_ORIGINALS_KEY={public.text()}")
