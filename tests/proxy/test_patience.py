"""How long a call waits: limits end waits, a client that leaves ends the call, nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.proxy.patience import WATCH_AFTER, Patience

LATER = WATCH_AFTER * 2


async def stays() -> dict[str, Any]:
    """A client that never says anything again."""
    await asyncio.sleep(60)
    raise AssertionError


def leaves(after: float) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(after)
        return {"type": "http.disconnect"}

    return receive


@pytest.mark.parametrize("seconds", [0.0, WATCH_AFTER / 4, LATER])
def test_a_wait_beyond_its_limit_is_a_timeout_and_the_call_goes_on(seconds: float) -> None:
    async def call() -> None:
        patience = Patience(stays)
        with pytest.raises(TimeoutError), patience.limit(seconds):
            await asyncio.sleep(60)
        await asyncio.sleep(LATER)
        task = asyncio.current_task()
        assert task and not task.cancelling()
        patience.end()

    asyncio.run(asyncio.wait_for(call(), 5))


def test_each_limit_counts_from_its_own_start() -> None:
    async def call() -> None:
        patience = Patience(stays)
        for _ in range(4):
            with patience.limit(LATER):
                await asyncio.sleep(LATER * 0.6)
        with pytest.raises(TimeoutError), patience.limit(LATER):
            await asyncio.sleep(60)
        patience.end()

    asyncio.run(asyncio.wait_for(call(), 5))


def test_outside_a_limit_a_call_may_take_as_long_as_it_likes() -> None:
    async def call() -> None:
        patience = Patience(stays)
        with patience.limit(LATER):
            pass
        await asyncio.sleep(LATER * 2)
        patience.end()

    asyncio.run(call())


def test_an_error_within_a_limit_keeps_its_face() -> None:
    async def call() -> None:
        patience = Patience(stays)
        with pytest.raises(ZeroDivisionError), patience.limit(1):
            raise ZeroDivisionError
        patience.end()

    asyncio.run(call())


@pytest.mark.parametrize("limited", [False, True])
def test_a_client_that_leaves_cancels_a_call_that_is_watched(limited: bool) -> None:
    async def call() -> None:
        patience = Patience(leaves(LATER))
        patience.watch()
        if limited:
            with patience.limit(30):
                await asyncio.sleep(60)
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())


def test_a_call_is_watched_however_late_that_begins() -> None:
    async def call() -> None:
        patience = Patience(leaves(0))
        await asyncio.sleep(LATER)  # its first look found nothing to do
        patience.watch()
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())


def test_nobody_is_watched_before_it_is_asked_for_and_nothing_rings_after_the_end() -> None:
    async def call() -> None:
        patience = Patience(leaves(0))
        await asyncio.sleep(LATER)
        patience.watch()
        patience.end()
        patience.limit(0)
        await asyncio.sleep(LATER)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(call())


def test_a_call_cancelled_from_outside_is_cancelled_though_its_time_is_up_as_well() -> None:
    async def call() -> None:
        patience = Patience(stays)
        task = asyncio.current_task()
        assert task
        task.cancel()
        with patience.limit(0):
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())
