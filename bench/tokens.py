"""What it costs to know a caller: an API key, a token that was seen before, and one that was not.

    python -m bench.tokens [--rounds 9]

All in one process and one run, rounds alternate, medians are compared: what the data path does between a
request's head and its caller, without the network. Then whether the time of a refusal tells a wrong prefix
of an API key from a wrong secret: of keys that were refused before, and of ones that the store is asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

if TYPE_CHECKING:
    from gateway.proxy.admission import RequestHead
    from gateway.proxy.bearer import Bearer

CALLS = 200
KEY = "pst_Abcdefgh_" + "x" * 43
ALGORITHMS = {"RS256": "rsa1", "ES256": "p256", "EdDSA": "ed1"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tokens", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    import django

    django.setup()
    from django.db import connection

    name = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0)
    try:
        _store()
        asyncio.run(measure(options.rounds))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def _store() -> None:
    """The key is in it, so that wrong ones are looked for where it is."""
    from datetime import timedelta

    from django.utils import timezone

    from gateway.identity.keys import digest
    from gateway.models import ApiKey, User

    ApiKey.objects.create(
        name="job",
        prefix=KEY[:12],
        digest=digest(KEY),
        user=User.objects.create(username="alice"),
        expires_at=timezone.now() + timedelta(days=1),
    )


async def measure(rounds: int) -> None:
    from tests.identity.minting import access_token

    cases: dict[str, Callable[[int], list[str]]] = {"key": lambda _: [KEY] * CALLS}
    seen = access_token()
    cases["cached token"] = lambda _: [seen] * CALLS
    for algorithm, key in ALGORITHMS.items():
        made = [access_token(key, algorithm, jti=str(number)) for number in range(rounds * CALLS)]
        cases[f"new {algorithm}"] = lambda at, made=made: made[at * CALLS : at * CALLS + CALLS]  # type: ignore[misc]
    wrong = {"prefix": "pst_Zzzzzzzz_" + "x" * 43, "secret": "pst_Abcdefgh_" + "y" * 43}
    bearer = _bearer()
    await _times(bearer, [seen])
    found: dict[str, list[float]] = {name: [] for name in (*cases, *wrong)}
    asked: dict[str, list[float]] = {name: [] for name in wrong}
    for at in range(rounds):
        for name, texts in cases.items():
            found[name].append(statistics.median(await _times(bearer, texts(at))))
        refusals = await _times(bearer, [*wrong.values()] * CALLS)
        for place, name in enumerate(wrong):
            found[name].append(statistics.median(refusals[place::2]))
        made = [text for number in range(CALLS) for text in _wrong(at * CALLS + number)]
        refusals = await _times(bearer, made)
        for place, name in enumerate(wrong):
            asked[name].append(statistics.median(refusals[place::2]))
    bearer.stop()
    base = statistics.median(found["key"])
    for name in cases:
        print(f"{name:<13} p50 {statistics.median(found[name]):6.1f} µs, added {_added(found, name):6.1f} µs")
    print(f"the key itself is known in {base:.1f} µs")
    print(f"a key that is not known is looked up and refused in {statistics.median(asked['secret']):.0f} µs")
    for times, when in (found, "once refused"), (asked, "looked up"):
        ratio = statistics.median(a / b for a, b in zip(times["prefix"], times["secret"], strict=True))
        print(f"a wrong prefix is refused in ×{ratio:.3f} the time of a wrong secret, {when}")


def _wrong(number: int) -> list[str]:
    """A wrong prefix and a wrong secret, neither of which came before."""
    return [f"pst_Z{number:07d}_" + "x" * 43, f"pst_Abcdefgh_y{number:042d}"]


def _added(found: dict[str, list[float]], name: str) -> float:
    return statistics.median(one - key for one, key in zip(found[name], found["key"], strict=True))


async def _times(bearer: Bearer, texts: list[str]) -> list[float]:
    """Microseconds for each."""
    from gateway.proxy.errors import ProxyError

    spent = []
    for head in [_head(text) for text in texts]:
        began = time.perf_counter_ns()
        with contextlib.suppress(ProxyError):
            await bearer.caller(head)
        spent.append((time.perf_counter_ns() - began) / 1000)
    return spent


def _head(text: str) -> RequestHead:
    from gateway.proxy.admission import RequestHead

    return RequestHead("POST", "/", {b"authorization": f"Bearer {text}".encode()}, "192.0.2.1")


def _bearer() -> Bearer:
    """One issuer, one person who is known there and holds a key as well."""
    from dataclasses import replace

    from gateway.identity.discovery import Place
    from gateway.identity.jwks import read_keys
    from gateway.identity.key_source import KeySource
    from gateway.identity.keys import digest
    from gateway.identity.mapping import MappingRule
    from gateway.identity.tokens import Terms
    from gateway.identity.trust import Trusted
    from gateway.proxy.bearer import Bearer
    from gateway.proxy.routes import Caller, Known, Snapshot
    from gateway.proxy.snapshot import Snapshots
    from tests.identity.minting import AUDIENCE, ISSUER, key_set

    alice = Caller(
        person_id=UUID(int=1),
        subject="local:alice",
        name="Alice Example",
        kind="person",
        owner_id=None,
        key_id=None,
        key_prefix="",
        groups=("staff",),
        group_ids=frozenset({1}),
        expires_at=float("inf"),
    )
    place = Place(ISSUER)
    trusted = Trusted(
        terms=Terms(
            issuer=ISSUER, audiences=frozenset({AUDIENCE}), algorithms=frozenset(ALGORITHMS), leeway=30
        ),
        place=place,
        max_stale=3600,
        groups_claim="groups",
        lookup="",
        creates_people=True,
        rules=(MappingRule("exact", "staff", 1),),
        named={"staff": 1},
    )
    snapshots = Snapshots()
    snapshots._read_at = float("inf")
    snapshots._snapshot = Snapshot(
        revision=1,
        callers={digest(KEY): replace(alice, key_prefix=KEY[:12])},
        targets={},
        access={},
        issuers={ISSUER: trusted},
        known={(ISSUER, "00u1alice"): Known(alice, "Alice Example")},
    )
    bearer = Bearer(snapshots)
    source = KeySource(place, ask=lambda _: read_keys(key_set(*ALGORITHMS.values())))
    source.refresh()
    bearer._sources[ISSUER] = source
    return bearer


if __name__ == "__main__":
    main()
