"""The queue's WebSocket: says which approvals have changed, as far as whoever listens may see them.

Ids only, never what they are about: the page fetches that itself. Nothing is taken from the client. There is
no channel layer: `approvals.following` asks the database.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from approvals.following import MANY, RESTART, Follower, Following, Reach, Right

log = logging.getLogger(__name__)

PATH: Final = "/ws/review/"
BUSY: Final = 1013
UNEXPECTED: Final = 1003
PATIENCE: Final = 3.0  # seconds to find out who comes
GATHER: Final = 0.1  # seconds between two messages to one client
BEAT: Final = 15.0
"""Seconds without news after which something is sent all the same, so that a dead line is noticed."""

SEND_WITHIN: Final = 10.0

Receive = Callable[[], Awaitable[Any]]
Admit = Callable[[Any], tuple[Right, Reach] | None]


class ReviewSocket(AsyncWebsocketConsumer):
    """One browser's. `admit` says who it is by the scope alone, or that it is nobody."""

    def __init__(self, *, following: Following, admit: Admit) -> None:
        super().__init__()
        self._following, self._admit = following, admit
        self._follower: Follower | None = None
        self._changed: set[UUID] = set()
        self._many, self._code = False, RESTART
        self._news, self._ended = asyncio.Event(), asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """What ends it comes in like a message of the client's: the server does not close a connection that
        somebody still waits on for one."""
        ended = asyncio.ensure_future(self._ended.wait())

        async def receive_until_over() -> Any:
            received = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({received, ended}, return_when=asyncio.FIRST_COMPLETED)
                return await received if received.done() else {"type": "review.over"}
            finally:
                received.cancel()

        try:
            await super().__call__(scope, receive_until_over, send)
        finally:
            ended.cancel()
            self._part()

    async def connect(self) -> None:
        admitted = await self._admitted()
        if admitted is None:
            await self.close()
            return
        loop, (right, reach) = asyncio.get_running_loop(), admitted

        def tell(changed: list[UUID], many: bool) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(self._take, changed, many)

        def end(code: int) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, code)

        follower = Follower(right, reach, tell=tell, end=end)
        await self.accept()
        if not self._following.join(follower):
            await self.close(code=BUSY)
            return
        self._follower = follower
        self._telling = asyncio.create_task(self._tell())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.close(code=UNEXPECTED)

    async def review_over(self, message: Any) -> None:
        """They may not follow any more, do not read, or this process stops."""
        with suppress(Exception):  # it may be gone already
            await asyncio.wait_for(self.close(code=self._code), SEND_WITHIN)
        raise StopConsumer

    def _part(self) -> None:
        if self._follower is not None:
            self._following.leave(self._follower)
        if self._telling is not None:
            self._telling.cancel()

    async def _admitted(self) -> tuple[Right, Reach] | None:
        """Nobody where that cannot be found out in time."""
        asked = asyncio.wrap_future(self._following.ask(lambda: self._admit(self.scope)))
        try:
            return await asyncio.wait_for(asked, PATIENCE)
        except Exception as error:  # a database that is down, for one
            log.warning("who wants to follow approvals is not known: %s", type(error).__name__)
            return None

    def _take(self, changed: list[UUID], many: bool) -> None:
        self._changed.update(changed)
        if many or len(self._changed) > MANY:
            self._changed.clear()
            self._many = True
        self._news.set()

    def _end(self, code: int) -> None:
        self._code = code
        self._ended.set()

    async def _tell(self) -> None:
        """Until it ends: one message for all that changed since the last one."""
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), BEAT)
                self._news.clear()
                await asyncio.wait_for(self.send(text_data=self._message()), SEND_WITHIN)
                await asyncio.sleep(GATHER)
        except Exception:  # a client that does not read, or is gone
            self._ended.set()

    def _message(self) -> str:
        changed, many = sorted(map(str, self._changed)), self._many
        self._changed.clear()
        self._many = False
        return json.dumps({"changed": changed, "many": many})
