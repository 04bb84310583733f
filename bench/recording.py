"""What recording a call costs beside the search, and in a large record: calls per second, side by side.

    python -m tests.services python -m bench.recording [--calls 1500000]

Three stores of one PostgreSQL take the same calls in turn, round after round: one without what only searching
needs on the recorder's way (indexes), one as it ships, one as it ships that holds very many calls already.
What follows from the calls (words, facts, briefs, sums) is derived afterwards, in life by another process:
how many calls that does in a second, and what of it is the processors' work, is said last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import orjson
import psycopg

from bench.evidence import people, worked
from bench.queue import store
from bench.traffic import VOCABULARY, seed

AT_ONCE: Final = 16
"""Callers, each of whom waits for the answer before the next call."""

OF_SEARCHES: Final = ("audit_call_area", "audit_session_area")
"""Indexes that the recorder keeps and that only searches and lists use."""

WORDS, ANSWERED = 550, 150


def stores() -> dict[str, str]:
    """What the stores are called: by title the alias of its database."""
    return {"without the search's indexes": "bare", "as it ships": "plain", "with very many calls": "default"}


@contextmanager
def beside(alias: str) -> Iterator[None]:
    """An empty database beside the first one, under this alias."""
    from django.core.management import call_command
    from django.db import connections

    first = os.environ["DATABASE_URL"]
    name = f"{alias}_{uuid4().hex[:12]}"
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    connections.databases[alias] = {**connections.databases["default"], "NAME": name}
    call_command("migrate", database=alias, verbosity=0)
    yield
    connections[alias].close()


def made(chance: random.Random) -> Any:
    """4 KB of chat, with words of the seeded calls' vocabulary."""
    from audit.records import Recordable

    text = " ".join(f"word{chance.randrange(VOCABULARY)}" for _ in range(WORDS))[:4000]
    return Recordable(orjson.dumps({"model": "small", "messages": [{"role": "user", "content": text}]}))


def answered(chance: random.Random) -> Any:
    from audit.records import Recordable

    text = " ".join(f"word{chance.randrange(VOCABULARY)}" for _ in range(ANSWERED))
    return Recordable(orjson.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}))


def admissions(count: int, chance: random.Random) -> list[tuple[Any, Any]]:
    """Requests and their answers, made before the clock runs."""
    from audit import ids
    from audit.records import Admission, Decision, What, Who

    who = [
        Who(person_id=uuid4(), subject=f"local:caller-{n}", name=f"caller-{n}", kind="person")
        for n in range(200)
    ]
    what = What(area="ward", endpoint="chat-1", api="openai.chat", method="POST", path="/v1/chat/completions",
                model="small", policy="House@3", schema="pii@2")  # fmt: skip
    decision = Decision(action="masked", reasons=("EMAIL",), counts={"EMAIL": 6}, highest="confidential")

    def one(n: int) -> Any:
        return Admission(
            call_id=ids.new(), who=who[n % 200], what=replace(what, model=("small", "large")[n % 2]),
            decision=decision, request_hmac=os.urandom(32), sent_digest=os.urandom(32), request_size=4096,
            request=made(chance), fingerprints=tuple(("EMAIL", os.urandom(16)) for _ in range(6)),
        )  # fmt: skip

    return [(one(n), answered(chance)) for n in range(count)]


async def recorded(recorder: Any, calls: list[tuple[Any, Any]]) -> float:
    """Seconds until the last of them is closed."""
    from audit.records import Close

    waiting = iter(calls)
    done = Close(action="masked", status=200, complete=True, output_tokens=90)

    async def caller() -> None:
        for admission, answer in waiting:
            await recorder.admit(admission)
            await recorder.segment(admission.call_id, answer, final=True)
            recorder.close(admission.call_id, done)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


def rounds(options: argparse.Namespace, keys: Any) -> dict[str, list[float]]:
    """Calls per second of each store, one after the other in each round."""
    from audit.recorder import Recorder

    chance = random.Random(7)
    rates: dict[str, list[float]] = {title: [] for title in stores()}
    recorders = {title: Recorder(keys=keys, database=alias) for title, alias in stores().items()}
    for recorder in recorders.values():
        recorder.start()
    for number in range(options.rounds + 1):
        for title in sorted(recorders, key=lambda _: chance.random()):
            took = asyncio.run(recorded(recorders[title], admissions(options.each, chance)))
            if number:  # the first round fills what is remembered
                rates[title].append(options.each / took)
    for recorder in recorders.values():
        recorder.stop(10)
    return rates


def derived() -> tuple[int, float, float]:
    """Calls that were derived, in how many seconds, and milliseconds of the processors for each."""
    from audit import deriving
    from audit.models import Brief

    before = Brief.objects.count()
    work, began = worked(), time.perf_counter()
    deriving.derive(seconds=600)
    took, work = time.perf_counter() - began, worked() - work
    calls = Brief.objects.count() - before
    return calls, took, work / max(1, calls)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recording", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--each", type=int, default=400)
    options = parser.parse_args()
    with store():
        from django.conf import settings
        from django.db import connection, connections

        from audit.keys import KeyDirectory

        if connection.vendor != "postgresql":
            sys.exit("run this on PostgreSQL: python -m tests.services python -m bench.recording")
        with beside("plain"), beside("bare"):
            with connections["bare"].cursor() as cursor:
                for index in OF_SEARCHES:
                    cursor.execute(f"DROP INDEX {index}")
            keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
            people()
            seed(options.calls)
            told(rounds(options, keys), options.calls)
            calls, took, work = derived()
            print(f"derived: {calls / took:.0f} calls per second, {work:.2f} ms of processors for each")


def told(rates: dict[str, list[float]], calls: int) -> None:
    first = next(iter(rates.values()))
    print(f"calls per second, medians of {len(first)} alternating rounds; {calls} calls in the last store")
    for title, each in rates.items():
        against = statistics.median(one / other for one, other in zip(each, first, strict=True))
        print(f"  {title:<32} {statistics.median(each):6.0f}   {against:.2f} of the first")


if __name__ == "__main__":
    main()
