"""`manage.py store_restored`: a backup was brought back, and this says so on record."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import F

from audit.events import event
from audit.models import Anchor, Store
from audit.records import Who
from policies.services import scrub


class Command(BaseCommand):
    help = (
        "Begin a new epoch after a backup was restored: what was approved before lets nothing out any more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--because", required=True, help="what happened; kept with what is sensitive masked"
        )

    def handle(self, *args: Any, because: str = "", **options: Any) -> None:
        if not because.strip():
            raise CommandError("Say what happened.")
        who = Who(kind="system", name=f"{getpass.getuser()} at the command line")
        with transaction.atomic():
            if not Store.objects.filter(pk=1).update(epoch=F("epoch") + 1):
                raise CommandError("Nothing has been recorded here yet.")
            epoch = Store.objects.get(pk=1).epoch
            Anchor.objects.update(error="", tried_at=None)
            event("store.restored", by=who, detail={"epoch": epoch}, note=scrub(because))
        self.stdout.write(f"Epoch {epoch} begins. Restart every process that records.")
