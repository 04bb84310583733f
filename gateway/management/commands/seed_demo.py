"""`manage.py seed_demo`: migrate, make the demo's world, and write what a script needs to drive it.

A PostgreSQL database that a demo has filled is marked as the demo's own, and is emptied for the next one;
no other database is ever emptied.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from gateway.checks import LOOPBACK
from gateway.console.seed import SeedError, SeedResult, seed_world

MARK = "Postern demo: emptied whenever a demo starts"


class Command(BaseCommand):
    help = "Create the demo world in an empty store (make demo calls this)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model-url", required=True, help="the demo model, on loopback")
        parser.add_argument("--upstream-url", default="", help="another model server for the chat endpoint")
        parser.add_argument("--out", type=Path, required=True, help="file for the world's facts")

    def handle(self, *, model_url: str, upstream_url: str, out: Path, **options: Any) -> None:
        refuse_exposed()
        if connection.vendor == "postgresql":
            empty_own_database()
        call_command("migrate", verbosity=0)
        chat_origin, chat_path = split_upstream(upstream_url or model_url)
        try:
            world = seed_world(
                chat_origin=chat_origin,
                chat_base_path=chat_path,
                classifier_origin=model_url,
                chat_may_be_remote=bool(upstream_url),
            )
        except SeedError as problem:
            raise CommandError(str(problem)) from None
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("COMMENT ON SCHEMA public IS %s", [MARK])
        write(out, facts(world, model_url))


def refuse_exposed() -> None:
    """Known names and shown passwords: never in a gateway that answers to more than this machine."""
    if beyond := sorted(set(settings.ALLOWED_HOSTS) - LOOPBACK):
        raise CommandError(f"The demo world is for loopback only; ALLOWED_HOSTS has {', '.join(beyond)}.")


def empty_own_database() -> None:
    """Empty the database if a demo has filled it before, and nothing of ours is using it now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description('public'::regnamespace)")
        if cursor.fetchone() != (MARK,):
            return
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'postern' AND pid <> pg_backend_pid()"
        )
        if cursor.fetchone() != (0,):
            raise CommandError("Another demo is using this database: make demo-stop")
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")


def split_upstream(url: str) -> tuple[str, str]:
    """Origin and base path; `/v1` belongs to the path that clients send."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/").removesuffix("/v1")


def facts(world: SeedResult, model_url: str) -> dict[str, Any]:
    return {
        "demo_model_url": model_url,
        "endpoints": [{"slug": each.slug, "kind": each.kind} for each in world.endpoints],
        "people": [
            {
                "name": person.name,
                "password": person.password.reveal(),
                "groups": list(person.groups),
                "roles": list(person.roles),
            }
            for person in world.people
        ],
        "api_keys": {name: key.reveal() for name, key in world.api_keys.items()},
    }


def write(path: Path, value: dict[str, Any]) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=2)
