"""`manage.py accounts_part`: an account was linked with another person's by mistake."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.identity.linking import accounts_part, linked_with
from gateway.identity.names import person_named


class Command(BaseCommand):
    help = (
        "Say that an account is somebody else's than those that it was linked with: they then count as two "
        "people where two are needed. Done here alone: in the console one person could make themselves two."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *, username: str, **options: Any) -> None:
        user = person_named(username)
        if user is None:
            raise CommandError(f"There is no person of the user name {username}.")
        others = ", ".join(each.username for each in linked_with(user))
        if not accounts_part(user=user, by=None):
            raise CommandError(f"{user.username} is linked with no other account.")
        self.stdout.write(f"{user.username} is somebody else than {others}.\n")
