"""`manage.py first_admin`: somebody who may set up the rest, by a role and not as a superuser."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gateway.identity.authz import role_grant
from gateway.identity.linking import identity_add
from gateway.identity.membership import membership_set
from gateway.identity.names import people_named
from gateway.models import GroupMapping, Issuer, Match, RoleGrant, Source, User

GROUP = "administrators"


class Command(BaseCommand):
    help = (
        "Make the first administrator: a person in the group “administrators”, which holds the role admin "
        "everywhere. With a password, or known at the provider of OIDC_ISSUER by a subject or a group."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", nargs="?", default="", help="not needed with --group")
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--subject", default="", help="the person's subject at the provider")
        way.add_argument("--group", default="", help="whoever has this value in the provider's groups claim")
        parser.add_argument("--name", default="OpenID provider", help="what people call the provider")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from there")

    def handle(self, *, username: str, subject: str, group: str, name: str, **options: Any) -> None:
        if RoleGrant.objects.filter(role="admin", area=None, group__user__is_active=True).exists():
            raise CommandError("There is an administrator already: they add others in the console.")
        if not group and not username:
            raise CommandError("Say who: a user name, or --group.")
        if (subject or group) and not settings.OIDC_ISSUER:
            raise CommandError("OIDC_ISSUER is not set, so no provider can vouch for anybody.")
        password = "" if subject or group else self._password(username, options["password_stdin"])
        with transaction.atomic():
            admins = Group.objects.get_or_create(name=GROUP)[0]
            role_grant(group=admins, role="admin", by=None)
            if group:
                GroupMapping.objects.get_or_create(
                    issuer=_issuer(name), match=Match.EXACT, value=group, group=admins
                )
                self.stdout.write(f"Whoever signs in with the group {group} is an administrator.")
                return
            person = _person(username, password)
            membership_set(
                member=person, groups=[*person.groups.all(), admins], by=None, source=Source.SYSTEM
            )
            if subject:
                identity_add(issuer=_issuer(name).issuer, subject=subject, user=person, by=None)
        self.stdout.write(f"{username} is an administrator.")

    def _password(self, username: str, from_stdin: bool) -> str:
        password = sys.stdin.readline().rstrip("\n") if from_stdin else getpass.getpass("Password: ")
        try:
            validate_password(password, User(username=username))
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        return password


def _issuer(name: str) -> Issuer:
    return Issuer.objects.get_or_create(
        issuer=settings.OIDC_ISSUER, defaults={"name": name, "accepts_tokens": False}
    )[0]


def _person(username: str, password: str) -> User:
    if people_named(username):
        raise CommandError(f"There is a person named {username} already.")
    return User.objects.create_user(username, password=password or None, is_staff=True)
