"""`manage.py policy export|plan|apply`: the configuration of an area as a file."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.code import state
from gateway.code.apply import ApplyError, apply
from gateway.code.document import LARGEST, DocumentError, read, write
from gateway.code.permissions import missing
from gateway.code.plan import Plan, plan
from gateway.models import Area, User

CHANGES = 2
"""Exit status of a plan that has changes, when asked for with --detailed-exitcode."""


class Command(BaseCommand):
    help = "Write an area's schemas, policies, endpoints and access rules as a file, compare one, apply one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="write what is in force; never a secret")
        export.add_argument("--area", default="", help="the area's slug; not needed while there is one only")
        for verb, words in (("plan", "say what applying would change"), ("apply", "make it so, or nothing")):
            made = verbs.add_parser(verb, help=words)
            made.add_argument("file", help="the document; - for standard input")
            made.add_argument(
                "--prune",
                action="store_true",
                help="take away access rules and disable endpoints that it lacks",
            )
            made.add_argument("--json", action="store_true", help="for programs")
            if verb == "plan":
                made.add_argument("--detailed-exitcode", action="store_true", help="2 if there are changes")
            else:
                made.add_argument("--as", dest="by", default="", help="username on whose behalf")
                made.add_argument("--expect", default="", help="only if the plan still has this digest")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except (DocumentError, ApplyError) as error:
            if options.get("json"):
                self.stdout.write(json.dumps({"problems": error.problems}, indent=2, ensure_ascii=False))
            raise CommandError("Nothing was changed.\n" + "\n".join(error.problems)) from error

    def _export(self, *, area: str, **options: Any) -> None:
        found = Area.objects.filter(slug=area) if area else Area.objects.all()
        if found.count() != 1:
            slugs = ", ".join(Area.objects.values_list("slug", flat=True))
            raise CommandError(
                f"Say which area: --area with one of {slugs or 'none (there is no area yet)'}."
            )
        self.stdout.write(write(state.document(found.get())), ending="")

    def _plan(self, *, file: str, prune: bool, detailed_exitcode: bool, **options: Any) -> None:
        made = plan(read(_bytes(file)), prune=prune)
        self._tell(made, options["json"])
        if detailed_exitcode and not made.is_empty:
            sys.exit(CHANGES)

    def _apply(self, *, file: str, prune: bool, by: str, expect: str, **options: Any) -> None:
        person = User.objects.filter(username=by, is_active=True).first() if by else None
        if by and person is None:
            raise CommandError(f"There is no active person “{by}”.")
        made = plan(read(_bytes(file)), prune=prune)
        if person is not None and (refused := missing(made, person)):
            raise ApplyError(refused)
        apply(plan=made, by=person, expect=expect)
        self._tell(made, options["json"])

    def _tell(self, made: Plan, as_json: bool) -> None:
        self.stdout.write(
            json.dumps(made.as_json(), indent=2, ensure_ascii=False) if as_json else made.text()
        )


def _bytes(file: str) -> bytes:
    """At most one byte more than a document may have: `read` says so."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(LARGEST + 1)
        with Path(file).open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
