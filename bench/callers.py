"""What a configuration costs with very many keys, and with very many callers that a process has met.

    python -m bench.callers [--keys 10000] [--met 10000] [--rounds 5]
    python -m tests.services python -m bench.callers         the same on PostgreSQL

Builds the snapshot of a store with that many living keys: for a process that has met nobody, one that has
met so many keys, one that has met so many people with tokens, and everybody (what a build was before
processes kept whom they met). Then what a key costs that was never met, alone and in a flood of wrong ones.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

PER_PERSON, GROUPS, HELD = 5, 50, 3
ISSUER = "https://id.example"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.callers", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--met", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    import django

    django.setup()
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    try:
        measure(options.keys, min(options.met, options.keys), options.rounds)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def measure(keys: int, met: int, rounds: int) -> None:
    from django.db import connection

    from gateway.proxy.snapshot import build

    digests, names = fill(keys)
    print(f"{connection.vendor}, {keys:,} keys of {keys // PER_PERSON:,} people")
    cases: dict[str, Callable[[], object]] = {
        "nobody met": lambda: build(1, None, [], []),
        f"{met:,} keys met": lambda: build(1, None, [], digests[:met]),
        f"{len(names[:met]):,} names met": lambda: build(1, None, names[:met], []),
        "everybody": lambda: build(1),
    }
    for case, work in cases.items():
        print(f"a build, {case:<20} {1000 * timed(work, rounds):8.1f} ms", flush=True)
    asyncio.run(meet(digests))


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median seconds."""
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


async def meet(digests: list[bytes]) -> None:
    """A key that is asked about: alone, and one that comes with 2,000 wrong ones."""
    from gateway.proxy.meeting import Meeting, read_keys
    from gateway.proxy.met import MetKeys

    meeting = Meeting(MetKeys(), read_keys)
    alone = []
    for digest in digests[:50]:
        began = time.perf_counter()
        await meeting.meet([digest])
        alone.append(time.perf_counter() - began)
    flood = [asyncio.create_task(meeting.meet([os.urandom(32)])) for _ in range(2_000)]
    await asyncio.sleep(0)
    began = time.perf_counter()
    await meeting.meet([digests[50]])
    late = time.perf_counter() - began
    await asyncio.gather(*flood)
    meeting.close()
    print(f"a key that was never met       {1000 * statistics.median(alone):8.1f} ms, of 50")
    print(f"the same behind 2,000 wrong    {1000 * late:8.1f} ms")


def fill(keys: int) -> tuple[list[bytes], list[tuple[str, str]]]:
    """People with keys, groups and an identity each; the digests and names."""
    from django.contrib.auth.models import Group
    from django.db import transaction
    from django.utils import timezone

    from gateway.models import ApiKey, Identity, User

    count = max(keys // PER_PERSON, 1)
    expires = timezone.now() + timedelta(days=30)
    with transaction.atomic():
        groups = [Group.objects.create(name=f"group {number}") for number in range(GROUPS)]
        people = User.objects.bulk_create(
            [User(username=f"p{number}", password="!") for number in range(count)], batch_size=1000
        )
        through = User.groups.through
        through._default_manager.bulk_create(
            [
                through(user_id=person.pk, group_id=groups[(number + more) % GROUPS].pk)
                for number, person in enumerate(people)
                for more in range(HELD)
            ],
            batch_size=1000,
        )
        digests = [hashlib.sha256(str(number).encode()).digest() for number in range(keys)]
        ApiKey.objects.bulk_create(
            [
                ApiKey(
                    name="job",
                    prefix=f"pst_{number:08d}",
                    digest=digest,
                    user=people[number % count],
                    expires_at=expires,
                )
                for number, digest in enumerate(digests)
            ],
            batch_size=500,
        )
        Identity.objects.bulk_create(
            [
                Identity(issuer=ISSUER, subject=f"s{number}", user=people[number % count])
                for number in range(keys)
            ],
            batch_size=1000,
        )
    return digests, [(ISSUER, f"s{number}") for number in range(keys)]


if __name__ == "__main__":
    main()
