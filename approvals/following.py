"""Who follows the queue on this process, and the one thread that tells them what has changed.

The database is the truth: the thread asks it every half second, and at once when a hint comes. It also asks,
more often than every two seconds, whether each follower still may look: whose sign-in has ended, who was
locked or lost the role, is out, and so is everybody when that cannot be found out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar, final
from uuid import UUID

from django.db import connections

from approvals import hints
from approvals.asking import connected
from approvals.models import Approval
from audit import ids

log = logging.getLogger(__name__)

POLL: Final = 0.5  # seconds
REST: Final = 0.05
"""Seconds between two looks, however many hints come."""

CHECK: Final = 1.5
"""Seconds between two questions whether somebody still may look."""

UNKNOWN_AT_MOST: Final = 4.0
"""Seconds that somebody stays whose right cannot be found out."""

OVERLAP: Final = timedelta(seconds=10)
"""How far the clocks of processes may be apart, and how long a transaction may take."""

MANY: Final = 500
"""Changes of one look; where there are more, followers look at everything."""

OVER: Final = 4401
"""Code for whose sign-in has ended, or who lost the role: load the page again, do not come back."""

RESTART: Final = 1012
"""Code where this process stops: come back, to another one."""

FOLLOWERS: Final = 1_000
OF_ONE_PERSON: Final = 10

T = TypeVar("T")


class Reach(Protocol):
    """The areas that somebody may look at."""

    @property
    def everywhere(self) -> bool: ...
    @property
    def slugs(self) -> frozenset[str]: ...


class Right(Protocol):
    """Somebody's right to look, asked anew each time."""

    @property
    def person_id(self) -> UUID: ...

    def reach(self) -> Reach | None:
        """None: there is none any more."""
        ...


@final
class Follower:
    """One connection. `tell` and `end` are called from the thread and must not wait."""

    def __init__(
        self,
        right: Right,
        reach: Reach,
        *,
        tell: Callable[[list[UUID], bool], None],
        end: Callable[[int], None],
    ) -> None:
        self.right, self.reach, self.tell, self.end = right, reach, tell, end
        self.checked = time.monotonic()


@final
class Following:
    """One per process."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._door = ThreadPoolExecutor(1, thread_name_prefix="postern-review-door")
        self._unlisten: Callable[[], None] | None = None
        self._told: dict[UUID, datetime] = {}
        self._primed = False

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Put a question to the database in a thread of its own, for who comes in."""
        return self._door.submit(connected, question)

    def join(self, follower: Follower) -> bool:
        """False where there is no room."""
        with self._lock:
            same = sum(each.right.person_id == follower.right.person_id for each in self._followers)
            if self._stopped or same >= OF_ONE_PERSON or len(self._followers) >= FOLLOWERS:
                return False
            self._followers.add(follower)
            if self._thread is None:
                self._unlisten = hints.listen(lambda _: self._wake.set())
                self._thread = threading.Thread(target=self._run, name="postern-review", daemon=True)
                self._thread.start()
        self._wake.set()
        return True

    def leave(self, follower: Follower) -> None:
        with self._lock:
            self._followers.discard(follower)

    def stop(self) -> None:
        """End everybody, and the thread."""
        self._stopped = True
        self._wake.set()
        for follower in self._all():
            follower.end(RESTART)
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        if self._thread is not None:
            self._thread.join(timeout=2)
        with suppress(RuntimeError):  # it was stopped before
            self._door.submit(connections.close_all)
        self._door.shutdown(wait=False)

    # --- the thread -------------------------------------------------------------------------------------

    def _all(self) -> Collection[Follower]:
        with self._lock:
            return [*self._followers]

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._wake.wait(POLL if self._followers else None)
                self._wake.clear()
                if self._followers and not self._stopped:
                    self._once()
                    time.sleep(REST)
        finally:
            connections.close_all()

    def _once(self) -> None:
        for follower in self._all():  # first: after a pause nobody is told by a right of before it
            if time.monotonic() - follower.checked >= CHECK:
                self._check(follower)
        try:
            connected(self._look)
        except Exception as error:  # whatever it is: this thread must not end before those it tells
            log.error("the queue of approvals is not followed: %s", type(error).__name__)

    def _look(self) -> None:
        changed, many = self._changes(ids.now())
        if not changed and not many:
            return
        for follower in self._all():
            theirs = [each for each, area in changed if _reaches(follower.reach, area)]
            if theirs or many:
                follower.tell(theirs, many)

    def _changes(self, now: datetime) -> tuple[list[tuple[UUID, str]], bool]:
        since = now - OVERLAP
        rows = Approval.objects.filter(changed_at__gte=since).order_by("-changed_at")
        found = list(rows.values_list("id", "area", "changed_at")[: MANY + 1])
        new = [(each, area) for each, area, at in found if self._told.get(each) != at]
        self._told = {each: at for each, _, at in found}
        primed, self._primed = self._primed, True
        return (new if primed else []), len(found) > MANY and bool(new)

    def _check(self, follower: Follower) -> None:
        """Ends who may not look any more, and who it cannot be said of for too long."""
        try:
            reach = connected(follower.right.reach)
        except Exception as error:  # not known: that is no right for long
            log.warning("whether somebody may follow approvals is not known: %s", type(error).__name__)
            if time.monotonic() - follower.checked < UNKNOWN_AT_MOST:
                return
            reach = None
        if reach is None:
            self.leave(follower)
            follower.end(OVER)
            return
        follower.reach, follower.checked = reach, time.monotonic()


def _reaches(reach: Reach, area: str) -> bool:
    return reach.everywhere or area in reach.slugs
