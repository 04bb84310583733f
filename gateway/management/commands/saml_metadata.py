"""`manage.py saml_metadata FILE`: what a SAML provider says of itself, before it is imported."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway.identity.saml.metadata import (
    LARGEST_METADATA,
    MetadataError,
    saml_metadata_read,
    saml_metadata_warnings,
)
from gateway.models import Issuer, IssuerKind


class Command(BaseCommand):
    help = "Check a SAML provider's metadata and show what it holds. Changes nothing: import it in the admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("file", nargs="?", help="the document; - for standard input")
        wanted.add_argument("--issuer", help="name of an issuer whose metadata is kept here")

    def handle(self, *, file: str | None, issuer: str | None, **options: Any) -> None:
        try:
            provider = saml_metadata_read(_read(file) if file else _kept(issuer or ""))
        except MetadataError as error:
            raise CommandError(str(error)) from error
        now = timezone.now()
        self.stdout.write(f"entity id    {provider.entity_id}")
        self.stdout.write(f"sign-in at   {provider.sso_url}")
        for each in provider.certificates:
            self.stdout.write(f"certificate  {each.fingerprint}")
            self.stdout.write(f"             {each.subject or 'no name'}")
            self.stdout.write(f"             until {each.not_after:%Y-%m-%d}, {each.state(now)}")
        for words in saml_metadata_warnings(provider, now):
            self.stdout.write(f"note: {words}")


def _read(file: str) -> str:
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            return stream.read(LARGEST_METADATA + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read as text.") from error


def _kept(name: str) -> str:
    row = Issuer.objects.filter(kind=IssuerKind.SAML, name=name).first()
    if row is None:
        raise CommandError(f"There is no issuer “{name}” of kind SAML.")
    return row.metadata
