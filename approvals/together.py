"""Questions that many calls have at once, asked as one.

What comes while one is being answered waits, and goes together with the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar, final

K = TypeVar("K")
V = TypeVar("V")


@final
class Together(Generic[K, V]):
    """Questions of one kind. Lives on one loop."""

    def __init__(self, ask: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        """`ask`: the answer to each; it fails for all of them or for none, and has to end by itself."""
        self._ask = ask
        self._gathered: dict[K, asyncio.Future[V]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def of(self, key: K) -> V:
        """The answer to one, asked after this was called. Raises what `ask` raises."""
        future = self._gathered.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._gathered[key] = loop.create_future()
            if self._asking is None or self._asking.done():
                self._asking = loop.create_task(self._run())
        return await asyncio.shield(future)  # others may wait for the same

    async def _run(self) -> None:
        while self._gathered:
            asked, self._gathered = self._gathered, {}
            try:
                found = await self._ask([*asked])
            except Exception as error:  # it belongs to those who asked
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # looked at: whoever asked may have gone
            else:
                for key, future in asked.items():
                    future.set_result(found[key])
