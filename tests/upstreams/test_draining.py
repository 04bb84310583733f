"""An endpoint that moves: what runs ends at the old place, what comes goes to the new, nothing is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.proxy import breaker
from gateway.proxy.errors import UpstreamFailed, UpstreamUnhealthy
from gateway.proxy.upstream import Upstream

from .calling import begin, call, code_of, run, target
from .tls import Authority, serving


class Slow:
    """Answers with a head at once and with the rest when it is told to; counts its connections."""

    def __init__(self) -> None:
        self.rest = asyncio.Event()
        self.open = 0
        self.answered = 0

    async def __aenter__(self) -> Slow:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *rest: object) -> None:
        self.rest.set()
        self._server.close()
        await asyncio.sleep(0.02)  # whoever is served sees it

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
                )
                await writer.drain()
                await self.rest.wait()
                writer.write(b"{}")
                await writer.drain()
                self.answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


def test_calls_under_way_end_at_the_old_origin_and_new_ones_go_to_the_new_one() -> None:
    async def play(upstream: Upstream) -> None:
        async with Slow() as old, Slow() as new:
            await move(upstream, old, new)

    async def move(upstream: Upstream, old: Slow, new: Slow) -> None:
        before, after = target(old.origin), target(new.origin)
        new.rest.set()
        turn, answer = await begin(upstream, before)
        await upstream.pools.settle({after.slug: after})  # the endpoint has moved
        assert len(upstream.pools) == 1  # somebody is still there
        assert await call(upstream, after) == 200
        assert (old.answered, new.answered) == (0, 1)
        old.rest.set()
        assert await answer.body() == b"{}" and old.answered == 1
        answer.close()
        turn.end()
        await upstream.pools.settle({after.slug: after})
        assert len(upstream.pools) == 1 and [seen.origin for seen in upstream.pools.seen()] == [after.origin]
        await asyncio.sleep(0.05)
        assert (old.open, new.open) == (0, 1)  # its idle connection is closed

    run(play)


@pytest.mark.parametrize(
    "changed",
    [
        {"connect_timeout": 1.0},
        {"authorities": Authority().pem},
        {"allow_private": False},
        {"base_path": "/other"},
        {"slug": "renamed"},
    ],
)
def test_whatever_connections_depend_on_makes_new_ones(changed: dict[str, Any]) -> None:
    async def play(upstream: Upstream) -> None:
        before = target(service.origin)
        assert await call(upstream, before) == 200
        after = target(service.origin, **changed)
        upstream.turn(after).end()
        assert len(upstream.pools) == 2
        await upstream.pools.settle({after.slug: after})
        assert len(upstream.pools) == 1

    with serving() as service:
        run(play)


def test_an_endpoint_that_is_deleted_leaves_nothing_behind() -> None:
    async def play(upstream: Upstream) -> None:
        for _ in range(3):
            assert await call(upstream, target(service.origin)) == 200
        assert len(upstream.pools) == 1
        await upstream.pools.settle({})
        assert len(upstream.pools) == 0

    with serving() as service:
        run(play)


def test_what_nobody_needs_is_closed_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.upstream.TEND", 0.02)

    class Configuration:
        targets: dict[str, Any] = {}

    async def body() -> None:
        upstream = Upstream(lambda: Configuration)  # type: ignore[arg-type,return-value]  # as much as is read
        monkeypatch.setattr(upstream.health, "start", lambda: None)
        upstream.start()
        assert await call(upstream, target(service.origin)) == 200
        async with asyncio.timeout(5):
            while len(upstream.pools):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
        await upstream.close()

    with serving() as service:
        asyncio.run(body())


# --- the breaker beside it --------------------------------------------------------------------------


def test_another_place_has_a_breaker_of_its_own() -> None:
    limits = breaker.Limits(failures=1, rate=0, pause=60)

    async def play(upstream: Upstream) -> None:
        with pytest.raises(UpstreamFailed):
            await call(upstream, target("http://127.0.0.1:9", breaker=limits))
        with pytest.raises(UpstreamUnhealthy) as refused:
            upstream.turn(target("http://127.0.0.1:9", breaker=limits))
        assert refused.value.status == 503 and 48 <= int(refused.value.headers["retry-after"]) <= 60
        assert await call(upstream, target(service.origin, breaker=limits)) == 200

    with serving() as service:
        run(play)


def test_a_call_that_is_cancelled_says_nothing_about_the_service() -> None:
    limits = breaker.Limits(failures=1, rate=0, pause=60)

    async def play(upstream: Upstream) -> None:
        async with Slow() as slow:
            await cancel(upstream, slow)

    async def cancel(upstream: Upstream, slow: Slow) -> None:
        where = target(slow.origin, breaker=limits)
        turn, answer = await begin(upstream, where)
        reading = asyncio.get_running_loop().create_task(answer.chunk())
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        answer.close()
        turn.end()
        seen = upstream.pools.seen()[0]
        assert (seen.ok_at, seen.error_at) == (0.0, 0.0)
        slow.rest.set()
        assert await code_of(upstream, where) == ""

    run(play)


@pytest.mark.parametrize(
    ("status", "error", "opens"),
    [
        (200, "", False),
        (404, "", False),
        (429, "", False),
        (401, "credential_refused", False),
        (302, "redirect", False),
        (500, "server_error", True),
    ],
)
def test_what_an_answers_status_says(status: int, error: str, opens: bool) -> None:
    limits = breaker.Limits(failures=1, rate=0, pause=60)

    async def play(upstream: Upstream) -> tuple[str, bool]:
        where = target(service.origin, breaker=limits)
        assert await call(upstream, where) == status
        seen = upstream.pools.seen()[0]
        assert (seen.ok_at > 0) is not bool(error)
        return seen.error, seen.opened_at > 0

    with serving() as service:
        service.status = status
        assert run(play) == (error, opens)
