"""Between coroutines and the recorder's thread: handing in by the loop's iteration, waiting, waking."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import final

from audit.batch import Item

_LINGER = 0.05  # seconds
_TICK = 0.1  # seconds; a deadline is kept within one tick


class StoreUnavailable(Exception):
    """The record cannot be made now: refuse the call (503) or cut the stream."""


class GuardFailed(Exception):
    """What the entry was to rest on is not there (any more), or is being changed: nothing was written."""


@final
class Desk:
    """Where the coroutines of one loop hand in and wait. Lives on that loop.

    What one iteration of the loop hands in goes to the thread together: it is woken once, and commits once.
    What nobody waits for lingers a moment, to travel with something that is waited for. One watchdog looks
    after everybody's deadline.
    """

    def __init__(self, loop: AbstractEventLoop, hand_over: Callable[[list[Item]], None]) -> None:
        self.loop = loop
        self._hand_over = hand_over
        self._fresh: list[Item] = []
        self._items: deque[Item] = deque()
        self._soon = self._later = self._armed = False

    def drop(self, item: Item) -> None:
        """Hand in what nobody waits for."""
        self._fresh.append(item)
        if not (self._soon or self._later):
            self._later = True
            self.loop.call_later(_LINGER, self.flush)

    def flush(self) -> None:
        self._soon = self._later = False
        fresh, self._fresh = self._fresh, []
        if fresh:
            self._hand_over(fresh)

    def wait(self, item: Item) -> None:
        """Hand in what a coroutine waits for."""
        self._fresh.append(item)
        self._items.append(item)
        if not self._soon:
            self._soon = True
            self.loop.call_soon(self.flush)
        if not self._armed:
            self._armed = True
            self.loop.call_later(_TICK, self._check)

    def _check(self) -> None:
        now, items = self.loop.time(), self._items
        while items and (_done(items[0]) or items[0].deadline <= now):
            item = items.popleft()
            if not _done(item):
                item.expired = True
                assert item.future is not None  # noqa: S101
                item.future.set_exception(StoreUnavailable("the store did not answer in time"))
        self._armed = bool(items)
        if self._armed:
            self.loop.call_later(_TICK, self._check)


def _done(item: Item) -> bool:
    return item.future is None or item.future.done()


@final
class Desks:
    """The desk of the running loop. A process has one loop; tests have many."""

    def __init__(self, hand_over: Callable[[list[Item]], None]) -> None:
        self._hand_over = hand_over
        self._by_loop: dict[AbstractEventLoop, Desk] = {}
        self._lock = threading.Lock()

    def of(self, loop: AbstractEventLoop) -> Desk:
        found = self._by_loop.get(loop)
        if found is None:
            with self._lock:
                for closed in [known for known in self._by_loop if known.is_closed()]:
                    self._by_loop.pop(closed).flush()
                found = self._by_loop[loop] = Desk(loop, self._hand_over)
        return found

    def flush(self) -> None:
        """Hand over what lingers anywhere: the recorder is stopping."""
        with self._lock:
            for desk in self._by_loop.values():
                desk.flush()


def answer(items: Iterable[Item], error: Exception | None, lost: Callable[[Item], None]) -> None:
    """Wake the waiters of a batch: one call into each loop. `lost` gets what was stored for nobody."""
    by_loop: defaultdict[AbstractEventLoop, list[Item]] = defaultdict(list)
    for item in items:
        if item.loop is not None:
            by_loop[item.loop].append(item)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake, waiting, error, lost)
        except RuntimeError:  # the loop is closed: its callers are gone
            _wake_nobody(waiting, error, lost)


def _wake(items: list[Item], error: Exception | None, lost: Callable[[Item], None]) -> None:
    for item in items:
        future = item.future
        if future is None:
            continue
        if future.done():
            if error is None:
                lost(item)
        elif error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _wake_nobody(items: list[Item], error: Exception | None, lost: Callable[[Item], None]) -> None:
    if error is None:
        for item in items:
            lost(item)
