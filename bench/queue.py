"""How long the reviewers' queue takes with very many open approvals, as its page is made for a browser.

    python -m bench.queue [--open 100000]
    python -m tests.services python -m bench.queue      # on PostgreSQL

Half of the approvals are for one group, half for another; rita is in the first, stan in neither.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg

CASES = {
    "what waits for rita": ("rita", ""),
    "by risk": ("rita", "?order=risk"),
    "everybody's": ("rita", "?everyone=1"),
    "of one requester": ("rita", "?requester=caller-77"),
    "of one requester, everybody's": ("rita", "?everyone=1&requester=caller-77"),
    "of one endpoint by risk": ("rita", "?order=risk&endpoint=chat-3"),
    "stan, for whom nothing waits": ("stan", ""),
}
AT_ONCE = 2_000
PASSWORD = uuid4().hex


@contextmanager
def database() -> Iterator[str]:
    """An empty one on the PostgreSQL that the environment names; "" for a SQLite file."""
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        yield ""
        return
    name = f"queue_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@contextmanager
def store() -> Iterator[None]:
    """Django on an empty database of its own."""
    with tempfile.TemporaryDirectory() as data, database() as url:
        os.environ.update(
            {
                "DATA_DIR": data,
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "gateway.settings",
                "PLAIN_HTTP": "1",
                "LOCAL_SIGN_IN": "1",
            }
        )
        os.environ.pop("REDIS_URL", None)
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        yield
        connections.close_all()


def people() -> None:
    from django.contrib.auth.models import Group
    from django.utils import timezone

    from audit.models import Store
    from gateway.identity.authz import role_grant
    from gateway.models import Area, User

    Store.objects.create(pk=1, key_check=b"", created_at=timezone.now())
    area = Area.objects.create(slug="ward", name="Ward")
    for name, group in (("rita", "one"), ("stan", "elsewhere")):
        made = Group.objects.create(name=group)
        role_grant(group=made, role="reviewer", by=None, area=area)
        person = User.objects.create_user(name, password=PASSWORD)
        person.groups.add(made)


def fill(count: int) -> None:
    from django.utils import timezone

    from approvals.models import Approval

    now, callers = timezone.now(), [uuid4() for _ in range(1000)]
    for start in range(0, count, AT_ONCE):
        Approval.objects.bulk_create(_row(number, callers, now) for number in range(start, start + AT_ONCE))


def _row(number: int, callers: list[Any], now: Any) -> Any:
    from approvals.models import Approval

    return Approval(
        epoch=1,
        call_id=uuid4(),
        request_hmac=uuid4().bytes * 2,
        sent_digest=bytes(32),
        requester_id=callers[number % 1000],
        requester_kind="person",
        requester_name=f"caller-{number % 1000}",
        area="ward",
        endpoint_id=uuid4(),
        endpoint=f"chat-{number % 7}",
        access_rule_id=uuid4(),
        policy_version_id=uuid4(),
        schema_version_id=uuid4(),
        policy="House@1",
        highest="confidential",
        reasons=["EMAIL found."],
        counts={"EMAIL": 1},
        risk=number * 7919 % 100,
        reviewers=["one" if number % 2 else "two"],
        created_at=now,
        changed_at=now,
        expires_at=now + timedelta(hours=1, seconds=number * 104_729 % 100_000),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    with store():
        from django.conf import settings
        from django.db import connection
        from django.test import Client

        settings.ALLOWED_HOSTS = ["testserver"]
        people()
        fill(options.open)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        print(f"{options.open} open approvals on {connection.vendor}")
        for title, (name, query) in CASES.items():
            browser = Client()
            browser.post("/login/", {"username": name, "password": PASSWORD})
            took = []
            for _ in range(options.rounds):
                began = time.perf_counter()
                answer = browser.get(f"/review/{query}")
                took.append(time.perf_counter() - began)
                if answer.status_code != 200:
                    sys.exit(f"{title}: {answer.status_code} {answer.headers.get('location')}")
            took.sort()
            p95 = took[int(len(took) * 0.95)]
            print(f"  {title:<32} p50 {1000 * statistics.median(took):4.0f} ms   p95 {1000 * p95:4.0f} ms")


if __name__ == "__main__":
    main()
