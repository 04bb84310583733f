"""How long one call waits: so long for a slow peer, and not at all for a client that has left or for a call
that may not go on.

One timer per call at a time: it first rings when most calls are over, and only then sees to what is due.
`asyncio.timeout` sets a timer per wait, which cost a call 33 µs (three waits) and a stream 11 µs per chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, final

from gateway.proxy.errors import ProxyError

WATCH_AFTER: Final = 0.02
"""Seconds a call may run before its client is watched, which costs a task."""

NEVER: Final = float("inf")


@final
class Patience:
    """Belongs to the task that makes it and ends by cancelling it. `end` it in every case.

    with patience.limit(seconds): waits within it raise TimeoutError after so long; limits do not nest
    """

    __slots__ = (
        "_cut",
        "_deadline",
        "_expired",
        "_loop",
        "_receive",
        "_rings",
        "_task",
        "_timer",
        "_watched",
        "_watcher",
    )

    def __init__(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101  the server runs each call as a task
        self._task = task
        self._deadline = self._rings = NEVER  # of the limit; of the timer
        self._expired = self._watched = False
        self._cut: ProxyError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._ring_by(self._loop.time() + WATCH_AFTER)

    def watch(self) -> None:
        """From now on the call may be interrupted: a client that leaves cancels it, so that the model stops
        working for nobody, and a cut takes effect at once. Raises the cut that has come before."""
        if self._cut is not None:
            raise self._cut
        self._watched = True
        self._ring_by(self._loop.time() + WATCH_AFTER)

    def cut(self, why: ProxyError) -> None:
        """End the call from the outside: at once where it may be interrupted, else where it first may be.
        The first cut counts."""
        if self._cut is None:
            self._cut = why
            if self._watched:
                self._task.cancel()

    def was_cut(self) -> ProxyError | None:
        """Why, if it is a cut that has interrupted the call: what follows is not interrupted any more."""
        if self._cut is not None:
            self._task.uncancel()
        return self._cut

    def limit(self, seconds: float) -> Patience:
        self._deadline = self._loop.time() + seconds
        self._ring_by(self._deadline)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline = NEVER
        if self._expired:
            self._expired = False
            if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def end(self) -> None:
        """What follows is neither limited nor interrupted."""
        self._rings = float("-inf")  # nothing rings any more
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _ring_by(self, when: float) -> None:
        """Have the timer ring at this time or before."""
        if when < self._rings:
            if self._timer is not None:
                self._timer.cancel()
            self._rings = when
            self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings = None, NEVER
        if self._watched and self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())
        if self._loop.time() < self._deadline:
            self._ring_by(self._deadline)  # never, without a limit
        elif not self._task.cancelling():  # else it is ending already
            self._expired = True
            self._task.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._task.cancel()
