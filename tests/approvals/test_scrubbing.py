"""A purpose waits for what scrubs it and is not refused because a compiler is at work."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from approvals import broker as module
from approvals import scrubbing
from approvals.broker import ApprovalsUnavailable, Broker
from policies import compiler, store

from .test_broker import served

pytestmark = pytest.mark.django_db(transaction=True)

SAID = "a claim of bob@example.com"
KEPT = "a claim of [EMAIL]"


class Slow:
    """Compiling waits until it is let go."""

    def __init__(self, compile_policy: Callable[..., Any]) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self._compile = compile_policy

    def __call__(self, *arguments: Any) -> Any:
        self.begun.set()
        assert self.go.wait(20)
        return self._compile(*arguments)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow(compiler.compile_policy)
    monkeypatch.setattr(compiler, "compile_policy", made)
    yield made
    made.go.set()


async def becomes_ready(broker: Broker) -> bool:
    for _ in range(400):
        if broker.ready:
            return True
        await asyncio.sleep(0.05)
    return False


def test_a_purpose_waits_longer_for_the_compiler_than_for_the_database(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)

    async def asks(broker: Broker) -> str:
        asked = asyncio.create_task(broker.scrubbed(SAID))
        await asyncio.to_thread(slow.begun.wait, 20)
        await asyncio.sleep(0.7)
        assert not asked.done() and not broker.ready
        slow.go.set()
        return await asked

    assert served(asks) == KEPT


def test_it_waits_no_longer_than_that(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "PATIENCE", 0.05)

    async def asks(broker: Broker) -> None:
        with pytest.raises(ApprovalsUnavailable):
            await broker.scrubbed(SAID)
        assert await broker.open_of(module.UUID(int=1)) == 0  # and keeps nobody else
        slow.go.set()

    served(asks)


def test_a_process_is_ready_once_what_scrubs_is_compiled(slow: Slow) -> None:
    async def starts(broker: Broker) -> tuple[bool, bool]:
        await asyncio.to_thread(slow.begun.wait, 20)
        before = broker.ready
        slow.go.set()
        return before, await becomes_ready(broker)

    assert served(starts) == (False, True)


def test_a_database_that_is_away_at_the_start_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "AGAIN", 0.01)
    asked, prepared = [], store.scrubbers_prepared

    def away() -> store.Scrubbers:
        asked.append(time.monotonic())
        if len(asked) < 3:
            raise OperationalError("away")
        return prepared()

    monkeypatch.setattr(store, "scrubbers_prepared", away)
    assert served(becomes_ready) and len(asked) == 3


def test_a_schema_that_does_not_compile_any_more_keeps_no_process_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Any:
        raise store.NotInForce("the schema does not compile here any more")

    monkeypatch.setattr(compiler, "compile_policy", broken)

    async def asks(broker: Broker) -> bool:
        with pytest.raises(ApprovalsUnavailable):
            await broker.scrubbed(SAID)
        return await becomes_ready(broker)

    assert served(asks) and "no purpose can be kept" in caplog.text


def test_what_is_compiled_already_is_scrubbed_as_ever() -> None:
    assert served(lambda broker: broker.scrubbed(SAID)) == KEPT
