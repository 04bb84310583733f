"""`manage.py roles`: give the first roles, see what should be apart, print the matrix."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gateway.identity.authz import ROLES, role_grant
from gateway.identity.matrix import markdown
from gateway.identity.membership import membership_set
from gateway.identity.separation import overlaps, superusers
from gateway.models import Area, Source, User
from policies.publishing import PolicyServiceError

FOUND = 1  # what `check` exits with when something meets that should be apart


class Command(BaseCommand):
    help = "Give roles to groups, check that duties are apart, print what each role may do."

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True)
        grant = steps.add_parser("grant", help="give a group a role, as on the first day nobody else can")
        grant.add_argument("group", help="made if it is not there")
        grant.add_argument("role", choices=list(ROLES))
        grant.add_argument("--area", default="", help="its slug; without it: everywhere")
        grant.add_argument("--person", default="", help="user name of somebody to put into the group")
        steps.add_parser("check", help="say who holds what should be apart; exit 1 if anybody does")
        steps.add_parser("matrix", help="print the table of docs/roles.md")

    def handle(self, *, step: str, **options: Any) -> None:
        steps: dict[str, Callable[..., None]] = {
            "grant": self._grant,
            "check": self._check,
            "matrix": self._matrix,
        }
        steps[step](**options)

    def _grant(self, *, group: str, role: str, area: str, person: str, **options: Any) -> None:
        where = Area.objects.filter(slug=area).first() if area else None
        who = User.objects.filter(username=person, is_active=True).first() if person else None
        if area and where is None:
            raise CommandError(f"There is no area “{area}”.")
        if person and who is None:
            raise CommandError(f"There is no active person “{person}”.")
        try:
            with transaction.atomic():
                held, _ = Group.objects.get_or_create(name=group)
                made = role_grant(group=held, role=role, area=where, by=None)
                if who is not None:
                    groups = [*who.groups.all(), held]
                    membership_set(member=who, groups=groups, by=None, source=Source.SYSTEM)
        except PolicyServiceError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(str(made))

    def _check(self, **options: Any) -> None:
        found = [str(each) for each in overlaps()]
        found += [f"{name} is a superuser, whom no rule stops." for name in superusers()]
        for line in found:
            self.stdout.write(line)
        if found:
            sys.exit(FOUND)
        self.stdout.write("Nobody holds what should be apart.")

    def _matrix(self, **options: Any) -> None:
        self.stdout.write(markdown(), ending="")
